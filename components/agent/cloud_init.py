"""Waits for cloud-init, which in a cloud still sets up users, keys and packages when SSH already answers.

A machine without cloud-init, or where it is disabled, is not held up. What cloud-init was told to do is not judged.
"""

import os
import shutil
import subprocess

from components.agent.evidence import Failure, say

PATIENCE_SECONDS = 300.0
LOG = "/var/log/cloud-init-output.log"
RESULT = "/run/cloud-init/result.json"
RECOVERABLE = 2
"""Exit status since cloud-init 23.4 for "done, with errors that it got over" (its docs, return codes)."""


def wait(seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until cloud-init has ended.

    Args:
        seconds: how long.

    Raises:
        Failure: it failed, or did not end in time.
    """
    if shutil.which("cloud-init") is None:
        return
    if not os.path.exists(RESULT):
        say(f"waiting for cloud-init (at most {seconds:.0f} s)")
    try:
        status = subprocess.run(
            ["cloud-init", "status", "--wait"], capture_output=True, timeout=seconds, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise Failure(f"cloud-init did not end within {seconds:.0f} s. {_way_out()}") from None
    if status == RECOVERABLE:
        say("cloud-init ended with errors that it got over; 'cloud-init status --long' tells them")
    elif status:
        raise Failure(f"cloud-init failed, so this machine may be set up by half. {_way_out()}")


def _way_out() -> str:
    return (
        "Correct what it names and replace the machine; or, when nothing of it is needed here, run "
        f"'touch /etc/cloud/cloud-init.disabled'. Then run again.\n{_evidence()}"
    )


def _evidence(lines: int = 20) -> str:
    """cloud-init's own words, and the last lines of what it ran."""
    told = subprocess.run(
        ["cloud-init", "status", "--long"], capture_output=True, text=True, timeout=20, check=False
    ).stdout.strip()
    try:
        with open(LOG, errors="replace") as log:
            tail = "".join(log.readlines()[-lines:]).strip()
    except OSError as error:
        tail = str(error)
    return f"--- cloud-init status --long\n{told}\n--- {LOG}\n{tail}"

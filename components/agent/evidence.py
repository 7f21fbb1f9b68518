"""Failing with evidence: what a unit says of itself, its last lines, and one sentence on what to do."""

import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable


class Failure(Exception):  # noqa: N818 (the operator's word, not a programmer's)
    """A phase that cannot go on; the text is for the operator: what, why, way out, then evidence."""


def say(text: str) -> None:
    """Progress, on standard error; the result alone goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str, timeout: float = 60, text: str | None = None) -> str:
    """Run a command and give its standard output; Failure with its own words when it fails or hangs.

    Args:
        command: program and arguments.
        timeout: seconds until it is killed.
        text: its standard input, if it gets one.
    """
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"'{' '.join(command)}' did not end within {timeout:.0f} s") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-2000:]
        raise Failure(f"'{' '.join(command)}' failed with status {done.returncode}: {words}")
    return done.stdout


def succeeds(*command: str, timeout: float = 60) -> bool:
    """Whether a command ends well within the time."""
    try:
        run(*command, timeout=timeout)
    except Failure:
        return False
    return True


def unit_evidence(unit: str, lines: int = 15) -> str:
    """A unit's state and the last lines of its journal."""
    state = subprocess.run(
        ["systemctl", "show", unit, "--property=ActiveState,SubState,Result,ExecMainStatus,NRestarts"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    ).stdout.strip()
    journal = subprocess.run(
        ["journalctl", "--unit", unit, "--lines", str(lines), "--no-pager", "--output", "short-iso"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    ).stdout.strip()
    return f"--- {unit}: {', '.join(state.splitlines())}\n{journal}"


def write_file(path: str, content: str | bytes, mode: int = 0o644, owner: str = "root") -> None:
    """Write a file so that readers see the old or the new one, never a part.

    Its folder is made with mode 0755 where it is missing.
    """
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(path + ".hardway-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as target:
        target.write(data)
    set_owner(path + ".hardway-new", owner, mode)
    os.replace(path + ".hardway-new", path)


def set_owner(path: str, owner: str, mode: int) -> None:
    """Give a path to a user and its own group, with a mode."""
    entry = pwd.getpwnam(owner)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    os.chmod(path, mode)


def wait_until(condition: str, check: Callable[[], bool], seconds: float, interval: float = 0.2) -> bool:
    """Call `check` until it is true or the time is over; say after every ten seconds what is waited for."""
    start = told = time.monotonic()
    while not check():
        now = time.monotonic()
        if now - start > seconds:
            return False
        if now - told > 10:
            told = now
            say(f"waiting for {condition} ({now - start:.0f} of at most {seconds:.0f} s)")
        time.sleep(interval)
    return True

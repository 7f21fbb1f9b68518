"""Ask a program of this computer for its version: bounded, and never with an exception."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence

SECONDS = 15.0
"""How long a program may take to tell its version; Python programs on a cold disk take some."""
Version = tuple[int, ...]


def output(command: Sequence[str], extra: Mapping[str, str] | None = None) -> str | None:
    """What a program printed, on both channels; None when it is absent, fails or takes too long."""
    try:
        done = subprocess.run(
            list(command),
            env={**os.environ, **(extra or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else f"{done.stdout}\n{done.stderr}".strip()


def version_in(text: str | None) -> Version:
    """The first version number in a text, such as (3, 230, 0); () when there is none."""
    matched = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text or "")
    return tuple(int(part or 0) for part in matched.groups()) if matched else ()


def told(version: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def found(name: str) -> str | None:
    """Where PATH leads for a program."""
    return shutil.which(name)

"""Run one command of the computer and wait for it; what it said ends up in the error when it fails."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import LabError


@dataclass(frozen=True)
class Finished:
    """What a command left: its exit status, its standard output and its standard error, as text."""

    status: int
    output: str
    error: str


def attempt(arguments: Sequence[str], seconds: float = 60.0) -> Finished:
    """Run a command that may fail, for at most so many seconds.

    Raises:
        LabError: if the program is not installed or does not end in time.
    """
    try:
        done = subprocess.run(
            list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise LabError(
            f"{arguments[0]}: not installed; run `make up`, which installs what the lab needs"
        ) from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"{' '.join(arguments)}: did not end within {seconds:.0f} s; "
            "look at what the computer is busy with, then run it again"
        ) from None
    return Finished(done.returncode, done.stdout, done.stderr)


def run(arguments: Sequence[str], seconds: float = 60.0) -> str:
    """Run a command that must succeed and return its standard output.

    Raises:
        LabError: with the command and what it said, if it fails, is missing or does not end in time.
    """
    done = attempt(arguments, seconds)
    if done.status != 0:
        said = done.error.strip() or done.output.strip() or f"exit status {done.status}"
        raise LabError(f"{' '.join(arguments)}: {said}")
    return done.output

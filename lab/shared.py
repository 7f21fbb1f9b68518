"""What the labs of all clones on one computer share: a folder that a reboot empties, and its locks."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("/run/hardway")


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Let one process of this computer at a time run the block for `what`; others wait silently."""
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    with (FOLDER / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield

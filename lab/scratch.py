"""Scratch folders of builds in the cache; what an interrupted run left behind is swept by the next one."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import paths


@contextmanager
def folder(purpose: str) -> Iterator[Path]:
    """Yield an empty folder that is gone when the block ends."""
    paths.WORK.mkdir(parents=True, exist_ok=True)
    sweep()
    with tempfile.TemporaryDirectory(dir=paths.WORK, prefix=f"{purpose}.{os.getpid()}.") as name:
        yield Path(name)


def sweep() -> None:
    """Delete scratch folders whose process is gone: gigabytes, after a few builds that were killed."""
    for path in paths.WORK.iterdir() if paths.WORK.is_dir() else ():
        words = path.name.split(".")
        if len(words) == 3 and words[1].isdigit() and not Path(f"/proc/{words[1]}").exists():
            shutil.rmtree(path, ignore_errors=True)

"""The mirror's lock: what each file there is, and the digest that machines must find it to have."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import paths
from lab.errors import LabError


@dataclass(frozen=True)
class LockEntry:
    """What is known about one file of the mirror.

    Attributes:
        sha256: digest of the file, hexadecimal.
        file: its name.
        source: `publisher` or `built`.
        seconds: how long the download or the build took.
        size: bytes; with `modified` it tells cheaply that the file is still the one that was hashed.
        modified: modification time, nanoseconds.
        recipe: digest of the recipe it was built by, "" for a publisher's file.
    """

    sha256: str
    file: str
    source: str
    seconds: float
    size: int
    modified: int
    recipe: str = ""


def lock_path() -> Path:
    """Return where the mirror's lock lies."""
    return paths.MIRROR / "lock.json"


def read_lock() -> dict[str, LockEntry]:
    """Return the lock of the mirror; empty when there is none.

    Raises:
        LabError: when the file is not readable as one.
    """
    try:
        stored = json.loads(lock_path().read_text())
        return {key: LockEntry(**fields) for key, fields in stored.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise LabError(
            f"{lock_path()}: not a lock of artifacts ({error}); delete it and run again"
        ) from error


def record(key: str, entry: LockEntry) -> None:
    """Put one file's entry into the lock."""
    lock = {**read_lock(), key: entry}
    text = json.dumps({name: asdict(value) for name, value in sorted(lock.items())}, indent=1)
    write_atomically(lock_path(), text + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Replace a text file so that a reader sees the old or the new one, never a part; its mode stays."""
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    partial.write_text(text)
    if path.exists():
        partial.chmod(path.stat().st_mode)
    partial.replace(path)


def file_digest(path: Path) -> str:
    """Return a file's sha256, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""The computer's mounts, as far as the lab made them or stands on them."""

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError

DETACH = 2  # MNT_DETACH of umount2(2)
MOUNTINFO = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo: where it is mounted, and the kind of file system."""

    folder: Path
    kind: str


def mounts() -> list[Mount]:
    """Return all mounts that this process sees, in the order in which they were made."""
    found = []
    for line in MOUNTINFO.read_text().splitlines():
        before, _, after = line.partition(" - ")
        found.append(Mount(Path(_unescape(before.split(" ")[4])), after.split(" ")[0]))
    return found


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of blanks, tabs, newlines and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)


def below(folder: Path) -> list[Mount]:
    """Return the mounts on or below a folder, the last made first: the order to undo them."""
    return [mount for mount in reversed(mounts()) if mount.folder.is_relative_to(folder)]


def unmount_below(folder: Path) -> list[Path]:
    """Unmount everything on or below a folder and return where. A busy mount ends with its last user.

    Raises:
        LabError: if the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    undone = []
    for mount in below(folder):
        if libc.umount2(os.fsencode(mount.folder), DETACH) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise LabError(
                f"{mount.folder}: cannot be unmounted: {reason}; unmount it by hand, then run this again"
            )
        undone.append(mount.folder)
    return undone


def file_system(path: Path) -> str:
    """Return the kind of file system that a path lies on, or would lie on: ext4, overlay, ..."""
    existing = next(parent for parent in (path, *path.parents) if parent.exists()).resolve()
    holders = [mount for mount in mounts() if existing.is_relative_to(mount.folder)]
    deepest = max(len(mount.folder.parts) for mount in holders)
    return [mount.kind for mount in holders if len(mount.folder.parts) == deepest][-1]

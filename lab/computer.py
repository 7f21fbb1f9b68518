"""Whether this computer can hold a lab's machines at all; asked before anything is made."""

import os
import shutil
import sys

from lab import cgroups, paths
from lab.errors import LabError
from lab.mounts import file_system

NO_OVERLAY = ("overlay", "nfs", "nfs4", "cifs", "9p", "vfat", "exfat", "fuse", "fuseblk", "virtiofs")
"""File systems that can't hold the upper folder of an overlay (kernel, filesystems/overlayfs.rst)."""

PROGRAMS = ("systemd-nspawn", "ip", "mount", "setsid", "nsenter")


def check() -> None:
    """Refuse a computer on which machines can't be made.

    Raises:
        LabError: with every reason at once.
    """
    reasons = _reasons()
    if reasons:
        raise LabError("\n".join(f"this computer: {reason}" for reason in reasons))


def _reasons() -> list[str]:
    if not sys.platform.startswith("linux"):
        return [
            f"runs {sys.platform}; the lab's machines need Linux: use a virtual machine, or another platform"
        ]
    if os.geteuid() != 0:
        return ["the lab makes network interfaces and mounts, so it needs root: run it with sudo, or as root"]
    reasons = [
        f"{program} is not installed; run `make up`, which installs what the lab needs"
        for program in PROGRAMS
        if shutil.which(program) is None
    ]
    if not cgroups.usable():
        reasons.append(
            f"{cgroups.ROOT} has no control groups that machines could be given: neither cgroup v1, "
            "nor cgroup v2 with systemd as init; run the lab on a computer that systemd booted"
        )
    kind = file_system(paths.STATE)
    if kind in NO_OVERLAY or kind.startswith("fuse."):
        reasons.append(
            f"{paths.STATE} lies on {kind}, which can't hold the overlays of machines; "
            "move the clone to a local disk (ext4, xfs, btrfs, tmpfs), or set HARDWAY_STATE to one"
        )
    return reasons

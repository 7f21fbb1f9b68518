"""What no phase puts right: the end of certificates, space on disks, and the clock."""

import os
from datetime import UTC, datetime
from typing import Any

from components.agent import clock
from components.agent.evidence import Failure, run
from components.agent.findings import finding

Finding = dict[str, str]

LEAST_FREE = {
    "/": 0.10,
    "/opt/hardway": 0.05,
    "/var/lib/etcd": 0.05,
    "/var/lib/kubelet": 0.10,
    "/var/lib/containerd": 0.15,
}
"""Share of a place's disk that has to be free. Of the kubelet's and the images' it is where a kubelet evicts pods (its
default evictionHard: nodefs.available<10%, imagefs.available<15%)."""
LEAST_INODES = 0.05
"""Likewise of inodes (nodefs.inodesFree<5%)."""
_END = "notAfter=%b %d %H:%M:%S %Y %Z"


def certificates(paths: list[str], now: datetime | None = None) -> tuple[str, list[Finding]]:
    """When each leaf on the disk ends.

    Args:
        paths: the leaves.
        now: what counts as now; this machine's clock when left out.
    """
    present = now or datetime.now(UTC)
    ends = {path: end for path in paths if os.path.exists(path) and (end := _end(path))}
    found = [
        finding(
            path,
            f"ended at {end:%Y-%m-%d %H:%M} UTC",
            way_out="raise certificates.generation in the stack file, then 'make up'",
        )
        for path, end in ends.items()
        if end <= present
    ]
    first = min(ends, key=lambda path: ends[path], default=None)
    note = f"{len(ends)} leaves"
    return note + (f", the first ends in {(ends[first] - present).days} days" if first else ""), found


def _end(path: str) -> datetime | None:
    """The end of a file's first certificate; None where there is none to be read, which its digest tells."""
    try:
        line = run("openssl", "x509", "-noout", "-enddate", "-in", path).strip()
    except Failure:
        return None
    return datetime.strptime(line, _END).replace(tzinfo=UTC)


def disk() -> tuple[str, list[Finding]]:
    """Free space and inodes of every disk that we write to."""
    disks: dict[int, tuple[str, float]] = {}
    for path, least in LEAST_FREE.items():
        if os.path.isdir(path):
            device = os.stat(path).st_dev
            disks[device] = max(disks.get(device, (path, least)), (path, least), key=lambda one: one[1])
    found, free = [], []
    for path, least in disks.values():
        space = os.statvfs(path)
        share = space.f_bavail / max(space.f_blocks, 1)
        inodes = space.f_favail / space.f_files if space.f_files else 1.0
        free.append(f"{path} {share:.0%}")
        if share < least or inodes < LEAST_INODES:
            found.append(
                finding(
                    path,
                    f"has {share:.0%} of its space and {inodes:.0%} of its inodes free; it needs {least:.0%} and"
                    f" {LEAST_INODES:.0%}, or a kubelet evicts pods",
                    way_out="free some, or enlarge the disk",
                )
            )
    return f"free: {', '.join(free)}", found


def clock_of(bundle: dict[str, Any]) -> tuple[str, list[Finding]]:
    """Whether the clock is behind the certificates; how far it is from the operator's is for them to compare."""
    path = next((path for path in bundle["certificates"] if path.endswith("/kubelet.crt")), None)
    found = []
    if path is not None and os.path.exists(path):
        with open(path) as file:
            text = file.read()
        try:
            clock.check([{"path": path, "text": text}], now=datetime.now(UTC))
        except Failure as failure:
            found.append(finding("clock", str(failure), way_out="set the clock ('timedatectl')"))
    return f"synchronised: {_synchronised()}", found


def _synchronised() -> str:
    """What systemd knows; a container has its host's clock, and systemd nothing to say of it."""
    try:
        return (
            run("timedatectl", "show", "--property=NTPSynchronized", "--value", timeout=10).strip()
            or "unknown"
        )
    except Failure:
        return "unknown"

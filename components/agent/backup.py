"""One snapshot now, by the machine's own service: the same as the timer's, kept and sent away like them."""

import os
import time
from typing import Any

from components.agent import etcd, snapshots
from components.agent.evidence import Failure, say, succeeds, unit_evidence
from components.agent.evidence import run as command

SECONDS = 600.0
"""For all of it: a run that was under way, and one of its own."""


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Take a snapshot of this machine's member; gives its path, size, digest and what etcdutl says of it.

    Raises:
        Failure: the member is not healthy, or the snapshot failed.
    """
    if not os.path.exists(f"/etc/systemd/system/{snapshots.SERVICE}"):
        raise Failure(f"there is no {snapshots.SERVICE} here yet; run 'make up' once")
    if not succeeds(*etcd.CTL, "--command-timeout=5s", "endpoint", "health", timeout=15):
        raise Failure("the etcd member here is not healthy ('systemctl status etcd')")
    begin, deadline = _next_second(), time.monotonic() + SECONDS
    # systemd starts no service twice: the first start may have joined a run that began before this was asked.
    found = _start(begin, deadline) or _start(begin, deadline)
    if not found:
        raise Failure(f"no snapshot was taken.\n{unit_evidence(snapshots.SERVICE)}")
    path = found[0]
    return {
        "path": path,
        "size": os.path.getsize(path),
        "sha256": snapshots.whole_digest(path),
        "status": snapshots.status(path),
        "etcd": snapshots.etcd_version(),
    }


def _next_second() -> str:
    """Wait for the next second and give it as names have it: what has an earlier one was begun before this."""
    second = int(time.time()) + 1
    time.sleep(max(0.0, second - time.time()))
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


def _start(begin: str, deadline: float) -> list[str]:
    """Start the service and wait for its end; gives the snapshots that were begun since, the newest first."""
    try:
        command("systemctl", "start", snapshots.SERVICE, timeout=max(1.0, deadline - time.monotonic()))
    except Failure:
        # It fails too when only the way to the bucket is broken: the snapshot is there then.
        say(unit_evidence(snapshots.SERVICE, lines=5))
    return [path for path in snapshots.listed() if os.path.basename(path) >= f"etcd-{begin}"]

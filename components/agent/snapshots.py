"""Snapshots of etcd on a machine: where they lie, what is in one, and whether it is whole."""

import glob
import hashlib
import json
import os
import re
from typing import Any

from components.agent.etcd import CTL
from components.agent.evidence import Failure, run

FOLDER = "/var/lib/hardway-backups"
"""Not on etcd's own volume, which may be what is lost."""
SERVICE = "hardway-etcd-backup.service"
UTL = "/opt/hardway/bin/etcdutl"
NAME = re.compile(r"etcd-(\d{8}T\d{6}Z)-(\d+)\.db")
_DIGEST = 32
"""etcd ends a snapshot with the sha256 of all before it (etcd, client/v3/snapshot)."""


def listed(folder: str = FOLDER) -> list[str]:
    """Paths of the snapshots that this machine took, the newest first."""
    found = [path for path in glob.glob(f"{folder}/etcd-*.db") if NAME.fullmatch(os.path.basename(path))]
    return sorted(found, reverse=True)


def revision_in_name(path: str) -> int:
    """The revision that a snapshot of this machine's own says in its name."""
    match = NAME.fullmatch(os.path.basename(path))
    return int(match.group(2)) if match else 0


def status(path: str) -> dict[str, Any]:
    """What etcdutl says of a snapshot, or of a stopped member's database: hash, revision, totalKey, totalSize, version.

    Raises:
        Failure: it is no database of etcd, or a damaged one.
    """
    return dict(json.loads(run(UTL, "snapshot", "status", path, "--write-out=json", timeout=300)))


def whole_digest(path: str) -> str:
    """sha256 of a snapshot's file, as hexadecimal text, once its own digest at its end is found right.

    Raises:
        Failure: it is not right: the file was cut off, changed, or copied from a data folder.
    """
    left = os.path.getsize(path) - _DIGEST
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while left > 0:
            part = file.read(min(left, 1 << 20))
            total.update(part)
            left -= len(part)
        end, expected = file.read(), total.digest()
    if end != expected:
        raise Failure(
            f"{path} does not end in the digest of what is before it: it was cut off or changed, or it was copied from "
            "a data folder instead of taken as a snapshot. Take another snapshot"
        )
    total.update(end)
    return total.hexdigest()


def etcd_version() -> str:
    """The release of etcd that this machine runs with, such as 3.6.14."""
    found = re.search(r"etcdutl version: (\S+)", run(UTL, "version"))
    if found is None:
        raise Failure(f"'{UTL} version' does not tell its version; run 'make up' first")
    return found.group(1)


def living_revision(client: str) -> int | None:
    """The revision of the member that answers at an address, None where none does."""
    ask = (*CTL, "--command-timeout=3s", f"--endpoints={client}", "endpoint", "status", "--write-out=json")
    try:
        return int(json.loads(run(*ask, timeout=10))[0]["Status"]["header"]["revision"])
    except (Failure, ValueError, KeyError, IndexError):
        return None

"""Rehearse a restore on a machine, beside its living etcd: the newest snapshot in a member that is thrown away.

The member has a folder, ports and a cluster of its own, listens on loopback with TLS alone, and is gone when the step
ends, however it ends. The living one is only read.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from components.agent import etcd, snapshots
from components.agent.evidence import Failure, say, wait_until
from components.agent.evidence import run as command

ETCD = "/opt/hardway/bin/etcd"
HEALTHY_SECONDS = 120.0
SPARE = 64 << 20
_PKI = "/etc/etcd/pki"


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Restore the newest snapshot here and compare; gives what it holds, its age, and how far the living etcd is ahead.

    Raises:
        Failure: there is no snapshot, it can't be restored, or the restored member holds something else.
    """
    found = snapshots.listed()
    if not found:
        raise Failure(
            f"{snapshots.FOLDER} has no snapshot yet; 'systemctl status {snapshots.SERVICE}' tells why"
        )
    path, begin = found[0], time.monotonic()
    folder = f"{snapshots.FOLDER}/drill-{os.getpid()}"
    _sweep()
    snapshots.whole_digest(path)
    _check_space(os.path.getsize(path))
    os.mkdir(folder, 0o700)
    shutil.chown(folder, "etcd", "etcd")
    # Not `etcdutl hashkv`: 3.6.14 opens the file to write, changes it, and panics where keys have leases.
    try:
        status = snapshots.status(path)
        with Member(folder, path) as member:
            restored = hash_of(member.client, int(status["revision"]))
            kinds = kinds_of(member.client)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if restored is None or restored["revision"] != status["revision"]:
        raise Failure(f"{path}: is of revision {status['revision']}, and the restored member says {restored}")
    alike = compare(restored, hash_of(bundle["client"], restored["revision"]), path)
    living = snapshots.living_revision(bundle["client"])
    return {
        "snapshot": os.path.basename(path),
        "age_seconds": int((datetime.now(UTC) - taken(path)).total_seconds()),
        "size": os.path.getsize(path),
        "hash": restored["hash"],
        "revision": restored["revision"],
        "alike": alike,
        "kinds": kinds,
        "behind": None if living is None else living - restored["revision"],
        "living": kinds_of(bundle["client"]),
        "seconds": round(time.monotonic() - begin, 1),
    }


def compare(restored: dict[str, int], living: dict[str, int] | None, path: str) -> bool | None:
    """Whether the living etcd had the same keys at the snapshot's revision; None where it can't tell any more.

    A hash counts the keys since the last compaction, which the API server asks for every five minutes: only hashes
    after the same one are comparable.

    Raises:
        Failure: it had others.
    """
    if living is None or living["compacted"] != restored["compacted"]:
        return None
    if living != restored:
        raise Failure(
            f"{path}: the restored member holds other keys than the living etcd had at that revision: {restored} and "
            f"{living}. Do not rely on this machine's snapshots; try another one's (NODE=)"
        )
    return True


def taken(path: str) -> datetime:
    """When a snapshot was taken, by its name."""
    match = snapshots.NAME.fullmatch(os.path.basename(path))
    assert match is not None
    return datetime.strptime(match.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _sweep() -> None:
    """Take away what a rehearsal left whose process is gone."""
    for name in os.listdir(snapshots.FOLDER):
        number = name.removeprefix("drill-")
        if name != number and not os.path.exists(f"/proc/{number}"):
            shutil.rmtree(f"{snapshots.FOLDER}/{name}")


def _check_space(size: int) -> None:
    found = os.statvfs(snapshots.FOLDER)
    free, needed = found.f_bavail * found.f_frsize, 2 * size + SPARE
    if free < needed:
        raise Failure(
            f"{snapshots.FOLDER}: {free >> 20} MiB free, and a rehearsal needs {needed >> 20}; make room there"
        )


def hash_of(client: str, revision: int) -> dict[str, int] | None:
    """Hash of a member's keys up to a revision, that revision, and since which compaction; None where it has none."""
    ask = ("--command-timeout=60s", "endpoint", "hashkv", f"--rev={revision}", "--write-out=json")
    try:
        answer = json.loads(command(*etcd.CTL, f"--endpoints={client}", *ask, timeout=120))[0]["HashKV"]
    except (Failure, ValueError, LookupError):
        return None
    return {
        "hash": int(answer["hash"]),
        "revision": int(answer["hash_revision"]),
        "compacted": int(answer["compact_revision"]),
    }


def kinds_of(client: str) -> dict[str, int]:
    """Keys by resource in a member; none where it does not answer."""
    keys = ("--command-timeout=60s", "get", "/registry/", "--prefix", "--keys-only")
    try:
        return _kinds(command(*etcd.CTL, f"--endpoints={client}", *keys, timeout=120))
    except Failure as failure:
        say(f"the etcd at {client} does not tell its keys: {failure}")
        return {}


def _kinds(listing: str) -> dict[str, int]:
    """Keys by resource: what stands behind /registry/ in each."""
    keys = [line.split("/") for line in listing.splitlines() if line.startswith("/registry/")]
    return dict(Counter(parts[2] for parts in keys))


class Member:
    """One etcd on restored data, for a block.

    Attributes:
        client: its address.
    """

    def __init__(self, folder: str, snapshot: str) -> None:
        self._folder, self._snapshot = folder, snapshot
        client, peer = _free_ports()
        self.client, self._peer = f"https://127.0.0.1:{client}", f"https://127.0.0.1:{peer}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Member":
        """Restore the data and start on it; as etcd's user, after everything else on the machine."""
        data = f"{self._folder}/data"
        command(
            *(snapshots.UTL, "snapshot", "restore", self._snapshot, f"--data-dir={data}", "--name=drill"),
            f"--initial-cluster=drill={self._peer}",
            f"--initial-advertise-peer-urls={self._peer}",
            f"--initial-cluster-token=drill-{os.getpid()}",
            timeout=600,
        )
        command("chown", "--recursive", "etcd:etcd", self._folder)
        with open(f"{self._folder}/log", "wb") as log:
            self._process = subprocess.Popen(
                [*("nice", "-n", "10", ETCD), *self._flags(data)],
                stdout=log,
                stderr=log,
                user="etcd",
                group="etcd",
                extra_groups=(),
                env={},
                cwd=self._folder,
            )
        try:
            if not wait_until("the rehearsal's etcd", self._is_healthy, HEALTHY_SECONDS):
                raise Failure(f"etcd does not come up on the restored data: {self._last_words()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it; what it wrote is thrown away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)

    def _flags(self, data: str) -> list[str]:
        return [
            "--name=drill",
            f"--data-dir={data}",
            f"--listen-client-urls={self.client}",
            f"--advertise-client-urls={self.client}",
            f"--listen-peer-urls={self._peer}",
            f"--initial-advertise-peer-urls={self._peer}",
            f"--initial-cluster=drill={self._peer}",
            "--client-cert-auth=true",
            f"--trusted-ca-file={_PKI}/ca.crt",
            f"--cert-file={_PKI}/server.crt",
            f"--key-file={_PKI}/server.key",
            "--peer-client-cert-auth=true",
            f"--peer-trusted-ca-file={_PKI}/ca.crt",
            f"--peer-cert-file={_PKI}/peer.crt",
            f"--peer-key-file={_PKI}/peer.key",
            "--quota-backend-bytes=8589934592",
        ]

    def _is_healthy(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise Failure(f"etcd ended on the restored data: {self._last_words()}")
        return etcd.healthy_members([{"name": "drill", "client": self.client}]) == ["drill"]

    def _last_words(self) -> str:
        with open(f"{self._folder}/log", errors="replace") as log:
            return log.read()[-2000:]


def _free_ports() -> tuple[int, int]:
    """Two ports of loopback that nobody has now."""
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]

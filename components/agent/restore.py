"""All members of etcd begin anew from one snapshot; each call is one step on one machine.

The operator's computer has every machine do a step before any does the next: `check`, `stage`, `stop`, `swap`, `start`,
`serve`, `finish`. A mark on the machine says how far it is, so that a run that was ended anywhere is finished by the
next. Old data is put aside and never deleted.
"""

import glob
import json
import os
import shutil
import time
from typing import Any

from components.agent import etcd, snapshots
from components.agent.evidence import Failure, say, succeeds, unit_evidence, wait_until, write_file
from components.agent.evidence import run as command
from components.agent.lock import machine_lock
from components.agent.units import answers, is_active

MARK = etcd.RESTORE_MARK
DONE = "/var/lib/hardway/etcd-restored.json"
"""What the last restore that ended well began from."""
ETCD = "/var/lib/etcd"
SPARE = 64 << 20
"""Bytes that stay free on etcd's volume beside the staged data."""
CONTROL_PLANE = ("kube-scheduler.service", "kube-controller-manager.service", "kube-apiserver.service")
HEALTHY_SECONDS = 300.0


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Do one step; what it gives is its own."""
    steps = {
        "check": check,
        "stage": stage,
        "stop": stop,
        "swap": swap,
        "start": start,
        "serve": serve,
        "finish": finish,
    }
    with machine_lock():
        return steps[bundle["step"]](bundle)


def snapshot_path(digest: str) -> str:
    """Where the snapshot of a restore lies on each machine."""
    return f"{snapshots.FOLDER}/restore-{digest[:16]}.db"


def check(bundle: dict[str, Any]) -> dict[str, Any]:
    """Whether this machine could begin anew from the snapshot; changes nothing.

    Raises:
        Failure: it could not, and why.
    """
    path = snapshot_path(bundle["snapshot"])
    if snapshots.whole_digest(path) != bundle["snapshot"]:
        raise Failure(f"{path} is not the snapshot that was sent; run again")
    status, own = snapshots.status(path), _own(bundle)
    _check_version(str(status.get("version") or "0.0"), snapshots.etcd_version())
    _check_address(own)
    mark = read_mark()
    if mark is None or mark["snapshot"] != bundle["snapshot"]:  # else its data is there already
        _check_space(os.path.getsize(path))
    return {
        "status": status,
        "etcd": snapshots.etcd_version(),
        "mark": mark,
        "living": snapshots.living_revision(own["client"]),
        "highest": highest_revision(own),
    }


def _own(bundle: dict[str, Any]) -> dict[str, str]:
    name = bundle["machine"]["name"]
    for member in bundle["members"]:
        if member["name"] == name:
            return dict(member)
    raise Failure(f"{name} is no planned member of etcd")


def _check_version(snapshot: str, machine: str) -> None:
    """A newer etcd reads what an older one of the same or the last minor wrote, and not the other way round."""
    wrote, reads = ([int(part) for part in text.split(".")[:2]] for text in (snapshot, machine))
    if wrote > reads:
        raise Failure(
            f"the snapshot is of etcd {snapshot} and this machine has {machine}, which can't read it; bring the "
            "machines to that version first ('artifacts.versions' in the stack file, 'make up')"
        )


def _check_address(own: dict[str, str]) -> None:
    with open("/etc/etcd/etcd.env") as file:
        if f'ETCD_INITIAL_ADVERTISE_PEER_URLS="{own["peer"]}"\n' not in file.read():
            raise Failure(
                f"etcd here does not run at {own['peer']}, where the stack file has it; run 'make up' first"
            )


def _check_space(size: int) -> None:
    found = os.statvfs(ETCD)
    free, needed = found.f_bavail * found.f_frsize, size + SPARE
    if free < needed:
        aside = ", ".join(sorted(glob.glob(f"{ETCD}/member.replaced-*"))) or "none"
        raise Failure(
            f"{ETCD}: {free >> 20} MiB free, and the restored data needs {needed >> 20}; make room there (old data "
            f"that earlier restores put aside: {aside})"
        )


def highest_revision(own: dict[str, str]) -> int:
    """The highest revision that anybody may have been told by this machine, as far as it can be found out.

    Whoever watches must never be told of a lower one than they know: not by a second restore either.
    """
    known = [
        snapshots.living_revision(own["client"]) or 0,
        *map(snapshots.revision_in_name, snapshots.listed()),
    ]
    database = f"{etcd.DATA}/snap/db"
    if not is_active("etcd.service") and os.path.exists(database):
        try:
            known.append(int(snapshots.status(database)["revision"]))
        except Failure:
            say(f"{database} can't be read; what it knew does not count")
    for record in (DONE, MARK):
        known.append(int((_read(record) or {}).get("revision", 0)))
    return max(known)


def read_mark() -> dict[str, Any] | None:
    """How far a restore is here; None where none has begun."""
    return _read(MARK)


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path) as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return None


def _write_mark(bundle: dict[str, Any], state: str) -> None:
    mark = {key: bundle[key] for key in ("attempt", "snapshot", "bump", "revision")}
    write_file(MARK, json.dumps({**mark, "state": state}, sort_keys=True), 0o600)


def _state(bundle: dict[str, Any]) -> str | None:
    """How far this attempt is here; another one's mark says nothing of it.

    A machine that has finished keeps what it finished: the others may still have to, and a second try must not put
    empty data under a member that lives.
    """
    for mark in (read_mark(), _read(DONE)):
        if mark and mark["attempt"] == bundle["attempt"]:
            return str(mark["state"])
    return None


def stage(bundle: dict[str, Any]) -> dict[str, Any]:
    """Make the new data beside the old one, while everything still runs."""
    if _state(bundle) is None:
        for old in glob.glob(f"{ETCD}/restored-*"):
            shutil.rmtree(old)
        _restore_into(bundle, _staged(bundle))
        _write_mark(bundle, "staged")
        say(f"{snapshot_path(bundle['snapshot'])} is restored into {_staged(bundle)}")
    return {"state": _state(bundle)}


def _staged(bundle: dict[str, Any]) -> str:
    return f"{ETCD}/restored-{bundle['attempt']}"


def _restore_into(bundle: dict[str, Any], folder: str) -> None:
    own = _own(bundle)
    members = ",".join(f"{member['name']}={member['peer']}" for member in bundle["members"])
    # A token of its own: a member of before, that comes back with its old data, must not be taken for one of these.
    command(
        snapshots.UTL,
        "snapshot",
        "restore",
        snapshot_path(bundle["snapshot"]),
        f"--data-dir={folder}",
        f"--name={own['name']}",
        f"--initial-cluster={members}",
        f"--initial-cluster-token={bundle['cluster']}-{bundle['attempt']}",
        f"--initial-advertise-peer-urls={own['peer']}",
        f"--bump-revision={bundle['bump']}",
        "--mark-compacted",
        timeout=600,
    )
    command("chown", "--recursive", "etcd:etcd", folder)
    command("sync", "--file-system", folder, timeout=300)


def stop(_bundle: dict[str, Any]) -> dict[str, Any]:
    """Stop what writes into etcd and what acts on what it reads there."""
    command("systemctl", "stop", *CONTROL_PLANE, timeout=180)
    return {}


def swap(bundle: dict[str, Any]) -> dict[str, Any]:
    """Stop etcd and put the new data in the place of the old one, which stays beside it."""
    if _state(bundle) == "staged":
        command("systemctl", "stop", "etcd.service", timeout=180)
        staged = f"{_staged(bundle)}/member"
        # Whoever was ended between the two renames finds the new data still staged and no old one.
        if os.path.exists(staged):
            if os.path.exists(etcd.DATA):
                aside = f"{etcd.DATA}.replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
                os.rename(etcd.DATA, aside)
                say(f"the old data is in {aside}")
            os.rename(staged, etcd.DATA)
        shutil.rmtree(_staged(bundle), ignore_errors=True)
        _write_environment(bundle)
        _write_mark(bundle, "replaced")
    return {"aside": sorted(glob.glob(f"{etcd.DATA}.replaced-*"))}


def _write_environment(bundle: dict[str, Any]) -> None:
    """The unit reads it; etcd itself looks into its data first."""
    members = ",".join(f"{member['name']}={member['peer']}" for member in bundle["members"])
    text = f"ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER={members}\n"
    write_file(etcd.ENVIRONMENT, text, 0o600)


def start(bundle: dict[str, Any]) -> dict[str, Any]:
    """Start etcd and wait until this member answers with the others' consent."""
    own = _own(bundle)
    _start("etcd.service")
    if not wait_until("etcd's quorum", lambda: etcd.healthy_members([own]) == [own["name"]], HEALTHY_SECONDS):
        raise Failure(
            f"etcd is not healthy {HEALTHY_SECONDS:.0f} s after its start on the restored data. Correct the cause and "
            f"run again.\n{unit_evidence('etcd.service')}"
        )
    return {"revision": snapshots.living_revision(own["client"])}


def serve(bundle: dict[str, Any]) -> dict[str, Any]:
    """Start the API server, and when it is ready what acts through it."""
    begin = time.monotonic()
    _start("kube-apiserver.service")
    ready = f"https://127.0.0.1:{bundle['api_port']}/readyz"
    if not wait_until("the API server", lambda: answers(ready, 10), HEALTHY_SECONDS):
        raise Failure(
            f"the API server is not ready {HEALTHY_SECONDS:.0f} s after its start. Correct the cause and run again.\n"
            + unit_evidence("kube-apiserver.service")
        )
    _start("kube-controller-manager.service", "kube-scheduler.service")
    say(f"the API server is ready after {time.monotonic() - begin:.1f} s")
    return {}


def _start(*names: str) -> None:
    succeeds("systemctl", "reset-failed", *names)
    command("systemctl", "start", "--no-block", *names)


def finish(bundle: dict[str, Any]) -> dict[str, Any]:
    """Forget the restore but for what a later one has to know."""
    mark = read_mark()
    if mark is not None:
        write_file(DONE, json.dumps(mark, sort_keys=True), 0o600)
        os.unlink(MARK)
    path = snapshot_path(bundle["snapshot"])
    if os.path.exists(path):
        os.unlink(path)
    return {}

"""Gives the space back that etcd's database has inside, member by member, and takes the alarm for want of space away.

A compaction only marks old revisions as free inside the file; the file grows to the quota and never shrinks by itself.
"""

import json
import time
from typing import Any

from components.agent import etcd, members
from components.agent.etcd import CTL
from components.agent.evidence import Failure, say, wait_until
from components.agent.evidence import run as command
from components.agent.lock import machine_lock

ALARMS = {1: "NOSPACE", 2: "CORRUPT"}
"""etcd's own numbers (api/etcdserverpb, AlarmType)."""
HEALTHY_SECONDS = 60.0
DEFRAGMENT_SECONDS = 600
"""For one member; eight GiB on a slow disk take minutes."""


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Run the bundle's step: `look`, `compact`, `defragment` or `disarm`.

    Returns:
        What etcd says after it, as `_look` tells, and for `defragment` the member's sizes before and after.
    """
    known = members.read()
    if bundle["step"] == "look":
        return _look(known)
    with machine_lock():
        return {"compact": _compact, "defragment": _defragment, "disarm": _disarm}[bundle["step"]](
            bundle["machine"]["name"], known
        )


def _look(known: list[dict[str, str]]) -> dict[str, Any]:
    """Sizes in bytes by member, the leader, the revision and the alarms."""
    return {**_status(known), "alarms": _alarms(known)}


def _status(known: list[dict[str, str]]) -> dict[str, Any]:
    endpoints = ",".join(member["client"] for member in known)
    # etcdctl ends with an error when one of several does not answer; those that do are told all the same.
    members.refuse_unless_all_answer(known, "a defragmentation")
    ask = (*CTL, "--command-timeout=10s", f"--endpoints={endpoints}", "endpoint", "status")
    found = json.loads(command(*ask, "--write-out=json"))
    names = {member["id"]: member["name"] for member in known}
    status = {names[f"{one['Status']['header']['member_id']:x}"]: one["Status"] for one in found}
    any_status = next(iter(status.values()))
    return {
        "members": {
            name: {
                "size": int(one["dbSize"]),
                "in_use": int(one.get("dbSizeInUse", 0)),
                "quota": int(one.get("dbSizeQuota", 0)),
            }
            for name, one in sorted(status.items())
        },
        "leader": names[f"{any_status['leader']:x}"],
        "revision": max(int(one["header"]["revision"]) for one in status.values()),
    }


def _alarms(known: list[dict[str, str]]) -> list[list[str]]:
    """Pairs of a member's name and its alarm."""
    text = command(
        *CTL, "--command-timeout=5s", f"--endpoints={members.OWN}", "alarm", "list", "--write-out=json"
    )
    names = {member["id"]: member["name"] for member in known}
    found = json.loads(text).get("alarms", [])
    return [
        [
            names.get(f"{one['memberID']:x}", f"{one['memberID']:x}"),
            ALARMS.get(one["alarm"], str(one["alarm"])),
        ]
        for one in found
    ]


def _compact(_own: str, known: list[dict[str, str]]) -> dict[str, Any]:
    """Forget every revision but the last one, on all members; a watch from further back has to list again."""
    revision = _status(known)["revision"]
    ask = (*CTL, "--command-timeout=300s", f"--endpoints={members.OWN}")
    try:
        command(*ask, "compact", "--physical", str(revision), timeout=320)
    except Failure as failure:
        if "required revision has been compacted" not in str(failure):
            raise
    say(f"compacted to revision {revision}")
    return _look(known)


def _defragment(own: str, known: list[dict[str, str]]) -> dict[str, Any]:
    """Write this member's database anew, without its holes; it answers nobody meanwhile."""
    healthy = members.refuse_unless_all_answer(known, "a defragmentation")
    mine = next(member for member in known if member["name"] == own)
    before = _status(known)["members"][own]
    etcd.hand_over(mine, known, healthy)
    begin = time.monotonic()
    ask = (*CTL, f"--command-timeout={DEFRAGMENT_SECONDS}s", f"--endpoints={mine['client']}")
    command(*ask, "defrag", timeout=DEFRAGMENT_SECONDS + 10)
    seconds = time.monotonic() - begin
    if not wait_until("all members", lambda: len(etcd.healthy_members(known)) == len(known), HEALTHY_SECONDS):
        raise Failure(
            f"{own} was defragmented, and not every member answers {HEALTHY_SECONDS:.0f} s later; no member after this "
            "one was touched. Look at 'systemctl status etcd' on each, then run again"
        )
    return {**_look(known), "before": before, "seconds": round(seconds, 1)}


def _disarm(_own: str, known: list[dict[str, str]]) -> dict[str, Any]:
    """Take the alarms away, so that etcd writes again; it raises them again by itself where there is reason."""
    command(*CTL, "--command-timeout=10s", f"--endpoints={members.OWN}", "alarm", "disarm")
    return _look(known)

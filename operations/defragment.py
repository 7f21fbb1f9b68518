"""Gives the holes in etcd's database back to the disk: one member after the other, the leader last.

Nothing is begun unless all members answer, and none after one that does not come back. An alarm for want of space is
taken away when there is room again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from config.plan import Role
from lab.errors import LabError
from lab.stack import Stack
from operations.phases import machines_of_role, run_phase

ROOM = 0.75
"""Part of the quota above which there is too little room: the database grows there again within hours."""
PHASE_SECONDS = 720
MIB = 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument(
        "--compact", action="store_true", help="first forget all revisions but the last one, on every member"
    )


def run(stack: Stack, chosen: argparse.Namespace) -> int:
    """Defragment every member of the stack's etcd; gives 0, or 1 where an alarm had to stay.

    Raises:
        LabError: a member does not answer, or one's data is damaged.
    """
    names = machines_of_role(stack, Role.CONTROL_PLANE)
    found = _step(stack, names[0], "look")
    print(_described(found))
    _refuse_damaged(found)
    if chosen.compact:
        found = _step(stack, names[0], "compact")
    elif full_of_history_or_data(found):
        print(
            f"More than {ROOM:.0%} of the quota is in use, so that defragmenting alone gives little back: old revisions"
            " count as used until they are compacted. COMPACT=1 does that first; a client that watches from an older"
            " revision lists again."
        )
    for name in in_order(found):
        found = _step(stack, name, "defragment")
        before, after = found["before"], found["members"][name]
        print(f"{name}: {_size(before['size'])} -> {_size(after['size'])} in {found['seconds']} s")
    return _settle_alarms(stack, names[0], found)


def in_order(found: Mapping[str, Any]) -> list[str]:
    """The members, followers first: leadership is handed over once, and to a member that is done."""
    return sorted(found["members"], key=lambda name: (name == found["leader"], name))


def full_of_history_or_data(found: Mapping[str, Any]) -> bool:
    """Whether what is in use, not only the file, is more than `ROOM` of a member's quota."""
    return any(_too_much(member, "in_use") for member in found["members"].values())


def has_room(found: Mapping[str, Any]) -> bool:
    """Whether every member's file is small enough for the alarm to stay away."""
    return not any(_too_much(member, "size") for member in found["members"].values())


def _too_much(member: Mapping[str, int], what: str) -> bool:
    return member["quota"] > 0 and member[what] > ROOM * member["quota"]


def _step(stack: Stack, machine: str, step: str) -> dict[str, Any]:
    return run_phase(stack, machine, "defragment", {"step": step}, seconds=PHASE_SECONDS)


def _refuse_damaged(found: Mapping[str, Any]) -> None:
    damaged = [name for name, alarm in found["alarms"] if alarm == "CORRUPT"]
    if damaged:
        raise LabError(
            f"etcd's data on {', '.join(damaged)} differs from the other members' (alarm CORRUPT), which no"
            f" defragmentation heals. Nothing was touched. Make it anew: 'replace: [{damaged[0]}]', then 'make up'"
        )


def _settle_alarms(stack: Stack, machine: str, found: Mapping[str, Any]) -> int:
    """Disarm what has no reason any more; say what to do where it has."""
    if not found["alarms"]:
        print(_described(found))
        return 0
    if not has_room(found):
        print(_described(found))
        print(
            "The alarm stays, and with it the API refuses to write: every member would be full again at once. Run"
            " 'make defragment COMPACT=1'; if that is what you did, delete what the cluster does not need ('kubectl get"
            " events -A | wc -l' is a good first look; deleting works under the alarm) and run it again."
        )
        return 1
    found = _step(stack, machine, "disarm")
    print("The alarm is taken away: the API writes again.")
    print(_described(found))
    return 0


def _described(found: Mapping[str, Any]) -> str:
    lines = [f"{'member':18}{'database':>12}{'in use':>12}{'quota':>12}  part of quota"]
    for name, member in found["members"].items():
        part = f"{member['size'] / member['quota']:.1%}" if member["quota"] else "unknown"
        leads = ", leads" if name == found["leader"] else ""
        sizes = "".join(f"{_size(member[what]):>12}" for what in ("size", "in_use", "quota"))
        lines.append(f"{name:18}{sizes}  {part}{leads}")
    alarms = ", ".join(f"{alarm} on {name}" for name, alarm in found["alarms"]) or "none"
    return "\n".join([*lines, f"alarms: {alarms}"])


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB"

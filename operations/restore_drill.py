"""`make restore-drill`: whether the newest snapshot can be restored, tried on a machine beside its living etcd."""

from __future__ import annotations

import argparse
from typing import Any

from config.plan import Role
from lab import stack, stack_plan
from lab.errors import LabError
from operations import phases

SECONDS = 900


def arguments(parser: argparse.ArgumentParser) -> None:
    """On which machine."""
    parser.add_argument("--node", default="", help="control-plane machine; the last one by default")


def run(chosen: stack.Stack, given: argparse.Namespace) -> int:
    """Rehearse on one machine and tell; a snapshot that can't be read ends with an error."""
    machines = phases.machines_of_role(chosen, Role.CONTROL_PLANE)
    machine = given.node or machines[-1]
    if machine not in machines:
        raise LabError(f"NODE={machine}: is no control-plane machine; there are {', '.join(machines)}")
    members = {member.name: member.client_url for member in stack_plan.plan_of(chosen).etcd.members}
    found = phases.run_phase(chosen, machine, "restore_drill", {"client": members[machine]}, seconds=SECONDS)
    print(told(machine, found))
    return 0


def told(machine: str, found: dict[str, Any]) -> str:
    """The rehearsal as lines: what was restored, how old it is, and how it compares with the living etcd."""
    kinds, living = dict(found["kinds"]), dict(found["living"])
    differing = sorted(kind for kind in {*kinds, *living} if kinds.get(kind, 0) != living.get(kind, 0))
    behind = "unknown: it does not answer" if found["behind"] is None else f"{found['behind']} revisions"
    lines = [
        f"{found['snapshot']} of {machine} can be restored ({found['seconds']} s; nothing that runs was touched)",
        f"  {found['size']} bytes, {sum(kinds.values())} keys of {len(kinds)} resources, revision {found['revision']}",
        f"  hash of all keys {found['hash']:08x}, {_compared(found['alike'])}",
        f"  age {found['age_seconds']} s; the living etcd is ahead by {behind}",
    ]
    if living:
        lines.append(
            "  keys by resource where both differ (snapshot, living):"
            if differing
            else "  as many keys of every resource as the living etcd"
        )
        lines += [f"    {kind:32} {kinds.get(kind, 0):6} {living.get(kind, 0):6}" for kind in differing]
    return "\n".join(lines)


def _compared(alike: bool | None) -> str:
    if alike:
        return "the living etcd's at that revision too"
    return "and the living etcd can't tell its own at that revision any more: it was compacted since"

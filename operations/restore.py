"""`make restore SNAPSHOT=`: every member of etcd begins anew from one snapshot.

Everything that can be looked at is looked at before anything is stopped, and the new data is made beside the old one
while the cluster still runs. A run that was ended anywhere is finished by running it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.agent.restore import snapshot_path
from config.plan import ClusterPlan, Role
from lab import stack, stack_plan
from lab.errors import LabError
from operations import phases, snapshot_files

BUMP = 1_000_000_000
"""By how much revisions go up: more than a cluster writes between a snapshot and its loss (etcd.io, "Disaster
recovery")."""
SECONDS = 1700
"""For one step: another run's lock, 600 s, and then the data's restore, 600 s, and its way to the disk, 360 s."""

Results = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Restore:
    """One restore, the same on every machine.

    Attributes:
        attempt: its name, by the time when it began.
        snapshot: sha256 of the snapshot.
        bump: by how much the snapshot's revision goes up.
        revision: what it is after that.
        goes_on: whether an earlier run has begun it.
    """

    attempt: str
    snapshot: str
    bump: int
    revision: int
    goes_on: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    """Which snapshot, and whether to ask."""
    parser.add_argument("snapshot", help="a snapshot, or a folder that 'make backup' made")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(chosen: stack.Stack, given: argparse.Namespace) -> int:
    """Check, ask, stage, stop, swap, start."""
    path = snapshot_files.chosen_snapshot(given.snapshot)
    plan = stack_plan.plan_of(chosen)
    machines = planned_machines(plan, phases.machines_of_role(chosen, Role.CONTROL_PLANE))
    begin = time.monotonic()
    digest = snapshot_files.file_digest(path)
    steps = Steps(chosen, plan, machines, digest)
    steps.send(path)
    checked = steps.run("check", {})
    restore = decide(digest, checked, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    print(_lost(path, restore, checked), file=sys.stderr)
    if not given.yes and not _confirmed(chosen.name):
        print("nothing was stopped or changed", file=sys.stderr)
        return 1
    content = {
        "attempt": restore.attempt,
        "bump": restore.bump,
        "revision": restore.revision,
        "cluster": plan.name,
    }
    steps.run("stage", content)
    stopped = time.monotonic()
    steps.run("stop", content)
    steps.run("swap", content)
    started = steps.run("start", content)
    steps.run("serve", content)
    served = time.monotonic()
    steps.run("finish", content)
    revision = max(int(one["revision"] or 0) for one in started.values())
    print(
        f"Stack {chosen.name} runs on {path.name}: etcd at revision {revision} on {len(machines)} members, API ready.\n"
        f"  together {time.monotonic() - begin:.1f} s, without an API {served - stopped:.1f} s\n"
        "  old data: /var/lib/etcd/member.replaced-* on each machine; remove it when all is well"
    )
    return 0


@dataclass(frozen=True)
class Steps:
    """Runs a step of the agent on every control-plane machine at once."""

    chosen: stack.Stack
    plan: ClusterPlan
    machines: tuple[str, ...]
    snapshot: str

    def send(self, path: Path) -> None:
        """Bring the snapshot to every machine."""

        def one(machine: str) -> dict[str, Any]:
            snapshot_files.send(self.chosen, machine, path, snapshot_path(self.snapshot), self.snapshot)
            return {}

        whole(phases.run_everywhere(self.chosen, self.machines, one), "Nothing was stopped or changed.")

    def run(self, step: str, content: dict[str, Any]) -> Results:
        """Run one step everywhere; all of them have done it when this returns.

        Raises:
            LabError: at least one machine could not; every failure is in it.
        """
        members = [
            {"name": member.name, "peer": member.peer_url, "client": member.client_url}
            for member in self.plan.etcd.members
        ]
        bundle = {
            **content,
            "step": step,
            "snapshot": self.snapshot,
            "members": members,
            "api_port": self.plan.network.api_port,
        }
        way_out = (
            "Nothing was stopped or changed."
            if step in ("check", "stage")
            else "Correct the cause and run the same command again: it goes on from there."
        )
        return whole(
            phases.run_everywhere(
                self.chosen,
                self.machines,
                lambda machine: phases.run_phase(self.chosen, machine, "restore", bundle, seconds=SECONDS),
            ),
            way_out,
        )


def whole(results: dict[str, dict[str, Any] | LabError], way_out: str) -> Results:
    """The results, if every machine has one.

    Raises:
        LabError: some have not; their reasons and the way out.
    """
    failures = [str(result) for result in results.values() if isinstance(result, LabError)]
    if failures:
        raise LabError("\n".join([*failures, way_out]))
    return {name: result for name, result in results.items() if not isinstance(result, LabError)}


def planned_machines(plan: ClusterPlan, built: Iterable[str]) -> tuple[str, ...]:
    """Names of the members, which have to be the machines that were built.

    Raises:
        LabError: the stack file has others than the last run made.
    """
    planned, there = [member.name for member in plan.etcd.members], list(built)
    if sorted(planned) != sorted(there):
        raise LabError(
            f"the stack file plans {', '.join(planned)} as control plane, and the last run made {', '.join(there)}; "
            "bring both together first ('make up')"
        )
    return tuple(planned)


def decide(digest: str, checked: Results, now: str) -> Restore:
    """Whether this goes on with a restore that was begun, and what every machine is told.

    One goes on if it began from the same snapshot, whatever machines know of it: those that do not are staged anew
    before any etcd starts. After another snapshot's, every machine begins anew.

    Args:
        digest: of the snapshot.
        checked: what each machine said.
        now: the name of an attempt that begins.
    """
    status = next(iter(checked.values()))["status"]
    snapshot = int(status["revision"])
    marks = [result["mark"] for result in checked.values() if result["mark"]]
    if marks and all(mark["snapshot"] == digest and mark["attempt"] == marks[0]["attempt"] for mark in marks):
        mark = marks[0]
        return Restore(mark["attempt"], digest, int(mark["bump"]), int(mark["revision"]), True)
    highest = max(int(result["highest"]) for result in checked.values())
    bump = max(BUMP, highest - snapshot + BUMP)
    return Restore(now, digest, bump, snapshot + bump, False)


def _lost(path: Path, restore: Restore, checked: Results) -> str:
    """What the operator agrees to."""
    status = next(iter(checked.values()))["status"]
    if restore.goes_on:
        return f"{path}: the restore of this snapshot that was begun as {restore.attempt} goes on"
    living = max(int(result["living"] or 0) for result in checked.values())
    since = living - int(status["revision"])
    lost = (
        f"etcd is at revision {living}: what was written in the {since} changes since the snapshot is LOST"
        if since > 0
        else "etcd does not answer: whatever was written since the snapshot is LOST"
        if not living
        else "etcd answers, at a revision that is no later than the snapshot's"
    )
    return (
        f"{path}: revision {status['revision']}, {status['totalKey']} keys, {status['totalSize']} bytes\n"
        f"All of {', '.join(checked)} begin anew from it, at revision {restore.revision}.\n{lost}: objects made since "
        "are gone and their pods end, objects deleted since are back. The API does not answer meanwhile; running pods "
        f"go on. Old data is put aside on each machine."
    )


def _confirmed(name: str) -> bool:
    if not sys.stdin.isatty():
        raise LabError("nobody is there to agree; read the lines above, then run it again with YES=1")
    return input(f"Write the stack's name ({name}) to do it: ").strip() == name

"""What a previewed run would disturb, in one paragraph: which machine restarts what, who is drained, in which order.

Pure: the engine's plan and the state's resources in, sentences out. Restarts are judged by the units' own sections, as
the agent judges them on the machine (`components.agent.units`); what only a machine finds out while it is prepared, and
another build of the same version, is not known here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from components.agent import units
from components.agent.skew import minor
from config.plan import ClusterPlan

WIDTH = 110
_CONFIG = "hardway:index:NodeConfig"
_MAKERS = ("command:local:Command::machine-", "aws:ec2/instance:Instance::machine-")
_GONE = ("delete", "discard")
_ANEW = ("replace", "create-replacement", "delete-replaced")


@dataclass(frozen=True)
class Restarts:
    """What one machine would restart and reload, by the units' names without `.service`."""

    restarted: tuple[str, ...] = ()
    reloaded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Disturbance:
    """What a run would do to machines that are there, by their names.

    Attributes:
        restarts: machines whose units restart.
        drained: machines whose pods have to go while the machine stays.
        anew: machines that are made anew.
        removed: machines that go.
        undrained: those of the last two that have no Node of their own to be drained.
        members: those of the removed ones that run a member of etcd, and so an API server.
    """

    restarts: Mapping[str, Restarts] = field(default_factory=dict)
    drained: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    undrained: tuple[str, ...] = ()
    members: tuple[str, ...] = ()

    @property
    def leaving(self) -> tuple[str, ...]:
        """Machines whose pods have to go somewhere else."""
        gone = [name for name in (*self.anew, *self.removed) if name not in self.undrained]
        return (*self.drained, *gone)

    def __bool__(self) -> bool:
        return bool(self.restarts or self.drained or self.anew or self.removed)


def changes_anything(plan: Mapping[str, Any]) -> bool:
    """Whether the engine's plan has any step but to leave things as they are."""
    return any(_acts(entry.get("steps", [])) for entry in plan.get("resourcePlans", {}).values())


def disturbance(plan: Mapping[str, Any], resources: Iterable[Mapping[str, Any]]) -> Disturbance:
    """What the engine's plan would disturb.

    Args:
        plan: the document of `pulumi preview --save-plan`.
        resources: the state's, as `pulumi stack export` tells them.
    """
    planned = {
        str(urn): entry
        for urn, entry in plan.get("resourcePlans", {}).items()
        if _acts(entry.get("steps", []))
    }
    configs = {urn: entry for urn, entry in planned.items() if f"{_CONFIG}::activate-" in urn}
    old = {str(one["urn"]): one.get("inputs", {}) for one in resources if str(one["urn"]) in configs}
    removed = _named(planned, f"{_CONFIG}::activate-", _GONE)
    anew = sorted(
        set(_named(planned, "::machine-", _ANEW, _MAKERS)) | set(_named(planned, "::drain-", _ANEW))
    )
    drains = _named(planned, "::drain-", (*_ANEW, *_GONE))
    restarts = {
        _machine(urn): found
        for urn, entry in configs.items()
        if urn in old and "update" in entry["steps"] and (found := _restarts(old[urn], entry))
    }
    return Disturbance(
        {name: found for name, found in sorted(restarts.items()) if name not in anew},
        tuple(
            sorted(
                _machine(urn)
                for urn, entry in configs.items()
                if urn in old and "update" in entry["steps"] and _changes_minor(old[urn], entry)
            )
        ),
        tuple(name for name in anew if name not in removed),
        tuple(removed),
        tuple(sorted({*anew, *removed} - set(drains))),
        tuple(
            sorted(
                _machine(urn)
                for urn, inputs in old.items()
                if _machine(urn) in removed and "etcd" in inputs.get("versions", {})
            )
        ),
    )


def _acts(steps: Sequence[str]) -> bool:
    return any(step != "same" for step in steps)


def _named(
    planned: Mapping[str, Any], marker: str, steps: Sequence[str], among: Sequence[str] = ("",)
) -> list[str]:
    """Machines in the logical names of resources with one of these steps, in order."""
    found = {
        _machine(urn)
        for urn, entry in planned.items()
        if marker in urn and any(one in urn for one in among) and set(steps) & set(entry["steps"])
    }
    return sorted(found)


def _machine(urn: str) -> str:
    name = urn.rsplit("::", 1)[1]
    return next(
        name.removeprefix(word) for word in ("activate-", "machine-", "drain-") if name.startswith(word)
    )


def _new(old: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a resource would have."""
    difference = entry.get("goal", {}).get("inputDiff", {})
    return {**old, **difference.get("adds", {}), **difference.get("updates", {})}


def _changes_minor(old: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Whether the machine gets a kubelet of another minor, for which it has its pods go first."""
    was, will = (one.get("versions", {}).get("kubelet") for one in (old, _new(old, entry)))
    return bool(was and will) and minor(str(was)) != minor(str(will))


def _restarts(old: Mapping[str, Any], entry: Mapping[str, Any]) -> Restarts | None:
    """The units of one machine that its changed files concern; None where they concern none."""
    new = _new(old, entry)
    changed = _changed_paths(old, new)
    files = new["files"] if isinstance(new.get("files"), Mapping) else {}
    own = [
        units.parse(PurePosixPath(path).name, text)
        for path, text in files.items()
        if path.startswith(f"{units.UNIT_FOLDER}/") and "[X-Hardway]" in text
    ]
    restarted = [unit.name for unit in own if _concerned(unit.restart_on, changed)]
    reloaded = [
        unit.name for unit in own if unit.name not in restarted and _concerned(unit.reload_on, changed)
    ]
    if not restarted and not reloaded:
        return None
    return Restarts(tuple(map(_short, restarted)), tuple(map(_short, reloaded)))


def _short(unit: str) -> str:
    return unit.removesuffix(".service")


def _concerned(patterns: Sequence[str], paths: Iterable[str]) -> bool:
    return any(fnmatch(path, pattern) for path in paths for pattern in patterns)


def _changed_paths(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[str]:
    """Paths on the machine whose content changes. What the engine cannot know yet counts as changed."""
    changed: set[str] = set()
    for key in ("files", "secretFiles"):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changed |= {path for path in {*before, *after} if before.get(path) != after.get(path)}
        elif before != after and isinstance(before, Mapping):
            changed |= set(before)
    versions = old.get("versions", {}), new.get("versions", {})
    parts = {part for part in {*versions[0], *versions[1]} if versions[0].get(part) != versions[1].get(part)}
    return changed | _links(parts)


def _links(parts: set[str]) -> set[str]:
    """Links that a part's other version switches."""
    if not parts:
        return set()
    from components.staging import ARCHIVE_BINARIES  # takes a second: it brings Pulumi's SDK

    return {f"/opt/hardway/bin/{binary}" for part in parts for binary in ARCHIVE_BINARIES.get(part, (part,))}


def paragraph(found: Disturbance, plan: ClusterPlan, held: Sequence[str] | None) -> str:
    """The paragraph; empty where nothing is disturbed.

    Args:
        found: what would be disturbed.
        plan: of the run.
        held: pods that a PodDisruptionBudget would not let go now, a line each; None when nobody could be asked.
    """
    if not found:
        return ""
    sentences = [
        *_control_plane(found, plan),
        *_workers(found, plan),
        *_others(found, plan),
        *_leaving(found),
        *_budgets(found, held),
        *_quorum(found, plan),
    ]
    return textwrap.fill("This run disturbs: " + " ".join(sentences), WIDTH, break_on_hyphens=False)


def _control_plane(found: Disturbance, plan: ClusterPlan) -> list[str]:
    names = [machine.name for machine in plan.control_plane]
    return _told(found, names, "one machine after the other")


def _workers(found: Disturbance, plan: ClusterPlan) -> list[str]:
    told = []
    for pool in plan.pools:
        many = pool.max_unavailable
        order = f"{'one' if many == 1 else many} at a time (maxUnavailable of {pool.name})"
        told += _told(found, [machine.name for machine in pool.machines], order)
    return told


def _others(found: Disturbance, plan: ClusterPlan) -> list[str]:
    return _told(found, [machine.name for machine in plan.load_balancers], "beside the others")


def _told(found: Disturbance, names: Sequence[str], order: str) -> list[str]:
    """A sentence for each kind of restart among some machines."""
    kinds: dict[Restarts, list[str]] = {}
    for name in names:
        if name in found.restarts:
            kinds.setdefault(found.restarts[name], []).append(name)
    return [_restart_sentence(kind, machines, order) for kind, machines in kinds.items()]


def _restart_sentence(kind: Restarts, machines: Sequence[str], order: str) -> str:
    one = len(machines) == 1
    verbs = [
        f"{verb}{'s' if one else ''} {', '.join(names)}"
        for verb, names in (("restart", kind.restarted), ("reload", kind.reloaded))
        if names
    ]
    return f"{', '.join(machines)} {' and '.join(verbs)}{'' if one else f', {order}'}."


def _leaving(found: Disturbance) -> list[str]:
    told = []
    for names, before, ends in (
        (found.drained, "drained", " before the kubelet changes, and back afterwards"),
        (found.anew, "drained and made anew", ", with empty disks"),
        (found.removed, "drained and removed", ", after everything else"),
    ):
        for kind in (False, True):
            some = [name for name in names if (name in found.undrained) is kind]
            what = before.removeprefix("drained and ") if kind else before
            if some:
                told.append(f"{', '.join(some)} {'is' if len(some) == 1 else 'are'} {what}{ends}.")
    if found.restarts and not (found.leaving or found.undrained):
        told.append("No pod is moved or restarted by that.")
    return told


def _budgets(found: Disturbance, held: Sequence[str] | None) -> list[str]:
    if not found.leaving:
        return []
    if held is None:
        return ["PodDisruptionBudgets: not asked, the API did not answer."]
    if not held:
        return ["No PodDisruptionBudget would hold a drain now."]
    return [f"A drain would be held now by {'; '.join(held)}."]


def _quorum(found: Disturbance, plan: ClusterPlan) -> list[str]:
    """Whether etcd and the API are there meanwhile, as long as the other machines are well."""
    count = len(plan.control_plane)
    names = {machine.name for machine in plan.control_plane}
    lost = (names & {*found.anew}) | {*found.members}
    voting = lost or _restarting(found, names, "etcd")
    serving = lost or _restarting(found, names, "kube-apiserver")
    needed = count // 2 + 1
    told = []
    if voting and count - 1 >= needed:
        told.append(f"etcd keeps its quorum: {count - 1} of {count} members stay, {needed} are needed.")
    elif voting:
        told.append(f"etcd loses its quorum for a moment: {count} members need {needed}.")
    if serving and count > 1:
        told.append(f"{count - 1} of {count} API servers answer meanwhile.")
    elif serving:
        told.append("The API is away meanwhile: there is one API server.")
    return told


def _restarting(found: Disturbance, names: Iterable[str], unit: str) -> set[str]:
    return {name for name in names if name in found.restarts and unit in found.restarts[name].restarted}

"""Which versions may follow which, judged before anything is touched.

Pure: the plan and the output `applied` of the last run in, refusals out. That output is what machines confirmed, so a
run that failed half-way shows both versions: rules go by the lowest and the highest over the machines. A patch may go
either way, since a patch back is the way out of a bad one. The node judges again, by what it finds
(`components/agent/skew.py`).

Rules: kubernetes.io, "Version Skew Policy" and "Upgrading kubeadm clusters" (no minor of the control plane is
skipped); etcd.io, "Upgrading etcd clusters" (one minor at a time) and "Downgrading etcd clusters" (a procedure of its
own).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from config.plan import ClusterPlan, Role, machine_artifacts

KUBELET_BEHIND = 3
"""Minors that a kubelet or a kube-proxy may be older than an API server."""

CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
AGENTS = ("kubelet", "kube-proxy")

Version = tuple[int, int, int]


def parse(version: str) -> Version:
    """Three numbers of a release such as 1.37.2; ValueError when it is none."""
    major, minor, patch = version.split(".")
    return int(major), int(minor), int(patch)


def skew_refusals(plan: ClusterPlan, applied: Mapping[str, Any]) -> list[str]:
    """Why this run must not begin, one line each with the way out; nothing on a first run.

    Args:
        plan: of this run.
        applied: output `applied` of the last run: by machine what it confirmed, `versions` among it.
    """
    if not applied:
        return []
    kubernetes = parse(plan.kubernetes_version)
    servers = _confirmed(applied, CONTROL_PLANE)
    found = _kubernetes_refusals(kubernetes, servers)
    if not found:
        # Kubelets follow the control plane: once that may not move, theirs is no further mistake.
        found = _agent_refusals(kubernetes, _confirmed(applied, AGENTS))
    return [*found, *_etcd_refusals(_planned_etcd(plan), _confirmed(applied, ("etcd",)))]


def _confirmed(applied: Mapping[str, Any], names: Iterable[str]) -> list[Version]:
    """Versions of some artifacts over all machines, in order."""
    told = [machine.get("versions") or {} for machine in applied.values()]
    return sorted(parse(str(versions[name])) for versions in told for name in names if name in versions)


def _planned_etcd(plan: ClusterPlan) -> Version:
    machine = next(one for one in plan.control_plane if one.role is Role.CONTROL_PLANE)
    return next(parse(one.version) for one in machine_artifacts(plan, machine) if one.name == "etcd")


def _kubernetes_refusals(wanted: Version, running: list[Version]) -> list[str]:
    place = f"cluster.kubernetes.version: {_text(wanted)}"
    return _minor_refusals(
        place,
        "the control plane",
        wanted,
        running,
        back="what newer API servers have written to etcd older ones can't be trusted to read",
        skipped="API servers of one cluster may differ by one minor, and each release converts what the one before"
        " it has stored",
    )


def _etcd_refusals(wanted: Version, running: list[Version]) -> list[str]:
    return _minor_refusals(
        f"cluster.artifacts.versions.etcd: {_text(wanted)}",
        "etcd",
        wanted,
        running,
        back="etcd raises the data's version with the minor, and an older one does not open it (etcd's own downgrade"
        " is a procedure by hand)",
        skipped="members of one cluster may differ by one minor",
    )


def _minor_refusals(
    place: str, what: str, wanted: Version, running: list[Version], *, back: str, skipped: str
) -> list[str]:
    """A minor back from the highest, or more than one ahead of the lowest, of what runs."""
    if not running:
        return []
    lowest, highest = running[0], running[-1]
    if wanted[:2] < highest[:2]:
        return [
            f"{place} would take {what} back a minor, from {_text(highest)}: {back}. Way out: write"
            f" {_text(highest)}, or another patch of {_minor(highest)}."
        ]
    if wanted[0] != lowest[0] or wanted[1] > lowest[1] + 1:
        between = (lowest[0], lowest[1] + 1, 0)
        if wanted[0] != lowest[0]:
            return [f"{place} is another major than {_text(lowest)}, which runs: no such step is known."]
        return [
            f"{place} would skip a minor after {_text(lowest)}: {skipped}. Way out: a run with a patch of"
            f" {_minor(between)} first."
        ]
    return []


def _agent_refusals(wanted: Version, agents: list[Version]) -> list[str]:
    """Kubelets and kube-proxies against the API servers that this run brings."""
    if not agents:
        return []
    lowest, highest = agents[0], agents[-1]
    place = f"cluster.kubernetes.version: {_text(wanted)}"
    if highest[:2] > wanted[:2]:
        return [
            f"{place} is older than a kubelet that runs ({_text(highest)}), and no kubelet may be ahead of an API"
            f" server. Way out: write {_text(highest)}, or another patch of {_minor(highest)}."
        ]
    if wanted[1] - lowest[1] > KUBELET_BEHIND:
        nearest = (wanted[0], lowest[1] + KUBELET_BEHIND, 0)
        return [
            f"{place} would leave a kubelet of {_text(lowest)} more than {KUBELET_BEHIND} minors behind its API"
            f" server. Way out: a run with a patch of {_minor(nearest)} or older first."
        ]
    return []


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _minor(version: Version) -> str:
    return f"{version[0]}.{version[1]}"

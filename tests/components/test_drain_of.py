"""How activate is told to drain: its pool's way on a worker, the default on the control plane, nothing elsewhere."""

from __future__ import annotations

from components.node import _content
from config.plan import machine_artifacts
from tests.components.artifacts import with_digests
from tests.config.clusters import lab, plan_of


def test_activate_is_told_how_pods_leave_its_own_machine_and_which_version_they_leave_for() -> None:
    pools = [
        {"name": "general", "count": 1, "drain": {"seconds": 60, "force": True}},
        {"name": "batch", "count": 1, "block": 1},
    ]
    plan = with_digests(plan_of(lab(workerPools=pools)))
    told = {machine.name: _content(plan, machine, {}).get("drain") for machine in plan.machines}
    default = {"seconds": 300, "force": False}
    assert told == {
        "lb-0": None,
        **dict.fromkeys(("cp-0", "cp-1", "cp-2"), default),
        "worker-general-0": {"seconds": 60, "force": True},
        "worker-batch-0": default,
    }
    for machine in plan.nodes:
        versions = _content(plan, machine, {})["versions"]
        assert versions["kubelet"] == plan.kubernetes_version
        assert versions == {one.name: one.version for one in machine_artifacts(plan, machine)}

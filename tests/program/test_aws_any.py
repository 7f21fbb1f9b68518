"""Random small clusters on AWS through the whole program: names never clash, and counts follow from the plan."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.plan import ClusterPlan
from tests.config.clusters import dev, plan_of, prod
from tests.program.recording import run_program

FEW = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def clusters(draw: st.DrawFn) -> dict[str, Any]:
    """Settings with one to three zones and up to three pools."""
    value: dict[str, Any] = draw(st.sampled_from([dev, prod]))()
    zones = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    value["platform"] = {**value["platform"], "zones": zones}
    kinds = draw(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=3))
    value["workerPools"] = [
        {"name": f"pool-{n}", "count": count, "block": n, "aws": {"instanceType": "t4g.large", "spot": spot}}
        for n, (count, spot) in enumerate(kinds)
    ]
    if not any(count for count, _ in kinds):
        value["addOns"] = {"coredns": False}  # nobody is left to run them
    value["controlPlane"] = {"count": draw(st.sampled_from([1, 3])), "aws": {"instanceType": "t4g.large"}}
    return value


def expected(plan: ClusterPlan) -> dict[str, int]:
    """How many there are of what costs money or runs."""
    assert plan.aws is not None
    bastion = 1 if plan.aws.bastion else 0
    machines, workers, masters = len(plan.machines), len(plan.workers), len(plan.control_plane)
    keys = machines if plan.aws.rotate_host_keys else 0
    drains = workers + (masters if masters > 1 else 0)  # a control-plane machine is drained from another one
    sweep = 1 if plan.aws.cloud_controller else 0
    return {
        "aws:ec2/instance:Instance": machines + bastion,
        "aws:ebs/volume:Volume": masters,
        "aws:ec2/volumeAttachment:VolumeAttachment": masters,
        "aws:lb/targetGroupAttachment:TargetGroupAttachment": masters,
        "aws:ec2/natGateway:NatGateway": len(plan.aws.gateways),
        "aws:ec2/eip:Eip": len(plan.aws.gateways) + bastion,
        "aws:ec2/subnet:Subnet": len(plan.aws.subnets),
        "aws:lb/loadBalancer:LoadBalancer": 1,
        "command:remote:Command": 2 * machines + drains + keys + 2 + sweep,
    }


@FEW
@given(clusters())
def test_any_cluster_is_as_many_resources_as_its_plan_says(value: dict[str, Any]) -> None:
    """The recorder refuses a name that is there already, as the engine would."""
    run = run_program(value)
    counted = Counter(resource.type for resource in run.resources)
    wanted = expected(plan_of(value))
    assert {kind: counted[kind] for kind in wanted} == wanted


def test_python_may_recurse_as_deep_as_the_longest_row_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its own thousand the SDK's search for cycles fails on a pool of a thousand workers."""
    asked: list[int] = []
    monkeypatch.setattr(sys, "setrecursionlimit", asked.append)
    monkeypatch.setattr(sys, "getrecursionlimit", lambda: 1000)
    run_program(dev())
    assert asked == [1050], "ten for each of five machines"

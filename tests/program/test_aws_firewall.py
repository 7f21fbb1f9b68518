"""Every security-group rule of both clusters on AWS, spelled out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.config.clusters import dev
from tests.program.recording import Resource, Run
from tests.program.runs import dev_run, prod_run, run_of

RUNS = {"dev": dev_run, "prod": prod_run}
EachStack = pytest.mark.parametrize("stack", RUNS)

IN = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
OUT = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
ADMINISTRATORS = "203.0.113.0/24"
WORLD = "0.0.0.0/0"

NODES = {
    "control-plane in tcp 2379-2380 control-plane",
    "control-plane in tcp 6443-6443 control-plane",
    "control-plane in tcp 6443-6443 worker",
    "control-plane in tcp 6443-6443 api",
    "control-plane in tcp 10250-10250 control-plane",
    "control-plane in tcp 10250-10250 worker",
    "control-plane in udp 8472-8472 control-plane",
    "control-plane in udp 8472-8472 worker",
    "control-plane in icmp -1--1 control-plane",
    "control-plane in icmp -1--1 worker",
    "worker in tcp 10250-10250 control-plane",
    "worker in tcp 10250-10250 worker",
    "worker in udp 8472-8472 control-plane",
    "worker in udp 8472-8472 worker",
    "worker in icmp -1--1 control-plane",
    "worker in icmp -1--1 worker",
    f"api in tcp 6443-6443 {ADMINISTRATORS}",
    "api out tcp 6443-6443 control-plane",
    f"control-plane out -1 all {WORLD}",
    f"worker out -1 all {WORLD}",
}
"""What machines say to each other, alike on both clusters."""

DEV = NODES | {
    "api in tcp 6443-6443 172.31.0.0/16",
    f"control-plane in tcp 22-22 {ADMINISTRATORS}",
    f"worker in tcp 22-22 {ADMINISTRATORS}",
    f"control-plane in icmp -1--1 {ADMINISTRATORS}",
    f"worker in icmp -1--1 {ADMINISTRATORS}",
}
PROD = NODES | {
    "api in tcp 6443-6443 10.20.0.0/16",
    f"bastion in tcp 22-22 {ADMINISTRATORS}",
    "control-plane in tcp 22-22 bastion",
    "worker in tcp 22-22 bastion",
    "bastion out tcp 22-22 control-plane",
    "bastion out tcp 22-22 worker",
}


def rules(run: Run) -> list[str]:
    """Every rule as group, direction, protocol, ports, peer."""
    return [
        _line(run, "in" if kind == IN else "out", rule)
        for kind in (IN, OUT)
        for rule in run.of_type(kind).values()
    ]


def _line(run: Run, direction: str, rule: Resource) -> str:
    inputs: dict[str, Any] = rule.inputs
    own = inputs["securityGroupId"].removeprefix("SecurityGroup ")
    peer = str(inputs.get("referencedSecurityGroupId", inputs.get("cidrIpv4"))).removeprefix("SecurityGroup ")
    assert ("referencedSecurityGroupId" in inputs) != ("cidrIpv4" in inputs), rule.name
    ports = f"{inputs['fromPort']}-{inputs['toPort']}" if "fromPort" in inputs else "all"
    return f"{own} {direction} {inputs['ipProtocol']} {ports} {peer}"


def test_the_small_clusters_rules_are_exactly_these() -> None:
    assert sorted(rules(dev_run())) == sorted(DEV)


def test_the_large_clusters_rules_are_exactly_these() -> None:
    assert sorted(rules(prod_run())) == sorted(PROD)


@EachStack
def test_no_rule_lets_the_world_in(stack: str) -> None:
    run = RUNS[stack]()
    assert [line for line in rules(run) if " in " in line and WORLD in line] == []


def test_even_an_api_for_everybody_opens_nothing_else() -> None:
    platform = dev()["platform"]
    platform["api"] = {"visibility": "internet-facing", "cidrs": [WORLD]}
    platform["nodePortCidrs"] = [WORLD]
    run = run_of(dev(platform=platform))
    assert {line for line in rules(run) if " in " in line and WORLD in line} == {
        f"api in tcp 6443-6443 {WORLD}",
        f"worker in tcp 30000-32767 {WORLD}",
        f"worker in udp 30000-32767 {WORLD}",
    }


def test_without_icmp_nobody_is_pinged() -> None:
    platform = {**dev()["platform"], "icmp": False}
    assert sorted(rules(run_of(dev(platform=platform)))) == sorted(
        line for line in rules(dev_run()) if "icmp" not in line
    )


@EachStack
def test_no_rule_stands_within_a_group_where_another_run_would_fight_over_it(stack: str) -> None:
    run = RUNS[stack]()
    for group in run.of_type("aws:ec2/securityGroup:SecurityGroup").values():
        assert {"ingress", "egress"} & set(group.inputs) == set()
        assert group.inputs["vpcId"] == "Vpc vpc"


@EachStack
def test_each_machine_is_in_its_own_roles_group_and_in_no_other(stack: str) -> None:
    run = RUNS[stack]()
    """aws-cloud-controller-manager wants exactly one group with the cluster's tag on a machine."""
    for name, machine in run.of_type("aws:ec2/instance:Instance").items():
        role = {"machine-cp": "control-plane", "machine-wo": "worker", "bastion": "bastion"}[name[:10]]
        assert machine.inputs["vpcSecurityGroupIds"] == [f"SecurityGroup {role}"]
        tags = run.of_type("aws:ec2/securityGroup:SecurityGroup")[role].inputs["tags"]
        assert [key for key in tags if key.startswith("kubernetes.io/cluster/")] == (
            [] if role == "bastion" else [f"kubernetes.io/cluster/{tags['Name'].partition('-')[0]}"]
        )

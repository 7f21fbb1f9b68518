"""What counts as open to the world, in the three forms in which AWS writes ingress."""

from __future__ import annotations

from typing import Any

import pytest

from policy.ingress import GROUP_RULE, GROUPS, VPC_RULE
from policy.model import UNKNOWN, Resource
from tests.policy.resources import found, resource, violated

RULE = "no-world-open-machine-ports"
WORLD = "0.0.0.0/0"


def rule(**changes: Any) -> Resource:
    return resource(VPC_RULE, **changes)


def classic(type_: str, source: str, first: Any, last: Any, protocol: Any = "tcp") -> Resource:
    key = "ipv6CidrBlocks" if ":" in source else "cidrBlocks"
    entry = {"protocol": protocol, "fromPort": first, "toPort": last, key: [source]}
    if type_ == GROUP_RULE:
        return resource(type_, type="ingress", **entry)
    return resource(type_, ingress=[{**entry, key: ["10.0.0.0/8"]}, entry])


@pytest.mark.parametrize("port", [22, 2379, 2380, 10250])
@pytest.mark.parametrize("source", [WORLD, "::/0"])
def test_no_machine_port_is_open_to_the_world(port: int, source: str) -> None:
    cidr = {"cidrIpv6": source, "cidrIpv4": None} if ":" in source else {"cidrIpv4": source}
    assert violated(rule(fromPort=port, toPort=port, **cidr)) == {RULE}


@pytest.mark.parametrize("type_", [GROUP_RULE, *GROUPS])
@pytest.mark.parametrize("source", [WORLD, "::/0"])
def test_ingress_inside_of_a_group_and_of_the_older_rule_counts_too(type_: str, source: str) -> None:
    assert violated(classic(type_, source, 22, 22)) == {RULE}
    assert violated(classic(type_, source, 443, 443)) == set()


@pytest.mark.parametrize(
    ("first", "last", "services"),
    [
        (0, 65535, ["SSH", "etcd", "the kubelet"]),
        (20, 30, ["SSH"]),
        (2000, 2379, ["etcd"]),
        (2380, 3000, ["etcd"]),
        (10250, 10260, ["the kubelet"]),
        (None, None, ["SSH", "etcd", "the kubelet"]),
        (23, 2378, []),
        (2381, 10249, []),
        (30000, 32767, []),
        (6443, 6443, []),
    ],
)
def test_any_overlap_of_the_ports_counts_and_nothing_beside_it(
    first: int | None, last: int | None, services: list[str]
) -> None:
    told = [reason for _, reason, _ in found(rule(cidrIpv4=WORLD, fromPort=first, toPort=last))]
    assert [text.split("reach ")[1].split(" (")[0] for text in told] == services


@pytest.mark.parametrize(
    ("protocol", "open_"),
    [("-1", True), (-1, True), ("all", True), (None, True), ("6", True), ("TCP", True), ("udp", False),
     ("icmp", False)],
)  # fmt: skip
def test_every_protocol_includes_tcp_and_udp_or_icmp_do_not(protocol: Any, open_: bool) -> None:
    ports: dict[str, Any] = {"fromPort": None, "toPort": None} if str(protocol) in ("-1", "all") else {}
    assert bool(violated(rule(cidrIpv4=WORLD, ipProtocol=protocol, **ports))) == open_


@pytest.mark.parametrize(
    ("source", "world"),
    [
        ("0.0.0.0/1", True),
        ("128.0.0.0/1", True),
        ("64.0.0.0/7", True),
        ("2000::/3", True),
        ("10.0.0.0/8", False),
        ("198.51.100.7/32", False),
        ("fc00::/7", False),
        ("2001:db8::/32", False),
        ("not an address", True),
    ],
)
def test_halves_of_the_world_are_the_world_and_private_ranges_are_not(source: str, world: bool) -> None:
    key = "cidrIpv6" if ":" in source else "cidrIpv4"
    assert bool(violated(rule(**{"cidrIpv4": None, key: source}))) == world


def test_a_peer_that_is_a_security_group_is_nobody_of_the_world() -> None:
    assert found(rule(cidrIpv4=None, referencedSecurityGroupId="sg-1", ipProtocol="-1")) == []


def test_egress_to_the_world_is_nobodys_way_in() -> None:
    outward: dict[str, Any] = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": [WORLD]}
    assert found(resource(GROUP_RULE, type="egress", **outward)) == []
    assert found(resource(GROUPS[0], egress=[outward])) == []


@pytest.mark.parametrize("unknown", ["cidrIpv4", "fromPort", "toPort", "ipProtocol"])
def test_what_is_not_known_yet_is_told_and_is_no_violation(unknown: str) -> None:
    told = found(rule(**{"cidrIpv4": WORLD, unknown: UNKNOWN}))
    assert {(name, known) for name, _, known in told} == {(RULE, False)}
    assert "who reaches SSH (protocol, ports or source) is not known in a preview" in {one[1] for one in told}


def test_an_unknown_value_does_not_hide_what_is_known() -> None:
    entry = {"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": [UNKNOWN, WORLD]}
    assert violated(resource(GROUPS[0], ingress=[UNKNOWN, entry])) == {RULE}
    assert found(rule(cidrIpv4=UNKNOWN, fromPort=443, toPort=443)) == []
    assert found(rule(cidrIpv4="198.51.100.0/24", fromPort=UNKNOWN)) == []
    unlisted = found(resource(GROUPS[0], ingress=UNKNOWN))
    assert unlisted == [(RULE, "ingress is not known in a preview", False)]

"""No port of the machines' own services is open to the world.

Sources are judged as they stand in the rule: prefix lists and other security groups are not looked into, and
network ACLs, which could still close what a group opens, don't count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from policy.model import UNKNOWN, Finding, Resource, ResourceRule, undecided, violation

VPC_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
GROUPS = ("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")

GUARDED = {"SSH": (22, 22), "etcd": (2379, 2380), "the kubelet": (10250, 10250)}
"""First and last TCP port by service."""

WORLD_BELOW = {4: 8, 6: 16}
"""A shorter prefix is the world: nobody was ever given more addresses, and halves of the world evade no rule."""
_UNIQUE_LOCAL = IPv6Network("fc00::/7")


@dataclass(frozen=True)
class _Opening:
    protocol: Any
    first: Any
    last: Any
    sources: tuple[Any, ...]


def _world_open(resource: Resource) -> Iterator[Finding]:
    for opening in _openings(resource):
        if opening is None:
            yield undecided(resource, "ingress")
            continue
        for service, ports in GUARDED.items():
            verdict = _both(_from_world(opening), _reaches(opening, *ports))
            if verdict is None:
                yield undecided(resource, f"who reaches {service} (protocol, ports or source)")
            elif verdict:
                yield violation(
                    resource,
                    f"lets the world reach {service} (TCP {ports[0]})",
                    "name the addresses that need it, such as platform.adminCidrs, or a security group",
                )


def _openings(resource: Resource) -> Iterator[_Opening | None]:
    """What a resource opens; None stands for a list that is not known."""
    given = resource.properties
    if resource.type == VPC_RULE:
        sources = (given.get("cidrIpv4"), given.get("cidrIpv6"))
        yield _Opening(given.get("ipProtocol"), given.get("fromPort"), given.get("toPort"), sources)
    elif resource.type == GROUP_RULE and given.get("type") != "egress":
        yield _classic(given)
    elif resource.type in GROUPS:
        entries = given.get("ingress") or ()
        for entry in (UNKNOWN,) if entries is UNKNOWN else entries:
            yield None if entry is UNKNOWN else _classic(entry)


def _classic(given: Mapping[str, Any]) -> _Opening:
    sources: list[Any] = []
    for key in ("cidrBlocks", "ipv6CidrBlocks"):
        blocks = given.get(key) or ()
        sources += [UNKNOWN] if blocks is UNKNOWN else blocks
    return _Opening(given.get("protocol"), given.get("fromPort"), given.get("toPort"), tuple(sources))


def _from_world(opening: _Opening) -> bool | None:
    known = [source for source in opening.sources if source is not UNKNOWN and source is not None]
    if any(_is_world(str(source)) for source in known):
        return True
    return None if UNKNOWN in opening.sources else False


def _is_world(source: str) -> bool:
    try:
        network = ip_network(source, strict=False)
    except ValueError:
        # What can't be read is not let through for that.
        return True
    if isinstance(network, IPv4Network):
        return network.prefixlen < WORLD_BELOW[4]
    return network.prefixlen < WORLD_BELOW[6] and not network.subnet_of(_UNIQUE_LOCAL)


def _reaches(opening: _Opening, first: int, last: int) -> bool | None:
    """Whether TCP ports of a service are among the opened ones; None if that is not known."""
    protocol = opening.protocol
    if protocol is UNKNOWN:
        return None
    if str(protocol).lower() in ("-1", "all", "none"):
        # Every protocol: EC2 passes over the ports. A missing protocol is no smaller opening.
        return True
    if str(protocol).lower() not in ("tcp", "6"):
        return False
    if UNKNOWN in (opening.first, opening.last):
        return None
    begin = 0 if opening.first is None else opening.first
    end = 65535 if opening.last is None else opening.last
    return bool(begin <= last and first <= end)


def _both(one: bool | None, other: bool | None) -> bool | None:
    """`and` over yes, no and not known."""
    if one is False or other is False:
        return False
    return None if None in (one, other) else True


WORLD_OPEN = ResourceRule(
    "no-world-open-machine-ports", "SSH, etcd and kubelets are never open to the world.", _world_open
)

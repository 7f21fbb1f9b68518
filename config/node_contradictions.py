"""Rules between settings about reaching workers' NodePorts and about seeing that a Node is lost."""

from __future__ import annotations

from config.aws_models import AwsPlatform
from config.mistakes import Finding, Findings, Path
from config.models import HostsPlatform, Settings

_PORTS: Path = ("network", "forwardedNodePorts")
_PLATFORM: Path = ("platform",)
_RENEWALS = 3
"""Renewals that have to fit into the grace: one may be lost, and one late."""
_RENEWALS_IN_A_LEASE = 4
"""The kubelet's own nodeLeaseRenewIntervalFraction, 0.25."""


def node_findings(settings: Settings) -> Findings:
    """What is wrong with forwarded NodePorts and with the seconds of a lost Node."""
    yield from _forwarded_node_ports(settings)
    yield from _node_loss(settings)


def renewals_fit(lease_seconds: int, grace_seconds: int) -> bool:
    """Whether three renewals of a lease fit into a grace, so that a healthy Node is not called lost."""
    return grace_seconds * _RENEWALS_IN_A_LEASE >= lease_seconds * _RENEWALS


def _forwarded_node_ports(settings: Settings) -> Findings:
    ports, platform = settings.network.forwarded_node_ports, settings.platform
    for position, port in enumerate(ports):
        if port in ports[:position]:
            yield Finding((*_PORTS, position), f"{port} stands in the list already; remove one")
    if not ports:
        return
    if isinstance(platform, AwsPlatform):
        reason = (
            "aws has no machine that would forward them; remove the line, and use a Service of type LoadBalancer"
            " (platform.integration.cloudController) or let clients in on workers by platform.nodePortCidrs"
        )
        yield Finding(_PORTS, reason, (_PLATFORM,))
    if isinstance(platform, HostsPlatform) and all(host.role != "load-balancer" for host in platform.hosts):
        reason = "no host has the role load-balancer, which would forward them; add one or remove the line"
        yield Finding(_PORTS, reason, (_PLATFORM,))


def _node_loss(settings: Settings) -> Findings:
    lease, grace = settings.node_loss.lease_seconds, settings.node_loss.grace_seconds
    if renewals_fit(lease, grace):
        return
    least = -(-lease * _RENEWALS // _RENEWALS_IN_A_LEASE)
    most = grace * _RENEWALS_IN_A_LEASE // _RENEWALS
    reason = (
        f"{grace} s are less than three renewals of a lease of {lease} s, one every"
        f" {lease / _RENEWALS_IN_A_LEASE:g} s: healthy Nodes would be called lost; raise it to {least} or more, or"
        f" lower leaseSeconds to {most}"
    )
    yield Finding(("nodeLoss", "graceSeconds"), reason, (("nodeLoss", "leaseSeconds"),))

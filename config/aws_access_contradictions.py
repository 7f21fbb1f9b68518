"""Rules between settings on `aws` about who gets in: SSH, NodePorts, the API's balancer."""

from __future__ import annotations

from ipaddress import IPv4Network

from config.aws_models import WIDEST_PREFIX, AwsPlatform
from config.endpoint_contradictions import endpoint_inside_cluster
from config.mistakes import Finding, Findings, Path
from config.models import Settings

_PLATFORM: Path = ("platform",)
_SSH: Path = ("platform", "ssh")
_API: Path = ("platform", "api")
_ADMINS: Path = ("platform", "adminCidrs")


def access_findings(settings: Settings, platform: AwsPlatform) -> Findings:
    """What is wrong between what lets somebody in."""
    yield from _administrators(platform)
    lists: dict[Path, tuple[IPv4Network, ...]] = {
        _ADMINS: platform.admin_cidrs,
        (*_PLATFORM, "nodePortCidrs"): platform.node_port_cidrs,
        (*_API, "cidrs"): platform.api.cidrs,
    }
    for place, cidrs in lists.items():
        for position, cidr in enumerate(cidrs):
            if cidr in cidrs[:position]:
                yield Finding((*place, position), f"{cidr} stands in the list already; remove one")
    yield from _login(platform)
    if platform.api.endpoint:
        yield from endpoint_inside_cluster((*_API, "endpoint"), platform.api.endpoint, settings)


def _administrators(platform: AwsPlatform) -> Findings:
    for position, cidr in enumerate(platform.admin_cidrs):
        if cidr.prefixlen < WIDEST_PREFIX:
            reason = f"{cidr} would let SSH in from strangers; write your own ranges, /{WIDEST_PREFIX} at the widest"
            yield Finding((*_ADMINS, position), reason)
    if platform.admin_cidrs:
        return
    if platform.ssh.via == "bastion":
        reason = "is empty, so nobody could log in through the bastion; write the ranges that `pulumi up` runs from"
    else:
        reason = (
            "is empty, so nobody could log in on the machines; write the ranges that `pulumi up` runs from, such as the"
            " VPC's own or a VPN's"
        )
    yield Finding(_ADMINS, reason, ((*_SSH, "via"),))


def _login(platform: AwsPlatform) -> Findings:
    ssh = platform.ssh
    if (ssh.private_key_file is None) != (ssh.public_key is None):
        lacking, present = (
            ("publicKey", "privateKeyFile") if ssh.private_key_file else ("privateKeyFile", "publicKey")
        )
        reason = f"is needed beside {present}; give both, or neither to have a key generated"
        yield Finding((*_SSH, lacking), reason, ((*_SSH, present),))
    if ssh.user == "root":
        yield Finding((*_SSH, "user"), "root exists already and may not log in; choose another name")
    if (
        ssh.rotate_host_keys
        and ssh.via == "direct"
        and platform.machine_subnets == "public"
        and not platform.vpc
    ):
        reason = (
            "needs addresses that stay, and a machine's public one goes when it is stopped; write machineSubnets:"
            " private or ssh.via: bastion, or leave this out"
        )
        yield Finding((*_SSH, "rotateHostKeys"), reason, ((*_SSH, "via"), (*_PLATFORM, "machineSubnets")))
    if ssh.via == "direct" and "bastion_instance_type" in ssh.model_fields_set:
        reason = "with platform.ssh.via: direct there is no bastion; remove the line"
        yield Finding((*_SSH, "bastionInstanceType"), reason, ((*_SSH, "via"),))

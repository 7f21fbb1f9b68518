"""Rules between settings on `aws` about ranges: zones, subnets, the operator's own VPC, room for addresses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from config.aws_models import AwsPlatform, AwsVpc, AwsWorkers
from config.aws_plan import RESERVED_EIGHTHS, in_turn, machine_subnet_range, pool_zones
from config.machine_names import control_plane_names, worker_name
from config.mistakes import Finding, Findings, Path
from config.models import CONTROL_PLANE_OFFSET, POOL_BLOCK, POOL_OFFSET, Settings, WorkerPoolSettings

_PLATFORM: Path = ("platform",)
_VPC: Path = ("platform", "vpc")
_ZONES: Path = ("platform", "zones")
_SUBNETS: Path = (*_VPC, "machineSubnets")
_MACHINES: Path = ("network", "machines")
_WIDEST, _NARROWEST_SUBNET = 16, 28
"""AWS's own limits of VPCs and subnets (VPC guide, "Subnet sizing")."""
_NARROWEST_VPC = 22
"""An eighth of a subnet's addresses is left to AWS, and a balancer on the internet wants eight free ones there
(ELB guide, "Availability Zones"): subnets of /25."""


def network_findings(settings: Settings, platform: AwsPlatform) -> Findings:
    """What is wrong between ranges, zones and counts."""
    yield from _zones_twice(settings, platform)
    if platform.vpc is None:
        if "nat" in platform.model_fields_set and platform.nat != "none":
            yield from _nat_of_nobody(platform)
        if not _WIDEST <= settings.network.machines.prefixlen <= _NARROWEST_VPC:
            reason = f"/{settings.network.machines.prefixlen} is no length for a VPC and its subnets;"
            reason += f" choose one between /{_WIDEST} and /{_NARROWEST_VPC}"
            yield Finding(_MACHINES, reason, (_PLATFORM,))
            return
    else:
        yield from _own_vpc(settings, platform, platform.vpc)
    yield from _room(settings, platform)


def _zones_twice(settings: Settings, platform: AwsPlatform) -> Findings:
    lists: dict[Path, tuple[str, ...]] = {_ZONES: platform.zones}
    for index, pool in enumerate(settings.worker_pools):
        lists["workerPools", index, "aws", "zones"] = (pool.aws or AwsWorkers()).zones
    for place, zones in lists.items():
        for position, zone in enumerate(zones):
            if zone in zones[:position]:
                yield Finding((*place, position), f"zone {zone} stands in the list already; remove one")


def _nat_of_nobody(platform: AwsPlatform) -> Findings:
    if platform.machine_subnets == "public":
        reason = "machines in public subnets have their own way out and need no NAT; remove the line"
        yield Finding((*_PLATFORM, "nat"), reason, ((*_PLATFORM, "machineSubnets"), _VPC))


def _own_vpc(settings: Settings, platform: AwsPlatform, vpc: AwsVpc) -> Findings:
    for name, key in (("nat", "nat"), ("machine_subnets", "machineSubnets")):
        if name in platform.model_fields_set:
            reason = "a VPC of yours (platform.vpc) has its routes and gateways already; remove the line"
            yield Finding((*_PLATFORM, key), reason, (_VPC,))
    machines = settings.network.machines
    for zone, subnet in vpc.machine_subnets.items():
        place: Path = (*_SUBNETS, zone, "cidr")
        if not subnet.cidr.subnet_of(machines):
            reason = (
                f"{subnet.cidr} is outside of network.machines ({machines}), which has to be the VPC's range;"
            )
            yield Finding(place, f"{reason} correct one", (_MACHINES,))
        if not _WIDEST <= subnet.cidr.prefixlen <= _NARROWEST_SUBNET:
            reason = f"AWS has no subnet of length /{subnet.cidr.prefixlen}; they are between /16 and /28, correct it"
            yield Finding(place, reason)
    for (zone, one), (other_zone, other) in combinations(vpc.machine_subnets.items(), 2):
        if one.cidr.overlaps(other.cidr):
            reason = f"{other.cidr} overlaps zone {zone}'s subnet ({one.cidr}); correct one"
            yield Finding((*_SUBNETS, other_zone, "cidr"), reason, ((*_SUBNETS, zone),))
        if one.id == other.id:
            reason = f"{one.id} is zone {zone}'s subnet already; correct one"
            yield Finding((*_SUBNETS, other_zone, "id"), reason, ((*_SUBNETS, zone),))
    yield from _public_subnets(platform, vpc)


def _public_subnets(platform: AwsPlatform, vpc: AwsVpc) -> Findings:
    place: Path = (*_VPC, "balancerSubnets")
    if vpc.balancer_subnets:
        return
    if platform.ssh.via == "bastion":
        reason = (
            "the bastion needs a public subnet; name the public ones here, or write platform.ssh.via: direct"
        )
        yield Finding(place, reason, ((*_PLATFORM, "ssh"),))
    elif platform.api.visibility == "internet-facing":
        reason = (
            "a balancer on the internet needs public subnets; name them here, or write platform.api.visibility:"
            " internal"
        )
        yield Finding(place, reason, ((*_PLATFORM, "api"),))


def _room(settings: Settings, platform: AwsPlatform) -> Findings:
    """That each machine's address is inside of its zone's subnet, where AWS gives it to nobody else."""
    missing: dict[str, str] = {}
    for number, name in enumerate(control_plane_names(settings)):
        zone, offset = in_turn(platform.zones, number), CONTROL_PLANE_OFFSET + number
        if not _has_subnet(platform, zone):
            missing.setdefault(zone, "platform.zones")
        elif offset >= _addresses(settings, platform, zone):
            place: Path = (*_SUBNETS, zone, "cidr")
            yield Finding(
                place,
                f"{machine_subnet_range(settings, platform, zone)} has no room for {name}, the"
                f" {offset + 1}th address; give a wider subnet",
                (("controlPlane", "count"), _ZONES),
            )
    for index, pool in enumerate(settings.worker_pools):
        chosen = bool(pool.aws and pool.aws.zones)
        for zone in pool_zones(platform, pool):
            if not _has_subnet(platform, zone):
                missing.setdefault(zone, f"workerPools[{index}].aws.zones" if chosen else "platform.zones")
        yield from _pool_room(settings, platform, index, pool)
    for zone, place_of_zone in missing.items():
        reason = (
            f"has no subnet in zone {zone}, which {place_of_zone} names; add one or leave the zone out there"
        )
        yield Finding(_SUBNETS, reason, (_ZONES, ("workerPools",)))


def _has_subnet(platform: AwsPlatform, zone: str) -> bool:
    return platform.vpc is None or zone in platform.vpc.machine_subnets


def _addresses(settings: Settings, platform: AwsPlatform, zone: str) -> int:
    """How many of a subnet's first addresses machines may have."""
    size = machine_subnet_range(settings, platform, zone).num_addresses
    return size // 8 * RESERVED_EIGHTHS if platform.vpc is None else size - 1


def _pool_room(settings: Settings, platform: AwsPlatform, index: int, pool: WorkerPoolSettings) -> Findings:
    for zone, last in _last_numbers(platform, pool):
        if not _has_subnet(platform, zone):
            continue
        subnet, room = machine_subnet_range(settings, platform, zone), _addresses(settings, platform, zone)
        if pool.block * POOL_BLOCK + POOL_OFFSET + last >= room:
            wider = "give the zone a wider subnet" if platform.vpc else "widen network.machines (/16 at most)"
            reason = (
                f"{worker_name(pool, last)} (block {pool.block}) would be outside of the first {room} addresses of zone"
                f" {zone}'s subnet ({subnet}), which are the machines'; lower count or block, or {wider}"
            )
            path: Path = ("workerPools", index)
            yield Finding(
                (*path, "count"), reason, ((*path, "block"), (*path, "aws"), _MACHINES, _VPC, _ZONES)
            )
            return


def _last_numbers(platform: AwsPlatform, pool: WorkerPoolSettings) -> Iterator[tuple[str, int]]:
    """The last number of a pool in each of its zones."""
    zones = pool_zones(platform, pool)
    for number in reversed(range(max(pool.count - len(zones), 0), pool.count)):
        yield in_turn(zones, number), number

"""The plan's part for platform `aws`: subnets, addresses, firewall rules, instances, gateways.

Plain values from plain values: no region, image or zone is looked up, so that a preview shows the same as the
run and a test needs no account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from config.aws_models import AwsControlPlane, AwsPlatform, AwsWorkers
from config.models import LOAD_BALANCER_OFFSET, Settings, WorkerPoolSettings
from config.versions import Architecture

ZONE_LETTERS = "abcd"
SUBNET_BITS = 3
"""Bits by which a VPC is cut into subnets: four private ones, then four public ones, by the zone's letter."""
NAT_OFFSET = 4
"""A NAT gateway's address in its subnet: the first that AWS does not keep for itself (VPC guide, "Subnet sizing")."""
BASTION_OFFSET = 6
DOORS_LENGTH = 29
"""A public subnet's first eight addresses are kept for its gateway and bastion, whose addresses are planned: an
interface that AWS makes at the same time could be given one of them."""
RESERVED_EIGHTHS = 7
"""Eighths of a machine subnet from which AWS gives no address away by itself; the last is for the balancer's and
other interfaces."""

ETCD_DEVICE = "/dev/sdf"
"""The first of the names that AWS recommends for data volumes; on Nitro machines it is an NVMe disk with its id."""
GENERATED_KEY = "generated"
"""Stands for the login key that is made in the state."""
BASTION_ROOT_GIB = 10
"""Size of the bastion's root volume in GiB; nothing is installed on it."""

NODE_PORTS = (30000, 32767)


class Group(StrEnum):
    """A security group, by the role of what is in it."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"
    API = "api"
    BASTION = "bastion"


_NODES = (Group.CONTROL_PLANE, Group.WORKER)


@dataclass(frozen=True)
class SubnetPlan:
    """One subnet.

    Attributes:
        name: its logical name.
        zone: whole name of its zone.
        cidr: its range; None for a given subnet of which nothing but the id is needed.
        public: whether its way out is the internet gateway.
        reserved: ranges from which AWS may give out no address by itself, since machines are planned there.
        given_id: of a subnet that exists already.
    """

    name: str
    zone: str
    cidr: IPv4Network | None
    public: bool
    reserved: tuple[IPv4Network, ...] = ()
    given_id: str | None = None


@dataclass(frozen=True)
class GatewayPlan:
    """One NAT gateway: its public subnet, its address there, and the private subnets that it serves."""

    name: str
    subnet: str
    address: IPv4Address
    serves: tuple[str, ...]


@dataclass(frozen=True)
class FirewallRule:
    """What one security group lets in or out.

    Attributes:
        name: its logical name.
        group: whose rule it is.
        inward: in, else out.
        protocol: `tcp`, `udp`, `icmp` or `-1` for all.
        ports: first and last; None for protocols without ports.
        peer: another group, or a range.
    """

    name: str
    group: Group
    inward: bool
    protocol: str
    ports: tuple[int, int] | None
    peer: Group | IPv4Network


@dataclass(frozen=True)
class InstancePlan:
    """What one machine is on EC2.

    Attributes:
        instance_type: such as `t4g.medium`.
        architecture: that follows from it.
        subnet: logical name of its subnet.
        image: id of its image, None where the settings name none.
        root_gib: size of its root volume in GiB.
        etcd_gib: size of etcd's own volume in GiB, None for workers.
        spot: whether AWS may take it back.
    """

    instance_type: str
    architecture: Architecture
    subnet: str
    image: str | None
    root_gib: int
    etcd_gib: int | None = None
    spot: bool = False


@dataclass(frozen=True)
class BastionPlan:
    """The machine through which SSH goes; its subnet is public."""

    instance_type: str
    architecture: Architecture
    subnet: str
    address: IPv4Address | None
    image: str | None


@dataclass(frozen=True)
class ApiPlan:
    """The balancer in front of the API.

    Attributes:
        internal: whether it has addresses inside of the VPC only.
        subnets: logical name to its planned address there, None where AWS chooses.
        endpoint: the operator's own name for it, or None.
    """

    internal: bool
    subnets: Mapping[str, IPv4Address | None]
    endpoint: str | None


@dataclass(frozen=True)
class AwsPlan:
    """All that only `aws` has.

    Attributes:
        region: such as `eu-central-1`.
        given_vpc: id of the operator's own VPC, or None.
        domain: of the VPC's hosts, for its DHCP options.
        subnets: by logical name.
        gateways: NAT gateways.
        instances: by the machine's name.
        rules: of every security group.
        bastion: None with `ssh.via: direct`.
        public_machines: whether machines have a public address each.
        login_key: the operator's own public key without its comment, or `GENERATED_KEY`.
        tags: of everything.
    """

    region: str
    given_vpc: str | None
    cidr: IPv4Network
    domain: str
    subnets: Mapping[str, SubnetPlan]
    gateways: tuple[GatewayPlan, ...]
    instances: Mapping[str, InstancePlan]
    rules: tuple[FirewallRule, ...]
    api: ApiPlan
    bastion: BastionPlan | None
    public_machines: bool
    login_user: str
    login_key: str
    rotate_host_keys: bool
    deletion_protection: bool
    cloud_controller: bool
    ebs_csi: bool
    ecr_credentials: bool
    tags: Mapping[str, str]

    @property
    def public_addresses(self) -> int:
        """How many public IPv4 addresses are paid for: machines', gateways', the bastion's, the balancer's."""
        balancer = 0 if self.api.internal else len(self.api.subnets)
        machines = len(self.instances) if self.public_machines else 0
        return machines + len(self.gateways) + balancer + (1 if self.bastion else 0)


def architecture_of(instance_type: str) -> Architecture:
    """The architecture of an instance type: Graviton families have a g after the generation, or are a1."""
    graviton = r"(a1|[a-z]+\d+g[a-z-]*)\."
    return "arm64" if re.match(graviton, instance_type) else "amd64"


def subnet_range(vpc: IPv4Network, letter: str, *, public: bool) -> IPv4Network:
    """The range of a zone's private or public subnet: its letter decides, not the list of zones."""
    index = ZONE_LETTERS.index(letter) + (len(ZONE_LETTERS) if public else 0)
    length = vpc.prefixlen + SUBNET_BITS
    return IPv4Network((int(vpc.network_address) + (index << (32 - length)), length))


def reserved_ranges(subnet: IPv4Network) -> tuple[IPv4Network, ...]:
    """The first seven eighths of a subnet as ranges: a half, a quarter, an eighth."""
    ranges, start = [], int(subnet.network_address)
    for bits in (1, 2, 3):
        ranges.append(IPv4Network((start, subnet.prefixlen + bits)))
        start += ranges[-1].num_addresses
    return tuple(ranges)


def machine_subnet_range(settings: Settings, platform: AwsPlatform, letter: str) -> IPv4Network:
    """The range in which a zone's machines are planned: of the VPC that is made, or of the operator's own."""
    if platform.vpc is not None:
        return platform.vpc.machine_subnets[letter].cidr
    return subnet_range(settings.network.machines, letter, public=platform.machine_subnets == "public")


def in_turn(zones: tuple[str, ...], number: int) -> str:
    """The zone of a machine's number."""
    return zones[number % len(zones)]


def pool_zones(platform: AwsPlatform, pool: WorkerPoolSettings) -> tuple[str, ...]:
    """The letters of a pool's zones."""
    return (pool.aws or AwsWorkers()).zones or platform.zones


def control_plane_type(settings: Settings, machine: str) -> str:
    """Instance type of a control-plane machine."""
    aws = settings.control_plane.aws or AwsControlPlane()
    return aws.instance_types.get(machine, aws.instance_type)


def worker_type(pool: WorkerPoolSettings, machine: str) -> str:
    """Instance type of a worker."""
    aws = pool.aws or AwsWorkers()
    return aws.instance_types.get(machine, aws.instance_type)


def plan_aws(
    settings: Settings,
    platform: AwsPlatform,
    region: str,
    control_plane: Mapping[str, str],
    workers: Mapping[str, tuple[WorkerPoolSettings, str]],
) -> AwsPlan:
    """Plan what only `aws` has.

    Args:
        settings: of the cluster, valid.
        platform: the same settings' platform.
        region: of Pulumi's `aws:region`.
        control_plane: zone letter by machine.
        workers: pool and zone letter by machine.
    """
    letters = dict.fromkeys(
        [*platform.zones, *control_plane.values(), *(zone for _, zone in workers.values())]
    )
    subnets = _subnets(settings, platform, region, list(letters))
    own = platform.vpc is None
    return AwsPlan(
        region=region,
        given_vpc=platform.vpc.id if platform.vpc else None,
        cidr=settings.network.machines,
        domain="ec2.internal" if region == "us-east-1" else f"{region}.compute.internal",
        subnets=subnets,
        gateways=_gateways(settings, platform, list(letters)) if own else (),
        instances=_instances(settings, platform, control_plane, workers),
        rules=_rules(settings, platform),
        api=_api(settings, platform),
        bastion=_bastion(settings, platform),
        public_machines=own and platform.machine_subnets == "public",
        login_user=platform.ssh.user,
        login_key=" ".join((platform.ssh.public_key or GENERATED_KEY).split()[:2]),
        rotate_host_keys=platform.ssh.rotate_host_keys,
        deletion_protection=platform.deletion_protection,
        cloud_controller=platform.integration.cloud_controller,
        ebs_csi=platform.integration.ebs_csi,
        ecr_credentials=platform.integration.ecr_credentials,
        tags=dict(platform.tags),
    )


def _machine_subnet(platform: AwsPlatform, letter: str) -> str:
    return f"{'private' if platform.vpc else platform.machine_subnets}-{letter}"


def _image(platform: AwsPlatform, architecture: Architecture) -> str | None:
    return platform.images.arm64 if architecture == "arm64" else platform.images.amd64


def _subnets(
    settings: Settings, platform: AwsPlatform, region: str, letters: list[str]
) -> dict[str, SubnetPlan]:
    if platform.vpc is not None:
        given = platform.vpc
        machines = {
            f"private-{letter}": SubnetPlan(
                f"private-{letter}", f"{region}{letter}", subnet.cidr, False, given_id=subnet.id
            )
            for letter, subnet in given.machine_subnets.items()
        }
        balancers = {
            f"public-{letter}": SubnetPlan(
                f"public-{letter}", f"{region}{letter}", None, True, given_id=subnet_id
            )
            for letter, subnet_id in given.balancer_subnets.items()
        }
        return machines | balancers
    subnets = {}
    for public in (False, True):
        for letter in letters:
            name = f"{'public' if public else 'private'}-{letter}"
            cidr = subnet_range(settings.network.machines, letter, public=public)
            reserved: tuple[IPv4Network, ...] = ()
            if name == _machine_subnet(platform, letter):
                reserved = reserved_ranges(cidr)
            elif public:
                reserved = (IPv4Network((cidr.network_address, DOORS_LENGTH)),)
            subnets[name] = SubnetPlan(name, f"{region}{letter}", cidr, public, reserved)
    return subnets


def _gateways(settings: Settings, platform: AwsPlatform, letters: list[str]) -> tuple[GatewayPlan, ...]:
    if platform.nat == "none" or platform.machine_subnets == "public":
        return ()
    first = platform.zones[0]
    served: dict[str, tuple[str, ...]] = {letter: (f"private-{letter}",) for letter in letters}
    if platform.nat == "shared":
        served = {first: tuple(f"private-{letter}" for letter in letters)}
    return tuple(
        GatewayPlan(
            f"nat-{letter}",
            f"public-{letter}",
            subnet_range(settings.network.machines, letter, public=True)[NAT_OFFSET],
            serves,
        )
        for letter, serves in served.items()
    )


def _instances(
    settings: Settings,
    platform: AwsPlatform,
    control_plane: Mapping[str, str],
    workers: Mapping[str, tuple[WorkerPoolSettings, str]],
) -> dict[str, InstancePlan]:
    of_control_plane = settings.control_plane.aws or AwsControlPlane()
    instances = {}
    for name, zone in control_plane.items():
        type_ = control_plane_type(settings, name)
        architecture = architecture_of(type_)
        instances[name] = InstancePlan(
            type_,
            architecture,
            _machine_subnet(platform, zone),
            _image(platform, architecture),
            of_control_plane.root_volume_gib,
            etcd_gib=of_control_plane.etcd_volume_gib,
        )
    for name, (pool, zone) in workers.items():
        type_, of_pool = worker_type(pool, name), pool.aws or AwsWorkers()
        architecture = architecture_of(type_)
        instances[name] = InstancePlan(
            type_,
            architecture,
            _machine_subnet(platform, zone),
            _image(platform, architecture),
            of_pool.root_volume_gib,
            spot=of_pool.spot,
        )
    return instances


def _api(settings: Settings, platform: AwsPlatform) -> ApiPlan:
    """In the platform's zones, where the control plane is: a pool in a zone of its own changes no balancer."""
    internal = platform.api.visibility == "internal"
    if platform.vpc is not None:
        names = [f"public-{letter}" for letter in platform.vpc.balancer_subnets]
        names = names or [f"private-{letter}" for letter in platform.vpc.machine_subnets]
        return ApiPlan(internal, dict.fromkeys(names), platform.api.endpoint)
    # Only an internal balancer lets its private addresses be chosen (ELBv2, SubnetMapping).
    addresses = {
        f"{'private' if internal else 'public'}-{letter}": (
            subnet_range(settings.network.machines, letter, public=False)[LOAD_BALANCER_OFFSET]
            if internal
            else None
        )
        for letter in platform.zones
    }
    return ApiPlan(internal, addresses, platform.api.endpoint)


def _bastion(settings: Settings, platform: AwsPlatform) -> BastionPlan | None:
    if platform.ssh.via == "direct":
        return None
    type_ = platform.ssh.bastion_instance_type
    architecture = architecture_of(type_)
    image = _image(platform, architecture)
    if platform.vpc is not None:
        letter = next(iter(platform.vpc.balancer_subnets))
        return BastionPlan(type_, architecture, f"public-{letter}", None, image)
    letter = platform.zones[0]
    address = subnet_range(settings.network.machines, letter, public=True)[BASTION_OFFSET]
    return BastionPlan(type_, architecture, f"public-{letter}", address, image)


def _rules(settings: Settings, platform: AwsPlatform) -> tuple[FirewallRule, ...]:
    """Every rule of every group, the least that works; each is a resource of its own."""
    api, vpc = settings.network.api_port, settings.network.machines
    control_plane, worker = Group.CONTROL_PLANE, Group.WORKER
    rules = [_inward(control_plane, "etcd", "tcp", (2379, 2380), control_plane)]
    for peer in (*_NODES, Group.API):
        rules.append(_inward(control_plane, "api", "tcp", (api, api), peer))
    for group in _NODES:
        for peer in _NODES:
            rules.append(_inward(group, "kubelet", "tcp", (10250, 10250), peer))
            rules.append(_inward(group, "vxlan", "udp", (8472, 8472), peer))
            if platform.icmp:
                rules.append(_inward(group, "icmp", "icmp", None, peer))
    for cidr in platform.node_port_cidrs:
        for protocol in ("tcp", "udp"):
            rules.append(_inward(worker, f"node-ports-{protocol}", protocol, NODE_PORTS, cidr))
    for cidr in dict.fromkeys(platform.api.cidrs or (vpc, *platform.admin_cidrs)):
        rules.append(_inward(Group.API, "api", "tcp", (api, api), cidr))
    rules.append(_outward(Group.API, "api", "tcp", (api, api), control_plane))
    rules += _ssh_rules(platform)
    rules += [_outward(group, "all", "-1", None, IPv4Network("0.0.0.0/0")) for group in _NODES]
    return tuple(rules)


def _ssh_rules(platform: AwsPlatform) -> list[FirewallRule]:
    rules = []
    if platform.ssh.via == "bastion":
        for cidr in platform.admin_cidrs:
            rules.append(_inward(Group.BASTION, "ssh", "tcp", (22, 22), cidr))
        for group in _NODES:
            rules.append(_inward(group, "ssh", "tcp", (22, 22), Group.BASTION))
            rules.append(_outward(Group.BASTION, "ssh", "tcp", (22, 22), group))
    else:
        for group in _NODES:
            for cidr in platform.admin_cidrs:
                rules.append(_inward(group, "ssh", "tcp", (22, 22), cidr))
                if platform.icmp:
                    rules.append(_inward(group, "icmp", "icmp", None, cidr))
    return rules


def _inward(
    group: Group, what: str, protocol: str, ports: tuple[int, int] | None, peer: Group | IPv4Network
) -> FirewallRule:
    return FirewallRule(f"{group}-{what}-from-{_peer(peer)}", group, True, protocol, ports, peer)


def _outward(
    group: Group, what: str, protocol: str, ports: tuple[int, int] | None, peer: Group | IPv4Network
) -> FirewallRule:
    return FirewallRule(f"{group}-{what}-to-{_peer(peer)}", group, False, protocol, ports, peer)


def _peer(peer: Group | IPv4Network) -> str:
    if isinstance(peer, Group):
        return str(peer)
    return "anywhere" if peer.prefixlen == 0 else str(peer).replace("/", "-")

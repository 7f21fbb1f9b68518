"""The plan: every name, address and member of the cluster, computed before the first resource exists.

`plan_cluster` is a pure function of `Settings`. A machine's name, address and zone depend on its own entry
only, so adding or removing another machine, pool or zone moves nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from ipaddress import IPv4Address, IPv4Network

from config.access_models import Oidc
from config.aws_plan import AwsPlan, in_turn, machine_subnet_range, plan_aws, pool_zones
from config.aws_warnings import aws_warnings
from config.machine_names import LAB_BALANCER, control_plane_names, worker_name, worker_numbers
from config.proxy import ProxyPlan, plan_proxy
from config.settings import (
    CONTROL_PLANE_OFFSET,
    LOAD_BALANCER_OFFSET,
    POOL_BLOCK,
    POOL_OFFSET,
    AwsPlatform,
    Cni,
    Host,
    HostsPlatform,
    Settings,
    WorkerPoolSettings,
    network_policies_from_image,
    storage_add_on,
)
from config.versions import Architecture, Artifact, Image, artifacts_of_role, pinned_image

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380


class Role(StrEnum):
    """What a machine is for."""

    CONTROL_PLANE = "control-plane"
    WORKER = "worker"
    LOAD_BALANCER = "load-balancer"


@dataclass(frozen=True)
class MachinePlan:
    """One machine as everything above the platform knows it.

    Attributes:
        name: its name and its Node's.
        role: what it is for.
        address: where the other machines reach it.
        zone: its failure zone.
        pool: a worker's pool, else None.
        architecture: of its processor.
    """

    name: str
    role: Role
    address: IPv4Address
    zone: str
    pool: str | None = None
    architecture: Architecture = "amd64"

    @property
    def is_node(self) -> bool:
        """Whether it runs the node agents and registers as a Node."""
        return self.role is not Role.LOAD_BALANCER


@dataclass(frozen=True)
class DrainPlan:
    """How pods leave a machine that goes: for how many seconds, and whether lone ones may be lost."""

    seconds: int = 300
    force: bool = False


@dataclass(frozen=True)
class PoolPlan:
    """One pool of workers.

    Attributes:
        name: its name.
        machines: its machines in the order of their numbers.
        labels: of its Nodes.
        taints: of its Nodes, as `{"key": ..., "value": ..., "effect": ...}`.
        max_unavailable: how many machines a change may work on at once.
        max_pods: most pods on one Node.
        drain: how pods leave a machine.
    """

    name: str
    machines: tuple[MachinePlan, ...]
    labels: dict[str, str]
    taints: tuple[dict[str, str], ...]
    max_unavailable: int
    max_pods: int
    drain: DrainPlan


@dataclass(frozen=True)
class EtcdMember:
    """One voting member of etcd; its name is its machine's."""

    name: str
    address: IPv4Address

    @property
    def peer_url(self) -> str:
        """Where the other members reach it."""
        return f"https://{self.address}:{ETCD_PEER_PORT}"

    @property
    def client_url(self) -> str:
        """Where API servers reach it."""
        return f"https://{self.address}:{ETCD_CLIENT_PORT}"


@dataclass(frozen=True)
class BackupPlan:
    """Snapshots of etcd on its machines.

    Attributes:
        minutes: between two of one member; 0 for none.
        keep: how many stay on a machine at most.
        days: after which one goes, unless it is the newest.
        bucket: S3 bucket to which each one goes too, or None.
        region: of the machines, where there is a bucket.
    """

    minutes: int
    keep: int
    days: int
    bucket: str | None = None
    region: str = ""


@dataclass(frozen=True)
class EtcdPlan:
    """etcd: members, timing in milliseconds, snapshots."""

    members: tuple[EtcdMember, ...]
    heartbeat_ms: int
    election_ms: int
    backup: BackupPlan


@dataclass(frozen=True)
class NetworkPlan:
    """Ranges, names and ports that more than one machine must agree on."""

    machines: IPv4Network
    pods: IPv4Network
    services: IPv4Network
    node_prefix_length: int
    domain: str
    cni: Cni
    api_port: int
    local_api_port: int
    direct_routing: bool
    upstream_dns: bool
    forwarded_node_ports: tuple[int, ...] = ()

    @property
    def api_service_address(self) -> IPv4Address:
        """The `kubernetes` Service: the first address of the range, as the API server takes it."""
        return self.services[1]

    @property
    def dns_service_address(self) -> IPv4Address:
        """The cluster DNS Service: the tenth address, by kubeadm's convention."""
        return self.services[10]

    @property
    def gateway(self) -> IPv4Address:
        """The first address of the machines' network; the lab's bridge has it."""
        return self.machines[1]


@dataclass(frozen=True)
class NodeLossPlan:
    """How soon a lost Node is seen, in seconds: its lease, the grace and how often the leases are looked at."""

    lease_seconds: int
    grace_seconds: int

    @property
    def monitor_seconds(self) -> int:
        """An eighth of the grace, between one second and Kubernetes' own five."""
        return min(max(self.grace_seconds // 8, 1), 5)

    def described(self) -> dict[str, int]:
        """What outputs tell of it, by the settings' names: the next run compares with that."""
        return {"leaseSeconds": self.lease_seconds, "graceSeconds": self.grace_seconds}


@dataclass(frozen=True)
class ExtraArgs:
    """Flags that the operator adds, by component."""

    api_server: dict[str, str]
    controller_manager: dict[str, str]
    scheduler: dict[str, str]


@dataclass(frozen=True)
class CertificatePlan:
    """How long what the authorities sign is valid, in hours, and which generation of leaves is wanted."""

    generation: int
    leaf_hours: int
    authority_hours: int


@dataclass(frozen=True)
class ArtifactPlan:
    """Where machines fetch what, which digests they accept, and which versions stand in for Hardway's own."""

    mirror: str | None
    digests: dict[str, str]
    preload_images: bool
    registry_mirrors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def url(self, artifact: Artifact, arch: str) -> str:
        """The mirror's address of an artifact, or its publisher's."""
        if self.mirror is None:
            return artifact.address(arch)
        return f"{self.mirror}/{artifact.key(arch)}/{artifact.file_name(arch)}"

    def sha256(self, artifact: Artifact, arch: str) -> str | None:
        """The digest to accept: the settings' own, else the committed one, else None."""
        return self.digests.get(artifact.key(arch)) or artifact.digest(arch)


@dataclass(frozen=True)
class AddOnPlan:
    """What the cluster runs from its first minute."""

    coredns: bool
    local_path: bool
    metrics_server: bool = False


@dataclass(frozen=True)
class ClusterPlan:
    """The whole cluster.

    Attributes:
        name: the cluster's name.
        kubernetes_version: release of every Kubernetes component.
        control_plane: its machines, ordered; every one is a member of etcd.
        pools: the pools of workers.
        load_balancers: machines that balance the API for clients outside.
        endpoint: host name or address in the kubeconfig; None where only the balancer that is made will tell.
        operations_machine: where steps that run once run.
        replace: names of machines to make anew.
        aws: what only that platform has.
        network_policies_from_image: whether kube-network-policies is a DaemonSet instead of a systemd service.
        oidc: the issuer whose tokens log people in, or None.
        proxy: the way out, or None.
        warnings: what the operator should know, a sentence each.
    """

    name: str
    kubernetes_version: str
    control_plane: tuple[MachinePlan, ...]
    pools: tuple[PoolPlan, ...]
    load_balancers: tuple[MachinePlan, ...]
    endpoint: str | None
    operations_machine: str
    network: NetworkPlan
    node_loss: NodeLossPlan
    etcd: EtcdPlan
    certificates: CertificatePlan
    artifacts: ArtifactPlan
    add_ons: AddOnPlan
    extra_args: ExtraArgs
    replace: tuple[str, ...] = ()
    aws: AwsPlan | None = None
    network_policies_from_image: bool = False
    oidc: Oidc | None = None
    proxy: ProxyPlan | None = None
    warnings: tuple[str, ...] = ()

    @property
    def api_name(self) -> str:
        """The API's own name: on its certificate and in every kubeconfig, whatever stands in front of it."""
        return f"api.{self.name}.internal"

    @property
    def workers(self) -> tuple[MachinePlan, ...]:
        """All workers, pool by pool."""
        return tuple(machine for pool in self.pools for machine in pool.machines)

    @property
    def nodes(self) -> tuple[MachinePlan, ...]:
        """All machines that register as Nodes."""
        return (*self.control_plane, *self.workers)

    @property
    def machines(self) -> tuple[MachinePlan, ...]:
        """All machines."""
        return (*self.load_balancers, *self.control_plane, *self.workers)

    def machine(self, name: str) -> MachinePlan:
        """The machine of that name; KeyError if there is none."""
        return {machine.name: machine for machine in self.machines}[name]


def plan_cluster(settings: Settings, *, region: str = "") -> ClusterPlan:
    """Plan the cluster that valid settings describe.

    Args:
        settings: valid.
        region: of Pulumi's `aws:region`; needed on `aws`, and nothing elsewhere.
    """
    platform = settings.platform
    aws = None
    if isinstance(platform, HostsPlatform):
        fleet = _given_hosts(platform)
    elif isinstance(platform, AwsPlatform):
        fleet, aws = _ec2_machines(settings, platform, region)
    else:
        fleet = _numbered_machines(settings)
    control_plane, workers, load_balancers = fleet
    endpoint, warnings = _endpoint(settings, control_plane, load_balancers)
    machine_names = [machine.name for machine in control_plane]
    operations = settings.control_plane.operations_machine
    network = settings.network
    return ClusterPlan(
        name=settings.name,
        kubernetes_version=settings.kubernetes.version,
        control_plane=control_plane,
        pools=tuple(_pool(pool, workers) for pool in settings.worker_pools),
        load_balancers=load_balancers,
        endpoint=endpoint,
        operations_machine=operations if operations in machine_names else machine_names[0],
        network=NetworkPlan(
            machines=network.machines,
            pods=network.pods,
            services=network.services,
            node_prefix_length=network.node_prefix_length,
            domain=network.domain,
            cni=network.cni,
            api_port=network.api_port,
            local_api_port=network.local_api_port,
            # A VPC checks source addresses and its security groups know no pods: one tunnel, one port.
            direct_routing=aws is None,
            # The lab's machines reach nothing outside, so its DNS has nobody to ask.
            upstream_dns=isinstance(settings.platform, HostsPlatform | AwsPlatform),
            forwarded_node_ports=network.forwarded_node_ports,
        ),
        node_loss=NodeLossPlan(settings.node_loss.lease_seconds, settings.node_loss.grace_seconds),
        etcd=EtcdPlan(
            tuple(EtcdMember(machine.name, machine.address) for machine in control_plane),
            settings.etcd.heartbeat_ms,
            settings.etcd.election_ms,
            _backup(settings, region),
        ),
        certificates=CertificatePlan(
            settings.certificates.generation,
            settings.certificates.leaf_days * 24,
            settings.certificates.authority_years * 365 * 24,
        ),
        artifacts=ArtifactPlan(
            settings.artifacts.mirror,
            dict(settings.artifacts.digests),
            settings.artifacts.preload_images,
            dict(settings.artifacts.registry_mirrors),
            dict(settings.artifacts.versions),
        ),
        add_ons=AddOnPlan(
            settings.add_ons.coredns,
            storage_add_on(settings) == "local-path",
            settings.add_ons.metrics_server,
        ),
        extra_args=ExtraArgs(
            dict(settings.control_plane.api_server.extra_args),
            dict(settings.control_plane.controller_manager.extra_args),
            dict(settings.control_plane.scheduler.extra_args),
        ),
        replace=settings.replace,
        aws=aws,
        network_policies_from_image=network_policies_from_image(settings),
        oidc=settings.control_plane.oidc,
        proxy=plan_proxy(settings),
        warnings=warnings,
    )


def _backup(settings: Settings, region: str) -> BackupPlan:
    """When snapshots are taken and where they go; only machines on `aws` know a bucket."""
    backup, platform = settings.etcd.backup, settings.platform
    bucket = platform.backup_bucket if isinstance(platform, AwsPlatform) else None
    return BackupPlan(backup.minutes, backup.keep, backup.days, bucket, region if bucket else "")


_Fleet = tuple[tuple[MachinePlan, ...], tuple[MachinePlan, ...], tuple[MachinePlan, ...]]


def _numbered_machines(settings: Settings) -> _Fleet:
    """Control plane, workers and balancer of a platform that makes its machines."""
    base = settings.network.machines
    control_plane = tuple(
        MachinePlan(name, Role.CONTROL_PLANE, base[CONTROL_PLANE_OFFSET + number], "lab")
        for number, name in enumerate(control_plane_names(settings))
    )
    workers = tuple(
        MachinePlan(
            worker_name(pool, number),
            Role.WORKER,
            worker_address(base, pool.block, number),
            "lab",
            pool.name,
        )
        for pool in settings.worker_pools
        for number in worker_numbers(pool)
    )
    balancer = MachinePlan(LAB_BALANCER, Role.LOAD_BALANCER, base[LOAD_BALANCER_OFFSET], "lab")
    return control_plane, workers, (balancer,)


def _ec2_machines(settings: Settings, platform: AwsPlatform, region: str) -> tuple[_Fleet, AwsPlan]:
    """Machines spread over zones by their numbers, each at its address in its zone's subnet."""
    bases = partial(machine_subnet_range, settings, platform)
    zones = {
        name: in_turn(platform.zones, number) for number, name in enumerate(control_plane_names(settings))
    }
    homes = {
        worker_name(pool, number): (pool, in_turn(pool_zones(platform, pool), number))
        for pool in settings.worker_pools
        for number in worker_numbers(pool)
    }
    aws = plan_aws(settings, platform, region, zones, homes)
    control_plane = tuple(
        MachinePlan(
            name,
            Role.CONTROL_PLANE,
            bases(zone)[CONTROL_PLANE_OFFSET + number],
            f"{region}{zone}",
            architecture=aws.instances[name].architecture,
        )
        for number, (name, zone) in enumerate(zones.items())
    )
    workers = tuple(
        MachinePlan(
            name,
            Role.WORKER,
            worker_address(bases(zone), pool.block, int(name.rpartition("-")[2])),
            f"{region}{zone}",
            pool.name,
            aws.instances[name].architecture,
        )
        for name, (pool, zone) in homes.items()
    )
    return (control_plane, workers, ()), aws


def worker_address(machines: IPv4Network, block: int, number: int) -> IPv4Address:
    """Address of a pool's machine: its block's start, the infrastructure's offset, its number."""
    return machines[block * POOL_BLOCK + POOL_OFFSET + number]


def _given_hosts(platform: HostsPlatform) -> _Fleet:
    def of(role: Role) -> tuple[MachinePlan, ...]:
        return tuple(_host_machine(host) for host in platform.hosts if host.role == role)

    return of(Role.CONTROL_PLANE), of(Role.WORKER), of(Role.LOAD_BALANCER)


def _host_machine(host: Host) -> MachinePlan:
    return MachinePlan(host.name, Role(host.role), host.address, host.zone, host.pool, host.architecture)


def _endpoint(
    settings: Settings, control_plane: tuple[MachinePlan, ...], load_balancers: tuple[MachinePlan, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """Where clients outside find the API, and what the operator should know about it."""
    if isinstance(settings.platform, AwsPlatform):
        return settings.platform.api.endpoint, aws_warnings(settings, settings.platform)
    if isinstance(settings.platform, HostsPlatform) and settings.platform.endpoint:
        return settings.platform.endpoint, ()
    if load_balancers:
        first, *others = load_balancers
        return str(first.address), tuple(_spare_balancer(first, other) for other in others)
    warning = (
        f"No balancer stands in front of the API: the kubeconfig points at {control_plane[0].name} alone,"
        " which is not highly available. Add a host with role load-balancer, or name your own in"
        " platform.endpoint."
    )
    return str(control_plane[0].address), (warning,)


def _spare_balancer(first: MachinePlan, other: MachinePlan) -> str:
    return (
        f"{other.name} is a spare balancer: the kubeconfig names {first.name} alone. Move a shared address"
        " between the two, or remove one."
    )


def _pool(pool: WorkerPoolSettings, workers: tuple[MachinePlan, ...]) -> PoolPlan:
    return PoolPlan(
        name=pool.name,
        machines=tuple(machine for machine in workers if machine.pool == pool.name),
        labels=dict(pool.labels),
        taints=tuple({"key": t.key, "value": t.value, "effect": t.effect} for t in pool.taints),
        max_unavailable=pool.max_unavailable,
        max_pods=pool.kubelet.max_pods,
        drain=DrainPlan(pool.drain.seconds, pool.drain.force),
    )


def drain_of(plan: ClusterPlan, machine: MachinePlan) -> DrainPlan:
    """How pods leave a machine: its pool's way, or the control plane's."""
    return next((pool.drain for pool in plan.pools if pool.name == machine.pool), DrainPlan())


def machine_artifacts(plan: ClusterPlan, machine: MachinePlan) -> tuple[Artifact, ...]:
    """What a machine needs on its disk, the control plane's first."""
    return artifacts_of_role(
        machine.role,
        plan.kubernetes_version,
        plan.artifacts.versions,
        flannel=plan.network.cni is Cni.FLANNEL,
        policies_from_image=plan.network_policies_from_image,
        ecr_credentials=plan.aws is not None and plan.aws.ecr_credentials,
    )


def machine_images(plan: ClusterPlan, machine: MachinePlan) -> tuple[Image, ...]:
    """Images to import from the mirror, if there is to be no registry; add-ons' only where they run."""
    if not plan.artifacts.preload_images or not machine.is_node:
        return ()
    names = ["pause"]
    if machine.role is Role.WORKER:
        names += ["coredns"] if plan.add_ons.coredns else []
        names += ["local-path-provisioner", "busybox"] if plan.add_ons.local_path else []
        names += ["metrics-server"] if plan.add_ons.metrics_server else []
    return tuple(pinned_image(name, plan.artifacts.versions) for name in names)

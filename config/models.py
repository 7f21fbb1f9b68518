"""What a human decides, as models: closed (an unknown key is an error), frozen, camelCase in YAML.

Rules of one value stand here and in `config.fields`; rules between values in `config.contradictions`. Every
attribute's docstring is also its text in the JSON Schema and in docs/settings.md.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import Field

from config.access_models import Oidc, Proxy
from config.aws_models import AwsControlPlane, AwsPlatform, AwsWorkers
from config.fields import (
    Address,
    DigestKey,
    Domain,
    Endpoint,
    FileName,
    Flag,
    FlagValue,
    HostKey,
    Integer,
    KubernetesVersion,
    LabelKey,
    LabelValue,
    LoginName,
    MirrorUrl,
    Name,
    Network,
    NodeLabelKey,
    NodePort,
    Port,
    RegistryName,
    ReleaseVersion,
    Sha256,
    SshHost,
    Switch,
    VersionedName,
)
from config.model import Model
from config.versions import KUBERNETES_DEFAULT, Architecture

CONTROL_PLANE_OFFSET = 10
"""The control plane's first address, counted from the machines' network address."""
CONTROL_PLANE_MAXIMUM = 9
LOAD_BALANCER_OFFSET = 5
POOL_OFFSET = 20
"""A pool's first address, counted from the start of its block."""
POOL_BLOCK = 1024
"""Addresses in one pool's block; `block: n` starts at n times this."""
POOL_BLOCKS = 64
LEASE_SECONDS_DEFAULT = 40
"""The kubelet's own nodeLeaseDurationSeconds."""
GRACE_SECONDS_DEFAULT = 50
"""kube-controller-manager's own --node-monitor-grace-period."""


class Cni(StrEnum):
    """Who gives pods their network."""

    FLANNEL = "flannel"
    NONE = "none"


class Kubernetes(Model):
    """The Kubernetes release."""

    version: KubernetesVersion = KUBERNETES_DEFAULT
    """Release of every Kubernetes component, without a leading "v"; see docs/upgrade.md."""


class NetworkSettings(Model):
    """Address ranges and names."""

    machines: Network = IPv4Network("172.31.0.0/16")
    """Where machines have their addresses."""
    pods: Network = IPv4Network("172.20.0.0/16")
    """Where pods have their addresses; each Node gets one block of it."""
    services: Network = IPv4Network("10.32.0.0/16")
    """Where Services have their cluster addresses; between /12 and /24."""
    node_prefix_length: Annotated[Integer, Field(ge=16, le=28)] = 24
    """Prefix length of the block of pod addresses that one Node gets."""
    domain: Domain = "cluster.local"
    """DNS domain of the Services."""
    cni: Cni = Cni.FLANNEL
    """`flannel`, or `none` to bring a CNI of your own (Cilium and others)."""
    api_port: Port = 6443
    """Port of the API server, on every control-plane machine and on the balancer."""
    local_api_port: Port = 7443
    """Port on 127.0.0.1 of each machine where its own balancer answers for the API."""
    forwarded_node_ports: tuple[NodePort, ...] = ()
    """NodePorts that machines of role load-balancer forward to the same port of every worker that answers on it.
    Not on `aws`."""
    proxy: Proxy | None = None
    """The way out for machines that may not connect to the internet by themselves: downloads, packages, images."""


class Component(Model):
    """Settings of one component's process."""

    extra_args: dict[Flag, FlagValue] = {}
    """Flags added to the component's own, by name without dashes; what Hardway sets itself is refused."""


class ControlPlaneSettings(Model):
    """The machines that run etcd and the control plane."""

    count: Annotated[Integer, Field(ge=1, le=CONTROL_PLANE_MAXIMUM)] = 3
    """How many; odd, since etcd's quorum of 4 survives no more losses than that of 3. Not on `hosts`."""
    api_server: Component = Component()
    """kube-apiserver."""
    controller_manager: Component = Component()
    """kube-controller-manager."""
    scheduler: Component = Component()
    """kube-scheduler."""
    operations_machine: Name = "cp-0"
    """Where steps that run once (RBAC, add-ons, drains) run: any control-plane machine; on `hosts` by default
    the first."""
    aws: AwsControlPlane | None = None
    """What its machines are on `aws`; left out, the defaults below. Not on other platforms."""
    oidc: Oidc | None = None
    """An issuer of OpenID Connect whose tokens log people in; see docs/users.md."""


class Taint(Model):
    """A taint that a pool's Nodes carry from their registration on."""

    key: LabelKey
    """Key of the taint."""
    value: LabelValue = ""
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    """What happens to pods that do not tolerate it."""


class KubeletSettings(Model):
    """What differs between pools in the kubelet's configuration."""

    max_pods: Annotated[Integer, Field(ge=10, le=1000)] = 110
    """Most pods on one Node."""


class DrainSettings(Model):
    """How pods leave a machine before it goes. In force from the run after the one that changes it."""

    seconds: Annotated[Integer, Field(ge=10, le=3600)] = 300
    """How long they may take; PodDisruptionBudgets are respected, and one that blocks longer is named."""
    force: Switch = False
    """Whether pods without a controller, which nobody makes again elsewhere, may be lost."""


class WorkerPoolSettings(Model):
    """One pool of equal workers."""

    name: Name
    """Name of the pool; part of its machines' names."""
    count: Annotated[Integer, Field(ge=0, le=1000)] = 1
    """How many machine numbers the pool has; grows and shrinks at the end. Not on `hosts`."""
    exclude: tuple[Annotated[Integer, Field(ge=0)], ...] = ()
    """Numbers left out in the middle: `exclude: [1]` removes worker-<pool>-1 and no other. Not on `hosts`."""
    block: Annotated[Integer, Field(ge=0, le=POOL_BLOCKS - 1)] = 0
    """Which block of 1024 machine addresses is the pool's; every pool has one of its own, for good. Not on
    `hosts`."""
    labels: dict[NodeLabelKey, LabelValue] = {}
    """Labels of the pool's Nodes."""
    taints: tuple[Taint, ...] = ()
    """Taints of the pool's Nodes."""
    max_unavailable: Annotated[Integer, Field(ge=1, le=100)] = 1
    """How many of the pool's machines a change may work on at once."""
    kubelet: KubeletSettings = KubeletSettings()
    """The kubelet on the pool's machines."""
    drain: DrainSettings = DrainSettings()
    """How pods leave a machine that is removed or made anew."""
    aws: AwsWorkers | None = None
    """What its machines are on `aws`; left out, the defaults below. Not on other platforms."""


class NodeLossSettings(Model):
    """How soon the cluster sees that a Node is lost; see docs/operations.md, "Faster loss of a node"."""

    lease_seconds: Annotated[Integer, Field(ge=4, le=40)] = LEASE_SECONDS_DEFAULT
    """Duration of the lease by which each Node, control-plane machines' too, says that it lives; renewed every
    quarter of it."""
    grace_seconds: Annotated[Integer, Field(ge=6, le=600)] = GRACE_SECONDS_DEFAULT
    """Seconds without a renewal after which a Node is called unreachable; at least three renewals."""


class EtcdBackupSettings(Model):
    """Snapshots that every control-plane machine takes of its own member; see docs/backup.md."""

    minutes: Annotated[Integer, Field(ge=0, le=1440)] = 15
    """Minutes between two snapshots of one member; 0 takes none by itself."""
    keep: Annotated[Integer, Field(ge=1, le=10000)] = 96
    """How many snapshots stay on each machine at most; 96 of every 15 minutes are one day."""
    days: Annotated[Integer, Field(ge=1, le=3650)] = 7
    """Days after which a snapshot goes; acts only where snapshots are so rare that keep leaves older ones, and the
    newest stays whatever its age."""


class EtcdSettings(Model):
    """etcd's timing; see etcd.io, "Tuning"."""

    heartbeat_ms: Annotated[Integer, Field(ge=10, le=5000)] = 100
    """Milliseconds between the leader's heartbeats."""
    election_ms: Annotated[Integer, Field(ge=100, le=50000)] = 1000
    """Milliseconds without a heartbeat after which a member calls an election; at least five heartbeats."""
    backup: EtcdBackupSettings = EtcdBackupSettings()
    """Snapshots on the control-plane machines."""


class CertificateSettings(Model):
    """Validity and renewal of what the cluster's authorities sign."""

    generation: Annotated[Integer, Field(ge=1)] = 1
    """Raise it by one to issue every leaf anew, with new keys."""
    leaf_days: Annotated[Integer, Field(ge=1, le=3650)] = 365
    """Validity of leaves in days."""
    authority_years: Annotated[Integer, Field(ge=1, le=30)] = 10
    """Validity of the three authorities in years of 365 days."""


class AddOns(Model):
    """What runs in the cluster from its first minute."""

    coredns: Switch = True
    """Cluster DNS."""
    storage: Literal["local-path", "none"] | None = None
    """Default StorageClass; left out, `local-path` on `lab` and `hosts`, `none` elsewhere."""
    metrics_server: Switch = False
    """CPU and memory of Nodes and pods: `kubectl top`, autoscalers of pods."""


class Artifacts(Model):
    """Where machines fetch binaries, and which digests they accept."""

    mirror: MirrorUrl | None = None
    """Base URL of a mirror laid out as <artifact>/<version>/<architecture>/<file>; none means the
    publishers."""
    digests: dict[DigestKey, Sha256] = {}
    """sha256 by <artifact>/<version>/<architecture>; goes before the committed ones, for builds of your
    own."""
    versions: dict[VersionedName, ReleaseVersion] = {}
    """Releases of etcd, containerd, runc, cni-plugins, crictl, flanneld and coredns in place of Hardway's own
    (config/versions.py); see docs/upgrade.md."""
    preload_images: Switch = False
    """Import the container images from the mirror too (no registry needed)."""
    registry_mirrors: dict[RegistryName, Annotated[tuple[MirrorUrl, ...], Field(min_length=1)]] = {}
    """Mirrors by registry, asked in their order before the registry itself; pods' images are pulled there."""


class LabPlatform(Model):
    """systemd-nspawn machines on this computer."""

    kind: Literal["lab"]
    """The kind of machines."""


class Ssh(Model):
    """How to log in on hosts; a host may say otherwise."""

    user: LoginName = "root"
    """Login name; anybody but root needs sudo without a password."""
    port: Port = 22
    """Port of sshd."""
    private_key_file: FileName
    """File with the private key, from the project's root; read by the fleet when the program runs."""


class Host(Model):
    """One Linux host that exists already."""

    name: Name
    """Name of the machine and of its Node."""
    role: Literal["control-plane", "worker", "load-balancer"]
    """What it becomes."""
    address: Address
    """Address by which the other machines reach it; inside `network.machines`."""
    host_key: HostKey
    """Public SSH host key, such as `ssh-ed25519 AAAA...`: pinned, never trusted on first use."""
    pool: Name | None = None
    """A worker's pool."""
    zone: Name = "default"
    """Failure zone, as the Node's topology label."""
    architecture: Architecture = "amd64"
    """Processor architecture."""
    ssh_address: SshHost | None = None
    """Where SSH reaches it, if not at `address`."""
    user: LoginName | None = None
    """Login name, if not `ssh.user`."""
    port: Port | None = None
    """Port of sshd, if not `ssh.port`."""


class HostsPlatform(Model):
    """Linux hosts of your own that answer on SSH."""

    kind: Literal["hosts"]
    """The kind of machines."""
    hosts: Annotated[tuple[Host, ...], Field(min_length=1)]
    """The hosts."""
    ssh: Ssh
    """How to log in."""
    endpoint: Endpoint | None = None
    """DNS name or address of a balancer of your own in front of the API."""


Platform = Annotated[LabPlatform | HostsPlatform | AwsPlatform, Field(discriminator="kind")]


class Settings(Model):
    """Everything a human decides about one cluster."""

    name: Name
    """Name of the cluster; its API is api.<name>.internal."""
    platform: Platform
    """The kind of machines."""
    kubernetes: Kubernetes = Kubernetes()
    """The Kubernetes release."""
    network: NetworkSettings = NetworkSettings()
    """Address ranges and names."""
    control_plane: ControlPlaneSettings = ControlPlaneSettings()
    """The control plane."""
    worker_pools: tuple[WorkerPoolSettings, ...] = ()
    """The pools of workers."""
    replace: tuple[Name, ...] = ()
    """Machines to make anew, by name: workers are drained first. A name is acted upon once, when it enters the
    list; take it out when the run has ended well. Not on `hosts`."""
    node_loss: NodeLossSettings = NodeLossSettings()
    """How soon the cluster sees that a Node is lost."""
    etcd: EtcdSettings = EtcdSettings()
    """etcd's timing."""
    certificates: CertificateSettings = CertificateSettings()
    """Validity and renewal."""
    add_ons: AddOns = AddOns()
    """What runs in the cluster from its first minute."""
    artifacts: Artifacts = Artifacts()
    """Where binaries come from."""


def network_policies_from_image(settings: Settings) -> bool:
    """Whether kube-network-policies runs as a DaemonSet instead of a systemd service.

    Its publisher ships an image and no binary, so machines get a binary only from a mirror; the lab always has one.
    """
    on_lab = isinstance(settings.platform, LabPlatform)
    return settings.network.cni is Cni.FLANNEL and settings.artifacts.mirror is None and not on_lab


def storage_add_on(settings: Settings) -> Literal["local-path", "none"]:
    """The StorageClass add-on in force: the one chosen, or the platform's default."""
    default: Literal["local-path", "none"] = (
        "none" if isinstance(settings.platform, AwsPlatform) else "local-path"
    )
    return settings.add_ons.storage or default

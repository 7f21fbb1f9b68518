"""What a human decides about machines and network on platform `aws`.

Rules between these settings, and between them and others, stand in `config.aws_contradictions`. The region is
Pulumi's own key `aws:region` and not here, so that it stands in one place.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.fields import (
    BucketName,
    Cidr,
    Endpoint,
    FileName,
    ImageId,
    InstanceType,
    Integer,
    LoginName,
    Name,
    Network,
    SshPublicKey,
    SubnetId,
    Switch,
    TagKey,
    TagValue,
    VpcId,
    Zone,
)
from config.model import Model

WIDEST_PREFIX = 8
"""Prefix length of the widest range from which somebody is let in by name; wider ones are strangers."""
ETCD_QUOTA_GIB = 8
"""etcd's `--quota-backend-bytes`, as its unit file sets it."""
ETCD_HEAD_ROOM_GIB = 2
"""Beside the database: its log, snapshots and the copy that a defragmentation writes at first."""


class AwsControlPlane(Model):
    """What the control-plane machines are on `aws`."""

    instance_type: InstanceType = "t4g.medium"
    """EC2 instance type; its family decides the architecture. Changing it stops and starts the machines, one in
    a run: see `instanceTypes`."""
    instance_types: dict[Name, InstanceType] = {}
    """Types of single machines by name, to go from one type to another machine by machine; of `instanceType`'s
    architecture."""
    root_volume_gib: Annotated[Integer, Field(ge=10, le=16384)] = 20
    """Size of the root volume in GiB (gp3, encrypted)."""
    etcd_volume_gib: Annotated[Integer, Field(ge=ETCD_QUOTA_GIB + ETCD_HEAD_ROOM_GIB, le=1024)] = 10
    """Size of etcd's own volume in GiB (gp3, encrypted); it outlives its machine. etcd's quota is 8 GiB, and 2
    are head room. Grown later, its filesystem waits for `resize2fs` on the machine."""


class AwsWorkers(Model):
    """What a pool's machines are on `aws`."""

    instance_type: InstanceType = "t4g.medium"
    """EC2 instance type; its family decides the architecture. Another one makes the machines anew, drained
    first, at most `maxUnavailable` in a run: see `instanceTypes`."""
    instance_types: dict[Name, InstanceType] = {}
    """Types of single machines by name, to go from one type to another machine by machine."""
    root_volume_gib: Annotated[Integer, Field(ge=10, le=16384)] = 30
    """Size of the root volume in GiB (gp3, encrypted)."""
    spot: Switch = False
    """Spot instances: cheaper, and taken back by AWS with two minutes' notice. The next `pulumi up --refresh`
    makes them anew."""
    zones: tuple[Zone, ...] = ()
    """Zones of the pool's machines in turn, by their numbers; left out, the platform's. A pool in one zone never
    moves when zones are added."""


class AwsImages(Model):
    """Machine images (Ubuntu LTS or Debian) by architecture, pinned by id.

    `make ami` looks the newest up and writes them here. A new id makes no machine anew; `replace` does.
    """

    amd64: ImageId | None = None
    """For x86-64 instance types: Ubuntu LTS or Debian, pinned by id. `make ami` writes the newest here. A new id
    makes no machine anew, `replace` does."""
    arm64: ImageId | None = None
    """The same for Graviton instance types."""


class AwsApi(Model):
    """The load balancer in front of the API."""

    visibility: Literal["internal", "internet-facing"] = "internal"
    """Whether the balancer has addresses inside of the VPC only, or on the internet."""
    cidrs: tuple[Cidr, ...] = ()
    """Who may reach it on TCP `network.apiPort`; left out, the VPC and `adminCidrs`."""
    endpoint: Endpoint | None = None
    """DNS name of your own for the kubeconfig, such as an alias of the balancer; left out, the balancer's."""


class AwsSsh(Model):
    """How the program that runs `pulumi up` logs in on the machines."""

    via: Literal["bastion", "direct"] = "bastion"
    """`bastion`: through a small machine of its own in a public subnet; `direct`: to the machines' public
    addresses where they have some, else to their private ones (from inside of the VPC or by a VPN)."""
    user: LoginName = "hardway"
    """Login name that the machines are given at their first boot."""
    private_key_file: FileName | None = None
    """File with a private key of yours, from the project's root; left out, a key is generated in the state."""
    public_key: SshPublicKey | None = None
    """Public part of `privateKeyFile`."""
    rotate_host_keys: Switch = False
    """Give each machine a second host key after its first boot. The first one stands in user data, which whoever
    may read it from EC2's API or on the machine itself can read. Can't be switched off again."""
    bastion_instance_type: InstanceType = "t4g.nano"
    """EC2 instance type of the bastion."""


class AwsSubnet(Model):
    """A subnet of yours for machines."""

    id: SubnetId
    """Its id."""
    cidr: Network
    """Its range: the machines' addresses are planned in it and looked up nowhere."""


class AwsVpc(Model):
    """A VPC of yours; `network.machines` has to be its range.

    Hardway makes security groups, machines and the balancer in it, and no gateways or routes.
    """

    id: VpcId
    """Its id."""
    machine_subnets: dict[Zone, AwsSubnet]
    """Subnet of the machines by zone."""
    balancer_subnets: dict[Zone, SubnetId] = {}
    """Subnets of the API's balancer and the bastion by zone; left out, the machines'. A bastion and a balancer
    with `visibility: internet-facing` need public ones."""


class AwsIntegration(Model):
    """What ties the cluster to AWS."""

    cloud_controller: Switch = False
    """aws-cloud-controller-manager: Services of type LoadBalancer, Nodes' zones and instance types, Nodes of
    terminated instances removed."""
    ebs_csi: Switch = False
    """EBS CSI driver and a StorageClass for encrypted gp3 volumes; needs `cloudController`."""
    ecr_credentials: Switch = False
    """Let kubelets pull from ECR with their machine's role."""


class AwsPlatform(Model):
    """EC2 machines in a VPC."""

    kind: Literal["aws"]
    """The kind of machines."""
    zones: Annotated[tuple[Zone, ...], Field(min_length=1)] = ("a", "b", "c")
    """Letters of the region's zones. Control-plane machines take them in turn by their numbers; each zone's
    subnets depend on its own letter only."""
    images: AwsImages = AwsImages()
    """Machine images (Ubuntu LTS or Debian) by architecture, pinned by id; `make ami` writes the newest here. A
    new id makes no machine anew, `replace` does."""
    machine_subnets: Literal["private", "public"] = "private"
    """Where machines are: without a public address behind NAT, or each with one of its own (cheaper, no NAT)."""
    nat: Literal["per-zone", "shared", "none"] = "shared"
    """NAT gateways of the private subnets that Hardway makes: one in each zone, one for all (a zone's loss can
    take the others' way out), or none (packages, artifacts and images then have to be inside of the VPC)."""
    admin_cidrs: tuple[Cidr, ...] = ()
    """From where SSH is let in, to the bastion or with `ssh.via: direct` to the machines; at least one range,
    none wider than /8. A VPN's or the VPC's own range will do."""
    node_port_cidrs: tuple[Cidr, ...] = ()
    """From where NodePorts (30000-32767) are let in on workers; left out, from nowhere."""
    icmp: Switch = True
    """Whether machines answer each other's and the administrators' ping."""
    api: AwsApi = AwsApi()
    """The load balancer in front of the API."""
    ssh: AwsSsh = AwsSsh()
    """How to log in."""
    vpc: AwsVpc | None = None
    """A VPC of yours; left out, one is made with the range `network.machines`."""
    integration: AwsIntegration = AwsIntegration()
    """What ties the cluster to AWS."""
    backup_bucket: BucketName | None = None
    """S3 bucket of yours to which each snapshot of etcd goes, below <cluster>/<machine>/; left out, snapshots stay
    on the machines. Hardway never makes or deletes it."""
    deletion_protection: Switch = True
    """Protects the balancer and etcd's volumes: switch it off and `pulumi up`, before `pulumi destroy`."""
    tags: dict[TagKey, TagValue] = {}
    """Tags of everything that is made, beside Hardway's own."""

"""The plan on AWS in exact values: architectures, subnets, addresses, gateways, rules, warnings."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from config.aws_models import ETCD_HEAD_ROOM_GIB, ETCD_QUOTA_GIB, AwsControlPlane
from config.aws_plan import AwsPlan, architecture_of, reserved_ranges, subnet_range
from config.plan import machine_artifacts
from tests.config.clusters import PROJECT, cluster_of, dev, hosts, lab, plan_of, prod

VPC = IPv4Network("10.20.0.0/16")
ZONE_SUBNETS = [
    ("a", "10.20.0.0/19", "10.20.128.0/19"),
    ("b", "10.20.32.0/19", "10.20.160.0/19"),
    ("c", "10.20.64.0/19", "10.20.192.0/19"),
    ("d", "10.20.96.0/19", "10.20.224.0/19"),
]
GIVEN = {
    "id": "vpc-0123456789abcdef0",
    "machineSubnets": {
        "a": {"id": "subnet-0123456789abcdef0", "cidr": "10.20.7.0/24"},
        "b": {"id": "subnet-0123456789abcdef1", "cidr": "10.20.8.0/26"},
    },
    "balancerSubnets": {"b": "subnet-0123456789abcdef2"},
}


def aws_of(value: dict[str, Any], region: str = "eu-central-1") -> AwsPlan:
    aws = plan_of(value, region).aws
    assert aws is not None
    return aws


def with_platform(value: dict[str, Any], *without: str, **changes: Any) -> dict[str, Any]:
    platform = {key: item for key, item in value["platform"].items() if key not in without}
    return {**value, "platform": {**platform, **changes}}


def in_given_vpc() -> dict[str, Any]:
    value = prod(workerPools=[{"name": "general", "count": 2}])
    return with_platform(value, "nat", "machineSubnets", zones=["a", "b"], vpc=GIVEN)


# Architectures


@pytest.mark.parametrize(
    "instance_type",
    [
        "a1.medium", "t4g.medium", "m7g.large", "m8gd.metal-48xl", "c7gn.16xlarge", "c6gd.metal", "im4gn.large",
        "is4gen.medium", "x2gd.large", "x8g.large", "g5g.xlarge", "hpc7g.4xlarge", "i8ge.large", "r8gb.large",
    ],
)  # fmt: skip
def test_graviton_families_are_arm64(instance_type: str) -> None:
    assert architecture_of(instance_type) == "arm64"


@pytest.mark.parametrize(
    "instance_type",
    [
        "g5.xlarge", "g4dn.xlarge", "g6e.xlarge", "gr6.4xlarge", "t3.medium", "t3a.medium", "m6i.large",
        "m7i-flex.large", "c7i.metal-24xl", "inf2.xlarge", "trn1.2xlarge", "u-6tb1.metal", "u7in-16tb.224xlarge",
        "hpc7a.12xlarge", "i4i.large", "p5.48xlarge",
    ],
)  # fmt: skip
def test_other_families_are_amd64(instance_type: str) -> None:
    assert architecture_of(instance_type) == "amd64"


# Subnets


@pytest.mark.parametrize(("letter", "private", "public"), ZONE_SUBNETS)
def test_a_zones_subnets_follow_from_its_letter(letter: str, private: str, public: str) -> None:
    assert str(subnet_range(VPC, letter, public=False)) == private
    assert str(subnet_range(VPC, letter, public=True)) == public


@pytest.mark.parametrize(
    ("vpc", "private", "public"),
    [
        ("172.31.0.0/16", "172.31.32.0/19", "172.31.160.0/19"),
        ("10.0.0.0/20", "10.0.2.0/23", "10.0.10.0/23"),
        ("192.168.4.0/22", "192.168.4.128/25", "192.168.6.128/25"),
    ],
)
def test_a_smaller_vpc_is_cut_by_the_same_rule(vpc: str, private: str, public: str) -> None:
    assert str(subnet_range(IPv4Network(vpc), "b", public=False)) == private
    assert str(subnet_range(IPv4Network(vpc), "b", public=True)) == public


@pytest.mark.parametrize(
    ("subnet", "reserved"),
    [
        ("10.20.32.0/19", ["10.20.32.0/20", "10.20.48.0/21", "10.20.56.0/22"]),
        ("192.168.4.128/25", ["192.168.4.128/26", "192.168.4.192/27", "192.168.4.224/28"]),
    ],
)
def test_seven_eighths_of_a_machine_subnet_are_kept_for_machines(subnet: str, reserved: list[str]) -> None:
    ranges = reserved_ranges(IPv4Network(subnet))
    assert [str(cidr) for cidr in ranges] == reserved
    assert sum(cidr.num_addresses for cidr in ranges) == IPv4Network(subnet).num_addresses * 7 // 8


def test_each_zone_has_one_private_and_one_public_subnet() -> None:
    subnets = aws_of(prod()).subnets
    assert {name: (subnet.zone, str(subnet.cidr), subnet.public) for name, subnet in subnets.items()} == {
        "private-a": ("eu-central-1a", "10.20.0.0/19", False),
        "private-b": ("eu-central-1b", "10.20.32.0/19", False),
        "private-c": ("eu-central-1c", "10.20.64.0/19", False),
        "public-a": ("eu-central-1a", "10.20.128.0/19", True),
        "public-b": ("eu-central-1b", "10.20.160.0/19", True),
        "public-c": ("eu-central-1c", "10.20.192.0/19", True),
    }


def test_a_pools_own_zone_gets_subnets_and_the_balancer_stays_as_it_is() -> None:
    value = prod(workerPools=[{"name": "general", "aws": {"zones": ["d"]}}])
    aws = aws_of(value)
    assert [name for name in aws.subnets if name.endswith("-d")] == ["private-d", "public-d"]
    assert aws.api == aws_of(prod()).api


# Machines


def test_the_small_cluster_has_exactly_these_machines() -> None:
    plan = plan_of(dev())
    assert [(m.name, str(m.address), m.zone, m.architecture) for m in plan.machines] == [
        ("cp-0", "172.31.128.10", "eu-central-1a", "arm64"),
        ("cp-1", "172.31.160.11", "eu-central-1b", "arm64"),
        ("cp-2", "172.31.192.12", "eu-central-1c", "arm64"),
        ("worker-general-0", "172.31.128.20", "eu-central-1a", "arm64"),
        ("worker-general-1", "172.31.160.21", "eu-central-1b", "arm64"),
    ]
    assert (plan.endpoint, plan.warnings, plan.load_balancers) == (None, (), ())
    assert aws_of(dev()).public_addresses == 5 + 3  # machines, the balancer in three zones


def test_the_large_cluster_has_exactly_these_machines() -> None:
    plan = plan_of(prod())
    assert [(m.name, str(m.address), m.zone, m.architecture) for m in plan.machines] == [
        ("cp-0", "10.20.0.10", "eu-central-1a", "arm64"),
        ("cp-1", "10.20.32.11", "eu-central-1b", "arm64"),
        ("cp-2", "10.20.64.12", "eu-central-1c", "arm64"),
        ("worker-general-0", "10.20.0.20", "eu-central-1a", "arm64"),
        ("worker-general-1", "10.20.32.21", "eu-central-1b", "arm64"),
        ("worker-general-2", "10.20.64.22", "eu-central-1c", "arm64"),
        ("worker-batch-0", "10.20.4.20", "eu-central-1a", "amd64"),
        ("worker-batch-1", "10.20.36.21", "eu-central-1b", "amd64"),
        ("worker-batch-2", "10.20.68.22", "eu-central-1c", "amd64"),
    ]
    assert aws_of(prod()).public_addresses == 3 + 1  # gateways, the bastion


def test_machines_take_the_zones_in_the_lists_order_by_their_numbers() -> None:
    pool = {"name": "p", "count": 5, "exclude": [1], "aws": {"zones": ["d", "b"]}}
    plan = plan_of(with_platform(dev(workerPools=[pool]), zones=["c", "a"]))
    assert {machine.name: machine.zone[-1] for machine in plan.machines} == {
        "cp-0": "c", "cp-1": "a", "cp-2": "c",
        "worker-p-0": "d", "worker-p-2": "d", "worker-p-3": "b", "worker-p-4": "d",
    }  # fmt: skip


def test_a_single_machines_type_is_another_one_than_its_pools() -> None:
    aws = {"instanceType": "t4g.medium", "instanceTypes": {"worker-general-1": "m7i.large"}, "zones": ["b"]}
    images = {"amd64": "ami-0123456789abcdef1", "arm64": "ami-0123456789abcdef2"}
    value = with_platform(dev(workerPools=[{"name": "general", "count": 2, "aws": aws}]), images=images)
    found = aws_of(value).instances
    assert [
        (i.instance_type, i.architecture, i.image, i.subnet) for n, i in found.items() if "worker" in n
    ] == [
        ("t4g.medium", "arm64", "ami-0123456789abcdef2", "public-b"),
        ("m7i.large", "amd64", "ami-0123456789abcdef1", "public-b"),
    ]


# Ways in and out


@pytest.mark.parametrize(
    ("nat", "gateways"),
    [
        ("none", []),
        ("shared", [("nat-a", "public-a", "10.20.128.4", ("private-a", "private-b", "private-c"))]),
        (
            "per-zone",
            [
                ("nat-a", "public-a", "10.20.128.4", ("private-a",)),
                ("nat-b", "public-b", "10.20.160.4", ("private-b",)),
                ("nat-c", "public-c", "10.20.192.4", ("private-c",)),
            ],
        ),
    ],
)
def test_nat_gateways_serve_these_subnets(
    nat: str, gateways: list[tuple[str, str, str, tuple[str, ...]]]
) -> None:
    found = aws_of(with_platform(prod(), nat=nat)).gateways
    assert [(one.name, one.subnet, str(one.address), one.serves) for one in found] == gateways


def test_public_machines_have_no_nat_gateway() -> None:
    assert aws_of(dev()).gateways == ()


def test_an_internal_balancer_has_planned_addresses_and_one_on_the_internet_has_none() -> None:
    inside, outside = aws_of(prod()).api, aws_of(dev()).api
    assert (inside.internal, {name: str(address) for name, address in inside.subnets.items()}) == (
        True,
        {"private-a": "10.20.0.5", "private-b": "10.20.32.5", "private-c": "10.20.64.5"},
    )
    assert (outside.internal, outside.subnets) == (False, dict.fromkeys(("public-a", "public-b", "public-c")))


def test_the_bastion_stands_in_the_first_zones_public_subnet() -> None:
    bastion = aws_of(prod()).bastion
    assert bastion is not None
    assert (bastion.subnet, str(bastion.address), bastion.architecture, bastion.image) == (
        "public-a", "10.20.128.6", "arm64", "ami-0fedcba9876543210",
    )  # fmt: skip
    assert aws_of(dev()).bastion is None


def test_the_first_addresses_of_a_public_subnet_are_kept_for_its_gateway_and_bastion() -> None:
    assert aws_of(prod()).subnets["public-b"].reserved == (IPv4Network("10.20.160.0/29"),)


@pytest.mark.parametrize(
    ("region", "domain"),
    [("us-east-1", "ec2.internal"), ("us-east-2", "us-east-2.compute.internal")],
)
def test_the_hosts_domain_is_the_regions(region: str, domain: str) -> None:
    assert aws_of(dev(), region).domain == domain


def test_the_large_cluster_lets_exactly_this_in() -> None:
    found = sorted(rule.name for rule in aws_of(prod()).rules if rule.inward)
    assert found == [
        "api-api-from-10.20.0.0-16",
        "api-api-from-203.0.113.0-24",
        "bastion-ssh-from-203.0.113.0-24",
        "control-plane-api-from-api",
        "control-plane-api-from-control-plane",
        "control-plane-api-from-worker",
        "control-plane-etcd-from-control-plane",
        "control-plane-icmp-from-control-plane",
        "control-plane-icmp-from-worker",
        "control-plane-kubelet-from-control-plane",
        "control-plane-kubelet-from-worker",
        "control-plane-ssh-from-bastion",
        "control-plane-vxlan-from-control-plane",
        "control-plane-vxlan-from-worker",
        "worker-icmp-from-control-plane",
        "worker-icmp-from-worker",
        "worker-kubelet-from-control-plane",
        "worker-kubelet-from-worker",
        "worker-ssh-from-bastion",
        "worker-vxlan-from-control-plane",
        "worker-vxlan-from-worker",
    ]


# A VPC of the operator's own


def test_in_a_given_vpc_machines_stand_in_the_given_subnets() -> None:
    plan = plan_of(in_given_vpc())
    assert [(m.name, str(m.address)) for m in plan.control_plane] == [
        ("cp-0", "10.20.7.10"), ("cp-1", "10.20.8.11"), ("cp-2", "10.20.7.12"),
    ]  # fmt: skip
    aws = aws_of(in_given_vpc())
    assert (aws.given_vpc, aws.gateways, aws.public_machines) == ("vpc-0123456789abcdef0", (), False)
    assert {name: subnet.given_id for name, subnet in aws.subnets.items()} == {
        "private-a": "subnet-0123456789abcdef0",
        "private-b": "subnet-0123456789abcdef1",
        "public-b": "subnet-0123456789abcdef2",
    }
    assert [subnet.reserved for subnet in aws.subnets.values()] == [(), (), ()]


def test_in_a_given_vpc_the_balancer_and_the_bastion_take_what_aws_gives_them() -> None:
    aws = aws_of(in_given_vpc())
    assert aws.api.subnets == {"public-b": None}
    assert aws.bastion is not None
    assert (aws.bastion.subnet, aws.bastion.address) == ("public-b", None)


# Room


@pytest.mark.parametrize(
    ("machines", "block", "count", "last"),
    [
        ("10.20.0.0/16", 6, 1000, "10.20.27.251"),
        ("10.20.0.0/22", 0, 92, "10.20.0.111"),
    ],
)
def test_the_last_machine_that_fits_has_this_address(
    machines: str, block: int, count: int, last: str
) -> None:
    pool = {"name": "p", "block": block, "count": count, "aws": {"zones": ["a"]}}
    value = prod(workerPools=[pool], network={"machines": machines, "pods": "100.64.0.0/11"})
    assert plan_of(value).workers[-1].address == IPv4Address(last)


# etcd's volume


def test_etcds_volume_holds_the_quota_of_its_unit_file() -> None:
    unit = (PROJECT / "components/rootfs/etcd/etc/systemd/system/etcd.service").read_text()
    assert f"--quota-backend-bytes={ETCD_QUOTA_GIB * 2**30} " in unit
    assert AwsControlPlane().etcd_volume_gib >= ETCD_QUOTA_GIB + ETCD_HEAD_ROOM_GIB


# Warnings


@pytest.mark.parametrize(
    ("api", "warned"),
    [
        ({"visibility": "internet-facing", "cidrs": ["0.0.0.0/0"]}, True),
        ({"visibility": "internet-facing", "cidrs": ["203.0.113.0/24", "64.0.0.0/7"]}, True),
        ({"visibility": "internet-facing", "cidrs": ["203.0.113.0/24"]}, False),
        ({"visibility": "internet-facing"}, False),
        ({"visibility": "internal", "cidrs": ["0.0.0.0/0"]}, False),
    ],
)
def test_an_api_that_is_open_to_the_world_is_a_warning(api: dict[str, Any], warned: bool) -> None:
    found = plan_of(with_platform(dev(), api=api)).warnings
    assert [warning.split(" on TCP")[0] for warning in found] == (
        [f"The API answers {api['cidrs'][-1]}"] if warned else []
    )


def test_machines_without_a_way_out_and_without_a_mirror_are_a_warning() -> None:
    enclosed = with_platform(prod(), nat="none")
    [warning] = plan_of(enclosed).warnings
    assert warning.startswith("Machines have no way out (platform.nat: none) and artifacts no mirror")
    mirrored = {**enclosed["artifacts"], "mirror": "http://10.20.96.5"}
    assert plan_of({**enclosed, "artifacts": mirrored}).warnings == ()
    assert plan_of(in_given_vpc()).warnings == ()


# Network policies


def artifact_names(value: dict[str, Any]) -> set[str]:
    plan = plan_of(value)
    return {artifact.name for artifact in machine_artifacts(plan, plan.control_plane[0])}


@pytest.mark.parametrize("value", [dev(), prod(), hosts()], ids=["dev", "prod", "hosts"])
def test_without_a_mirror_network_policies_come_as_an_image_and_need_no_binary(value: dict[str, Any]) -> None:
    assert plan_of(value).network_policies_from_image
    assert "kube-network-policies" not in artifact_names(value)
    assert "flanneld" in artifact_names(value)


def test_a_mirror_and_the_lab_have_the_binary_of_network_policies() -> None:
    value = dev()
    mirrored = {**value, "artifacts": {**value["artifacts"], "mirror": "http://10.20.96.5"}}
    for one in (mirrored, lab()):
        assert not plan_of(one).network_policies_from_image
        assert "kube-network-policies" in artifact_names(one)


def test_with_a_cni_of_the_operators_own_there_are_no_network_policies() -> None:
    value = dev(network={"cni": "none"})
    assert not plan_of(value).network_policies_from_image
    assert artifact_names(value) & {"kube-network-policies", "flanneld"} == set()


# The files themselves


def test_the_small_cluster_is_small_and_the_large_one_is_guarded() -> None:
    small, large = cluster_of(PROJECT / "Pulumi.dev.yaml"), aws_of(prod())
    assert small["platform"]["api"]["visibility"] == "internet-facing"
    assert aws_of(dev()).deletion_protection is False
    assert [instance.spot for name, instance in aws_of(dev()).instances.items() if "worker" in name] == [
        True,
        True,
    ]
    assert (large.deletion_protection, large.rotate_host_keys) == (True, True)
    assert (large.cloud_controller, large.ebs_csi, large.ecr_credentials) == (True, True, True)
    assert [n for n, i in large.instances.items() if i.spot] == [
        f"worker-batch-{number}" for number in range(3)
    ]

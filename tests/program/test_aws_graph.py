"""The whole program on AWS: which resources, below what, with which names, SANs and options."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest

from config.certificates import certificates_for
from tests.components.test_golden import GOLDEN, compare
from tests.config.clusters import PROJECT, dev, plan_of, prod
from tests.program.made_up import (
    AWS_PROVIDER,
    CERT_REQUEST,
    LOCALLY_SIGNED,
    PRIVATE_KEY,
    REMOTE,
    SELF_SIGNED,
)
from tests.program.recording import Run
from tests.program.runs import added, changed, dev_run, lab_run, prod_run, run_of

UpAndPreview = pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])

DEV: dict[str, int] = {
    AWS_PROVIDER: 1,
    "aws:ec2/vpc:Vpc": 1,
    "aws:ec2/vpcDhcpOptions:VpcDhcpOptions": 1,
    "aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation": 1,
    "aws:ec2/internetGateway:InternetGateway": 1,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 1,  # S3 without a gateway's price
    "aws:ec2/subnet:Subnet": 6,  # a public and a private one in 3 zones
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": 9,  # 3 parts of each of 3 machine subnets
    "aws:ec2/routeTable:RouteTable": 4,  # all public subnets', and one for each private one
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 6,
    "aws:ec2/route:Route": 1,  # to the internet
    "aws:ec2/securityGroup:SecurityGroup": 3,  # control plane, workers, the API's balancer
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 22,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 3,
    "aws:lb/loadBalancer:LoadBalancer": 1,
    "aws:lb/listener:Listener": 1,
    "aws:lb/targetGroup:TargetGroup": 1,
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": 3,
    "aws:iam/role:Role": 2,
    "aws:iam/instanceProfile:InstanceProfile": 2,
    "aws:ec2/instance:Instance": 5,
    "aws:ebs/volume:Volume": 3,  # etcd's
    "aws:ec2/volumeAttachment:VolumeAttachment": 3,
    PRIVATE_KEY: 40,  # 3 authorities, 29 leaves, service accounts, the seed, a login, 5 machines
    SELF_SIGNED: 3,
    CERT_REQUEST: 29,
    LOCALLY_SIGNED: 29,
    REMOTE: 17,  # prepare, activate and drain of 5 machines, add-ons, the gate
    "hardway:index:Network": 1,
    "hardway:index:Firewall": 1,
    "hardway:index:ApiLoadBalancer": 1,
    "hardway:index:InstanceProfiles": 1,
    "hardway:index:Ec2Fleet": 1,
    "hardway:index:CertificateAuthority": 1,
    "hardway:index:ControlPlane": 1,
    "hardway:index:WorkerPool": 1,
    "hardway:index:Kubeconfig": 1,
    "hardway:index:NodePrepare": 5,
    "hardway:index:NodeConfig": 5,
    "hardway:index:NodeDrain": 5,
    "hardway:index:NodeTask": 2,
}
PROD: dict[str, int] = {
    **DEV,
    "aws:ec2/eip:Eip": 4,  # 3 gateways, the bastion
    "aws:ec2/natGateway:NatGateway": 3,
    "aws:ec2/route:Route": 4,  # to the internet, and each private subnet's to its gateway
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": 12,  # and the doors of 3 public subnets
    "aws:ec2/securityGroup:SecurityGroup": 4,  # and the bastion's
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 21,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 5,
    "aws:iam/rolePolicy:RolePolicy": 2,
    "aws:ec2/instance:Instance": 10,  # 3 + 6 and the bastion
    PRIVATE_KEY: 62,  # 8 leaves, 4 workers and the bastion more, and 9 second host keys
    CERT_REQUEST: 37,
    LOCALLY_SIGNED: 37,
    REMOTE: 39,  # prepare, activate, drain and host key of 9 machines, add-ons, the gate, the sweep
    "hardway:index:Bastion": 1,
    "hardway:index:WorkerPool": 2,
    "hardway:index:NodePrepare": 9,
    "hardway:index:NodeConfig": 9,
    "hardway:index:NodeDrain": 9,
    "hardway:index:NodeSweep": 1,
    "hardway:index:NodeHostKey": 9,
}

RUNS = {"dev": dev_run, "prod": prod_run}
EachStack = pytest.mark.parametrize("stack", RUNS)


@UpAndPreview
def test_the_small_cluster_is_exactly_these_many_resources(preview: bool) -> None:
    assert Counter(resource.type for resource in dev_run(preview=preview).resources) == DEV


@UpAndPreview
def test_the_large_cluster_is_exactly_these_many_resources(preview: bool) -> None:
    assert Counter(resource.type for resource in prod_run(preview=preview).resources) == PROD


@UpAndPreview
@EachStack
def test_names_and_parents_are_exactly_the_golden_ones(stack: str, preview: bool) -> None:
    """A logical name is identity: another one replaces the resource, and with it a machine or a volume."""
    resources = RUNS[stack](preview=preview).resources
    lines = sorted(resource.urn.removeprefix("urn:pulumi:test::hardway::") for resource in resources)
    compare(GOLDEN / f"{stack}-program", {"resources.txt": "\n".join(lines) + "\n"})


@EachStack
def test_every_real_resource_but_the_provider_lies_below_a_component_of_ours(stack: str) -> None:
    for resource in RUNS[stack]().resources:
        if resource.custom and resource.type != AWS_PROVIDER:
            assert resource.parent_type.startswith("hardway:index:"), resource.urn


@EachStack
def test_everything_on_aws_is_made_by_the_one_provider_of_the_stacks_region(stack: str) -> None:
    run = RUNS[stack]()
    (provider,) = run.of_type(AWS_PROVIDER).values()
    assert provider.inputs["region"] == "eu-central-1"
    for resource in run.resources:
        if resource.type.startswith("aws:"):
            assert resource.provider == provider.urn, resource.urn
            assert "region" not in resource.inputs, resource.urn


@EachStack
def test_everything_bears_the_tags_of_cluster_and_stack(stack: str) -> None:
    (provider,) = RUNS[stack]().of_type(AWS_PROVIDER).values()
    team = ',"team":"platform"' if stack == "prod" else ""
    assert provider.inputs["defaultTags"].replace(" ", "") == (
        f'{{"tags":{{"environment":"{stack}"{team},'
        f'"hardway.dev/cluster":"{stack}","hardway.dev/stack":"test"}}}}'
    )


def test_the_lab_makes_nothing_on_aws_and_does_not_even_load_its_sdk() -> None:
    assert {r.type for r in lab_run().resources if "aws" in r.type} == set()
    program = (
        "import sys\n"
        "from tests.program.runs import lab_with\n"
        "from tests.program.recording import run_program\n"
        "run_program(lab_with())\n"
        "print(sorted(name for name in sys.modules if name.startswith('pulumi_aws')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@UpAndPreview
@EachStack
def test_subject_and_names_of_every_leaf_are_the_tables_and_known_before_anything_exists(
    stack: str, preview: bool
) -> None:
    value = {"dev": dev, "prod": prod}[stack]()
    requests = RUNS[stack](preview=preview).of_type(CERT_REQUEST)
    assert {
        name: (
            one.inputs["subject"]["commonName"],
            one.inputs["subject"].get("organization"),
            tuple(one.inputs.get("dnsNames", ())),
            tuple(one.inputs.get("ipAddresses", ())),
        )
        for name, one in requests.items()
    } == {
        spec.name: (spec.common_name, spec.organization, spec.dns_names, spec.ip_addresses)
        for spec in certificates_for(plan_of(value))
    }


def test_the_api_servers_certificate_names_the_api_and_its_own_machines_and_no_balancer() -> None:
    request = prod_run(preview=True).of_type(CERT_REQUEST)["apiserver-cp-1"].inputs
    assert "api.prod.internal" in request["dnsNames"]
    assert not [name for name in request["dnsNames"] if "elb" in name]
    assert {"10.20.32.11", "127.0.0.1", "10.32.0.1"} <= set(request["ipAddresses"])


def test_the_kubeconfig_points_at_the_balancer_whose_name_only_aws_knows() -> None:
    assert dev_run().exports["endpoint"] == "https://api.elb.example:6443"


def test_an_endpoint_of_the_operators_own_stands_in_the_kubeconfig() -> None:
    platform = dev()["platform"]
    platform["api"] = {**platform["api"], "endpoint": "k8s.example.com"}
    run = run_of(dev(platform=platform))
    assert run.exports["endpoint"] == "https://k8s.example.com:6443"


@EachStack
def test_what_the_next_run_has_to_know_of_a_machine_is_exported(stack: str) -> None:
    rotated = stack == "prod"
    expected = {
        "dev": {"sshHost": "public address of machine-cp-1", "address": "172.31.160.11"},
        "prod": {"sshHost": "10.20.32.11", "address": "10.20.32.11"},
    }[stack]
    assert RUNS[stack]().exports["machines"]["cp-1"] == {
        "role": "control-plane",
        "zone": "eu-central-1b",
        "sshPort": 22,
        "sshUser": "hardway",
        "instanceType": {"dev": "t4g.medium", "prod": "m7g.large"}[stack],
        "spot": False,
        "rootVolumeGib": 20,
        "etcdVolumeGib": {"dev": 10, "prod": 20}[stack],
        "loginKey": "generated",
        "replacements": 0,
        "listed": False,
        "hostKeyRotated": rotated,
        **expected,
    }


def touched(before: Run, after: Run) -> set[str]:
    """What of AWS and on machines differs between two runs."""
    return {name for name in changed(before, after) if not name.startswith("hardway:")}


def test_a_new_worker_touches_no_other_machine_and_no_network() -> None:
    before, after = dev_run(), run_of(dev(workerPools=[{**dev()["workerPools"][0], "count": 3}]))
    assert touched(before, after) == {f"{REMOTE} ready"}
    new = "worker-general-2"
    assert {name for name in added(before, after) if name.startswith("aws:")} == {
        f"aws:ec2/instance:Instance machine-{new}"
    }


def test_a_pool_in_a_new_zone_moves_nothing_that_is_there() -> None:
    pools = [*dev()["workerPools"], {"name": "far", "count": 1, "block": 1, "aws": {"zones": ["d"]}}]
    before, after = dev_run(), run_of(dev(workerPools=pools))
    # The endpoint for S3 lists every route table; it is changed in place.
    assert touched(before, after) == {f"{REMOTE} ready", "aws:ec2/vpcEndpoint:VpcEndpoint s3"}

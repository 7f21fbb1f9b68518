"""What waits for what on AWS, and what a preview cannot know."""

from __future__ import annotations

import pytest

from tests.program.made_up import REMOTE
from tests.program.recording import Resource, Run
from tests.program.runs import dev_run, prod_run
from tests.program.wire import UNKNOWN, strings

RUNS = {"dev": dev_run, "prod": prod_run}
EachStack = pytest.mark.parametrize("stack", RUNS)
UpAndPreview = pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
INSTANCE = "aws:ec2/instance:Instance"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
ROUTE = "aws:ec2/route:Route"
NAT = "aws:ec2/natGateway:NatGateway"


def kinds_before(run: Run, resource: Resource) -> set[str]:
    """Short types of everything that a resource waits for, however far back."""
    return {one.type.rpartition(":")[2] for one in run.after([resource.urn]) if one.custom}


def named_before(run: Run, resource: Resource, kind: str) -> set[str]:
    """Names of everything of a type that a resource waits for, however far back."""
    return {one.name for one in run.after([resource.urn]) if one.type == kind}


@UpAndPreview
@EachStack
def test_nothing_on_a_machine_waits_for_the_balancer(stack: str, preview: bool) -> None:
    run = RUNS[stack](preview=preview)
    for command in run.of_type(REMOTE).values():
        assert not {one.type for one in run.after([command.urn]) if one.type.startswith("aws:lb/")}


@UpAndPreview
@EachStack
def test_nothing_but_its_listener_waits_for_the_balancer(stack: str, preview: bool) -> None:
    run = RUNS[stack](preview=preview)
    waiting = {f"{one.type} {one.name}" for one in run.resources if named_before(run, one, BALANCER)}
    assert waiting == {"aws:lb/listener:Listener api"}


@EachStack
def test_of_what_goes_out_only_endpoint_and_kubeconfig_wait_for_the_balancer(stack: str) -> None:
    """Both hold its name; the recorder gives a name that occurs nowhere else."""
    exports = RUNS[stack]().exports
    holding = {
        key for key, one in exports.items() for _, text, _ in strings(one) if "api.elb.example" in text
    }
    assert holding == {"endpoint", "kubeconfig"}


@UpAndPreview
@EachStack
def test_an_instance_waits_for_its_subnet_group_profile_and_keys_alone(stack: str, preview: bool) -> None:
    run = RUNS[stack](preview=preview)
    profile = {"Role", "InstanceProfile"} | ({"RolePolicy"} if stack == "prod" else set())
    for name, instance in run.of_type(INSTANCE).items():
        expected = {"aws", "Vpc", "Subnet", "SecurityGroup", "PrivateKey"}
        assert kinds_before(run, instance) == expected | (set() if name == "bastion" else profile), name


@UpAndPreview
def test_on_public_machines_nothing_waits_for_more_than_the_internet(preview: bool) -> None:
    run = dev_run(preview=preview)
    assert run.of_type(NAT) == {}
    for command in run.of_type(REMOTE).values():
        assert named_before(run, command, ROUTE) == {"public-internet"}


@UpAndPreview
def test_preparing_a_private_machine_waits_for_its_own_zones_gateway_and_no_other(preview: bool) -> None:
    run = prod_run(preview=preview)
    zones = {
        "cp-0": "a",
        "cp-1": "b",
        "cp-2": "c",
        **{f"worker-{pool}-{n}": "abc"[n] for pool in ("general", "batch") for n in range(3)},
    }
    for machine, zone in zones.items():
        prepare = run.command(f"prepare-{machine}")
        assert named_before(run, prepare, NAT) == {f"nat-{zone}"}
        assert named_before(run, prepare, ROUTE) == {"public-internet", f"private-{zone}-nat"}


@UpAndPreview
@EachStack
def test_a_machine_is_logged_in_only_when_its_rules_let_it(stack: str, preview: bool) -> None:
    run = RUNS[stack](preview=preview)
    inward = set(run.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"))
    own = {name for name in inward if not name.startswith("api-")}
    for name, command in run.of_type(REMOTE).items():
        if name.startswith("prepare-"):
            kind = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
            assert named_before(run, command, kind) == own


@UpAndPreview
@EachStack
def test_a_balancer_waits_until_the_machines_addresses_are_kept_and_its_network_is_there(
    stack: str, preview: bool
) -> None:
    """Else one of its interfaces takes an address of the plan, or AWS refuses it for want of a gateway."""
    run = RUNS[stack](preview=preview)
    balancer = run.of_type(BALANCER)["api"]
    kept = "aws:ec2/subnetCidrReservation:SubnetCidrReservation"
    assert named_before(run, balancer, kept) == set(run.of_type(kept))
    assert named_before(run, balancer, ROUTE) == ({"public-internet"} if stack == "dev" else set())
    assert named_before(run, balancer, NAT) == set()


def test_addresses_of_the_internet_wait_for_its_gateway() -> None:
    run = prod_run()
    bastion = run.of_type("aws:ec2/eip:Eip")["bastion"]
    assert named_before(run, bastion, ROUTE) == {"public-internet"}
    for gateway in run.of_type(NAT).values():
        assert named_before(run, gateway, ROUTE) == {"public-internet"}


ORDER_DEV = {
    **{f"prepare-cp-{n}": set[str]() for n in range(3)},
    **{f"prepare-worker-general-{n}": set[str]() for n in range(2)},
    **{f"drain-worker-general-{n}": set[str]() for n in range(2)},
    "activate-cp-0": {
        *(f"prepare-cp-{n}" for n in range(3)),
        *(f"prepare-worker-general-{n}" for n in range(2)),
    },
    "activate-cp-1": {f"prepare-cp-{n}" for n in range(3)} | {"activate-cp-0"},
    "activate-cp-2": {f"prepare-cp-{n}" for n in range(3)} | {"activate-cp-1"},
}


@UpAndPreview
def test_commands_wait_for_each_other_as_in_the_lab(preview: bool) -> None:
    run = dev_run(preview=preview)
    for name, expected in ORDER_DEV.items():
        assert run.waits_for(name) == expected, name
    activated = {f"activate-cp-{n}" for n in range(3)}
    assert run.waits_for("add-ons") == activated
    assert run.waits_for("activate-worker-general-0") == activated | {"prepare-worker-general-0"}
    follows = {"activate-worker-general-0", "prepare-worker-general-1"}
    assert run.waits_for("activate-worker-general-1") == follows


IDS_AND_NAMES = {
    ("InternetGateway", "vpcId"),
    ("Subnet", "vpcId"),
    ("SubnetCidrReservation", "subnetId"),
    ("VpcDhcpOptionsAssociation", "dhcpOptionsId"),
    ("VpcDhcpOptionsAssociation", "vpcId"),
    ("VpcEndpoint", "routeTableIds"),
    ("VpcEndpoint", "vpcId"),
    ("Route", "gatewayId"),
    ("Route", "routeTableId"),
    ("RouteTable", "vpcId"),
    ("RouteTableAssociation", "routeTableId"),
    ("RouteTableAssociation", "subnetId"),
    ("SecurityGroup", "vpcId"),
    ("SecurityGroupEgressRule", "referencedSecurityGroupId"),
    ("SecurityGroupEgressRule", "securityGroupId"),
    ("SecurityGroupIngressRule", "referencedSecurityGroupId"),
    ("SecurityGroupIngressRule", "securityGroupId"),
    ("LoadBalancer", "securityGroups"),
    ("LoadBalancer", "subnetMappings.subnetId"),
    ("Listener", "defaultActions.targetGroupArn"),
    ("Listener", "loadBalancerArn"),
    ("TargetGroup", "vpcId"),
    ("TargetGroupAttachment", "targetGroupArn"),
    ("InstanceProfile", "role"),
    ("Instance", "iamInstanceProfile"),
    ("Instance", "subnetId"),
    ("Instance", "vpcSecurityGroupIds"),
    ("VolumeAttachment", "instanceId"),
    ("VolumeAttachment", "volumeId"),
}
"""What AWS calls the things that it has made."""
KEYS = {
    ("CertRequest", "privateKeyPem"),
    ("SelfSignedCert", "privateKeyPem"),
    ("LocallySignedCert", "caCertPem"),
    ("LocallySignedCert", "caPrivateKeyPem"),
    ("LocallySignedCert", "certRequestPem"),
    ("Instance", "userData"),
    ("Command", "connection"),
    ("hardway:index:NodeConfig", "secretFiles"),
}
"""What is made of random numbers; a connection holds the login's."""
MACHINES = {("Command", "stdin"), ("Command", "triggers")}
"""What a machine alone is: its identity, and facts that are found on it."""
UNKNOWN_IN_DEV = IDS_AND_NAMES | KEYS | MACHINES
UNKNOWN_IN_PROD = UNKNOWN_IN_DEV | {
    ("Eip", "instance"),
    ("NatGateway", "allocationId"),
    ("NatGateway", "subnetId"),
    ("Route", "natGatewayId"),
    ("RolePolicy", "role"),
}


def unknown_inputs(run: Run) -> set[tuple[str, str]]:
    """Type and path of every input that a preview leaves to providers."""
    return {
        (one.type.rpartition(":")[2] if one.custom else one.type, path)
        for one in run.resources
        for path, text, _ in strings(one.inputs)
        if text == UNKNOWN
    }


def test_a_preview_leaves_these_inputs_to_providers_and_no_others() -> None:
    assert unknown_inputs(dev_run(preview=True)) == UNKNOWN_IN_DEV
    assert unknown_inputs(prod_run(preview=True)) == UNKNOWN_IN_PROD


@EachStack
def test_every_file_of_every_machine_is_known_before_anything_exists(stack: str) -> None:
    up, preview = (
        RUNS[stack](preview=preview).of_type("hardway:index:NodeConfig") for preview in (False, True)
    )
    assert {name: one.inputs["files"] for name, one in preview.items()} == {
        name: one.inputs["files"] for name, one in up.items()
    }
    assert all(UNKNOWN not in one.inputs["files"].values() for one in preview.values())

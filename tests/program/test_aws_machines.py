"""Machines, volumes and the API's balancer on AWS: what each is told, and what it survives."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.ec2_fleet import REPLACEMENTS_TAG
from tests.config.clusters import dev, plan_of, prod
from tests.program.made_up import REMOTE
from tests.program.recording import Run
from tests.program.runs import dev_run, prod_run, run_of
from tests.program.wire import Secret, open_up

RUNS = {"dev": dev_run, "prod": prod_run}
EachStack = pytest.mark.parametrize("stack", RUNS)
INSTANCE = "aws:ec2/instance:Instance"
VOLUME = "aws:ebs/volume:Volume"
ATTACHMENT = "aws:ec2/volumeAttachment:VolumeAttachment"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"


def machines(run: Run) -> dict[str, dict[str, Any]]:
    """Inputs of every instance but the bastion's, by machine."""
    return {
        name.removeprefix("machine-"): one.inputs
        for name, one in run.of_type(INSTANCE).items()
        if name != "bastion"
    }


@EachStack
def test_a_machine_has_its_planned_address_subnet_image_and_size(stack: str) -> None:
    plan = plan_of({"dev": dev, "prod": prod}[stack]())
    assert plan.aws is not None
    made = machines(RUNS[stack]())
    assert set(made) == {machine.name for machine in plan.machines}
    for machine in plan.machines:
        wanted = plan.aws.instances[machine.name]
        inputs = made[machine.name]
        assert {key: inputs[key] for key in ("privateIp", "subnetId", "ami", "instanceType")} == {
            "privateIp": str(machine.address),
            "subnetId": f"Subnet {wanted.subnet}",
            "ami": wanted.image,
            "instanceType": wanted.instance_type,
        }
        assert inputs["rootBlockDevice"]["volumeSize"] == wanted.root_gib


@EachStack
def test_no_pod_gets_at_a_machines_credentials_and_no_disk_is_plain(stack: str) -> None:
    for instance in RUNS[stack]().of_type(INSTANCE).values():
        assert instance.inputs["metadataOptions"] == {
            "httpEndpoint": "enabled",
            "httpTokens": "required",
            "httpPutResponseHopLimit": 1,
        }
        disk = instance.inputs["rootBlockDevice"]
        assert (disk["volumeType"], disk["encrypted"], disk["deleteOnTermination"]) == ("gp3", True, True)
    for volume in RUNS[stack]().of_type(VOLUME).values():
        assert (volume.inputs["type"], volume.inputs["encrypted"]) == ("gp3", True)


@EachStack
def test_source_addresses_stay_checked_and_public_ones_are_only_for_public_machines(stack: str) -> None:
    for inputs in machines(RUNS[stack]()).values():
        assert inputs["sourceDestCheck"] is True
        assert inputs["associatePublicIpAddress"] is (stack == "dev")


@EachStack
def test_an_instance_goes_before_its_successor_comes_and_keeps_image_and_first_boot_data(stack: str) -> None:
    """Both would have one address; a new image in the settings replaces nobody (typhoon#126)."""
    for instance in RUNS[stack]().of_type(INSTANCE).values():
        assert instance.delete_before_replace
        assert instance.ignore_changes == (
            ("userData",)
            if instance.name == "bastion"
            else ("ami", "userData", "associatePublicIpAddress", f'tags["{REPLACEMENTS_TAG}"]')
        )
        assert not instance.protect


def test_only_pools_that_ask_for_it_are_on_spot_machines() -> None:
    spot = {
        "marketType": "spot",
        "spotOptions": {"spotInstanceType": "one-time", "instanceInterruptionBehavior": "terminate"},
    }
    for stack, pool in (("dev", "general"), ("prod", "batch")):
        made = {name: one.get("instanceMarketOptions") for name, one in machines(RUNS[stack]()).items()}
        assert made == {name: spot if f"worker-{pool}-" in name else None for name in made}


@EachStack
def test_a_role_gets_its_own_profile(stack: str) -> None:
    for name, inputs in machines(RUNS[stack]()).items():
        role = "control-plane" if name.startswith("cp-") else "worker"
        assert inputs["iamInstanceProfile"] == f"profile-{role}-1234567"
    if stack == "prod":
        assert "iamInstanceProfile" not in prod_run().of_type(INSTANCE)["bastion"].inputs


@EachStack
def test_first_boot_data_are_secret_and_hold_a_host_key_and_one_login(stack: str) -> None:
    for name, instance in RUNS[stack]().of_type(INSTANCE).items():
        assert isinstance(instance.inputs["userData"], Secret), name
        text = open_up(instance.inputs["userData"])
        assert text.startswith("#cloud-config\n")
        data = yaml.safe_load(text)
        own = {"write_files"} if name == "bastion" else set()
        assert set(data) == own | {"ssh_deletekeys", "ssh_keys", "ssh_pwauth", "disable_root", "users"}
        host = f"ssh-host-{name.removeprefix('machine-')}"
        assert data["ssh_keys"]["ed25519_public"] == f"ssh-ed25519 {host}"
        assert (data["ssh_deletekeys"], data["ssh_pwauth"], data["disable_root"]) == (True, False, True)
        (login,) = data["users"]
        assert (login["name"], login["ssh_authorized_keys"]) == ("hardway", ["ssh-ed25519 ssh-login"])
        assert login["lock_passwd"] is True
        for written in data.get("write_files", ()):
            assert written == {
                "path": "/etc/ssh/sshd_config.d/10-hardway.conf",
                "content": "MaxStartups 100:30:200\n",
            }


@EachStack
def test_etcds_data_have_a_volume_that_outlives_the_machine(stack: str) -> None:
    run = RUNS[stack]()
    protected = stack == "prod"
    assert set(run.of_type(VOLUME)) == {"etcd-cp-0", "etcd-cp-1", "etcd-cp-2"}
    for name, volume in run.of_type(VOLUME).items():
        zone = {"0": "a", "1": "b", "2": "c"}[name[-1]]
        assert volume.inputs["availabilityZone"] == f"eu-central-1{zone}"
        assert volume.inputs["size"] == (20 if protected else 10)
        assert volume.protect is protected
        attachment = run.of_type(ATTACHMENT)[name]
        assert attachment.inputs["volumeId"] == f"Volume {name}"
        assert attachment.inputs["instanceId"] == f"Instance machine-{name.removeprefix('etcd-')}"
        assert attachment.inputs["stopInstanceBeforeDetaching"] is True
        assert attachment.delete_before_replace


@EachStack
def test_prepare_mounts_the_volume_by_its_id_where_etcd_is_and_knows_the_cloud(stack: str) -> None:
    run = RUNS[stack]()
    for name in ("cp-0", "cp-1", "cp-2"):
        document = run.document(f"prepare-{name}")
        assert document["disks"] == [
            {"device": "/dev/sdf", "mount": "/var/lib/etcd", "volume": f"Volume etcd-{name}", "owner": "etcd"}
        ]
        assert document["cloud"] == "aws"
        attachment = run.of_type(ATTACHMENT)[f"etcd-{name}"].urn
        assert attachment in run.command(f"prepare-{name}").dependencies
    assert run.document("prepare-worker-general-0")["disks"] == []


@EachStack
def test_the_identity_of_a_machine_is_its_instance_and_its_type(stack: str) -> None:
    """A machine that was stopped for another type has other processors, and is looked at again."""
    run = RUNS[stack]()
    for name, inputs in machines(run).items():
        for step in ("prepare", "activate"):
            wanted = f"Instance machine-{name}/{inputs['instanceType']}"
            assert run.document(f"{step}-{name}")["identity"] == wanted


@EachStack
def test_the_balancer_hides_clients_crosses_zones_and_asks_api_servers_whether_they_are_ready(
    stack: str,
) -> None:
    run = RUNS[stack]()
    targets = run.of_type("aws:lb/targetGroup:TargetGroup")["api"].inputs
    assert targets["preserveClientIp"] == "false"  # a target that calls itself times out else (#1160)
    assert (targets["targetType"], targets["protocol"], targets["port"]) == ("ip", "TCP", 6443)
    assert targets["healthCheck"] == {
        "protocol": "HTTPS",
        "path": "/readyz",
        "port": "6443",
        "matcher": "200",
        "interval": 10,
        "timeout": 6,
        "healthyThreshold": 2,
        "unhealthyThreshold": 2,
    }
    balancer = run.of_type(BALANCER)["api"]
    assert balancer.inputs["loadBalancerType"] == "network"
    assert balancer.inputs["enableCrossZoneLoadBalancing"] is True
    assert balancer.inputs["securityGroups"] == ["SecurityGroup api"]
    listener = run.of_type("aws:lb/listener:Listener")["api"].inputs
    assert (listener["port"], listener["protocol"]) == (6443, "TCP")
    assert listener["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:aws:TargetGroup api"}]


@EachStack
def test_the_balancers_targets_are_the_planned_addresses_of_the_control_plane(stack: str) -> None:
    run = RUNS[stack](preview=True)
    plan = plan_of({"dev": dev, "prod": prod}[stack]())
    attachments = run.of_type("aws:lb/targetGroupAttachment:TargetGroupAttachment")
    assert {name: one.inputs["targetId"] for name, one in attachments.items()} == {
        f"api-{machine.name}": str(machine.address) for machine in plan.control_plane
    }


def test_deletion_protection_covers_the_balancer_and_can_be_switched_off() -> None:
    """Its name stands in every kubeconfig that was handed out (kops#15771)."""
    for stack, protected in (("dev", False), ("prod", True)):
        balancer = RUNS[stack]().of_type(BALANCER)["api"]
        assert (balancer.inputs["enableDeletionProtection"], balancer.protect) == (protected, protected)


def test_an_inner_balancer_has_planned_addresses_and_an_outer_one_faces_the_internet() -> None:
    inner, outer = (run.of_type(BALANCER)["api"].inputs for run in (prod_run(), dev_run()))
    assert inner["internal"] is True
    assert inner["subnetMappings"] == [
        {"subnetId": "Subnet private-a", "privateIpv4Address": "10.20.0.5"},
        {"subnetId": "Subnet private-b", "privateIpv4Address": "10.20.32.5"},
        {"subnetId": "Subnet private-c", "privateIpv4Address": "10.20.64.5"},
    ]
    assert outer["internal"] is False
    assert outer["subnetMappings"] == [{"subnetId": f"Subnet public-{zone}"} for zone in "abc"]


def test_every_connection_goes_through_the_bastion_and_is_pinned_on_the_way_and_at_the_end() -> None:
    run = prod_run()
    for name, command in run.of_type(REMOTE).items():
        connection = open_up(command.inputs["connection"])
        assert connection["host"].startswith("10.20."), name
        assert connection["proxy"]["host"] == "public address of bastion"
        assert connection["proxy"]["hostKey"] == "ssh-ed25519 ssh-host-bastion"
        suffix = "" if name.startswith("host-key-") else "-rotated"
        assert connection["hostKey"].removeprefix("ssh-ed25519 ssh-host-").endswith(suffix), name


def test_without_a_bastion_machines_are_reached_at_their_public_addresses() -> None:
    run = dev_run()
    for command in run.of_type(REMOTE).values():
        connection = open_up(command.inputs["connection"])
        assert "proxy" not in connection
        assert connection["host"].startswith("public address of machine-")


def test_a_second_host_key_is_planted_once_for_each_machine_and_before_anything_else() -> None:
    """Another bastion or agent is no reason to log in under a key that is gone; another machine is one."""
    run = prod_run()
    for machine in machines(run):
        planted = run.command(f"host-key-{machine}")
        assert planted.inputs["triggers"] == [f"Instance machine-{machine}"]
        assert planted.ignore_changes == ("connection", "create", "stdin")
        assert open_up(planted.inputs["connection"])["hostKey"] == f"ssh-ed25519 ssh-host-{machine}"
        assert run.document(f"host-key-{machine}")["public"] == f"ssh-ed25519 ssh-host-{machine}-rotated"
        for step in ("prepare", "activate"):
            assert f"host-key-{machine}" in run.waits_for(f"{step}-{machine}")


def test_another_type_of_a_control_plane_machine_does_not_plant_its_host_key_again() -> None:
    """It is stopped and started, and answers to its second key only."""
    of_three = prod()["controlPlane"]
    of_three["aws"]["instanceTypes"] = {"cp-0": "m7g.xlarge"}
    before, after = prod_run(), run_of(prod(controlPlane=of_three))
    for run in (before, after):
        assert run.command("host-key-cp-0").inputs["triggers"] == ["Instance machine-cp-0"]
    assert before.document("host-key-cp-0") == after.document("host-key-cp-0")


GIVEN = {
    "id": "vpc-0123456789abcdef0",
    "machineSubnets": {
        zone: {"id": f"subnet-0123456789abcde{n}0", "cidr": f"10.20.{n * 32}.0/19"}
        for n, zone in enumerate("abc")
    },
    "balancerSubnets": {zone: f"subnet-0123456789abcde{n}1" for n, zone in enumerate("abc")},
}


def test_in_a_vpc_of_the_operators_own_nothing_is_made_that_is_there() -> None:
    platform = {key: one for key, one in prod()["platform"].items() if key not in ("nat", "machineSubnets")}
    run = run_of(prod(platform={**platform, "vpc": GIVEN}))
    networks = ("ec2/vpc", "ec2/sub", "ec2/rou", "ec2/int", "ec2/nat")
    assert [one.urn for one in run.resources if one.type.removeprefix("aws:").startswith(networks)] == []
    assert machines(run)["cp-1"]["subnetId"] == "subnet-0123456789abcde10"
    assert machines(run)["cp-1"]["privateIp"] == "10.20.32.11"
    groups = run.of_type("aws:ec2/securityGroup:SecurityGroup").values()
    assert {group.inputs["vpcId"] for group in groups} == {GIVEN["id"]}

"""What the machines' roles may do, what the operator needs, and that the files in docs/iam say so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.iam import control_plane_policy, partition_of, worker_policy
from config.iam_actions import (
    ACTIONS_BY_TYPE,
    FOLDER,
    ONLY_OWN,
    operator_policy,
    policy_files,
    preview_policy,
)
from tests.components.trees import lab_plan, single_plan
from tests.config.integrations import integrated

COMPONENTS = Path(__file__).parents[2] / "components"
EVERYTHING = ("cloudController", "ebsCsi", "ecrCredentials")
READS = re.compile(r"[a-z0-9]+:(Describe|Get|List)\w+")


def statements(policy: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """A policy's statements by their names."""
    assert policy is not None
    assert policy["Version"] == "2012-10-17"
    found = {statement["Sid"]: statement for statement in policy["Statement"]}
    assert len(found) == len(policy["Statement"])
    return found


def allowed(policy: dict[str, Any] | None) -> set[str]:
    """Every action that a policy allows."""
    return {action for one in statements(policy).values() for action in one["Action"]}


def signed_size(policy: dict[str, Any]) -> int:
    """A policy's length as IAM counts it: without white space."""
    return len(re.sub(r"\s", "", json.dumps(policy)))


@pytest.mark.parametrize("plan", [lab_plan(), single_plan(), integrated()], ids=["lab", "hosts", "aws"])
def test_machines_have_no_rights_where_nothing_is_integrated(plan: Any) -> None:
    assert (control_plane_policy(plan), worker_policy(plan)) == (None, None)


def test_each_integration_brings_its_own_rights_and_no_others() -> None:
    controller = allowed(control_plane_policy(integrated("cloudController")))
    ebs = allowed(control_plane_policy(integrated("cloudController", "ebsCsi"))) - controller
    ecr = allowed(control_plane_policy(integrated("ecrCredentials")))
    assert {action.split(":")[0] for action in controller} == {"ec2", "elasticloadbalancing", "iam"}
    assert {action for action in controller if not READS.fullmatch(action) and action.startswith("ec2:")} == {
        "ec2:AuthorizeSecurityGroupIngress",
        "ec2:CreateSecurityGroup",
        "ec2:CreateTags",
        "ec2:DeleteSecurityGroup",
        "ec2:RevokeSecurityGroupIngress",
    }
    assert {action for action in ebs if not READS.fullmatch(action)} == {
        "ec2:AttachVolume",
        "ec2:CopyVolumes",
        "ec2:CreateVolume",
        "ec2:DeleteVolume",
        "ec2:DetachVolume",
        "ec2:ModifyVolume",
    }
    assert ecr == {
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    }


def test_workers_may_pull_images_and_nothing_else() -> None:
    assert worker_policy(integrated("cloudController", "ebsCsi")) is None
    everything = integrated(*EVERYTHING)
    assert worker_policy(everything) == control_plane_policy(integrated("ecrCredentials"))


def test_no_machine_may_do_everything_of_a_service() -> None:
    assert not any("*" in action for action in allowed(control_plane_policy(integrated(*EVERYTHING))))


def test_no_machine_may_hand_on_a_role_or_change_rights() -> None:
    iam = {a for a in allowed(control_plane_policy(integrated(*EVERYTHING))) if a.startswith("iam:")}
    assert iam == {"iam:CreateServiceLinkedRole"}


def test_whatever_changes_something_is_bound_to_the_cluster_by_a_condition() -> None:
    policy = control_plane_policy(integrated(*EVERYTHING))
    for name, statement in statements(policy).items():
        changes = [action for action in statement["Action"] if not READS.fullmatch(action)]
        if not changes or name in ("GroupsOfBalancersInVpc", "PullFromEcr", "RoleOfBalancers"):
            continue
        assert re.search(
            r"(Resource|Request)Tag/[^\"]*(cluster/dev\": \"owned|cluster-name\": \"dev)\"",
            json.dumps(statement["Condition"]),
        ), name
        assert statement["Resource"] != ["*"], name


def test_etcds_volumes_and_the_apis_balancer_are_out_of_the_controllers_reach() -> None:
    """Both carry Hardway's own tag; neither carries the one that the driver gives to what it makes."""
    found = statements(control_plane_policy(integrated(*EVERYTHING)))
    not_ours = {"aws:ResourceTag/hardway.dev/cluster": "true"}
    assert found["ChangeBalancers"]["Condition"]["Null"] == not_ours
    assert found["DeleteGroupsOfBalancers"]["Condition"]["Null"] == not_ours
    assert found["ChangeVolumes"]["Condition"] == {
        "StringEquals": {"aws:ResourceTag/ebs.csi.aws.com/cluster-name": "dev"}
    }


def test_reads_are_of_the_clusters_region() -> None:
    found = statements(control_plane_policy(integrated(*EVERYTHING)))
    for name in ("CloudControllerReads", "EbsReads"):
        assert found[name]["Condition"] == {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}}


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("us-east-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
    ],
)
def test_arns_are_in_their_regions_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition
    text = json.dumps(control_plane_policy(integrated(*EVERYTHING, region=region)))
    assert set(re.findall(r"arn:([a-z-]+):", text)) == {partition}


def test_the_longest_name_of_a_cluster_leaves_room_in_a_roles_policy() -> None:
    policy = control_plane_policy(integrated(*EVERYTHING, name="a" * 30))
    assert policy is not None
    assert signed_size(policy) < 10_240  # IAM's limit for all inline policies of a role


def test_the_policy_files_are_up_to_date() -> None:
    """`python -m config.iam_actions` writes them."""
    written = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    assert written == policy_files()


@pytest.mark.parametrize("policy", [operator_policy(), preview_policy()], ids=["operator", "preview"])
def test_a_policy_file_fits_into_a_managed_policy(policy: dict[str, Any]) -> None:
    assert signed_size(policy) < 6_144


def test_whoever_previews_can_only_read() -> None:
    assert all(READS.fullmatch(action) for action in allowed(preview_policy()))


def test_the_operator_may_do_all_that_the_table_says_and_nothing_else() -> None:
    table = {action for actions in ACTIONS_BY_TYPE.values() for action in actions}
    assert allowed(operator_policy()) == table
    assert table >= ONLY_OWN
    assert not any("*" in action for action in table)


def test_the_operator_destroys_only_what_carries_hardways_tag() -> None:
    found = statements(operator_policy())
    condition = {"StringLike": {"aws:ResourceTag/hardway.dev/cluster": "*"}}
    assert found["DestroyOwn"]["Condition"] == condition
    others = {
        action
        for name, one in found.items()
        if name not in ("DestroyOwn", "Roles")
        for action in one["Action"]
    }
    destroying = {action for action in others if re.search(r":(Delete|Terminate|Release)", action)}
    assert destroying == {
        "ec2:DeleteRoute",
        "ec2:DeleteSubnetCidrReservation",
        "ec2:DeleteTags",
    }


def test_the_operator_touches_only_roles_below_hardways_path_and_passes_them_to_ec2_only() -> None:
    found = statements(operator_policy())
    assert found["Roles"]["Resource"] == [
        "arn:aws:iam::*:role/hardway/*",
        "arn:aws:iam::*:instance-profile/hardway/*",
    ]
    assert found["PassRoles"]["Resource"] == ["arn:aws:iam::*:role/hardway/*"]
    assert found["PassRoles"]["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    assert {name for name, one in found.items() if any(a.startswith("iam:") for a in one["Action"])} == {
        "Roles",
        "PassRoles",
        "RolesOfServices",
    }


def made_types() -> set[str]:
    """Type tokens of every resource of AWS that a component's source makes, as `aws.<module>.<Class>(`."""
    import pulumi_aws as aws

    found = set()
    for path in COMPONENTS.glob("*.py"):
        for module, name in re.findall(r"\baws\.(\w+)\.([A-Z]\w+)", path.read_text()):
            token = getattr(getattr(getattr(aws, module), name), "pulumi_type", None)
            if isinstance(token, str):
                found.add(token)
    return found


def test_the_table_has_the_actions_of_every_type_that_the_program_makes_and_no_other_type() -> None:
    made = made_types()
    assert "aws:ec2/instance:Instance" in made
    assert made == set(ACTIONS_BY_TYPE)


def test_every_type_can_be_read_by_whoever_previews() -> None:
    for token, actions in ACTIONS_BY_TYPE.items():
        assert any(READS.fullmatch(action) for action in actions), token

"""Roles and instance profiles as the engine would get them."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.instance_profiles import InstanceProfiles
from tests.program import recording

ROLE, POLICY, PROFILE = (
    "aws:iam/role:Role",
    "aws:iam/rolePolicy:RolePolicy",
    "aws:iam/instanceProfile:InstanceProfile",
)
PULL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ecr:*", "Resource": "*"}]}


def made(
    monkeypatch: pytest.MonkeyPatch, control_plane: dict[str, Any] | None, worker: dict[str, Any] | None
) -> recording.Run:
    """What the component makes of two policies; the made-up provider adds seven digits to a name."""

    def program() -> None:
        profiles = InstanceProfiles(
            "profiles", cluster="dev", control_plane_policy=control_plane, worker_policy=worker
        )
        pulumi.export("controlPlane", profiles.control_plane)
        pulumi.export("worker", profiles.worker)

    monkeypatch.setattr(recording, "_main", program)
    return recording.run_program({})


def test_both_roles_and_profiles_are_there_without_any_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(monkeypatch, None, None)
    assert sorted((resource.type, resource.name) for resource in run.resources if resource.custom) == [
        (PROFILE, "profile-control-plane"),
        (PROFILE, "profile-worker"),
        (ROLE, "role-control-plane"),
        (ROLE, "role-worker"),
    ]


def test_a_policy_is_part_of_its_own_role_and_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(monkeypatch, PULL, None)
    (policy,) = run.of_type(POLICY).values()
    assert policy.name == "policy-control-plane"
    assert policy.inputs["role"] == "role-control-plane-1234567"
    assert json.loads(policy.inputs["policy"]) == PULL


def test_a_machine_that_has_its_profile_has_its_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(monkeypatch, PULL, PULL)
    for role in ("control-plane", "worker"):
        profile = run.of_type(PROFILE)[f"profile-{role}"]
        assert run.of_type(POLICY)[f"policy-{role}"].urn in profile.dependencies
        assert profile.inputs["role"] == f"role-{role}-1234567"


def test_only_ec2_can_take_the_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in made(monkeypatch, None, None).of_type(ROLE).values():
        (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }


def test_everything_lies_below_the_path_that_the_operators_policy_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = made(monkeypatch, PULL, PULL)
    for resource in (*run.of_type(ROLE).values(), *run.of_type(PROFILE).values()):
        assert resource.inputs["path"] == "/hardway/dev/"


def test_machines_are_told_the_profiles_names(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(monkeypatch, None, None)
    assert run.exports == {
        "controlPlane": "profile-control-plane-1234567",
        "worker": "profile-worker-1234567",
    }


def test_every_resource_belongs_to_the_component(monkeypatch: pytest.MonkeyPatch) -> None:
    run = made(monkeypatch, PULL, PULL)
    assert {resource.parent_type for resource in run.resources if resource.custom} == {
        "hardway:index:InstanceProfiles"
    }

"""The rules over what the program itself would make, and over the same made worse."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from policy.check import main
from policy.ingress import VPC_RULE
from policy.machines import INSTANCE, VOLUME
from policy.model import PROVIDER, UNKNOWN, Resource
from policy.recorded import resources_of, stack_files, translate
from policy.rules import evaluate
from tests.policy.resources import violated, with_properties
from tests.program import recording, wire

FILES = stack_files()
AWS_FILES = [path for path in FILES if "kind: aws" in path.read_text()]

every_stack = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
every_aws_stack = pytest.mark.parametrize("path", AWS_FILES, ids=lambda path: path.name)


def recorded(path: Path, *, preview: bool = False) -> tuple[Resource, ...]:
    """A stack's resources, recorded once: that takes seconds."""
    return _recorded(path, preview=preview)


@cache
def _recorded(path: Path, preview: bool) -> tuple[Resource, ...]:
    return tuple(resources_of(path, preview=preview))


def worse(
    resources: tuple[Resource, ...],
    chosen: Callable[[Resource], bool],
    change: Callable[[dict[str, Any]], object],
) -> list[Resource]:
    """The resources with the first chosen one changed."""
    position = next(number for number, one in enumerate(resources) if chosen(one))
    properties = copy.deepcopy(dict(resources[position].properties))
    change(properties)
    changed = with_properties(resources[position], properties)
    return [*resources[:position], changed, *resources[position + 1 :]]


def is_control_plane(one: Resource) -> bool:
    return one.type == INSTANCE and one.properties["tags"]["hardway.dev/role"] == "control-plane"


def test_the_stack_files_of_the_repository_are_judged() -> None:
    names = {"Pulumi.dev.yaml", "Pulumi.hosts.example.yaml", "Pulumi.lab.yaml", "Pulumi.prod.example.yaml"}
    assert names <= {path.name for path in FILES}
    assert {"Pulumi.dev.yaml", "Pulumi.prod.example.yaml"} <= {path.name for path in AWS_FILES}


@every_stack
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_no_stack_violates_a_rule(path: Path, preview: bool) -> None:
    assert recorded(path, preview=preview)
    assert [
        f"{rule}: {finding}" for rule, finding in evaluate(recorded(path, preview=preview)) if finding.known
    ] == []


@every_stack
def test_nothing_stays_undecided_once_values_are_known(path: Path) -> None:
    assert [f"{rule}: {finding}" for rule, finding in evaluate(recorded(path))] == []


@every_aws_stack
def test_an_aws_stack_has_what_the_rules_are_about(path: Path) -> None:
    types = {one.type for one in recorded(path)}
    assert {INSTANCE, VOLUME, VPC_RULE, PROVIDER} <= types
    assert sum(is_control_plane(one) for one in recorded(path)) % 2 == 1


@every_aws_stack
@pytest.mark.parametrize(
    ("rule", "chosen", "change"),
    [
        (
            "no-world-open-machine-ports",
            lambda one: one.type == VPC_RULE and one.properties.get("fromPort") == 22,
            lambda given: (given.pop("referencedSecurityGroupId", None), given.update(cidrIpv4="0.0.0.0/0")),
        ),
        (
            "no-world-open-machine-ports",
            lambda one: one.type == VPC_RULE and one.properties.get("fromPort") == 2379,
            lambda given: (given.pop("referencedSecurityGroupId", None), given.update(cidrIpv6="::/0")),
        ),
        (
            "no-world-open-machine-ports",
            lambda one: one.type == VPC_RULE and one.properties.get("fromPort") == 10250,
            lambda given: (given.pop("referencedSecurityGroupId", None), given.update(cidrIpv4="0.0.0.0/0")),
        ),
        (
            "no-imdsv1",
            lambda one: one.type == INSTANCE,
            lambda given: given["metadataOptions"].update(httpTokens="optional"),
        ),
        (
            "no-imdsv1",
            lambda one: one.type == INSTANCE,
            lambda given: given["metadataOptions"].update(httpPutResponseHopLimit=2),
        ),
        (
            "no-unencrypted-volumes",
            lambda one: one.type == INSTANCE,
            lambda given: given["rootBlockDevice"].update(encrypted=False),
        ),
        ("no-unencrypted-volumes", lambda one: one.type == VOLUME, lambda given: given.pop("encrypted")),
        (
            "no-missing-tags",
            lambda one: one.type == INSTANCE,
            lambda given: given["tags"].pop("hardway.dev/role"),
        ),
    ],
)
def test_each_rule_finds_its_violation_in_a_recorded_stack(
    path: Path,
    rule: str,
    chosen: Callable[[Resource], bool],
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert rule in violated(*worse(recorded(path), chosen, change))


@every_aws_stack
def test_one_control_plane_more_is_found_in_a_recorded_stack(path: Path) -> None:
    more = next(one for one in recorded(path) if is_control_plane(one))
    assert violated(*recorded(path), more) == {"no-even-control-plane"}


@every_aws_stack
def test_resources_without_the_clusters_provider_are_found(path: Path) -> None:
    bare = [Resource(one.type, one.name, one.properties) for one in recorded(path)]
    assert "no-missing-tags" in violated(*bare)


def recorded_as(type_: str, name: str = "one", provider: str = "", **inputs: Any) -> recording.Resource:
    """A registration of which only these parts matter."""
    return recording.Resource(
        urn=name,
        type=type_,
        name=name,
        custom=True,
        parent="",
        provider=provider,
        inputs=inputs,
        dependencies=frozenset(),
        input_dependencies={},
        delete_before_replace=False,
        deleted_with="",
        protect=False,
        ignore_changes=(),
        replacement_trigger=None,
        aliases=(),
    )


def test_a_recorded_resource_has_the_tags_of_its_own_provider() -> None:
    providers = [
        recorded_as(PROVIDER, "dev", defaultTags='{"tags": {"hardway.dev/cluster": "dev"}}'),
        recorded_as(PROVIDER, "other", defaultTags='{"tags": {"team": "b"}}'),
    ]
    made = [recorded_as(VOLUME, "none"), *(recorded_as(VOLUME, one.name, one.urn) for one in providers)]
    tags = [one.tags for one in translate([*providers, *made])][2:]
    assert tags == [{}, {"hardway.dev/cluster": "dev"}, {"team": "b"}]


def test_secrets_of_a_recorded_resource_are_opened_and_unknown_values_marked() -> None:
    inputs: dict[str, Any] = {
        "encrypted": wire.UNKNOWN,
        "kept": wire.Secret({"deep": [wire.UNKNOWN, "known"]}),
    }
    (made,) = translate([recorded_as(VOLUME, **inputs)])
    assert made.properties == {"encrypted": UNKNOWN, "kept": {"deep": [UNKNOWN, "known"]}}


def test_the_command_says_that_nothing_was_previewed_and_judges_every_stack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("policy.check.resources_of", recorded)
    assert main(["--recorded"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("No preview was made (that was asked for): rules are evaluated over recorded")
    assert [line.split(":")[0] for line in told[1:]] == [path.name for path in FILES]
    assert all("0 violations, 0 not known yet" in line for line in told[1:])


def test_the_command_fails_and_names_the_rule_when_one_is_violated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = Resource(VOLUME, "etcd-cp-0", {"encrypted": False}, {"hardway.dev/cluster": "dev"})
    monkeypatch.setattr("policy.check.resources_of", lambda path: [volume])
    assert main(["--recorded"]) == 1
    assert (
        "  no-unencrypted-volumes: aws:ebs/volume:Volume etcd-cp-0: encrypted is not true, so the volume would be "
        "unencrypted; set it to true"
    ) in capsys.readouterr().out.splitlines()


def test_a_stack_that_the_program_refuses_is_no_good_news(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> list[Resource]:
        raise ValueError("3 mistakes in the settings")

    monkeypatch.setattr("policy.check.resources_of", refuse)
    assert main(["--recorded"]) == 1
    assert "NOT JUDGED, the program refuses it: 3 mistakes in the settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "name", "exists", "reason"),
    [
        (
            "built",
            "lab",
            True,
            "the engine here is no release of its publisher and starts no Python policy pack",
        ),
        ("publisher", "nowhere", True, "there is no Pulumi.nowhere.yaml"),
        ("publisher", "lab", False, "stack lab does not exist yet"),
    ],
)
def test_why_the_engine_does_not_run_the_pack_is_told(
    source: str,
    name: str,
    exists: bool,
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("policy.check.engine.source", lambda: source)
    monkeypatch.setattr("policy.check.stack.exists", lambda chosen: exists)
    monkeypatch.setattr("policy.check.stack_files", list)
    assert main(["--stack", name]) == 0
    assert capsys.readouterr().out.startswith(f"No preview was made ({reason}): ")


def test_where_the_engine_can_the_pack_runs_in_a_preview_and_its_status_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr("policy.check.engine.source", lambda: "publisher")
    monkeypatch.setattr("policy.check.stack.exists", lambda chosen: True)
    monkeypatch.setattr("policy.check.install", lambda environment: None)

    def run(command: list[str]) -> int:
        ran.append(command)
        return 255

    monkeypatch.setattr("policy.check.stack.run", run)
    assert main(["--stack", "lab"]) == 255
    assert ran[0][:4] == ["pulumi", "preview", "--stack", "lab"]
    assert ran[0][-3:-1] == ["--suppress-outputs", "--policy-pack"]
    assert capsys.readouterr().out.startswith(
        "The policy pack runs in a preview of stack lab: pulumi preview "
    )

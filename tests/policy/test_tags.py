"""Tags: the provider's and a resource's own, and which types have none."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from policy.machines import INSTANCE, VOLUME
from policy.model import UNKNOWN, Resource, default_tags_of
from policy.tags import UNTAGGABLE
from tests.policy.resources import found, resource, violated

VPC = "aws:ec2/vpc:Vpc"
RULE = "no-missing-tags"


def test_everything_of_aws_says_whose_it_is() -> None:
    assert violated(resource(VPC, defaults={})) == {RULE}
    assert violated(resource(VPC, defaults={}, tags={"Name": "dev"})) == {RULE}
    assert violated(resource(VOLUME, defaults={}, tags={"hardway.dev/cluster": ""})) == {RULE}


@pytest.mark.parametrize("where", ["provider", "tags", "tagsAll"])
def test_a_tag_counts_wherever_it_comes_from(where: str) -> None:
    tag = {"hardway.dev/cluster": "dev"}
    one = Resource(
        VPC, "one", {} if where == "provider" else {where: tag}, tag if where == "provider" else {}
    )
    assert found(one) == []


@pytest.mark.parametrize("tag", ["Name", "hardway.dev/role"])
def test_a_machine_also_has_a_name_and_a_role(tag: str) -> None:
    tags = {"Name": "dev-cp-0", "hardway.dev/role": "worker"}
    del tags[tag]
    assert [reason for _, reason, _ in found(resource(INSTANCE, tags=tags))] == [
        f"has no tag {tag}, so nobody can tell whose it is"
    ]


def test_resources_of_others_and_those_without_tags_are_left_alone() -> None:
    assert found(resource("tls:index/privateKey:PrivateKey", defaults={})) == []
    assert found(resource("aws:ec2/route:Route", defaults={})) == []
    assert found(resource("pulumi:providers:aws", defaults={})) == []


def test_a_type_that_nobody_thought_of_has_to_have_tags() -> None:
    assert violated(resource("aws:new/thing:Thing", defaults={})) == {RULE}


def test_tags_that_are_not_known_yet_are_told() -> None:
    for one in (resource(VPC, defaults=UNKNOWN), resource(VPC, tags=UNKNOWN)):
        assert found(one) == [(RULE, "tags is not known in a preview", False)]
    assert found(resource(VPC, defaults={"hardway.dev/cluster": UNKNOWN})) == []


@pytest.mark.parametrize(
    ("properties", "tags"),
    [
        ({"defaultTags": json.dumps({"tags": {"a": "b"}})}, {"a": "b"}),
        ({"defaultTags": {"tags": {"a": "b"}}}, {"a": "b"}),
        ({"defaultTags": UNKNOWN}, UNKNOWN),
        ({"defaultTags": {"tags": UNKNOWN}}, UNKNOWN),
        ({"defaultTags": "{}"}, {}),
        ({"region": "eu-central-1"}, {}),
    ],
)
def test_a_providers_tags_are_read_in_the_forms_that_the_engine_has(
    properties: dict[str, Any], tags: dict[str, str]
) -> None:
    assert default_tags_of(properties) == tags


@cache
def sources(module: str) -> dict[str, str]:
    """Source by type of a module of the AWS SDK, read and not imported: importing takes seconds."""
    found_at = find_spec("pulumi_aws")
    assert found_at is not None
    assert found_at.origin is not None
    texts = [path.read_text() for path in (Path(found_at.origin).parent / module).glob("*.py")]
    return {
        token: text for text in texts for token in re.findall(r'pulumi\.type_token\("(aws:[^"]+)"\)', text)
    }


@pytest.mark.parametrize("type_", sorted(UNTAGGABLE))
def test_types_said_to_have_no_tags_have_none(type_: str) -> None:
    text = sources(type_.split(":")[1].split("/")[0])[type_]
    assert "def _internal_init" in text
    assert not re.search(r"^\s+tags: Optional", text, re.MULTILINE)

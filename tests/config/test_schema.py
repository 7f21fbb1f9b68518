"""config/schema.json: what editors are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.schema import SCHEMA_FILE, schema_text
from config.stack_file import KEY
from tests.config.clusters import AWS_FILE, HOSTS_FILE, LAB_FILE, PROD_FILE

STACK_FILES = [LAB_FILE, HOSTS_FILE, AWS_FILE, PROD_FILE]


def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


def test_the_committed_schema_is_what_the_models_say() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run `python -m config.schema`"


def test_the_schema_is_one_by_its_own_standard() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text()))


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_stack_file_passes_and_names_the_schema_for_editors(path: Path) -> None:
    text = path.read_text()
    assert [error.message for error in validator().iter_errors(yaml.safe_load(text))] == []
    assert text.splitlines()[0] == "# yaml-language-server: $schema=config/schema.json"


@pytest.mark.parametrize(
    "changes",
    [
        {"workerPool": []},
        {"name": "Lab_1"},
        {"controlPlane": {"count": 11}},
        {"kubernetes": {"version": "1.35.0"}},
        {"network": {"pods": "172.20.0.0"}},
        {"platform": {"kind": "gcp"}},
        {"artifacts": {"digests": {"kubelet": "0" * 64}}},
        {"workerPools": [{"name": "general", "taints": [{"key": "a", "effect": "NoRun"}]}]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_editor_marks_what_one_value_alone_has_wrong(changes: dict[str, Any]) -> None:
    content = yaml.safe_load(LAB_FILE.read_text())
    content["config"][KEY].update(changes)
    assert len(list(validator().iter_errors(content))) >= 1


def test_a_second_key_of_hardways_own_is_marked_and_another_providers_is_not() -> None:
    content = yaml.safe_load(LAB_FILE.read_text())
    content["config"]["aws:region"] = "eu-central-1"
    assert list(validator().iter_errors(content)) == []
    content["config"]["hardway:workerPools"] = []
    assert len(list(validator().iter_errors(content))) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"zones": ["e"]},
        {"images": {"arm64": "ami-1"}},
        {"adminCidrs": ["203.0.113.0"]},
        {"vpc": {"id": "vpc-0123456789abcdef0", "machineSubnets": {"x": {}}}},
        {"ssh": {"via": "vpn"}},
        {"tags": {"aws:x": "y"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_editor_marks_what_one_value_of_aws_alone_has_wrong(changes: dict[str, Any]) -> None:
    content = yaml.safe_load(AWS_FILE.read_text())
    content["config"][KEY]["platform"].update(changes)
    assert len(list(validator().iter_errors(content))) >= 1


@pytest.mark.parametrize("region", [None, "eu-central-1a", "Frankfurt", 1])
def test_an_editor_marks_a_region_that_is_missing_or_wrong_on_aws(region: object) -> None:
    content = yaml.safe_load(AWS_FILE.read_text())
    content["config"]["aws:region"] = region
    if region is None:
        del content["config"]["aws:region"]
    assert len(list(validator().iter_errors(content))) == 1


def test_every_setting_has_a_description() -> None:
    definitions = json.loads(SCHEMA_FILE.read_text())["$defs"]
    described = {
        f"{name}.{key}": "description" in value or "$ref" in value
        for name, model in definitions.items()
        for key, value in model.get("properties", {}).items()
    }
    assert len(described) >= 60
    assert [place for place, is_described in described.items() if not is_described] == []

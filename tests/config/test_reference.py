"""docs/settings.md: the models' own words."""

from __future__ import annotations

import json
import re

from config.reference import REFERENCE_FILE, reference_text
from config.schema import SCHEMA_FILE


def keys() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", REFERENCE_FILE.read_text(), re.MULTILINE)


def test_the_committed_page_is_what_the_models_say() -> None:
    assert REFERENCE_FILE.read_text() == reference_text(), "run `python -m config.reference`"


def test_every_key_of_the_schema_stands_on_the_page() -> None:
    definitions = json.loads(SCHEMA_FILE.read_text())["$defs"]
    known = {
        name
        for model in definitions.values()
        for name, node in model.get("properties", {}).items()
        if not {"$ref", "oneOf"} & set(node) and node.get("type") != "array"
    }
    assert known - {key.rsplit(".", 1)[-1] for key in keys()} == set()


def test_no_key_stands_twice_below_one_heading_and_each_line_has_five_cells() -> None:
    page = REFERENCE_FILE.read_text()
    sections = [re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE) for part in re.split(r"(?m)^#+ ", page)]
    assert [found for found in sections if len(found) != len(set(found))] == []
    assert len(keys()) >= 90
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in lines if len(re.split(r"(?<!\\) \|", line)) != 6] == []


def test_each_kind_of_platform_with_keys_of_its_own_has_a_heading() -> None:
    headings = re.findall(r"^### (.+)$", REFERENCE_FILE.read_text(), re.MULTILINE)
    assert headings == ["platform, kind: hosts", "platform, kind: aws"]


def test_keys_of_the_operators_choice_stand_there_with_what_is_below_them() -> None:
    below = [key for key in keys() if key.startswith("platform.vpc.machineSubnets")]
    name = "platform.vpc.machineSubnets"
    assert below == [name, f"{name}.*.id", f"{name}.*.cidr"]

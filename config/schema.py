"""The JSON Schema of a stack file, for editors: `python -m config.schema` writes config/schema.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.fields import REGION
from config.models import Settings
from config.region import REGION_KEY
from config.stack_file import KEY, NAMESPACE

SCHEMA_FILE = Path(__file__).with_name("schema.json")


def stack_file_schema() -> dict[str, Any]:
    """The schema of a whole stack file; rules between settings are told by `config.contradictions` only."""
    settings = Settings.model_json_schema(by_alias=True, mode="validation")
    definitions = {name: _plain(model) for name, model in settings.pop("$defs").items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hardway stack file",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {KEY: {"$ref": "#/$defs/Settings"}, REGION_KEY: _region()},
                "required": [KEY],
                "if": {"properties": {KEY: _ON_AWS}},
                "then": {"required": [REGION_KEY]},
                # Other namespaces are other providers' business.
                "patternProperties": {f"^(?!{NAMESPACE}:)[^:]+:": {}},
                "additionalProperties": False,
            }
        },
        "required": ["config"],
        "$defs": {**definitions, "Settings": _plain(settings)},
    }


_ON_AWS = {
    "properties": {"platform": {"properties": {"kind": {"const": "aws"}}, "required": ["kind"]}},
    "required": ["platform"],
}


def _region() -> dict[str, Any]:
    return {
        "type": "string",
        "description": "AWS region of the machines; needed with 'kind: aws'.",
        "pattern": f"^{REGION.pattern}$",
        "patternErrorMessage": REGION.wrong,
    }


def _plain(node: Any) -> Any:
    """Without titles, which only repeat the keys, and with free keys held to their pattern."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {
        key: _plain(value) for key, value in node.items() if key != "title" or not isinstance(value, str)
    }
    if "description" in plain and isinstance(plain["description"], str):
        plain["description"] = " ".join(plain["description"].split())
    if "patternProperties" in plain:
        plain["additionalProperties"] = False
    return plain


def schema_text() -> str:
    """The schema as the file's text."""
    return json.dumps(stack_file_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text())
    print(f"wrote {SCHEMA_FILE.name}")

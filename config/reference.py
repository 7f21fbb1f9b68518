"""docs/settings.md from the models: `python -m config.reference` writes it.

Reads the JSON Schema, so that editors and the page can't tell different things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.fields import FORM
from config.region import REGION_KEY
from config.schema import stack_file_schema
from config.stack_file import KEY

REFERENCE_FILE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = f"""\
# Settings

<!-- Written by `python -m config.reference` from config/models.py; a test compares. -->

Everything stands in the stack's file below `config:` and there below the one key `{KEY}:`.
An unknown key is an error. All mistakes are told at once, before anything is touched: with file, place,
reason and way out. Rules between settings (ranges that overlap, an even number of control-plane machines,
two pools with one block, ...) are told in the same way.

The first line of the stack files, `# yaml-language-server: $schema=config/schema.json`, lets editors complete
keys and mark wrong values.

`Pulumi.lab.yaml`, `Pulumi.dev.yaml`, `Pulumi.prod.example.yaml` and `Pulumi.hosts.example.yaml` are files to start
from. With `kind: aws` one key more stands beside `{KEY}:`, Pulumi's own `{REGION_KEY}:`, such as `eu-central-1`.
"""


@dataclass(frozen=True)
class _Setting:
    """One line of a table."""

    key: str
    type: str
    default: str
    meaning: str
    limits: str
    kind: str | None = None


def reference_text() -> str:
    """The page's text."""
    definitions: Mapping[str, Any] = stack_file_schema()["$defs"]
    top = definitions["Settings"]
    rows = {
        key: list(_settings(key, node, key in top["required"], definitions)) for key, node in _ordered(top)
    }
    scalars = [row for found in rows.values() if len(found) == 1 for row in found]
    parts = [_HEAD, _table(scalars)]
    for key, found in rows.items():
        if len(found) > 1:
            parts.append(f"\n## {key}\n\n{found[0].meaning}\n\n{_table(_of(found[1:], None))}")
            for kind in dict.fromkeys(row.kind for row in found if row.kind):
                parts.append(f"\n### {key}, kind: {kind}\n\n{_table(_of(found, kind))}")
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def _of(rows: list[_Setting], kind: str | None) -> list[_Setting]:
    return [row for row in rows if row.kind == kind]


def _ordered(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from model.get("properties", {}).items()


def _table(rows: list[_Setting]) -> str:
    lines = ["| key | type | default | meaning | limits |", "|---|---|---|---|---|"]
    lines += [f"| `{row.key}` | {row.type} | {row.default} | {row.meaning} | {row.limits} |" for row in rows]
    return "\n".join(lines) + "\n"


def _settings(
    key: str, node: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]
) -> Iterator[_Setting]:
    """One setting and, below a mapping or a list of mappings, all of its own."""
    resolved = _resolved(node, definitions)
    yield _Setting(
        key, _type(resolved), _default(node, required), _meaning(node, resolved), _limits(resolved)
    )
    inner, prefix = resolved, key
    if resolved.get("type") == "array":
        inner, prefix = _resolved(resolved["items"], definitions), f"{key}[]"
    elif "patternProperties" in resolved:  # keys of the operator's choice
        [value] = resolved["patternProperties"].values()
        inner, prefix = _resolved(value, definitions), f"{key}.*"
    for branch in inner.get("oneOf", [inner]):
        model = _resolved(branch, definitions)
        kind = model.get("properties", {}).get("kind", {}).get("const")
        for name, child in _ordered(model):
            if name == "kind" and kind != "lab":
                continue  # told once, for all kinds
            for row in _settings(f"{prefix}.{name}", child, name in model.get("required", ()), definitions):
                # Of a mapping that is always there, its own keys tell enough.
                if row.type != "mapping" or row.limits or row.default == "none":
                    yield _of_kind(row, kind, inner)


def _of_kind(row: _Setting, kind: str | None, union: Mapping[str, Any]) -> _Setting:
    """The row of a key that one kind of a union has; `kind` itself lists all kinds."""
    if kind is None:
        return row
    if row.key.endswith(".kind"):
        kinds = ", ".join(f"`{name}`" for name in union["discriminator"]["mapping"])
        return _Setting(row.key, "text", row.default, row.meaning, f"one of {kinds}")
    return _Setting(row.key, row.type, row.default, row.meaning, row.limits, kind)


def _resolved(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """A node with its reference followed and the "or nothing" of an optional setting left out."""
    merged = dict(node)
    for option in merged.pop("anyOf", []):
        if option.get("type") != "null":
            merged = {**option, **merged}
    reference = merged.pop("$ref", None)
    return {**definitions[reference.rsplit("/", 1)[1]], **merged} if reference else merged


def _type(node: Mapping[str, Any]) -> str:
    kinds = {"string": "text", "integer": "number", "boolean": "true or false", "array": "list"}
    return kinds.get(str(node.get("type")), "mapping")


def _default(node: Mapping[str, Any], required: bool) -> str:
    if required:
        return "needed"
    default = node.get("default")
    if default is None:
        return "none"
    if default == {} or default == [] or (isinstance(default, dict) and "$ref" in str(node)):
        return "empty"
    return f"`{default}`" if isinstance(default, str) and default else f"`{json.dumps(default)}`"


def _meaning(node: Mapping[str, Any], resolved: Mapping[str, Any]) -> str:
    text = str(node.get("description") or resolved.get("description", ""))
    return _escaped(text)


def _limits(node: Mapping[str, Any]) -> str:
    """What a value has to be, in words."""
    parts: list[str] = []
    if "enum" in node:
        parts.append("one of " + ", ".join(f"`{value}`" for value in node["enum"]))
    if "minimum" in node or "maximum" in node:
        parts.append(_range(node.get("minimum"), node.get("maximum")))
    if FORM in node:
        parts.append(str(node[FORM]))
    if "maxLength" in node:
        parts.append(f"at most {node['maxLength']} characters")
    if "minItems" in node:
        parts.append(f"at least {node['minItems']}")
    if "patternProperties" in node:
        [value] = node["patternProperties"].values()
        parts.append(f"key: {node['propertyNames'][FORM]}")
        parts += [f"value: {value[FORM]}"] if FORM in value else []
    return _escaped("; ".join(parts))


def _escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")


def _range(least: int | None, most: int | None) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    return f"{least} or more" if most is None else f"{most} or less"


if __name__ == "__main__":
    REFERENCE_FILE.write_text(reference_text())
    print(f"wrote docs/{REFERENCE_FILE.name}")

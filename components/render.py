"""Real files into what lands on a machine.

`components/rootfs/<role>/<path>` becomes `/<path>`. A file that ends in `.tmpl` is a template whose only
syntax is `@@{name}`, which collides with neither shell nor systemd. Strict both ways: a value that is missing
and a value that no template uses are errors.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOTFS = Path(__file__).parent / "rootfs"
MANIFESTS = Path(__file__).parent / "manifests"
TEMPLATE_SUFFIX = ".tmpl"


class RenderError(ValueError):
    """A template and its values do not fit."""


@dataclass(frozen=True)
class File:
    """One file on a machine.

    Attributes:
        text: its content.
        mode: permission bits.
        owner: user, and group of the same name.
    """

    text: str
    mode: int = 0o600
    owner: str = "root"


class _Template(string.Template):
    delimiter = "@@"
    # Braces are required: "@@name" alone stays as it is.
    # Text, not a compiled pattern: Template compiles it for each subclass.
    pattern = r"@@(?:(?P<escaped>@@)|(?P<named>(?!))|\{(?P<braced>[a-z][a-z0-9_]*)\}|(?P<invalid>\{))"  # type: ignore[assignment]


def render(text: str, values: Mapping[str, object]) -> tuple[str, frozenset[str]]:
    """Fill a template in; gives the text and the names that it used.

    Raises:
        RenderError: a name has no value, or `@@{` is malformed.
    """
    template = _Template(text)
    try:
        return template.substitute(values), frozenset(template.get_identifiers())
    except KeyError as error:
        raise RenderError(f"no value for @@{{{error.args[0]}}}") from None
    except ValueError as error:
        raise RenderError(f"malformed template: {error}") from None


def render_tree(roles: Iterable[str], values: Mapping[str, object]) -> dict[str, File]:
    """Every file of the named roles, by its path on the machine.

    Args:
        roles: folders of `rootfs`.
        values: for the templates; each must be used by one of them.

    Raises:
        RenderError: a value is missing or unused, or two roles bring the same path.
    """
    files: dict[str, File] = {}
    used: set[str] = set()
    for role in roles:
        for path, (text, mode) in _sources(role).items():
            target = path.removesuffix(TEMPLATE_SUFFIX)
            if target in files:
                raise RenderError(f"{target} comes from two roles, one of them {role}")
            if path.endswith(TEMPLATE_SUFFIX):
                try:
                    text, names = render(text, values)
                except RenderError as error:
                    raise RenderError(f"rootfs/{role}{path}: {error}") from None
                used |= names
            files[target] = File(text, mode)
    unused = set(values) - used
    if unused:
        raise RenderError(f"no template of {', '.join(roles)} uses {', '.join(sorted(unused))}")
    return files


@cache
def _sources(role: str) -> dict[str, tuple[str, int]]:
    """A role's files: path from its root, text and mode. What may be executed here may be executed there."""
    root = ROOTFS / role
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {"/" + str(path.relative_to(root)): (path.read_text(), _mode(path)) for path in paths}


def _mode(path: Path) -> int:
    """0700 for what a unit executes, else 0600: nothing on a node is for anybody but its own user."""
    return 0o700 if "/usr/local/lib/" in str(path) else 0o600


def render_manifest(name: str, values: Mapping[str, object]) -> str:
    """One add-on's manifest, filled in strictly."""
    path = MANIFESTS / f"{name}.yaml{TEMPLATE_SUFFIX}"
    text, used = render(path.read_text(), values)
    if set(values) - used:
        raise RenderError(f"manifests/{path.name} does not use {', '.join(sorted(set(values) - used))}")
    return text


def dump_yaml(document: Mapping[str, Any]) -> str:
    """A nested document as YAML: keys in their order, lists indented, no aliases."""
    text: str = yaml.safe_dump(dict(document), sort_keys=False, default_flow_style=False, width=120)
    return text


def environment(values: Mapping[str, object]) -> str:
    """An environment file for systemd, one NAME="value" a line.

    Raises:
        RenderError: a value has a character that systemd would read as syntax.
    """
    for name, value in values.items():
        if re.search(r'["\\\n$]', str(value)):
            raise RenderError(f"{name} holds a quote, a backslash, a dollar sign or a line break")
    return "".join(f'{name}="{value}"\n' for name, value in values.items())

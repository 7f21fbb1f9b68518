"""A stack file as a whole: the YAML around `hardway:cluster`.

The program itself gets its settings from Pulumi. This is for whoever has the file and no engine: tests, the
generators of documentation, an editor's check.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import yaml

from config.mistakes import Problem, SettingsError
from config.models import Settings
from config.region import FOREIGN_KEYS, REGION_KEY, check_region, is_on_aws, provider_problems
from config.settings import load_settings

NAMESPACE = "hardway"
KEY = f"{NAMESPACE}:cluster"


def settings_of_stack_file(text: str, source: str) -> Settings:
    """Check a stack file's settings.

    Args:
        text: the file's content.
        source: what to call it in errors, such as `Pulumi.dev.yaml`.

    Raises:
        SettingsError: with every mistake that can be told at once.
    """
    content = _parsed(text, source)
    problems = list(_root_problems(content))
    if problems:
        raise SettingsError(source, problems)
    config, around = content["config"], list[Problem]()
    if _is_on_aws(content):
        names = ("region", *FOREIGN_KEYS)
        around = provider_problems({key: config[f"aws:{key}"] for key in names if f"aws:{key}" in config})
    return load_settings(config[KEY], source, around)


def region_of_stack_file(text: str, source: str) -> str:
    """The AWS region that a stack file names; empty where the platform is not `aws`.

    Args:
        text: the file's content; its settings are not checked here.
        source: what to call it in errors.

    Raises:
        SettingsError: without a region, or with something else in its place.
    """
    content = _parsed(text, source)
    return check_region(content["config"].get(REGION_KEY), source) if _is_on_aws(content) else ""


def _is_on_aws(content: Any) -> bool:
    """Whether the file asks for `aws`, whatever else may be wrong with it."""
    for key in ("config", KEY):
        content = content.get(key) if isinstance(content, Mapping) else None
    return is_on_aws(content)


class _TwiceError(yaml.MarkedYAMLError):
    """A key that stands twice."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML parsers silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise _TwiceError(
                    problem=f"{key} stands twice in one mapping", problem_mark=key_node.start_mark
                )
            if isinstance(key, Hashable):
                seen.add(key)
        return super().construct_mapping(node, deep)


def _parsed(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader's subclass: makes plain values only
    except _TwiceError as error:
        place, reason = _line(error), f"{error.problem}; keep one"
    except yaml.MarkedYAMLError as error:
        place, reason = _line(error), f"is no YAML ({error.problem}); correct it there or just above"
    except yaml.reader.ReaderError as error:
        place, reason = (
            "config",
            f"the file holds the character {error.character:#x}; YAML is text, remove it",
        )
    except ValueError:
        # What only looks like a date (2026-13-01) fails in Python's own calendar.
        place, reason = "config", "the file holds a date that does not exist; put quotes around it"
    raise SettingsError(source, [(place, reason)])


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "config"


def _root_problems(content: Any) -> list[Problem]:
    """What is wrong above `hardway:cluster`."""
    if not isinstance(content, Mapping) or not isinstance(content.get("config"), Mapping):
        return [("config", f"is missing or no mapping; the file needs 'config:' and below it '{KEY}:'")]
    keys = [str(key) for key in content["config"]]
    problems = [
        (f"config.{key}", f"no such key; all settings stand below '{KEY}:', move it there or remove it")
        for key in keys
        if key.startswith(f"{NAMESPACE}:") and key != KEY
    ]
    if KEY not in keys:
        unprefixed = "cluster" in keys
        reason = f"has to be written '{KEY}'" if unprefixed else "is missing; all settings stand below it"
        problems.append(("config.cluster" if unprefixed else f"config.{KEY}", reason))
    return problems

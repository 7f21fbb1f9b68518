"""How a mistake is told: its place, what is wrong and the way out, for somebody who edits YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.models import Settings

Path = tuple[int | str, ...]
"""Where a value stands below `hardway:cluster`: keys and list positions."""
Problem = tuple[str, str]
"""Place and reason."""

_BRANCHES = ("lab", "hosts")


@dataclass(frozen=True)
class Finding:
    """One contradiction.

    Attributes:
        path: the value to look at first.
        reason: what is wrong, and the way out.
        involves: the other values that it was concluded from. A finding counts only if all of them were good.
    """

    path: Path
    reason: str
    involves: tuple[Path, ...] = ()


Findings = Iterator[Finding]


class SettingsError(ValueError):
    """Settings that cannot become a cluster.

    Attributes:
        problems: one line each: file, place, reason and way out.
    """

    def __init__(self, source: str, problems: list[Problem]) -> None:
        self.problems = [f"{source}: {place}: {reason}" for place, reason in problems]
        count = len(problems)
        head = f"{count} {'mistake' if count == 1 else 'mistakes'} in the settings; nothing was touched."
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


def place_of(path: Path) -> str:
    """Write a path as text: `("workerPools", 0, "count")` becomes `cluster.workerPools[0].count`."""
    text = "cluster"
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += (
                f".{part}" if re.fullmatch(r"[\w-]+", part) else f"[{json.dumps(part, ensure_ascii=False)}]"
            )
    return text


def path_of(location: Path) -> Path:
    """Turn pydantic's location into the YAML's path, without the union's branch and the mark of a key."""
    if len(location) > 1 and location[0] == "platform" and location[1] in _BRANCHES:
        location = (location[0], *location[2:])
    if location and location[-1] == "[key]":
        location = (*location[:-2], str(location[-2]))
    return location


def closest_key(path: Path) -> str | None:
    """The known key that an unknown one was probably meant to be."""
    model = _model_at(path[:-1])
    if model is None:
        return None
    keys = {str(field.alias): name for name, field in model.model_fields.items()}
    wrong = str(path[-1])
    folded = {re.sub(r"[-_ ]", "", key).lower(): key for key in keys}
    same = folded.get(re.sub(r"[-_ ]", "", wrong).lower())
    return same or next(iter(get_close_matches(wrong, keys, 1)), None)


def reason_of(detail: ErrorDetails) -> str:
    """One pydantic error in plain words; never repeats the input, which may be a secret."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path_of(detail["loc"]))
    if kind not in ("missing", "invalid_key") and detail["input"] is None:
        return "is empty; give it a value or remove the line"
    if kind == "string_type" and isinstance(detail["input"], list | tuple | Mapping):
        return "has to be one text, neither a list nor a mapping"
    if kind in ("literal_error", "enum"):
        return f"has to be {context['expected']}"
    if kind in _WITH_CONTEXT:
        return _WITH_CONTEXT[kind].format_map(context)
    return _PLAIN.get(kind, "is not what belongs here; docs/settings.md tells what does")


def _unknown_key(path: Path) -> str:
    guess = closest_key(path)
    if guess == path[-1]:
        return "is a key of 'kind: hosts' only; remove the line"
    if guess:
        return f"no such key; {guess} was probably meant"
    return "no such key; docs/settings.md lists all of them"


_MAPPING = "has to be a mapping: lines of the form 'key: value' below it"
_WITH_CONTEXT: Mapping[str, str] = {
    "value_error": "{error}",
    "greater_than_equal": "is too small; the least is {ge}",
    "less_than_equal": "is too large; the most is {le}",
    "too_short": "is empty; give at least {min_length}",
}
_PLAIN: Mapping[str, str] = {
    "missing": "is missing; give it a value",
    "int_type": "has to be a whole number, without quotes",
    "bool_type": "has to be true or false, without quotes",
    "string_type": "has to be text; put quotes around it",
    "tuple_type": "has to be a list: lines that begin with '- ' below it",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": f"{_MAPPING}, 'kind: lab' or 'kind: hosts' first",
    "union_tag_invalid": "is of no kind that Hardway knows; write 'kind: lab' or 'kind: hosts'",
    "union_tag_not_found": "has no kind; write 'kind: lab' or 'kind: hosts' below it",
    "invalid_key": "is a key that is no text; put quotes around it",
}


def _model_at(path: Path) -> type[BaseModel] | None:
    """The model whose keys stand at a path; None where keys are free or the branch of a union is open."""
    model: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, int):
            continue
        fields = {field.alias: field for field in model.model_fields.values()} if model else {}
        model = _only_model(fields[part].annotation) if part in fields else None
    return model


def _only_model(annotation: Any) -> type[BaseModel] | None:
    """The one model in an annotation such as `tuple[Pool, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Annotated):
        return _only_model(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        # Of the platform's kinds only `hosts` has keys beside `kind`, so a misspelt key was meant for it.
        return next((found for found in map(_only_model, reversed(get_args(annotation))) if found), None)
    return None

"""How a mistake is told: its place, what is wrong and the way out, for somebody who edits YAML."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from config.models import Settings

Path = tuple[int | str, ...]
"""Where a value stands below `hardway:cluster`: keys and list positions."""
Problem = tuple[str, str]
"""Place and reason."""

_KINDS = ("lab", "hosts", "aws")
_CHOICE = "'kind: lab', 'kind: hosts' or 'kind: aws'"


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
    if _kind_of(location):
        location = (location[0], *location[2:])
    if location and location[-1] == "[key]":
        location = (*location[:-2], str(location[-2]))
    return location


def _kind_of(location: Path) -> str | None:
    """The platform's kind that pydantic's location goes through."""
    if len(location) > 1 and location[0] == "platform" and location[1] in _KINDS:
        return str(location[1])
    return None


def closest_key(location: Path) -> str | None:
    """The known key that an unknown one was probably meant to be.

    Args:
        location: pydantic's, which tells the platform's kind.
    """
    keys = _keys_at(location[:-1])
    wrong = str(location[-1])
    folded = {re.sub(r"[-_ ]", "", key).lower(): key for key in keys}
    same = folded.get(re.sub(r"[-_ ]", "", wrong).lower())
    return same or next(iter(get_close_matches(wrong, keys, 1)), None)


def reason_of(detail: ErrorDetails) -> str:
    """One pydantic error in plain words; never repeats the input, which may be a secret."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"])
    if kind not in ("missing", "invalid_key") and detail["input"] is None:
        return "is empty; give it a value or remove the line"
    if kind == "string_type" and isinstance(detail["input"], list | tuple | Mapping):
        return "has to be one text, neither a list nor a mapping"
    if kind in ("literal_error", "enum"):
        return f"has to be {context['expected']}"
    if kind in _WITH_CONTEXT:
        return _WITH_CONTEXT[kind].format_map(context)
    return _PLAIN.get(kind, "is not what belongs here; docs/settings.md tells what does")


def _unknown_key(location: Path) -> str:
    others = [
        f"'kind: {kind}'"
        for kind in _KINDS
        if _kind_of(location) and location[-1] in _keys_at(("platform", kind, *location[2:-1]))
    ]
    if others:
        return f"is a key of {' and '.join(others)} only; remove the line"
    guess = closest_key(location)
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
    "model_attributes_type": f"{_MAPPING}, {_CHOICE} first",
    "union_tag_invalid": f"is of no kind that Hardway knows; write {_CHOICE}",
    "union_tag_not_found": f"has no kind; write {_CHOICE} below it",
    "invalid_key": "is a key that is no text; put quotes around it",
}


def _keys_at(location: Path) -> list[str]:
    """The keys that stand at pydantic's location; none where keys are free."""
    found: Any = Settings
    for part in location:
        found = _inside(found, part)
    model = _model_of(found)
    return [str(field.alias) for field in model.model_fields.values()] if model else []


def _inside(annotation: Any, part: int | str) -> Any:
    """What an annotation has at one part of a location: a key, a position, or the kind that was chosen."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        return arguments[0]
    if origin is dict:
        return arguments[1]
    model = _model_of(annotation)
    if model is None:
        return next((option for option in arguments if _kind(option) == part), None)
    return {field.alias: field.annotation for field in model.model_fields.values()}.get(str(part))


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `Vpc | None` stands for; None for every other one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) not in (Union, UnionType):
        return None
    options = [option for option in get_args(annotation) if option is not type(None)]
    return _model_of(options[0]) if len(options) == 1 else None


def _kind(annotation: Any) -> str | None:
    """The kind of one of the platform's models."""
    model = _model_of(annotation)
    return (
        get_args(model.model_fields["kind"].annotation)[0] if model and "kind" in model.model_fields else None
    )

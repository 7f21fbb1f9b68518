"""What the providers' SDKs know of a resource's arguments, held against what was recorded.

Names, types, choices and deprecations, as far as the SDK's own `...Args` classes carry them. Limits and rules between
arguments are the provider's alone and not seen here.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from importlib import import_module
from typing import Any

from pulumi import _types

from tests.program.recording import Resource
from tests.program.wire import UNKNOWN, open_up

PACKAGES = {"aws": "pulumi_aws", "tls": "pulumi_tls", "command": "pulumi_command"}


def args_class(token: str) -> type:
    """The SDK's class of a resource's arguments, such as `InstanceArgs` for `aws:ec2/instance:Instance`."""
    if token.startswith("pulumi:providers:"):
        return _class(import_module(PACKAGES[token.rpartition(":")[2]]), "ProviderArgs")
    package, module, name = token.split(":")
    folder = module.partition("/")[0]
    where = PACKAGES[package] + ("" if folder == "index" else f".{folder}")
    return _class(import_module(where), f"{name}Args")


def _class(module: types.ModuleType, name: str) -> type:
    found = getattr(module, name)
    assert isinstance(found, type)
    return found


def mistakes(resource: Resource) -> list[str]:
    """What is wrong with a resource's arguments, a line each."""
    inputs = open_up(resource.inputs)
    cls = args_class(resource.type)
    if resource.type.startswith("pulumi:providers:"):
        inputs = {key: _setting(one) for key, one in inputs.items()}
    return [f"{resource.type} {resource.name}: {problem}" for problem in _object(inputs, cls, "")]


def _setting(text: str) -> Any:
    """A provider's setting: everything but text travels as JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@cache
def _shape(cls: type) -> tuple[dict[str, type], frozenset[str], frozenset[str]]:
    """Types by property, required properties, deprecated ones."""
    names = _types.input_type_py_to_pulumi_names(cls)
    signature = inspect.signature(cls)
    required = {
        names[one.name] for one in signature.parameters.values() if one.default is inspect.Parameter.empty
    }
    deprecated = {
        names[name]
        for name, one in vars(cls).items()
        if isinstance(one, property) and "_pulumi_deprecated_callable" in vars(one.fget)
    }
    return dict(_types.input_type_types(cls)), frozenset(required), frozenset(deprecated)


def _object(value: Mapping[str, Any], cls: type, path: str) -> Iterator[str]:
    kinds, required, deprecated = _shape(cls)
    yield from (f"{path}{name} is missing" for name in sorted(required - set(value)))
    for name, one in value.items():
        if name not in kinds:
            yield f"{path}{name} is not known"
            continue
        if name in deprecated:
            yield f"{path}{name} is deprecated"
        yield from _value(one, kinds[name], f"{path}{name}")


def _value(value: Any, kind: Any, path: str) -> Iterator[str]:
    if value == UNKNOWN or kind is Any:
        return
    choices = list(_choices(kind))
    enums = [one for one in choices if isinstance(one, type) and issubclass(one, Enum)]
    if enums:
        allowed = {member.value for one in enums for member in one}
        if value not in allowed:
            yield f"{path} is {value!r}, which is none of the known choices"
        return
    problems = [list(_one(value, choice, path)) for choice in choices]
    if all(problems):
        yield from min(problems, key=len)


def _choices(kind: Any) -> Iterator[Any]:
    """The plain types behind Input[...], Optional[...] and Union[...]."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for one in typing.get_args(kind):
            yield from _choices(one)
    elif kind is not type(None) and not _is_future(kind):
        yield kind


def _is_future(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return getattr(origin, "__name__", "") in ("Awaitable", "Output")


def _one(value: Any, kind: Any, path: str) -> Iterator[str]:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Sequence, list):
        if not isinstance(value, list):
            yield f"{path} is no list"
        else:
            for number, one in enumerate(value):
                yield from _value(one, parts[0], f"{path}[{number}]")
    elif origin in (Mapping, dict):
        if not isinstance(value, dict):
            yield f"{path} is no mapping"
        else:
            for key, one in value.items():
                yield from _value(one, parts[1], f"{path}.{key}")
    elif isinstance(kind, type) and _types.is_input_type(kind):
        if not isinstance(value, dict):
            yield f"{path} is no {kind.__name__}"
        else:
            yield from _object(value, kind, f"{path}.")
    elif not _is_a(value, kind):
        yield f"{path} is {value!r}, which is no {getattr(kind, '__name__', kind)}"


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, kind | int) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)

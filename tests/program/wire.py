"""Values as they travel between the program and the engine, secrets kept as such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime import rpc

SIGNATURE, SECRET = rpc._special_sig_key, rpc._special_secret_sig
UNKNOWN = rpc.UNKNOWN


@dataclass(frozen=True)
class Secret:
    """A value that the engine was told to encrypt."""

    value: Any


def plain(value: struct_pb2.Value) -> Any:
    """A value on the wire as Python's, secrets marked as such."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = {key: plain(one) for key, one in value.struct_value.fields.items()}
        return Secret(fields["value"]) if fields.get(SIGNATURE) == SECRET else fields
    if kind == "list_value":
        return [plain(one) for one in value.list_value.values]
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    return None if kind in (None, "null_value") else getattr(value, kind)


def plain_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The same for a whole object."""
    return {key: plain(value) for key, value in struct.fields.items()}


def open_up(value: Any) -> Any:
    """A value without its marks of secrecy."""
    if isinstance(value, Secret):
        return open_up(value.value)
    if isinstance(value, dict):
        return {key: open_up(one) for key, one in value.items()}
    return [open_up(one) for one in value] if isinstance(value, list) else value


def strings(value: Any, path: str = "", secret: bool = False) -> Iterator[tuple[str, str, bool]]:
    """Every text in a value, its keys included: its path, itself, and whether it is secret there."""
    if isinstance(value, Secret):
        yield from strings(value.value, path, True)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield path, key, secret
            yield from strings(one, f"{path}.{key}".lstrip("."), secret)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one, path, secret)
    elif isinstance(value, str):
        yield path, value, secret


def is_known(value: Any) -> bool:
    """Whether nothing in a value is left to providers."""
    return all(text != UNKNOWN for _, text, _ in strings(value))


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    """Python's values as an object on the wire."""
    made = struct_pb2.Struct()
    made.update(_marked(values))
    return made


def _marked(value: Any) -> Any:
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "value": _marked(value.value)}
    if isinstance(value, dict):
        return {key: _marked(one) for key, one in value.items()}
    return [_marked(one) for one in value] if isinstance(value, list) else value

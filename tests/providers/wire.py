"""The provider protocol as the table's cases see it: values, requests and answers in Python's own types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

# JSON values, and the two below.
Value = Any
Properties = Mapping[str, Value]


@dataclass(frozen=True)
class Secret:
    """A value that the engine hides."""

    value: Value


@dataclass(frozen=True)
class Unknown:
    """A value that a preview can't know."""


@dataclass(frozen=True)
class Difference:
    """An answer to Diff: `kind` is none, update or replace, `paths` the properties that differ."""

    kind: str
    paths: Mapping[str, str]


class ProviderError(Exception):
    """A provider refused a request; the text is its message."""


def encode(value: Value) -> Value:
    """Return the value in the wire's plain JSON form."""
    match value:
        case Secret(value=inner):
            return {_SIGNATURE: _SECRET, "value": encode(inner)}
        case Unknown():
            return _UNKNOWN
        case Mapping():
            return {name: encode(inner) for name, inner in value.items()}
        case list():
            return [encode(inner) for inner in value]
    return value


def decode(value: Value) -> Value:
    """Return a value of the wire's plain JSON form with its secrets and unknowns marked."""
    if isinstance(value, (dict, struct_pb2.Struct)):
        fields = dict(value.items())
        if fields.get(_SIGNATURE) == _SECRET:
            return Secret(decode(fields["value"]))
        return {name: decode(inner) for name, inner in fields.items()}
    if isinstance(value, (list, struct_pb2.ListValue)):
        return [decode(inner) for inner in value]
    return Unknown() if value == _UNKNOWN else value


def plain(value: Value) -> Value:
    """Return the value without the secret marks around it and in it."""
    match value:
        case Secret(value=inner):
            return plain(inner)
        case Mapping():
            return {name: plain(inner) for name, inner in value.items()}
        case list():
            return [plain(inner) for inner in value]
    return value


def _struct(properties: Properties) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(encode(properties))
    return struct


class Client:
    """One running provider."""

    def __init__(self, port: int, engine: str = "") -> None:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        grpc.channel_ready_future(channel).result(timeout=10)
        self._stub = provider_pb2_grpc.ResourceProviderStub(channel)
        if engine:
            self._call("Attach", plugin_pb2.PluginAttach(address=engine))
        self._call(
            "CheckConfig", provider_pb2.CheckRequest(urn=_urn("pulumi:providers:test"), news=_struct({}))
        )
        self._call(
            "Configure",
            provider_pb2.ConfigureRequest(
                args=_struct({}),
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
            ),
        )

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=60)
        except grpc.RpcError as error:
            raise ProviderError(error.details()) from error

    def check(self, token: str, inputs: Properties) -> tuple[Properties, dict[str, str]]:
        """Return the checked inputs, and the failures by property."""
        answer = self._call("Check", provider_pb2.CheckRequest(urn=_urn(token), news=_struct(inputs)))
        return decode(answer.inputs), {failure.property: failure.reason for failure in answer.failures}

    def create(self, token: str, inputs: Properties, *, preview: bool = False) -> Properties:
        """Return the outputs of a new resource."""
        request = provider_pb2.CreateRequest(urn=_urn(token), properties=_struct(inputs), preview=preview)
        answer: Properties = decode(self._call("Create", request).properties)
        return answer

    def diff(self, token: str, state: Properties, olds: Properties, news: Properties) -> Difference:
        """Return what the provider would do to get from the old inputs to the new."""
        answer = self._call(
            "Diff",
            provider_pb2.DiffRequest(
                id="id", urn=_urn(token), olds=_struct(state), old_inputs=_struct(olds), news=_struct(news)
            ),
        )
        kinds = provider_pb2.PropertyDiff.Kind
        paths = {path: kinds.Name(change.kind) for path, change in answer.detailedDiff.items()}
        if answer.changes != provider_pb2.DiffResponse.DIFF_SOME:
            return Difference("none", paths)
        replaces = answer.replaces or any(kind.endswith("_REPLACE") for kind in paths.values())
        return Difference("replace" if replaces else "update", paths)

    def update(
        self, token: str, state: Properties, olds: Properties, news: Properties, *, preview: bool = False
    ) -> Properties:
        """Return the outputs of a changed resource."""
        request = provider_pb2.UpdateRequest(
            id="id",
            urn=_urn(token),
            olds=_struct(state),
            old_inputs=_struct(olds),
            news=_struct(news),
            preview=preview,
        )
        answer: Properties = decode(self._call("Update", request).properties)
        return answer

    def delete(self, token: str, state: Properties, olds: Properties) -> None:
        """Delete a resource."""
        self._call(
            "Delete",
            provider_pb2.DeleteRequest(
                id="id", urn=_urn(token), properties=_struct(state), old_inputs=_struct(olds)
            ),
        )

    def read(self, token: str, state: Properties, inputs: Properties) -> Properties:
        """Return the state as a refresh finds it."""
        request = provider_pb2.ReadRequest(
            id="id", urn=_urn(token), properties=_struct(state), inputs=_struct(inputs)
        )
        answer: Properties = decode(self._call("Read", request).properties)
        return answer

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Return a function's result."""
        answer = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=_struct(arguments)))
        if answer.failures:
            raise ProviderError("; ".join(failure.reason for failure in answer.failures))
        result: Properties = decode(getattr(answer, "return"))
        return result

    def version(self) -> str:
        """Return the version that the provider says it is."""
        return str(self._call("GetPluginInfo", empty_pb2.Empty()).version)


def _urn(token: str) -> str:
    return f"urn:pulumi:stack::project::hardway:index:Parent${token}::name"

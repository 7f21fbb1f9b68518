"""A provider in the test process, to which a real engine attaches: echoes inputs and invents the rest.

Each fake says which properties replace a resource and what its outputs are. Nothing is kept here: all state is the
engine's, so a copied state folder is a copied cluster.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.engine.journal import Call, Journal, PlannedError
from tests.providers.wire import Properties, Unknown, Value, decode, encode, plain

LARGEST_MESSAGE = 64 * 1024 * 1024


def struct(properties: Properties) -> struct_pb2.Struct:
    """Properties on the wire."""
    packed = struct_pb2.Struct()
    packed.update(encode(dict(properties)))
    return packed


class FakeProvider(provider_pb2_grpc.ResourceProviderServicer):
    """What all fakes do alike.

    A fake overrides `replacing`, `invented` and, where a resource runs something, `ran`.
    """

    version = "0.0.0"

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # Never the same id twice in a test process: a machine made anew has to be told from the one before.
        self._numbers = itertools.count(1)

    def replacing(self, kind: str) -> Collection[str]:
        """Properties of a kind whose change makes it anew."""
        raise NotImplementedError

    def invented(self, kind: str, name: str, id_: str, inputs: Properties) -> Properties:
        """Outputs that are no inputs."""
        raise NotImplementedError

    def kept(self, kind: str) -> bool:
        """Whether an update leaves the invented outputs as they are."""
        raise NotImplementedError

    def ran(self, method: str, kind: str, inputs: Properties) -> tuple[str, Mapping[str, Any]] | None:
        """What a step would have done on a machine."""
        return None

    # The engine's names from here on.

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802
        # As providers of before it answer; gRPC's own answer would print a traceback.
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no handshake")

    def Attach(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        return plugin_pb2.PluginInfo(version=self.version)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        same = plain(decode(request.old_inputs)) == plain(decode(request.news))
        return provider_pb2.DiffResponse(changes=_changes(not same))

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._journal.record(Call("configure", "provider", ""))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._journal.record(_call("check", request.urn))
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        call = _call("diff", request.urn)
        self._journal.record(call)
        olds, news = plain(decode(request.old_inputs)), plain(decode(request.news))
        differing = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        return provider_pb2.DiffResponse(
            changes=_changes(bool(differing)),
            diffs=differing,
            replaces=sorted({*differing} & {*self.replacing(call.kind)}),
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = decode(request.properties)
        call = self._done("create", request.urn, inputs, context, preview=request.preview)
        id_ = "" if request.preview else f"{call.kind.lower()}-{next(self._numbers):08x}"
        made = self._outputs(call, id_, inputs)
        return provider_pb2.CreateResponse(id=id_, properties=struct(made))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = decode(request.news)
        call = self._done("update", request.urn, inputs, context, preview=request.preview)
        olds, old_inputs = decode(request.olds), decode(request.old_inputs)
        if self.kept(call.kind):
            made: Properties = {
                **{key: value for key, value in olds.items() if key not in old_inputs},
                **inputs,
            }
        else:
            made = self._outputs(call, request.id, inputs)
        return provider_pb2.UpdateResponse(properties=struct(made))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._done("delete", request.urn, decode(request.old_inputs), context, preview=False)
        return empty_pb2.Empty()

    def _done(self, method: str, urn: str, inputs: Properties, context: Any, *, preview: bool) -> Call:
        bare = plain(inputs)
        call = _call(method, urn, preview, bare)
        if not preview:
            call = Call(method, call.kind, call.name, False, bare, self.ran(method, call.kind, bare))
        try:
            self._journal.record(call)
        except PlannedError as failure:
            context.abort(grpc.StatusCode.UNKNOWN, str(failure))
        return call

    def _outputs(self, call: Call, id_: str, inputs: Properties) -> Properties:
        """Inputs and invented outputs; a preview knows the names of these only."""
        invented = self.invented(call.kind, call.name, id_, {} if call.preview else call.inputs)
        return {**inputs, **(dict.fromkeys(invented, Unknown()) if call.preview else invented)}


def _changes(some: bool) -> Value:
    return provider_pb2.DiffResponse.DIFF_SOME if some else provider_pb2.DiffResponse.DIFF_NONE


def _call(method: str, urn: str, preview: bool = False, inputs: Properties | None = None) -> Call:
    type_, name = urn.split("::")[2:4]
    return Call(method, type_.rsplit(":", 1)[1], name, preview, inputs or {})


@contextmanager
def serving(fakes: Mapping[str, FakeProvider]) -> Iterator[str]:
    """Serve the fakes; gives what PULUMI_DEBUG_PROVIDERS wants."""
    servers = {name: grpc.server(futures.ThreadPoolExecutor(16), options=_sizes()) for name in fakes}
    add: Callable[..., None] = provider_pb2_grpc.add_ResourceProviderServicer_to_server
    ports = {}
    for name, server in servers.items():
        add(fakes[name], server)
        ports[name] = server.add_insecure_port("127.0.0.1:0")
        server.start()
    try:
        yield ",".join(f"{name}:{port}" for name, port in ports.items())
    finally:
        for server in servers.values():
            server.stop(None).wait()


def _sizes() -> list[tuple[str, int]]:
    return [(f"grpc.max_{way}_message_length", LARGEST_MESSAGE) for way in ("receive", "send")]

"""The whole program under a monitor that records what the engine would get.

Unlike Pulumi's own mocks it refuses a second resource of the same URN, as the engine does, and keeps what a
mock throws away: parents, dependencies, secrets as such. Providers are stood in for by made-up outputs; every
private key holds a sentinel by which a leak is found.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import runpy
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

from google.protobuf import empty_pb2, struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime import config, mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import configure, reset_options
from pulumi.runtime.stack import run_in_stack

from components import bundle

PROJECT = Path(__file__).parents[2]
SIGNATURE, SECRET = rpc._special_sig_key, rpc._special_secret_sig
UNKNOWN = rpc.UNKNOWN

PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
CERT_REQUEST = "tls:index/certRequest:CertRequest"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"
REMOTE = "command:remote:Command"
LOCAL = "command:local:Command"


@dataclass(frozen=True)
class Secret:
    """A value that the engine was told to encrypt."""

    value: Any


@dataclass(frozen=True)
class Resource:
    """One registration, as the engine would get it."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    input_dependencies: dict[str, frozenset[str]]
    delete_before_replace: bool
    replacement_trigger: Any

    @property
    def parent_type(self) -> str:
        """The type of the resource above it, "" below nothing."""
        return self.parent.split("::")[2].split("$")[-1] if self.parent else ""


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


def sentinel(name: str, kind: str) -> str:
    """The text of a made-up private key; its middle occurs nowhere else."""
    middle = hashlib.sha512(f"{name} {kind}".encode()).hexdigest()
    return f"-----BEGIN PRIVATE KEY-----\n{middle}\n-----END PRIVATE KEY-----\n"


KEY_KINDS = ("privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh")


def facts_of(machine: str) -> dict[str, Any]:
    """What prepare would find on a made-up machine."""
    return {"cgroup_v2": True, "swap": False, "resolver": f"/etc/resolv.conf of {machine}"}


def made_up_outputs(resource: Resource) -> dict[str, Any]:
    """What a provider would answer; only what is a secret there is one here."""
    type_, name = resource.type, resource.name
    if type_ == PRIVATE_KEY:
        return {
            **{kind: Secret(sentinel(name, kind)) for kind in KEY_KINDS},
            "publicKeyPem": f"public key of {name}",
            "publicKeyOpenssh": f"ssh-ed25519 {name}",
        }
    if type_ == CERT_REQUEST:
        return {"certRequestPem": f"request of {name}"}
    if type_ in (SELF_SIGNED, LOCALLY_SIGNED):
        return {"certPem": f"certificate of {name}", "validityEndTime": "2027-01-02T03:04:05Z"}
    if type_ == LOCAL:
        return {"stdout": Secret(json.dumps({"identity": f"nonce of {name}"}))}
    if type_ == REMOTE:
        document = bundle.decode(resource.inputs["stdin"].value)
        answer = {key: document.get(key) for key in ("digest", "identity", "versions")}
        if document["phase"] == "prepare":
            answer["facts"] = facts_of(name.removeprefix("prepare-"))
        return {"stdout": Secret(json.dumps(answer))}
    raise AssertionError(f"the program makes a {type_}, which no test knows")


def _wire(value: Any) -> Any:
    if isinstance(value, Secret):
        return {SIGNATURE: SECRET, "value": _wire(value.value)}
    if isinstance(value, dict):
        return {key: _wire(one) for key, one in value.items()}
    return [_wire(one) for one in value] if isinstance(value, list) else value


def _struct(values: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(_wire(values))
    return struct


@dataclass
class Monitor:
    """Takes the engine's place on the wire.

    Attributes:
        preview: whether outputs of custom resources stay unknown.
        resources: by URN, in the order of their registration.
        outputs: what components and the stack registered, by URN.
    """

    preview: bool
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def RegisterResource(  # noqa: N802 (the protocol's names)
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Record one resource; a URN that is there already is refused."""
        above = request.parent.split("::")[2] + "$" if request.parent else ""
        above = "" if above == "pulumi:pulumi:Stack$" else above
        urn = f"urn:pulumi:test::hardway::{above}{request.type}::{request.name}"
        resource = Resource(
            urn=urn,
            type=request.type,
            name=request.name,
            custom=request.custom,
            parent=request.parent,
            inputs=plain_struct(request.object),
            dependencies=frozenset(request.dependencies),
            input_dependencies={
                name: frozenset(one.urns) for name, one in request.propertyDependencies.items() if one.urns
            },
            delete_before_replace=request.deleteBeforeReplace,
            replacement_trigger=plain(request.replacement_trigger),
        )
        with self.lock:
            if urn in self.resources:
                raise ValueError(f"two resources have the URN {urn}")
            self.resources[urn] = resource
        echoed = {key: value for key, value in resource.inputs.items() if UNKNOWN not in _texts(value)}
        if self.preview or not resource.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=_struct(echoed))
        made = made_up_outputs(resource)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=resource.name, object=_struct(echoed | made))

    def RegisterResourceOutputs(  # noqa: N802
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        """Record what a component or the stack gives out."""
        self.outputs[request.urn] = plain_struct(request.outputs)
        return empty_pb2.Empty()

    def SupportsFeature(self, request: resource_pb2.SupportsFeatureRequest) -> SimpleNamespace:  # noqa: N802
        """Everything but outputs as such, which would hide what they hold."""
        return SimpleNamespace(hasSupport=request.id != "outputValues")

    def RegisterPackage(self, _request: Any) -> resource_pb2.RegisterPackageResponse:  # noqa: N802
        """Packages are not looked at."""
        return resource_pb2.RegisterPackageResponse(ref="package")

    def SignalAndWaitForShutdown(self, _request: Any) -> empty_pb2.Empty:  # noqa: N802
        """The program has ended."""
        return empty_pb2.Empty()


def _texts(value: Any) -> set[str]:
    return {text for _, text, _ in strings(value)}


@dataclass(frozen=True)
class Run:
    """One run of the program.

    Attributes:
        resources: in the order of their registration, the stack left out.
        exports: what the stack gives out.
        outputs: what components registered, by URN.
    """

    resources: tuple[Resource, ...]
    exports: dict[str, Any]
    outputs: dict[str, dict[str, Any]]

    def of_type(self, type_: str) -> dict[str, Resource]:
        """Resources of one type, by their logical names."""
        return {resource.name: resource for resource in self.resources if resource.type == type_}

    def command(self, name: str) -> Resource:
        """A command on a machine, by its logical name."""
        return self.of_type(REMOTE)[name]

    def document(self, name: str) -> dict[str, Any]:
        """What a command on a machine gets on standard input, taken apart."""
        return bundle.decode(self.command(name).inputs["stdin"].value)

    def waits_for(self, name: str) -> set[str]:
        """Logical names of the commands on machines that one of them directly waits for."""
        urns = {resource.urn: resource.name for resource in self.of_type(REMOTE).values()}
        return {urns[urn] for urn in self.command(name).dependencies if urn in urns}


def run_program(settings: Mapping[str, Any], *, preview: bool = False, stack: str = "test") -> Run:
    """Run `__main__.py` on settings; raises whatever the program raises."""
    monitor = Monitor(preview)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    interrupt = signal.getsignal(signal.SIGINT)
    configure(
        mocks.MockSettings(  # type: ignore[no-untyped-call]
            monitor=monitor,
            engine=mocks.MockEngine(None),
            project="hardway",
            stack=stack,
            dry_run=preview,
            organization="organization",
        )
    )
    config.set_all_config({"hardway:cluster": json.dumps(settings)})
    try:
        loop.run_until_complete(run_in_stack(_main))
    finally:
        signal.signal(signal.SIGINT, interrupt)
        reset_options()
        config.set_all_config({})
        asyncio.set_event_loop(None)
        loop.close()
    root = next(urn for urn in monitor.resources if "pulumi:pulumi:Stack" in urn)
    exports = monitor.outputs.pop(root)
    resources = tuple(one for urn, one in monitor.resources.items() if urn != root)
    return Run(resources, exports, monitor.outputs)


def _main() -> None:
    runpy.run_path(str(PROJECT / "__main__.py"))

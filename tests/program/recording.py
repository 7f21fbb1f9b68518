"""The whole program under a monitor that records what the engine would get.

Unlike Pulumi's own mocks it refuses a second resource of the same URN, as the engine does, and keeps what a
mock throws away: parents, dependencies, options, secrets as such. Providers are stood in for by made-up outputs.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import signal
import warnings
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime import config, mocks
from pulumi.runtime.proto import engine_pb2, provider_pb2, resource_pb2
from pulumi.runtime.settings import SETTINGS, configure, reset_options
from pulumi.runtime.stack import run_in_stack

from components import bundle
from tests.program import made_up
from tests.program.made_up import REMOTE
from tests.program.wire import Secret, is_known, plain, plain_struct, struct

PROJECT = Path(__file__).parents[2]
REGION = "eu-central-1"


@dataclass(frozen=True)
class Resource:
    """One registration, as the engine would get it; references to others are their URNs."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str
    provider: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    input_dependencies: dict[str, frozenset[str]]
    delete_before_replace: bool
    deleted_with: str
    protect: bool
    ignore_changes: tuple[str, ...]
    replacement_trigger: Any
    aliases: tuple[str, ...]

    @property
    def parent_type(self) -> str:
        """The type of the resource above it, "" below nothing."""
        return self.parent.split("::")[2].split("$")[-1] if self.parent else ""

    @property
    def waits(self) -> frozenset[str]:
        """What is registered before it: its dependencies, its parent and its provider."""
        return self.dependencies | ({self.parent, self.provider} - {""})


def _recorded(request: resource_pb2.RegisterResourceRequest) -> Resource:
    above = request.parent.split("::")[2] + "$" if request.parent else ""
    above = "" if above == "pulumi:pulumi:Stack$" else above
    return Resource(
        urn=f"urn:pulumi:test::hardway::{above}{request.type}::{request.name}",
        type=request.type,
        name=request.name,
        custom=request.custom,
        parent=request.parent,
        provider=request.provider.rpartition("::")[0],
        inputs=plain_struct(request.object),
        dependencies=frozenset(request.dependencies),
        input_dependencies={
            name: frozenset(one.urns) for name, one in request.propertyDependencies.items() if one.urns
        },
        delete_before_replace=request.deleteBeforeReplace,
        deleted_with=request.deletedWith,
        protect=request.protect,
        ignore_changes=tuple(request.ignoreChanges),
        replacement_trigger=plain(request.replacement_trigger),
        aliases=tuple(alias.spec.type for alias in request.aliases),
    )


@dataclass
class Monitor:
    """Takes the engine's place on the wire.

    Attributes:
        preview: whether outputs of custom resources stay unknown.
        last: what the stack's last run gave out, None before the first one.
        stack: name of the stack.
        resources: by URN, in the order of their registration.
        outputs: what components and the stack registered, by URN.
    """

    preview: bool
    last: Mapping[str, Any] | None = None
    stack: str = "test"
    resources: dict[str, Resource] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def RegisterResource(  # noqa: N802 (the protocol's names)
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        """Record one resource; a URN that is there already is refused."""
        resource = _recorded(request)
        urn = resource.urn
        with self.lock:
            if urn in self.resources:
                raise ValueError(f"two resources have the URN {urn}")
            self.resources[urn] = resource
        echoed = {key: value for key, value in resource.inputs.items() if is_known(value)}
        if self.preview or not resource.custom:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=struct(echoed))
        made = made_up.made_up_outputs(resource.type, resource.name, resource.inputs)
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=made_up.made_up_id(resource.type, resource.name), object=struct(echoed | made)
        )

    def RegisterResourceOutputs(  # noqa: N802
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        """Record what a component or the stack gives out."""
        self.outputs[request.urn] = plain_struct(request.outputs)
        return empty_pb2.Empty()

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> provider_pb2.InvokeResponse:  # noqa: N802
        """The stack's own record, with a secret beside what is asked for; nobody else is asked anything."""
        own = f"organization/hardway/{self.stack}"
        asked = (request.tok, plain_struct(request.args))
        if asked != ("pulumi:pulumi:readStackOutputs", {"name": own}):
            raise AssertionError(f"the program looks something up: {asked}")
        outputs = {} if self.last is None else {**self.last, "kubeconfig": Secret("the administrator's")}
        answer = {"name": own, "outputs": outputs, "secretOutputNames": ["kubeconfig"] if outputs else []}
        return provider_pb2.InvokeResponse(**{"return": struct(answer)})

    def SupportsFeature(self, request: resource_pb2.SupportsFeatureRequest) -> SimpleNamespace:  # noqa: N802
        """Everything but outputs as such, which would hide what they hold."""
        return SimpleNamespace(hasSupport=request.id != "outputValues")

    def RegisterPackage(self, _request: Any) -> resource_pb2.RegisterPackageResponse:  # noqa: N802
        """Packages are not looked at."""
        return resource_pb2.RegisterPackageResponse(ref="package")

    def SignalAndWaitForShutdown(self, _request: Any) -> empty_pb2.Empty:  # noqa: N802
        """The program has ended."""
        return empty_pb2.Empty()


@dataclass
class _Log:
    """What the program tells the operator."""

    lines: list[str] = field(default_factory=list)

    def Log(self, request: engine_pb2.LogRequest) -> empty_pb2.Empty:  # noqa: N802
        if request.severity >= engine_pb2.WARNING:
            self.lines.append(request.message)
        return empty_pb2.Empty()


@dataclass(frozen=True)
class Run:
    """One run of the program.

    Attributes:
        resources: in the order of their registration, the stack left out.
        exports: what the stack gives out.
        outputs: what components registered, by URN.
        told: warnings and errors for the operator.
        warnings: what Python itself warned of meanwhile.
    """

    resources: tuple[Resource, ...]
    exports: dict[str, Any]
    outputs: dict[str, dict[str, Any]]
    told: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @cached_property
    def by_urn(self) -> dict[str, Resource]:
        """Every resource by its URN."""
        return {resource.urn: resource for resource in self.resources}

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

    def after(self, urns: Iterable[str]) -> tuple[Resource, ...]:
        """Everything that has to be there before any of these, however far back."""
        found: set[str] = set()
        waiting = [*urns]
        while waiting:
            resource = self.by_urn.get(waiting.pop())
            new = resource.waits - found if resource else frozenset()
            found |= new
            waiting += new
        return tuple(resource for resource in self.resources if resource.urn in found)


class _Outputs(set[Any]):
    """Outputs that are not known yet, as SDKs keep them since pulumi/pulumi#22946: taking one out needs no search."""

    append = set.add

    def remove(self, output: Any) -> None:
        """Take one out; ValueError as from the deque in whose place this stands."""
        if output not in self:
            raise ValueError(output)
        self.discard(output)


def run_program(
    settings: Mapping[str, Any],
    *,
    preview: bool = False,
    stack: str = "test",
    region: str | None = REGION,
    last: Mapping[str, Any] | None = None,
    quick: bool = True,
) -> Run:
    """Run `__main__.py` on settings; raises whatever the program raises.

    Args:
        settings: value of `hardway:cluster`.
        preview: whether the outputs of providers stay unknown.
        stack: name of the stack.
        region: value of `aws:region`, None for none.
        last: what the stack's last run gave out, such as `{"machines": {...}}`.
        quick: whether the SDK keeps its outputs as newer ones do; see `_Outputs`.
    """
    monitor, log = Monitor(preview, last, stack=stack), _Log()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    interrupt = signal.getsignal(signal.SIGINT)
    configure(
        mocks.MockSettings(  # type: ignore[no-untyped-call]
            monitor=monitor,
            engine=log,
            project="hardway",
            stack=stack,
            dry_run=preview,
            organization="organization",
        )
    )
    SETTINGS.outputs = _Outputs() if quick else deque()
    around = {} if region is None else {"aws:region": region}
    config.set_all_config({"hardway:cluster": json.dumps(settings), **around})
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
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
    return Run(
        resources, exports, monitor.outputs, tuple(log.lines), tuple(str(one.message) for one in caught)
    )


def _main() -> None:
    runpy.run_path(str(PROJECT / "__main__.py"))

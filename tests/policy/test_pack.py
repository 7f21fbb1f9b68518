"""The pack as the engine meets it: a process of its own environment that answers over gRPC."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from policy.check import FOLDER, install
from policy.ingress import VPC_RULE
from policy.machines import INSTANCE, VOLUME
from policy.rules import RESOURCE_RULES, STACK_RULES
from tests.policy.resources import DEFAULTS, GOOD
from tests.program.wire import UNKNOWN

# It installs packages, and needs what the engine would: nobody waits for that in `make check`.
pytestmark = [pytest.mark.engine, pytest.mark.slow]

MANDATORY, ADVISORY = analyzer_pb2.MANDATORY, analyzer_pb2.ADVISORY


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of the running pack."""
    environment = tmp_path_factory.mktemp("pack") / "environment"
    install(environment)
    command = [str(environment / "bin" / "python"), str(FOLDER), "127.0.0.1:1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/", text=True)
    try:
        assert process.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
    finally:
        process.terminate()
        process.wait(timeout=10)


def one(request: Any, type_: str, **changes: Any) -> Any:
    """A request on a good resource with properties replaced."""
    request.type, request.name = type_, "one"
    request.urn = f"urn:pulumi:dev::hardway::{type_}::one"
    request.properties.update({**GOOD[type_], **changes})
    request.provider.type = "pulumi:providers:aws"
    request.provider.properties.update({"defaultTags": '{"tags": {"hardway.dev/cluster": "dev"}}'})
    return request


def told(response: Any) -> list[tuple[str, int]]:
    return [(each.policyName, each.enforcementLevel) for each in response.diagnostics]


def test_the_pack_has_every_rule_once_to_stop_and_once_to_tell(pack: Any) -> None:
    info = pack.GetAnalyzerInfo(empty_pb2.Empty())
    levels = {policy.name: policy.enforcementLevel for policy in info.policies}
    names = [*(rule.name for rule in RESOURCE_RULES), *(rule.name for rule in STACK_RULES)]
    assert levels == {
        **dict.fromkeys(names, MANDATORY),
        **{f"{name}-not-known-yet": ADVISORY for name in names},
    }


@pytest.mark.parametrize("type_", sorted(GOOD))
def test_a_good_resource_passes_with_its_providers_tags(pack: Any, type_: str) -> None:
    assert told(pack.Analyze(one(analyzer_pb2.AnalyzeRequest(), type_))) == []


def test_a_violation_stops_with_its_reason_and_way_out(pack: Any) -> None:
    response = pack.Analyze(one(analyzer_pb2.AnalyzeRequest(), VPC_RULE, cidrIpv4="0.0.0.0/0"))
    assert told(response) == [("no-world-open-machine-ports", MANDATORY)]
    assert response.diagnostics[0].message.endswith(
        "lets the world reach SSH (TCP 22); name the addresses that need it, such as platform.adminCidrs, or a "
        "security group"
    )


def test_what_the_engine_does_not_know_yet_is_told_and_stops_nothing(pack: Any) -> None:
    response = pack.Analyze(one(analyzer_pb2.AnalyzeRequest(), VOLUME, encrypted=UNKNOWN))
    assert told(response) == [("no-unencrypted-volumes-not-known-yet", ADVISORY)]


@pytest.mark.parametrize(("count", "stopped"), [(2, [("no-even-control-plane", MANDATORY)]), (3, [])])
def test_the_stack_is_judged_as_a_whole(pack: Any, count: int, stopped: list[tuple[str, int]]) -> None:
    request = analyzer_pb2.AnalyzeStackRequest()
    for _ in range(count):
        one(request.resources.add(), INSTANCE, tags={**GOOD[INSTANCE]["tags"], **DEFAULTS})
    assert told(pack.AnalyzeStack(request)) == stopped

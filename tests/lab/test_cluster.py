"""Which Nodes count as Ready: after a reboot the API's old word is worth nothing."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lab import cluster
from lab.errors import LabError
from lab.stack import Stack
from tests.components.trees import lab_plan, single_plan
from tests.lab import recordings

BEGIN = datetime(2026, 11, 22, 20, 0, 0, tzinfo=UTC)
STACK = Stack("lab")


class Api:
    """kubectl as a cluster answers it.

    Attributes:
        nodes: what `get nodes` prints.
        leases: what `get leases` prints.
        asked: the kinds that were asked for.
    """

    def __init__(self, nodes: str, leases: str = "") -> None:
        self.nodes = nodes
        self.leases = leases
        self.asked: list[str] = []

    def __call__(self, _stack: Stack, _plan: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.asked.append(arguments[1])
        told = {"nodes": self.nodes, "leases": self.leases}[arguments[1]]
        return subprocess.CompletedProcess(list(arguments), 0, stdout=told, stderr="")


def ready(monkeypatch: pytest.MonkeyPatch, api: Api, **since: datetime) -> set[str]:
    monkeypatch.setattr(cluster, "kubectl", api)
    begins = {name.replace("_", "-"): moment for name, moment in since.items()}
    return cluster._ready(STACK, lab_plan(), begins)


def renewed(seconds: float) -> str:
    """A lease's time as the API prints it."""
    return (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_node_is_ready_when_the_api_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("cp-0=True cp-1=False cp-2=Unknown worker-0= ")
    assert ready(monkeypatch, api) == {"cp-0"}
    assert api.asked == ["nodes"]


@pytest.mark.parametrize(
    ("lease", "counts"),
    [
        (f"cp-0={renewed(5)} ", True),
        (f"cp-0={renewed(0.000001)} ", True),
        (f"cp-0={renewed(0)} ", False),
        (f"cp-0={renewed(-30)} ", False),
        (f"cp-1={renewed(5)} ", False),
        ("", False),
    ],
    ids=["renewed-since", "just-renewed", "at-the-start", "before-the-start", "only-anothers", "no-lease"],
)
def test_a_node_whose_machine_was_started_counts_only_with_a_lease_of_since_then(
    monkeypatch: pytest.MonkeyPatch, lease: str, counts: bool
) -> None:
    found = ready(monkeypatch, Api("cp-0=True cp-1=True ", lease), cp_0=BEGIN)
    assert found == ({"cp-0", "cp-1"} if counts else {"cp-1"})


def test_a_new_lease_makes_no_sick_node_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready(monkeypatch, Api("cp-0=Unknown ", f"cp-0={renewed(5)} "), cp_0=BEGIN) == set()


def test_a_silent_api_has_no_ready_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready(monkeypatch, Api(""), cp_0=BEGIN) == set()


def test_who_waits_is_told_which_nodes_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [node.name for node in lab_plan().nodes]
    monkeypatch.setattr(cluster, "READY_SECONDS", -1.0)
    monkeypatch.setattr(cluster, "kubectl", Api(" ".join(f"{name}=True" for name in names[1:])))
    with pytest.raises(LabError, match=r"not Ready after .*: cp-0\.\n'make ssh NODE=cp-0' lets you look"):
        cluster.wait_for_nodes(STACK, lab_plan(), set())


def test_with_a_cni_of_the_operators_own_no_node_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api("")
    monkeypatch.setattr(cluster, "kubectl", api)
    cluster.wait_for_nodes(STACK, single_plan(), set())
    assert api.asked == []


# The summary


def test_the_phases_of_a_run_are_told_with_their_seconds() -> None:
    assert cluster._phases(recordings.FAILED_UP).splitlines()[0] == "    machines answer on SSH     1 to 2 s"


@pytest.mark.parametrize("text", ['{"timestamp": 1, "diagnosticEvent": {"urn": "u"}}', '{"timestamp": "x"}'])
def test_a_log_of_an_unexpected_shape_costs_the_summary_its_phases_only(tmp_path: Path, text: str) -> None:
    log = tmp_path / "events.json"
    log.write_text(text)
    assert cluster._phases(log).startswith("    (the engine's log tells no phases: ")


def test_a_run_without_a_log_had_nothing_to_do(tmp_path: Path) -> None:
    assert cluster._phases(tmp_path / "events.json") == "    nothing to do"

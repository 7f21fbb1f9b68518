"""A drain: pods go as their budgets allow, then the Node goes; or all is as it was, and the message says why."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.agent import drain, nodes
from components.agent.evidence import Failure

NAME = "worker-general-1"
BUNDLE = {"step": "drain", "node": NAME, "seconds": 300, "api": "https://127.0.0.1:6443", "digest": "d"}
DRAIN = f"drain {NAME} --ignore-daemonsets --delete-emptydir-data --timeout=20s"
DELETE = f"delete node {NAME} --ignore-not-found --wait=false"


KUBELET = socket.create_server(("127.0.0.1", 0), backlog=128)
"""Where a kubelet would listen."""


class Cluster:
    """A cluster behind a made-up kubectl.

    Attributes:
        node: the Node, None for none.
        pods: on that Node.
        changes: calls that are no reading, in order.
        error: how a drain ends; None for well.
    """

    def __init__(self, ready: str | None = "True", error: BaseException | None = None) -> None:
        conditions = [{"type": "Ready", "status": ready}]
        self.node: dict[str, Any] | None = {
            "metadata": {"name": NAME},
            "spec": {},
            "status": {
                "conditions": conditions,
                "addresses": [
                    {"type": "Hostname", "address": NAME},
                    {"type": "InternalIP", "address": "127.0.0.1"},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET.getsockname()[1]}},
            },
        }
        self.pods: list[dict[str, Any]] = []
        self.budgets: list[dict[str, Any]] = []
        self.changes: list[str] = []
        self.error = error
        self.healthy = True
        self.can_uncordon = True

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """One call, of which the first three words are kubectl, its credential and its server."""
        assert command[:3] == (
            nodes.KUBECTL,
            f"--kubeconfig={nodes.ADMIN}",
            "--server=https://127.0.0.1:6443",
        )
        words = command[4:]
        if words[:2] == ("get", "node"):
            return json.dumps(self.node) if self.node else ""
        if words[0] == "get":
            if words[1] == "pods":
                assert f"--field-selector=spec.nodeName={NAME}" in words
            return json.dumps({"items": {"pods": self.pods, "poddisruptionbudgets": self.budgets}[words[1]]})
        self.changes.append(" ".join(words))
        if words[0] == "drain" and self.error:
            raise self.error
        return ""

    def succeeds(self, *command: str, timeout: float = 60) -> bool:
        """Readiness and uncordon."""
        if command[-1] == "--raw=/readyz":
            return self.healthy
        self.changes.append(" ".join(command[4:]))
        return self.can_uncordon


@pytest.fixture(scope="module", autouse=True)
def kubelet() -> Iterator[None]:
    """Its port is open while these tests run."""
    with KUBELET:
        yield


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A control-plane machine."""
    for name in ("KUBECTL", "ADMIN"):
        (tmp_path / name).touch()
        monkeypatch.setattr(nodes, name, str(tmp_path / name))
    monkeypatch.setattr(drain, "LOCK", str(tmp_path / "lock"))
    # A clock on which each turn of a drain takes as long as it may.
    clock = itertools.count(0, drain.TURN_SECONDS)
    monkeypatch.setattr(drain, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))


def use(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(drain, "command", cluster.run)
    monkeypatch.setattr(drain, "succeeds", cluster.succeeds)
    return cluster


def pod(name: str, owner: str | None = "ReplicaSet", **metadata: Any) -> dict[str, Any]:
    references = [{"kind": owner, "controller": True}] if owner else []
    return {"metadata": {"namespace": "default", "name": name, "ownerReferences": references, **metadata}}


def test_a_node_is_deleted_when_its_pods_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(Cluster(), monkeypatch)
    cluster.pods = [pod("web"), pod("agent", owner="DaemonSet")]
    assert drain.run(BUNDLE) == {"digest": "d", "node": NAME, "removed": True}
    assert cluster.changes == [DRAIN, DELETE]


@pytest.mark.parametrize("ready", ["False", "Unknown"])
def test_a_dead_node_is_deleted_without_waiting_for_it(ready: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(Cluster(ready), monkeypatch)
    cluster.pods = [pod("alone", owner=None)]
    assert drain.run(BUNDLE)["removed"] is True
    assert cluster.changes == [DELETE]


def test_a_node_that_is_not_there_needs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = use(Cluster(), monkeypatch)
    cluster.node = None
    assert drain.run(BUNDLE) == {"digest": "d", "node": NAME, "removed": False}
    assert cluster.changes == []
    assert capsys.readouterr().err == f"nothing to drain: there is no Node {NAME}\n"


@pytest.mark.parametrize("missing", ["KUBECTL", "ADMIN"])
def test_a_machine_that_belongs_to_no_cluster_yet_has_nothing_to_drain(
    monkeypatch: pytest.MonkeyPatch, missing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(getattr(nodes, missing)).unlink()
    assert drain.run(BUNDLE)["removed"] is False
    assert capsys.readouterr().err.startswith("nothing to drain: this machine has no ")


def test_an_api_that_does_not_answer_is_told_with_evidence(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    use(Cluster(), monkeypatch).healthy = False
    monkeypatch.setattr(drain, "API_SECONDS", -1.0)
    monkeypatch.setattr(drain, "unit_evidence", lambda unit: f"--- {unit}")
    with pytest.raises(Failure) as caught:
        drain.run(BUNDLE)
    first, *evidence = str(caught.value).splitlines()
    assert first.startswith(
        "the API at https://127.0.0.1:6443 is not ready after -1 s, so nothing was drained"
    )
    assert evidence == ["--- etcd.service", "--- kube-apiserver.service"]


def test_pods_that_nobody_would_make_again_are_named_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = use(Cluster(), monkeypatch)
    cluster.pods = [pod("web"), *(pod(f"alone-{number:02}", owner=None) for number in range(22))]
    with pytest.raises(Failure) as caught:
        drain.run(BUNDLE)
    names = ", ".join(f"default/alone-{number:02}" for number in range(20))
    assert str(caught.value) == (
        f"Node {NAME} runs pods without a controller, which nobody would make again elsewhere: {names}, and 2 more. "
        "Nothing was changed. Delete them ('kubectl delete pod --namespace NAMESPACE NAME') or allow the drain to "
        "(force), then run again"
    )
    assert cluster.changes == []


def test_a_forced_drain_loses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(Cluster(), monkeypatch)
    cluster.pods = [pod("alone", owner=None)]
    assert drain.run({**BUNDLE, "force": True})["removed"] is True
    assert cluster.changes == [DRAIN.replace("--timeout", "--force --timeout"), DELETE]


def blocked() -> Cluster:
    cluster = Cluster(
        error=Failure("'kubectl drain' failed with status 1: evicting\nagain\nstill\nglobal timeout")
    )
    cluster.pods = [pod("web-0", labels={"app": "web"})]
    cluster.budgets = [
        {
            "metadata": {"namespace": "default", "name": "web"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 2, "desiredHealthy": 2},
        }
    ]
    return cluster


def test_a_drain_that_a_budget_blocks_names_it_and_leaves_the_node_schedulable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = use(blocked(), monkeypatch)
    with pytest.raises(Failure) as caught:
        drain.run(BUNDLE)
    assert str(caught.value).splitlines() == [
        f"Node {NAME} could not be drained within 300 s. It takes new pods again, and it was not deleted. Let more "
        "replicas of the pods below become ready, loosen their PodDisruptionBudget, or delete them yourself, then run "
        "again.",
        "  default/web-0: PodDisruptionBudget default/web allows 0 disruptions (2 healthy, 2 wanted)",
        "again",
        "still",
        "global timeout",
    ]
    assert cluster.changes[:7] == [DRAIN] * 7
    assert cluster.changes[8:] == [f"uncordon {NAME}"]


def test_a_node_that_the_operator_had_cordoned_stays_cordoned(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(blocked(), monkeypatch)
    assert cluster.node is not None
    cluster.node["spec"] = {"unschedulable": True}
    with pytest.raises(Failure, match=r"It stays cordoned, as it was before, and it was not deleted"):
        drain.run(BUNDLE)
    assert cluster.changes[:7] == [DRAIN] * 7
    assert len(cluster.changes) == 8


def test_a_node_that_could_not_be_uncordoned_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    use(blocked(), monkeypatch).can_uncordon = False
    with pytest.raises(
        Failure, match=f"It is cordoned and could not be uncordoned: run 'kubectl uncordon {NAME}'"
    ):
        drain.run(BUNDLE)


def test_a_drain_that_is_ended_from_outside_leaves_the_node_schedulable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = use(Cluster(error=SystemExit(1)), monkeypatch)
    with pytest.raises(SystemExit):
        drain.run(BUNDLE)
    assert cluster.changes == [DRAIN, f"uncordon {NAME}"]


def test_a_machine_that_dies_during_its_drain_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = use(Cluster(error=Failure("global timeout")), monkeypatch)
    assert cluster.node is not None
    answers = [json.dumps(cluster.node), json.dumps(cluster.node)]
    dead = json.loads(answers[0])
    dead["status"]["conditions"][0]["status"] = "Unknown"
    answers.append(json.dumps(dead))
    run = cluster.run

    def dying(*command: str, **words: Any) -> str:
        return answers.pop(0) if command[4:6] == ("get", "node") else run(*command, **words)

    monkeypatch.setattr(drain, "command", dying)
    assert drain.run(BUNDLE)["removed"] is True
    assert cluster.changes == [DRAIN, DRAIN, DELETE]


def test_a_machine_that_the_api_still_takes_for_ready_is_dead_when_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = use(Cluster(), monkeypatch)
    assert cluster.node is not None
    with socket.create_server(("127.0.0.1", 0)) as gone:
        cluster.node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] = gone.getsockname()[1]
    assert drain.run(BUNDLE)["removed"] is True
    assert cluster.changes == [DELETE]
    assert "its kubelet does not answer" in capsys.readouterr().err

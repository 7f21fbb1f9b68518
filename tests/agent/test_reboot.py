"""A Node that leaves for a reboot: whose cordon it is, and what stays of ours when pods stayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components.agent import drain, reboot
from components.agent.evidence import Failure

NAME = "worker-a-0"
BUNDLE = {"step": "leave", "node": NAME, "seconds": 300, "force": False}


class Cluster:
    """A cluster behind a made-up kubectl and a made-up drain.

    Attributes:
        cordoned: whether the Node is.
        marked: whether it has our mark.
        error: how a drain ends; None for well.
        said: what the drain told of the Node after a failure.
        lock: seconds for which the lock was waited for.
    """

    def __init__(self) -> None:
        self.cordoned = self.marked = False
        self.error: BaseException | None = None
        self.said = ""
        self.can_uncordon = True
        self.lock = 0.0

    def command(self, *words: str) -> str:
        """One call of kubectl."""
        assert words[: len(reboot.KUBECTL)] == tuple(reboot.KUBECTL)
        line = " ".join(words[len(reboot.KUBECTL) :])
        if line == f"get node {NAME} --output=json":
            annotations = {reboot.OURS: "yes"} if self.marked else {}
            spec = {"unschedulable": True} if self.cordoned else {}
            return json.dumps({"metadata": {"name": NAME, "annotations": annotations}, "spec": spec})
        if line == f"uncordon {NAME}":
            if not self.can_uncordon:
                raise Failure("the API is away")
            self.cordoned = False
        elif line == f"annotate node {NAME} {reboot.OURS}=yes --overwrite":
            self.marked = True
        elif line == f"annotate node {NAME} {reboot.OURS}-":
            self.marked = False
        else:
            raise AssertionError(line)
        return ""

    def succeeds(self, *words: str) -> bool:
        """The same, for those that may fail."""
        try:
            self.command(*words)
        except Failure:
            return False
        return True

    def empty(self, kubectl: list[str], node: dict[str, Any], _seconds: float, *, force: bool) -> None:
        """A drain: cordons, and when it fails takes that back only where the Node was schedulable before."""
        assert not force
        self.cordoned = True
        if self.error:
            self.said = drain._leave_as_found(kubectl, node)
            raise self.error

    @contextmanager
    def hold(self, path: str, _holder: str, seconds: float) -> Iterator[None]:
        """The lock of all drains."""
        assert path == drain.LOCK
        self.lock = seconds
        yield


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster()
    monkeypatch.setattr(reboot, "command", made.command)
    monkeypatch.setattr(reboot, "succeeds", made.succeeds)
    monkeypatch.setattr(reboot, "hold", made.hold)
    monkeypatch.setattr(drain, "succeeds", made.succeeds)
    monkeypatch.setattr(drain, "empty", made.empty)
    return made


def test_a_node_that_left_is_cordoned_with_our_mark(cluster: Cluster) -> None:
    assert reboot.run(BUNDLE) == {"node": NAME}
    assert (cluster.cordoned, cluster.marked) == (True, True)
    assert cluster.lock == 300.0


@pytest.mark.parametrize("error", [Failure("pods stayed"), SystemExit(143)], ids=["stayed", "ended"])
def test_pods_that_stay_leave_neither_cordon_nor_mark(cluster: Cluster, error: BaseException) -> None:
    cluster.error = error
    with pytest.raises(type(error)):
        reboot.run(BUNDLE)
    assert (cluster.cordoned, cluster.marked) == (False, False)


def test_a_cordon_of_ours_from_an_earlier_round_goes_too_when_pods_stay(cluster: Cluster) -> None:
    cluster.cordoned = cluster.marked = True
    cluster.error = Failure("pods stayed")
    with pytest.raises(Failure):
        reboot.run(BUNDLE)
    assert (cluster.cordoned, cluster.marked) == (False, False)
    assert cluster.said == "It takes new pods again"


def test_pods_without_a_controller_leave_no_cordon_of_an_earlier_round_either(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise Failure("runs pods without a controller")

    monkeypatch.setattr(drain, "empty", refuse)
    cluster.cordoned = cluster.marked = True
    with pytest.raises(Failure):
        reboot.run(BUNDLE)
    assert (cluster.cordoned, cluster.marked) == (False, False)


def test_a_cordon_of_somebody_else_stays_and_gets_no_mark(cluster: Cluster) -> None:
    cluster.cordoned = True
    cluster.error = Failure("pods stayed")
    with pytest.raises(Failure):
        reboot.run(BUNDLE)
    assert (cluster.cordoned, cluster.marked) == (True, False)
    assert cluster.said == "It stays cordoned, as it was before"


def test_a_cordon_that_could_not_be_taken_back_keeps_its_mark_for_the_next_round(cluster: Cluster) -> None:
    cluster.error = Failure("pods stayed")
    cluster.can_uncordon = False
    with pytest.raises(Failure):
        reboot.run(BUNDLE)
    assert (cluster.cordoned, cluster.marked) == (True, True)

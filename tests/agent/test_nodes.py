"""Labels and taints of Nodes: ours are kept right, those of others are left alone."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.agent import nodes
from components.agent.evidence import Failure
from components.agent.nodes import MANAGED, describe_missing, is_ready, plan_patch

NO_SCHEDULE = {"key": "batch", "value": "only", "effect": "NoSchedule"}


def node(
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    managed: dict[str, list[str]] | None = None,
) -> dict[str, Any]:
    annotations = {MANAGED: json.dumps(managed)} if managed is not None else {}
    metadata: dict[str, Any] = {
        "name": "n",
        "resourceVersion": "41",
        "annotations": annotations,
        "labels": labels or {},
    }
    return {"metadata": metadata, "spec": {"taints": taints} if taints else {}}


def wanted(
    labels: dict[str, str] | None = None, taints: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    return {"name": "n", "labels": labels or {}, "taints": taints or []}


def applied(node_: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch (RFC 7386), as the API applies it."""

    def merge(target: Any, change: Any) -> Any:
        if not isinstance(change, dict):
            return change
        result = dict(target) if isinstance(target, dict) else {}
        for key, value in change.items():
            if value is None:
                result.pop(key, None)
            else:
                result[key] = merge(result.get(key), value)
        return result

    merged: dict[str, Any] = merge(copy.deepcopy(node_), patch)
    return merged


def note(labels: list[str], taints: list[str]) -> dict[str, str]:
    return {MANAGED: json.dumps({"labels": labels, "taints": taints})}


@pytest.mark.parametrize(
    ("found", "asked", "patch"),
    [
        (node(), wanted(), {}),
        (
            node({"kubernetes.io/os": "linux"}),
            wanted({"tier": "a"}),
            {"metadata": {"labels": {"tier": "a"}, "annotations": note(["tier"], [])}},
        ),
        (
            node({"tier": "a"}, managed={"labels": ["tier"], "taints": []}),
            wanted({"tier": "b"}),
            {"metadata": {"labels": {"tier": "b"}, "annotations": note(["tier"], [])}},
        ),
        (
            node({"tier": "a", "mine": "x"}, managed={"labels": ["tier"], "taints": []}),
            wanted(),
            {"metadata": {"labels": {"tier": None}, "annotations": note([], [])}},
        ),
        (
            node({}, [dict(NO_SCHEDULE)]),
            wanted({}, [NO_SCHEDULE]),
            {"metadata": {"labels": {}, "annotations": note([], ["batch"])}},
        ),
        (
            node({}, [{"key": "theirs", "effect": "NoExecute"}], {"labels": [], "taints": []}),
            wanted({}, [NO_SCHEDULE]),
            {
                "metadata": {"labels": {}, "annotations": note([], ["batch"])},
                "spec": {"taints": [{"key": "theirs", "effect": "NoExecute"}, NO_SCHEDULE]},
            },
        ),
        (
            node(
                {},
                [NO_SCHEDULE, {"key": "theirs", "effect": "NoExecute"}],
                {"labels": [], "taints": ["batch"]},
            ),
            wanted(),
            {
                "metadata": {"labels": {}, "annotations": note([], [])},
                "spec": {"taints": [{"key": "theirs", "effect": "NoExecute"}]},
            },
        ),
        (
            node({}, [{"key": "cp", "effect": "NoSchedule"}], {"labels": [], "taints": ["cp"]}),
            wanted({}, [{"key": "cp", "value": "", "effect": "NoSchedule"}]),
            {},
        ),
    ],
    ids=[
        "nothing-wanted",
        "a-new-label",
        "a-changed-label",
        "a-label-taken-away",
        "a-taint-that-the-kubelet-registered",
        "a-taint-beside-anothers",
        "a-taint-taken-away",
        "an-empty-value-is-no-difference",
    ],
)
def test_the_patch_is_exactly_this(
    found: dict[str, Any], asked: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert plan_patch(found, asked) == patch


KEYS = st.sampled_from(["a", "b", "c"])
LABELS = st.dictionaries(KEYS, st.sampled_from(["", "x", "y"]))
TAINTS = st.lists(
    st.builds(
        lambda key, value, effect: {"key": key, "value": value, "effect": effect},
        KEYS,
        st.sampled_from(["", "v"]),
        st.sampled_from(["NoSchedule", "NoExecute"]),
    ),
    max_size=3,
    unique_by=lambda taint: (taint["key"], taint["effect"]),
)
FOREIGN_LABELS = st.dictionaries(st.sampled_from(["kubernetes.io/os", "theirs"]), st.just("z"))
FOREIGN_TAINTS = st.lists(st.just({"key": "theirs", "effect": "NoExecute"}), max_size=1)


@given(LABELS, TAINTS, LABELS, TAINTS, FOREIGN_LABELS, FOREIGN_TAINTS)
def test_two_rounds_make_it_so_and_a_third_changes_nothing(
    labels: dict[str, str],
    taints: list[dict[str, str]],
    later_labels: dict[str, str],
    later_taints: list[dict[str, str]],
    foreign_labels: dict[str, str],
    foreign_taints: list[dict[str, str]],
) -> None:
    now = node(foreign_labels, foreign_taints)
    for asked in (wanted(labels, taints), wanted(later_labels, later_taints)):
        now = applied(now, plan_patch(now, asked))
        assert plan_patch(now, asked) == {}
    assert now["metadata"]["labels"] == foreign_labels | later_labels
    ours = [taint for taint in now["spec"].get("taints", []) if taint["key"] != "theirs"]
    assert sorted(json.dumps(taint, sort_keys=True) for taint in ours) == sorted(
        json.dumps({key: value for key, value in taint.items() if value}, sort_keys=True)
        for taint in later_taints
    )
    assert [taint for taint in now["spec"].get("taints", []) if taint["key"] == "theirs"] == foreign_taints


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ({"Ready": "True"}, True),
        ({"Ready": "True", "NetworkUnavailable": "False"}, True),
        ({"Ready": "True", "NetworkUnavailable": "True"}, False),
        ({"Ready": "Unknown"}, False),
        ({"Ready": "False"}, False),
        ({}, False),
    ],
)
def test_a_node_is_ready_when_it_says_so_and_has_a_network(conditions: dict[str, str], ready: bool) -> None:
    said = [{"type": kind, "status": status} for kind, status in conditions.items()]
    assert is_ready({"status": {"conditions": said}}) is ready


def test_a_node_from_which_pods_are_still_kept_away_is_not_ready_yet() -> None:
    """The condition changes first; the controller manager takes its taint off a moment later."""
    conditions = [{"type": "Ready", "status": "True", "message": "kubelet is posting ready status"}]
    tainted = {
        "spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]},
        "status": {"conditions": conditions},
    }
    others = {"spec": {"taints": [NO_SCHEDULE]}, "status": {"conditions": conditions}}
    assert not is_ready(tainted)
    assert is_ready(others)
    assert describe_missing({"w-0": tainted}, ["w-0"], 10).splitlines()[1:] == [
        "  w-0: kubelet is posting ready status (tainted node.kubernetes.io/not-ready)"
    ]


def test_what_is_missing_is_told_node_by_node_in_the_kubelets_words() -> None:
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    sick = {"status": {"conditions": [{"type": "Ready", "status": "False", "message": "no CNI config"}]}}
    silent: dict[str, Any] = {"status": {}}
    found = {"w-0": ready, "w-1": sick, "w-3": silent}
    assert describe_missing(found, ["w-0", "w-1", "w-2", "w-3"], 300.4).splitlines() == [
        "not all Nodes are Ready after 300 s:",
        "  w-1: no CNI config",
        "  w-2: is not registered; look at 'journalctl -u kubelet -u kube-api-balancer' on it; a kubelet"
        " registers when it starts ('systemctl restart kubelet')",
        "  w-3: no condition reported",
    ]


def test_while_the_api_is_silent_there_are_no_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: str) -> str:
        raise Failure("connection refused")

    monkeypatch.setattr(nodes, "run", refused)
    assert nodes.read(["kubectl"]) == {}


def test_a_node_that_is_as_wanted_is_not_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def run(*command: str) -> str:
        calls.append(command)
        return ""

    monkeypatch.setattr(nodes, "run", run)
    assert nodes.label_and_taint(["kubectl"], node(), wanted()) is True
    assert calls == []
    assert nodes.label_and_taint(["kubectl"], node(), wanted({"a": "1"})) is True
    ((*words, patch),) = calls
    assert words == ["kubectl", "patch", "node", "n", "--type=merge"]
    assert json.loads(patch.removeprefix("--patch="))["metadata"]["labels"] == {"a": "1"}


@pytest.mark.parametrize("asked", [wanted({"a": "1"}), wanted({}, [NO_SCHEDULE])], ids=["a-label", "a-taint"])
def test_a_patch_holds_only_for_the_version_of_the_node_that_was_read(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    calls: list[str] = []

    def run(*command: str) -> str:
        calls.append(command[-1])
        return ""

    monkeypatch.setattr(nodes, "run", run)
    nodes.label_and_taint(["kubectl"], node(), asked)
    (patch,) = calls
    assert json.loads(patch.removeprefix("--patch="))["metadata"]["resourceVersion"] == "41"


def test_a_node_that_somebody_changed_meanwhile_is_not_called_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: str) -> str:
        raise Failure("the object has been modified")

    monkeypatch.setattr(nodes, "run", conflict)
    assert nodes.label_and_taint(["kubectl"], node(), wanted({"a": "1"})) is False

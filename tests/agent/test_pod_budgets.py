"""What a drain moves, and which budget would not let a pod go."""

from __future__ import annotations

from typing import Any

import pytest

from components.agent.pod_budgets import describe, lone, movable, selects


def pod(
    name: str, owner: str | None = "ReplicaSet", *, phase: str = "Running", **metadata: Any
) -> dict[str, Any]:
    references = [{"kind": owner, "controller": True}] if owner else []
    return {
        "metadata": {"namespace": "default", "name": name, "ownerReferences": references, **metadata},
        "status": {"phase": phase},
    }


def budget(name: str, selector: object, allowed: int = 0, namespace: str = "default") -> dict[str, Any]:
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2},
    }


PODS = [
    pod("web"),
    pod("alone", owner=None),
    pod("agent", owner="DaemonSet"),
    pod("mirror", owner="Node", annotations={"kubernetes.io/config.mirror": "x"}),
    pod("job", owner=None, phase="Succeeded"),
    pod("crashed", phase="Failed"),
]


def test_daemons_mirrors_and_finished_pods_are_not_moved() -> None:
    assert [one["metadata"]["name"] for one in movable(PODS)] == ["web", "alone"]


def test_a_finished_pod_without_a_controller_is_no_loss() -> None:
    assert lone(PODS) == ["default/alone"]


def test_an_owner_that_is_no_controller_makes_nothing_again() -> None:
    owned = pod("web")
    owned["metadata"]["ownerReferences"] = [{"kind": "ConfigMap"}]
    assert lone([owned]) == ["default/web"]


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "b"}}, False),
        ({}, True),
        (None, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "api"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_budget_covers_what_its_selector_says(selector: object, covered: bool) -> None:
    assert selects(budget("b", selector), pod("web-0", labels={"app": "web"})) is covered


def test_a_budget_covers_nothing_in_another_namespace() -> None:
    assert selects(budget("b", {}, namespace="other"), pod("web-0")) is False


def test_each_pod_that_is_left_is_told_with_its_reason() -> None:
    ours = {"matchLabels": {"app": "web"}}
    left = [
        pod("blocked", labels={"app": "web"}),
        pod("twice", labels={"app": "api"}),
        pod("ending", deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=600),
        pod("late", labels={"app": "free"}),
        pod("agent", owner="DaemonSet"),
    ]
    api = {"matchLabels": {"app": "api"}}
    budgets = [
        budget("web", ours),
        budget("one", api, 1),
        budget("two", api, 1),
        budget("free", {"matchLabels": {"app": "free"}}, 1),
    ]
    assert describe(left, budgets) == [
        "default/blocked: PodDisruptionBudget default/web allows 0 disruptions (2 healthy, 2 wanted)",
        "default/twice: has more than one PodDisruptionBudget (default/one, default/two), "
        "which no eviction can satisfy",
        "default/ending: was evicted and has not ended yet (it may take 600 s)",
        "default/late: was not evicted yet",
    ]

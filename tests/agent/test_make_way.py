"""Making way for a kubelet of another minor: who is drained, what is evicted, and who is given back."""

from __future__ import annotations

import io
import json
import os
import time
import urllib.error
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import pytest

from components.agent import kubelet_api, make_way
from components.agent.evidence import Failure

NODE = "https://127.0.0.1:7443/api/v1/nodes/worker-0"
DIRECT = "https://10.0.0.10:6443/api/v1/nodes/worker-0"
BUDGET = {
    "message": "Cannot evict pod as it would violate the pod's disruption budget.",
    "details": {
        "causes": [{"message": "The disruption budget web needs 2 healthy pods and has 2 currently"}]
    },
}


def pod(name: str, kind: str | None = "ReplicaSet") -> dict[str, Any]:
    owners = [{"kind": kind, "controller": True}] if kind else []
    return {"metadata": {"namespace": "default", "name": name, "ownerReferences": owners}, "status": {}}


@dataclass
class Api:
    """An API with one Node; evicted pods are gone at the next look, held ones are refused.

    Attributes:
        node: the Node, None where there is none.
        pods: what runs on it.
        held: names of pods whose budget lets none go.
        asked: what was done, in order.
    """

    node: dict[str, Any] | None
    pods: list[dict[str, Any]] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def get(self, url: str, _seconds: float = 0) -> dict[str, Any]:
        if url in (NODE, DIRECT):
            if self.node is None:
                raise ConnectionRefusedError(url)
            return self.node
        assert url == "https://127.0.0.1:7443/api/v1/pods?fieldSelector=spec.nodeName%3Dworker-0"
        return {"items": list(self.pods)}

    def patch(self, url: str, change: dict[str, Any]) -> dict[str, Any]:
        assert self.node is not None
        assert url == NODE
        mark = change["metadata"]["annotations"][make_way.MARK]
        self.asked.append(f"cordon for {mark}" if mark else "uncordon")
        self.node["metadata"]["annotations"] = {make_way.MARK: mark} if mark else {}
        self.node["spec"]["unschedulable"] = change["spec"]["unschedulable"]
        return self.node

    def post(self, url: str, thing: dict[str, Any], _seconds: float = 0) -> dict[str, Any]:
        name = thing["metadata"]["name"]
        assert url == f"https://127.0.0.1:7443/api/v1/namespaces/default/pods/{name}/eviction"
        self.asked.append(f"evict {name}")
        if name in self.held:
            body = io.BytesIO(json.dumps(BUDGET).encode())
            raise urllib.error.HTTPError(url, 429, "Too Many Requests", Message(), body)
        self.pods = [one for one in self.pods if one["metadata"]["name"] != name]
        return {}


def node(version: str = "v1.36.4", *, ready: bool = True, **spec: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"conditions": [condition], "nodeInfo": {"kubeletVersion": version}}
    return {"metadata": {"name": "worker-0"}, "spec": spec, "status": status}


def bundle(kubelet: str = "1.37.2", *, force: bool = False) -> dict[str, Any]:
    return {
        "machine": {"name": "worker-0"},
        "api": "https://127.0.0.1:7443",
        "api_servers": ["https://10.0.0.10:6443"],
        "versions": {"kubelet": kubelet},
        "drain": {"seconds": 30, "force": force},
    }


def use(monkeypatch: pytest.MonkeyPatch, api: Api) -> Api:
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    for verb in ("get", "patch", "post"):
        monkeypatch.setattr(kubelet_api, verb, getattr(api, verb))
    return api


def test_for_another_minor_the_node_is_cordoned_and_emptied_of_all_but_daemons(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    api = use(monkeypatch, Api(node(), [pod("web-0"), pod("agent", "DaemonSet"), pod("db-0", "StatefulSet")]))
    assert make_way.make_way(bundle()) is True
    assert api.asked == ["cordon for 1.37.2", "evict web-0", "evict db-0"]
    assert [one["metadata"]["name"] for one in api.pods] == ["agent"]


@pytest.mark.parametrize("kubelet", ["1.36.4", "1.36.9"])
def test_for_the_same_minor_nothing_is_done(monkeypatch: pytest.MonkeyPatch, kubelet: str) -> None:
    api = use(monkeypatch, Api(node(), [pod("web-0")]))
    assert make_way.make_way(bundle(kubelet)) is False
    assert api.asked == []


def test_where_no_node_is_known_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first creation, or a cluster without an API: there is nobody to ask and nothing to save."""
    api = use(monkeypatch, Api(None))
    assert make_way.make_way(bundle()) is False
    make_way.give_back(bundle())
    assert api.asked == []


def test_a_machine_without_a_kubelet_makes_no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Api(node()))
    assert make_way.make_way({**bundle(), "versions": {}}) is False
    make_way.give_back({**bundle(), "versions": {}})


def test_a_node_that_is_not_ready_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kubelet ends no pod; the new one may be what heals it."""
    api = use(monkeypatch, Api(node(ready=False), [pod("web-0")]))
    assert make_way.make_way(bundle()) is False
    assert api.asked == []


def test_a_budget_that_blocks_is_named_and_the_node_takes_new_pods_again(
    monkeypatch: pytest.MonkeyPatch, slept: list[float]
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: sum(slept))
    api = use(monkeypatch, Api(node(), [pod("web-0"), pod("db-0")], held={"web-0"}))
    with pytest.raises(Failure) as caught:
        make_way.make_way(bundle())
    assert "worker-0 could not be drained within 30 s" in str(caught.value)
    assert "default/web-0: Cannot evict pod as it would violate" in str(caught.value)
    assert "The disruption budget web needs 2 healthy pods and has 2 currently" in str(caught.value)
    assert api.asked[-1] == "uncordon"
    assert sum(slept) >= 29


def test_a_node_that_an_operator_cordoned_is_emptied_and_stays_cordoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api = use(monkeypatch, Api(node(unschedulable=True), [pod("web-0")]))
    make_way.make_way(bundle())
    assert api.node is not None
    api.node["status"]["nodeInfo"]["kubeletVersion"] = "v1.37.2"
    make_way.give_back(bundle())
    assert api.asked == ["evict web-0"]


def test_a_drain_that_was_cut_off_is_continued_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    left = node(unschedulable=True)
    left["metadata"]["annotations"] = {make_way.MARK: "1.37.2"}
    api = use(monkeypatch, Api(left, [pod("web-0")]))
    assert make_way.make_way(bundle()) is True
    make_way.give_back(bundle())
    assert api.asked == ["evict web-0"], "the old kubelet still runs"
    left["status"]["nodeInfo"]["kubeletVersion"] = "v1.37.2"
    assert make_way.make_way(bundle()) is False
    make_way.give_back(bundle())
    assert api.asked == ["evict web-0", "uncordon"]


@pytest.mark.parametrize(("force", "evicted"), [(False, []), (True, ["cordon for 1.37.2", "evict lone"])])
def test_pods_that_nobody_would_make_again_are_lost_only_where_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, force: bool, evicted: list[str]
) -> None:
    api = use(monkeypatch, Api(node(), [pod("lone", None)]))
    if force:
        make_way.make_way(bundle(force=True))
    else:
        with pytest.raises(Failure, match=r"pods without a controller.*default/lone.*Nothing was changed"):
            make_way.make_way(bundle())
    assert api.asked == evicted


def test_a_node_that_can_not_be_given_back_is_told_with_the_command_that_does_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = node("v1.37.2", unschedulable=True)
    ours["metadata"]["annotations"] = {make_way.MARK: "1.37.2"}
    use(monkeypatch, Api(ours))

    def refuse(url: str, _change: object) -> None:
        raise ConnectionResetError(url)

    monkeypatch.setattr(kubelet_api, "patch", refuse)
    with pytest.raises(Failure, match="kubectl uncordon worker-0"):
        make_way.give_back(bundle())

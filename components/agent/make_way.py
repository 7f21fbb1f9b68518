"""Before the kubelet's minor changes its Node's pods go elsewhere, and the Node takes pods again afterwards.

A kubelet of another minor may start containers of running pods anew (kubernetes.io, "Version Skew Policy": drain
before a minor upgrade); a restart alone or a patch disturbs none, and nothing is drained for it. The machine does this
itself, with its kubelet's credential. What is true of the Node decides, so a run that was interrupted is made good by
the next: a Node that carries our mark is ours to give back, one that an operator cordoned stays cordoned.
"""

import json
import os
import re
import time
import urllib.error
from typing import Any

from components.agent import kubelet_api, pod_budgets
from components.agent.evidence import Failure, say
from components.agent.skew import minor

MARK = "hardway.dev/cordoned-for"
"""Annotation with the version for which Hardway cordoned a Node."""
EVICTION_SECONDS = 35.0
"""A request may wait for admission webhooks, which have 30 s at most."""
TURN_SECONDS = 1.0
ATTEMPTS = 3
"""Rounds in which the Node is asked for."""
_SHOWN = 20
"""Pods that a message names at most."""

Object = dict[str, Any]


def make_way(bundle: Object) -> bool:
    """Cordon this machine's Node and evict its pods, where its kubelet's minor is to change.

    Args:
        bundle: of activate, with `drain` (`seconds`, and `force`: pods without a controller are lost).

    Returns:
        Whether the Node is cordoned by Hardway now.

    Raises:
        Failure: pods stayed; the Node takes new pods again, and what held them is named.
    """
    wanted = bundle["versions"].get("kubelet")
    node = _node(bundle) if wanted else None
    if node is None or minor(_version(node)) == minor(wanted):
        return False
    name = bundle["machine"]["name"]
    if not _is_ready(node):
        say(f"Node {name} is not Ready, so no pod is waited for before its kubelet becomes {wanted}")
        return is_ours(node)
    alone = pod_budgets.lone(_pods(bundle))
    if alone and not bundle["drain"]["force"]:
        raise Failure(
            f"Node {name} has to be drained for kubelet {wanted} and runs pods without a controller, which nobody"
            f" would make again elsewhere: {', '.join(alone[:_SHOWN])}. Nothing was changed. Delete them, or allow the"
            " drain to (drain.force of the pool), then run again"
        )
    if not node.get("spec", {}).get("unschedulable"):
        _change(bundle, wanted, cordoned=True)
    try:
        _evict_all(bundle)
    except BaseException as error:
        # SystemExit too: `timeout` or a lost connection ends this phase.
        state = _after_a_failure(bundle)
        if isinstance(error, Failure):
            raise Failure(f"{error}\n{state}") from None
        raise
    say(f"Node {name} is cordoned and empty: its kubelet goes from {_version(node)} to v{wanted}")
    return True


def give_back(bundle: Object, *, whatever_runs: bool = False) -> None:
    """Let the Node take pods again, if Hardway cordoned it and it runs what it was cordoned for.

    Args:
        bundle: of activate.
        whatever_runs: whether to do so for another version too.

    Raises:
        Failure: it could not be done, with the command that does it.
    """
    wanted = bundle["versions"].get("kubelet")
    name = bundle["machine"]["name"]
    node = _node(bundle) if wanted else None
    if node is None and whatever_runs:
        raise Failure(
            f"whether Node {name} is cordoned is not known: run again, or 'kubectl uncordon {name}'"
        )
    if node is None or not is_ours(node) or not (whatever_runs or runs(node, wanted)):
        return
    try:
        _change(bundle, None, cordoned=None)
    except OSError as error:
        raise Failure(
            f"Node {name} is cordoned and could not be uncordoned ({error}): run again, or 'kubectl uncordon {name}'"
        ) from None
    say(f"Node {name} takes new pods again")


def _after_a_failure(bundle: Object) -> str:
    """Give the Node back, and tell how it is now."""
    try:
        give_back(bundle, whatever_runs=True)
    except Failure as failure:
        return str(failure)
    return f"Node {bundle['machine']['name']} is as schedulable as before, and nothing else was changed here."


def is_ours(node: Object) -> bool:
    """Whether Hardway cordoned the Node, not an operator."""
    return MARK in (node["metadata"].get("annotations") or {})


def runs(node: Object, wanted: str) -> bool:
    """Whether the Node's kubelet says that it is of a version, such as 1.37.2."""
    return re.split(r"[-+]", _version(node))[0] == f"v{wanted}"


def _version(node: Object) -> str:
    return str(node["status"]["nodeInfo"]["kubeletVersion"])


def _is_ready(node: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in node["status"]["conditions"])


def _url(bundle: Object) -> str:
    return f"{bundle['api']}/api/v1/nodes/{bundle['machine']['name']}"


def _node(bundle: Object) -> Object | None:
    """The Node; None when there is none, or nobody answers who could be asked.

    Asked for again, and of every API server: the way there may just change, and one request that fails must not have
    pods lose their machine under them.
    """
    if not os.path.exists(f"{kubelet_api.PKI}/kubelet-client.crt"):
        return None  # a machine that was nothing before
    path = f"/api/v1/nodes/{bundle['machine']['name']}"
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(TURN_SECONDS)
        for api in (bundle["api"], *bundle["api_servers"]):
            try:
                return kubelet_api.get(f"{api}{path}")
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return None
            except OSError:
                continue
    return None


def _change(bundle: Object, mark: str | None, *, cordoned: bool | None) -> None:
    change = {"metadata": {"annotations": {MARK: mark}}, "spec": {"unschedulable": cordoned}}
    kubelet_api.patch(_url(bundle), change)


def _pods(bundle: Object) -> list[Object]:
    selector = f"fieldSelector=spec.nodeName%3D{bundle['machine']['name']}"
    return list(kubelet_api.get(f"{bundle['api']}/api/v1/pods?{selector}")["items"])


def _evict_all(bundle: Object) -> None:
    """Evict until nothing is left that a drain moves; bounded."""
    seconds = float(bundle["drain"]["seconds"])
    deadline = time.monotonic() + seconds
    while True:
        left, held = _turn(bundle)
        if not left:
            return
        if time.monotonic() > deadline:
            raise Failure(_explain(bundle["machine"]["name"], seconds, left, held))
        time.sleep(TURN_SECONDS)


def _turn(bundle: Object) -> tuple[list[Object], dict[str, str]]:
    """Ask for each pod's eviction once; gives the pods there were, and why some may not go, by name."""
    try:
        left = pod_budgets.movable(_pods(bundle))
    except OSError as error:
        # An API server restarts, or the way to it changes: the bound is the caller's.
        return [{"metadata": {"namespace": "?", "name": "?"}}], {"?/?": str(error)}
    held = {
        pod_budgets.name_of(pod): reason
        for pod in left
        if not pod["metadata"].get("deletionTimestamp") and (reason := _evict(bundle["api"], pod))
    }
    return left, held


def _evict(api: str, pod: Object) -> str:
    """Ask for a pod's eviction; gives why it is refused, or nothing."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"namespace": namespace, "name": name},
    }
    url = f"{api}/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    try:
        kubelet_api.post(url, eviction, EVICTION_SECONDS)
    except urllib.error.HTTPError as error:
        return "" if error.code == 404 else _words(error)
    except OSError as error:
        return str(error)
    return ""


def _words(error: urllib.error.HTTPError) -> str:
    """What the API server says, the budget's name among it."""
    try:
        told = json.load(error)
    except ValueError:
        return f"status {error.code}"
    causes = [cause.get("message", "") for cause in (told.get("details") or {}).get("causes") or []]
    return " ".join([str(told.get("message", f"status {error.code}")), *causes])


def _explain(name: str, seconds: float, left: list[Object], held: dict[str, str]) -> str:
    lines = [
        f"{pod_budgets.name_of(pod)}: {held.get(pod_budgets.name_of(pod), 'was evicted and has not ended yet')}"
        for pod in left
    ]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return (
        f"Node {name} could not be drained within {seconds:.0f} s for the kubelet's new minor. Let more replicas of the"
        " pods below become ready, loosen their PodDisruptionBudget, raise drain.seconds of the pool, or delete them"
        " yourself, then run again.\n  " + "\n  ".join([*lines[:_SHOWN], *more])
    )

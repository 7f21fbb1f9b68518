"""Takes a worker out of the cluster: its pods go elsewhere as their budgets allow, then its Node goes.

Runs on a control-plane machine, since no worker holds an administrator's credential. It stops nothing on the worker
itself, and does not take etcd members away.
"""

import json
import os
import socket
import time
from typing import Any

from components.agent import nodes, pod_budgets
from components.agent.evidence import Failure, say, succeeds, unit_evidence, wait_until
from components.agent.evidence import run as command
from components.agent.lock import hold

LOCK = "/run/hardway-drain.lock"
LOCK_SECONDS = 1800.0
"""How long drains before this one may take: all leaving workers ask at once, and go one after the other."""
API_SECONDS = 60.0
TURN_SECONDS = 20.0
"""How long one `kubectl drain` waits before the Node is looked at again."""
CONNECTS = 3
"""Attempts to reach a kubelet before its machine is taken for dead."""
_SHOWN = 20
"""Pods that a message names at most."""


def run(bundle: dict[str, Any]) -> dict[str, Any]:
    """Drain a Node and delete it.

    Args:
        bundle: `node` (name), `api` (URL of this machine's API server), `seconds` (for the drain), `digest`, and
            `force` (true: pods without a controller are lost).

    Returns:
        node, digest, and whether a Node was `removed`.

    Raises:
        Failure: the API does not answer, or pods stayed; the Node is then as schedulable as before.
    """
    result = {"digest": bundle["digest"], "node": bundle["node"]}
    if not (os.path.exists(nodes.KUBECTL) and os.path.exists(nodes.ADMIN)):
        say(f"nothing to drain: this machine has no {nodes.ADMIN}, so no cluster that it could ask")
        return {**result, "removed": False}
    with hold(LOCK, "another drain", LOCK_SECONDS):
        return {**result, "removed": _remove(bundle)}


def _remove(bundle: dict[str, Any]) -> bool:
    name = bundle["node"]
    # A request may wait for admission webhooks, which have 30 s at most.
    kubectl = [
        nodes.KUBECTL,
        f"--kubeconfig={nodes.ADMIN}",
        f"--server={bundle['api']}",
        "--request-timeout=35s",
    ]
    _wait_for_api(kubectl, bundle["api"])
    text = command(*kubectl, "get", "node", name, "--ignore-not-found", "--output=json")
    if not text.strip():
        say(f"nothing to drain: there is no Node {name}")
        return False
    node = json.loads(text)
    if _answers(node):
        empty(kubectl, node, float(bundle["seconds"]), force=bool(bundle.get("force")))
    else:
        say(f"Node {name} is not Ready or its kubelet does not answer, so it is not waited for")
    command(*kubectl, "delete", "node", name, "--ignore-not-found", "--wait=false")
    say(f"Node {name} is deleted")
    return True


def _wait_for_api(kubectl: list[str], api: str) -> None:
    if wait_until("the API", lambda: succeeds(*kubectl, "get", "--raw=/readyz"), API_SECONDS, interval=1):
        return
    evidence = "\n".join(unit_evidence(unit) for unit in ("etcd.service", "kube-apiserver.service"))
    raise Failure(
        f"the API at {api} is not ready after {API_SECONDS:.0f} s, so nothing was drained; it needs a majority of "
        f"etcd's members. Bring it back, then run again.\n{evidence}"
    )


def _answers(node: dict[str, Any]) -> bool:
    """Whether the Node's kubelet is there to end pods; a network that is not set up is no reason to skip that.

    The API takes 40 s to notice that a machine is gone, so its kubelet's port is asked as well.
    """
    conditions = node["status"].get("conditions", [])
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return ready and _listens(node["status"])


def _listens(status: dict[str, Any]) -> bool:
    """Whether somebody listens on a kubelet's port; a restart of the kubelet has some seconds to pass."""
    address = next((one["address"] for one in status["addresses"] if one["type"] == "InternalIP"), "")
    port = int(status["daemonEndpoints"]["kubeletEndpoint"]["Port"])
    for _ in range(CONNECTS):
        try:
            socket.create_connection((address, port), timeout=3).close()
            return True
        except OSError:
            time.sleep(2)
    return False


def empty(kubectl: list[str], node: dict[str, Any], seconds: float, *, force: bool) -> None:
    """Cordon and evict; a Node whose pods stayed gets back what it was.

    Args:
        kubectl: the command with its credential.
        node: as the API has it.
        seconds: how long it may take.
        force: whether pods without a controller may be lost.

    Raises:
        Failure: pods stayed; the message names them and what holds each.
    """
    name = node["metadata"]["name"]
    alone = pod_budgets.lone(_pods(kubectl, name))
    if alone and not force:
        raise Failure(
            f"Node {name} runs pods without a controller, which nobody would make again elsewhere: "
            f"{_listed(alone, ', ')}. Nothing was changed. Delete them ('kubectl delete pod --namespace NAMESPACE "
            "NAME') or allow the drain to (force), then run again"
        )
    try:
        _evict(kubectl, name, seconds, force=force)
    except (Failure, SystemExit) as error:
        # SystemExit: `timeout` or a lost connection ends this phase.
        state = _leave_as_found(kubectl, node)
        if isinstance(error, Failure):
            raise Failure(_explain(kubectl, name, seconds, state, error)) from None
        raise


def _evict(kubectl: list[str], name: str, seconds: float, *, force: bool) -> None:
    """Evict in short turns: a machine that dies meanwhile ends no pod any more, and is not waited for either."""
    deadline = time.monotonic() + seconds
    words = ["--ignore-daemonsets", "--delete-emptydir-data", *(["--force"] if force else [])]
    while True:
        turn = max(1.0, min(TURN_SECONDS, deadline - time.monotonic()))
        try:
            command(*kubectl, "drain", name, *words, f"--timeout={turn:.0f}s", timeout=turn + 30)
            return
        except Failure:
            if not _answers(json.loads(command(*kubectl, "get", "node", name, "--output=json"))):
                say(f"Node {name} has stopped answering, so its pods are not waited for any more")
                return
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)


def _leave_as_found(kubectl: list[str], node: dict[str, Any]) -> str:
    name = node["metadata"]["name"]
    if node.get("spec", {}).get("unschedulable"):
        return "It stays cordoned, as it was before"
    if succeeds(*kubectl, "uncordon", name):
        return "It takes new pods again"
    return f"It is cordoned and could not be uncordoned: run 'kubectl uncordon {name}'"


def _explain(kubectl: list[str], name: str, seconds: float, state: str, error: Failure) -> str:
    """Which pods are left and why, and the way out."""
    try:
        budgets = _items(kubectl, "poddisruptionbudgets")
        left = pod_budgets.describe(_pods(kubectl, name), budgets)
    except Failure as failure:
        left = [f"the pods that are left could not be read: {failure}"]
    last_words = "\n".join(str(error).splitlines()[-3:])
    return (
        f"Node {name} could not be drained within {seconds:.0f} s. {state}, and it was not deleted. Let more "
        "replicas of the pods below become ready, loosen their PodDisruptionBudget, or delete them yourself, then run "
        f"again.\n  {_listed(left, chr(10) + '  ')}\n{last_words[-600:]}"
    )


def _listed(names: list[str], separator: str) -> str:
    more = [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return separator.join([*names[:_SHOWN], *more])


def _pods(kubectl: list[str], node: str) -> list[dict[str, Any]]:
    return _items(kubectl, "pods", f"--field-selector=spec.nodeName={node}")


def _items(kubectl: list[str], kind: str, *selection: str) -> list[dict[str, Any]]:
    text = command(*kubectl, "get", kind, "--all-namespaces", *selection, "--output=json")
    return list(json.loads(text)["items"])

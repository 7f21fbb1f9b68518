"""Nodes as the API tells them: readiness, and what a kubelet sets only when it registers."""

import json
from typing import Any

from components.agent.evidence import Failure, run

KUBECTL = "/opt/hardway/bin/kubectl"
ADMIN = "/etc/kubernetes/admin.conf"
"""The administrator's kubeconfig, which control-plane machines have."""
MANAGED = "hardway.dev/managed-labels-and-taints"
"""Annotation with the keys that Hardway set, so that it can take them away again and no others."""

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
"""Keeps pods away; the controller manager takes it off a moment after the Node's condition says Ready."""

Node = dict[str, Any]


def read(kubectl: list[str]) -> dict[str, Node]:
    """All Nodes by name; none while the API does not answer."""
    try:
        items = json.loads(run(*kubectl, "get", "nodes", "--output=json"))["items"]
    except Failure:
        return {}
    return {item["metadata"]["name"]: item for item in items}


def is_ready(node: Node) -> bool:
    """Whether the Node's Ready condition is True, nothing holds its network back, and pods may come to it."""
    conditions = {
        condition["type"]: condition["status"] for condition in node["status"].get("conditions", [])
    }
    networked = conditions.get("NetworkUnavailable", "False") == "False"
    return conditions.get("Ready") == "True" and networked and not _keeps_pods_away(node)


def _keeps_pods_away(node: Node) -> bool:
    return any(taint["key"] == NOT_READY_TAINT for taint in node.get("spec", {}).get("taints", []))


def label_and_taint(kubectl: list[str], node: Node, wanted: Node) -> bool:
    """Make a Node's managed labels and taints the wanted ones, leaving those of others alone.

    Gives whether that is done; not when somebody else changed the Node meanwhile, or the API did not answer.
    """
    patch = plan_patch(node, wanted)
    if not patch:
        return True
    # The list of taints is replaced whole: with the version that it was read at, nobody else's is lost.
    patch.setdefault("metadata", {})["resourceVersion"] = node["metadata"]["resourceVersion"]
    try:
        run(*kubectl, "patch", "node", wanted["name"], "--type=merge", f"--patch={json.dumps(patch)}")
    except Failure:
        return False
    return True


def plan_patch(node: Node, wanted: Node) -> Node:
    """The merge patch that makes it so; empty when nothing differs.

    Args:
        node: as the API has it.
        wanted: with `labels` (a mapping) and `taints` (key, value, effect).
    """
    metadata, spec = node["metadata"], node.get("spec", {})
    managed = json.loads(metadata.get("annotations", {}).get(MANAGED, '{"labels": [], "taints": []}'))
    has = metadata.get("labels", {})
    labels: dict[str, str | None] = {
        key: None for key in managed["labels"] if key not in wanted["labels"] and key in has
    }
    labels |= {key: value for key, value in wanted["labels"].items() if has.get(key) != value}
    keys = {taint["key"] for taint in wanted["taints"]} | set(managed["taints"])
    others = [taint for taint in spec.get("taints", []) if taint["key"] not in keys]
    own = [{key: value for key, value in taint.items() if value} for taint in wanted["taints"]]
    mine_now = [taint for taint in spec.get("taints", []) if taint["key"] in keys]
    now = {"labels": sorted(wanted["labels"]), "taints": sorted({taint["key"] for taint in wanted["taints"]})}
    patch: Node = {}
    if labels or now != managed:
        patch["metadata"] = {"labels": labels, "annotations": {MANAGED: json.dumps(now)}}
    if _comparable(mine_now) != _comparable(own):
        patch["spec"] = {"taints": [*others, *own]}
    return patch


def _comparable(taints: list[dict[str, str]]) -> list[tuple[str, str, str]]:
    return sorted((taint["key"], taint.get("value", ""), taint["effect"]) for taint in taints)


def describe_missing(found: dict[str, Node], wanted: list[str], seconds: float) -> str:
    """One line for each Node that is not Ready, with the kubelet's own words."""
    lines = [f"not all Nodes are Ready after {seconds:.0f} s:"]
    for name in wanted:
        if name not in found:
            lines.append(
                f"  {name}: is not registered; look at 'journalctl -u kubelet -u kube-api-balancer' on it; a kubelet"
                " registers when it starts ('systemctl restart kubelet')"
            )
        elif not is_ready(found[name]):
            messages = [
                c.get("message", "")
                for c in found[name]["status"].get("conditions", [])
                if c["type"] == "Ready"
            ]
            tainted = f" (tainted {NOT_READY_TAINT})" if _keeps_pods_away(found[name]) else ""
            lines.append(f"  {name}: {messages[0] if messages else 'no condition reported'}{tainted}")
    return "\n".join(lines)

"""Which pods a drain would be held by now, asked of the API with the stack's kubeconfig, for three seconds at most."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from components.agent import pod_budgets
from config.plan import ClusterPlan
from lab import cluster, stack

SECONDS = 3.0


def held_pods(chosen: stack.Stack, plan: ClusterPlan, nodes: Sequence[str]) -> list[str] | None:
    """A line for each pod on some Nodes that a PodDisruptionBudget, or having no controller, would hold.

    Args:
        chosen: the stack.
        plan: of the run.
        nodes: names of Nodes that a run would drain.

    Returns:
        The lines, or None when nobody answered in time.
    """
    line = [
        str(cluster.client(plan)),
        "--kubeconfig",
        str(chosen.kubeconfig),
        f"--request-timeout={SECONDS:.0f}s",
    ]
    kinds = "poddisruptionbudgets,pods"
    try:
        told = subprocess.run(
            [*line, "get", kinds, "--all-namespaces", "--output=json"],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        ).stdout
        return judged(json.loads(told)["items"], nodes, allowed_alone(plan))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def allowed_alone(plan: ClusterPlan) -> set[str]:
    """Nodes on which a drain may lose pods without a controller (`drain.force`)."""
    return {machine.name for pool in plan.pools if pool.drain.force for machine in pool.machines}


def judged(items: Sequence[dict[str, Any]], nodes: Sequence[str], forced: set[str]) -> list[str]:
    """The same of objects that were read.

    Args:
        items: PodDisruptionBudgets and Pods.
        nodes: names of Nodes that a run would drain.
        forced: those of them on which pods without a controller are lost.
    """
    budgets = [item for item in items if item["kind"] == "PodDisruptionBudget"]
    found = []
    for node in nodes:
        pods = [item for item in items if item["kind"] == "Pod" and item["spec"].get("nodeName") == node]
        found += [f"{line} on {node}" for line in pod_budgets.held(pods, budgets)]
        if node not in forced:
            found += [f"{name}: has no controller, on {node}" for name in pod_budgets.lone(pods)]
    return found

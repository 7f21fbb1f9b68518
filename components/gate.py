"""The one gate at the end of the chain: every planned Node Ready, every add-on available, or evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.add_ons import deployments
from components.certificate_authority import CertificateAuthority
from components.control_plane import ControlPlane
from components.leaving import NodeSweep
from components.machine import Machine
from components.node import NodeTask
from components.tree import node_labels, node_taints
from components.worker_pool import WorkerPool
from config.plan import ClusterPlan
from config.settings import Cni

GATE_SECONDS = 300


def gate(
    plan: ClusterPlan,
    machines: Mapping[str, Machine],
    control_plane: ControlPlane,
    pools: Sequence[WorkerPool],
    pki: CertificateAuthority,
    applied: Mapping[str, pulumi.Output[dict[str, Any]]],
) -> NodeTask:
    """Wait for the whole cluster; asked anew whenever any machine confirmed something new.

    With a CNI of the operator's own nothing makes Nodes Ready but that CNI, so then the gate waits until all have
    registered and no longer.
    """
    nodes = [
        {"name": node.name, "labels": node_labels(plan, node), "taints": node_taints(plan, node)}
        for node in plan.nodes
    ]
    return NodeTask(
        "ready",
        machine=machines[plan.operations_machine],
        shown={"nodes": [node["name"] for node in nodes]},
        content={
            "step": "gate",
            "api": f"https://127.0.0.1:{plan.network.api_port}",
            "seconds": GATE_SECONDS,
            "nodes": nodes,
            "registered": plan.network.cni is Cni.NONE,
            "deployments": deployments(plan) if plan.network.cni is Cni.FLANNEL else [],
        },
        secrets={"applied": pulumi.Output.all(**applied), "add_ons": control_plane.ready.result},
        seed=pki.secret_seed,
        after=[control_plane.ready.command, *(step for pool in pools for step in pool.activated)],
    )


def stand_by_for_the_end(plan: ClusterPlan, machines: Mapping[str, Machine], ready: NodeTask) -> None:
    """Have what controllers made in the cloud swept before the cluster is destroyed, where there are any."""
    if plan.aws is None or not plan.aws.cloud_controller:
        return
    NodeSweep(
        "sweep",
        operations=machines[plan.operations_machine],
        cluster=plan.name,
        api_port=plan.network.api_port,
        # Workers too: a volume is let go by the machine that has mounted it.
        after=[ready.command, *(resource for machine in machines.values() for resource in machine.made_by)],
    )

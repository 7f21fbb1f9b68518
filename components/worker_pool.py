"""One pool of workers: prepared all at once, activated in `maxUnavailable` lanes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.certificate_authority import CertificateAuthority
from components.leaving import NodeDrain
from components.machine import Machine
from components.node import NodeConfig, NodePrepare
from components.secrets import secret_files
from components.tree import machine_files
from config.certificates import CertificateSpec
from config.plan import ClusterPlan, MachinePlan, PoolPlan


class WorkerPool(pulumi.ComponentResource):
    """The workers of one pool.

    Attributes:
        activated: resources after which its machines are on their way.
        applied: what each machine confirmed, by name.
    """

    activated: tuple[pulumi.Resource, ...]
    applied: dict[str, pulumi.Output[dict[str, Any]]]

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        pool: PoolPlan,
        machines: Mapping[str, Machine],
        specs: tuple[CertificateSpec, ...],
        pki: CertificateAuthority,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Build the pool.

        Args:
            name: logical name.
            plan: the cluster.
            pool: the pool.
            machines: by name.
            specs: the leaves.
            pki: who signed them.
            after: resources that have to be done before a worker is activated: the control plane's activates,
                not its health, since agents retry by themselves.
            opts: the component's options.
        """
        super().__init__(
            "hardway:index:WorkerPool", name, {"machines": [m.name for m in pool.machines]}, opts
        )
        child = pulumi.ResourceOptions(parent=self)
        files = {machine.name: machine_files(plan, machine) for machine in pool.machines}
        prepares = {
            machine.name: NodePrepare(
                f"prepare-{machine.name}",
                machine=machines[machine.name],
                plan=plan,
                files=files[machine.name],
                opts=child,
            )
            for machine in pool.machines
        }
        prepared = [prepare.command for prepare in prepares.values()]
        nodes: dict[str, NodeConfig] = {}
        for machine, before in in_lanes(pool.machines, pool.max_unavailable):
            nodes[machine.name] = NodeConfig(
                f"activate-{machine.name}",
                machine=machines[machine.name],
                plan=plan,
                files=files[machine.name],
                secrets=secret_files(plan, machine, specs, pki),
                seed=pki.secret_seed,
                facts=prepares[machine.name].facts,
                # Only a lane's first waits for all: the others follow it, and a thousand would name a thousand each.
                after=[nodes[before.name].command] if before else [*after, *prepared],
                opts=child,
            )
        for machine in pool.machines:
            NodeDrain(
                f"drain-{machine.name}",
                machine=machines[machine.name],
                operations=machines[plan.operations_machine],
                api_port=plan.network.api_port,
                drain=pool.drain,
                anchor=pki.anchor,
                opts=child,
            )
        self.activated = tuple(node.command for node in nodes.values())
        self.applied = {machine: node.applied for machine, node in nodes.items()}
        self.register_outputs({})


def in_lanes(machines: Sequence[MachinePlan], lanes: int) -> list[tuple[MachinePlan, MachinePlan | None]]:
    """Each machine with the one it has to wait for: every `lanes`-th machine shares a lane."""
    return [(machine, machines[i - lanes] if i >= lanes else None) for i, machine in enumerate(machines)]

"""One pool of workers: prepared all at once, activated in `maxUnavailable` lanes.

In two steps, since a version has to lie on every machine of the cluster before it runs on the first of them: making
the pool prepares its machines, and `activate` follows the control plane, which waits for them.
"""

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
        prepared: resources after which everything lies on its machines.
        activated: resources after which its machines are on their way; none before `activate`.
        applied: what each machine confirmed, by name.
    """

    prepared: tuple[pulumi.Resource, ...]
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
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Prepare the pool's machines, and stand by for their leaving.

        Args:
            name: logical name.
            plan: the cluster.
            pool: the pool.
            machines: by name.
            specs: the leaves.
            pki: who signed them.
            opts: the component's options.
        """
        super().__init__(
            "hardway:index:WorkerPool", name, {"machines": [m.name for m in pool.machines]}, opts
        )
        self._plan, self._pool, self._machines, self._specs, self._pki = plan, pool, machines, specs, pki
        self._child = child = pulumi.ResourceOptions(parent=self)
        self._files = {machine.name: machine_files(plan, machine) for machine in pool.machines}
        self._prepares = {
            machine.name: NodePrepare(
                f"prepare-{machine.name}",
                machine=machines[machine.name],
                plan=plan,
                files=self._files[machine.name],
                opts=child,
            )
            for machine in pool.machines
        }
        self.prepared = tuple(prepare.command for prepare in self._prepares.values())
        self.activated, self.applied = (), {}
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
        self.register_outputs({})

    def activate(self, after: Sequence[pulumi.Resource]) -> None:
        """Activate the machines, lane by lane.

        Args:
            after: resources that have to be done before: the control plane's activates, which waited for what is
                `prepared` here; not its health, since agents retry by themselves.
        """
        nodes: dict[str, NodeConfig] = {}
        for machine, before in in_lanes(self._pool.machines, self._pool.max_unavailable):
            nodes[machine.name] = NodeConfig(
                f"activate-{machine.name}",
                machine=self._machines[machine.name],
                plan=self._plan,
                files=self._files[machine.name],
                secrets=secret_files(self._plan, machine, self._specs, self._pki),
                seed=self._pki.secret_seed,
                facts=self._prepares[machine.name].facts,
                # Only a lane's first waits for the control plane: the others follow it.
                after=[nodes[before.name].command] if before else after,
                opts=self._child,
            )
        self.activated = tuple(node.command for node in nodes.values())
        self.applied = {machine: node.applied for machine, node in nodes.items()}


def in_lanes(machines: Sequence[MachinePlan], lanes: int) -> list[tuple[MachinePlan, MachinePlan | None]]:
    """Each machine with the one it has to wait for: every `lanes`-th machine shares a lane."""
    return [(machine, machines[i - lanes] if i >= lanes else None) for i, machine in enumerate(machines)]

"""etcd, API server, controller manager and scheduler on every machine, then RBAC and add-ons once.

The chain cp-0 -> cp-1 -> ... is made by depends_on alone. Nobody is "the first master": steps that run once
run on the operations machine of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.add_ons import (
    METRICS_SERVER_SERVING,
    absent_manifests,
    metrics_server_serving,
    wanted_manifests,
)
from components.bundle import keyed_digest
from components.certificate_authority import CertificateAuthority
from components.leaving import NodeDrain
from components.machine import Machine
from components.node import NodeConfig, NodePrepare, NodeTask
from components.secrets import secret_files
from components.tree import machine_files
from config.certificates import Authority, CertificateSpec
from config.plan import ClusterPlan, DrainPlan

ADD_ONS_SECONDS = 300


class ControlPlane(pulumi.ComponentResource):
    """The control plane of a cluster.

    Attributes:
        activated: resources after which its machines are on their way; health is the gate's business.
        ready: the step after which the API answers and RBAC and add-ons are applied.
        endpoint: URL of the API for clients outside.
        applied: what each machine confirmed, by name.
    """

    activated: tuple[pulumi.Resource, ...]
    ready: NodeTask
    endpoint: pulumi.Output[str]
    applied: dict[str, pulumi.Output[dict[str, Any]]]

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        machines: Mapping[str, Machine],
        specs: tuple[CertificateSpec, ...],
        pki: CertificateAuthority,
        endpoint: pulumi.Input[str],
        staged: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Build the control plane.

        Args:
            name: logical name.
            plan: the cluster.
            machines: by name; the balancers among them are configured here too.
            specs: the leaves.
            pki: who signed them.
            endpoint: host of the API for clients outside.
            staged: resources after which everything lies on all other machines: nothing is switched before.
            opts: the component's options.
        """
        super().__init__("hardway:index:ControlPlane", name, None, opts)
        self._plan, self._machines, self._specs, self._pki = plan, machines, specs, pki
        self._child = pulumi.ResourceOptions(parent=self)
        self.endpoint = pulumi.Output.concat("https://", endpoint, f":{plan.network.api_port}")
        names = [machine.name for machine in plan.control_plane]
        prepares = {machine: self._prepare(machine) for machine in names}
        prepared = [prepare.command for prepare in prepares.values()]
        chain: list[NodeConfig] = []
        for machine, prepare in prepares.items():
            # Only the first waits for the workers: the others follow it, and a thousand would be named each time.
            before: Sequence[pulumi.Resource] = [previous.command for previous in chain[-1:]] or staged
            after = [*prepared, *before]
            chain.append(self._activate(machine, prepare, after))
        self._drains(names)
        balancers = [self._balancer(machine.name) for machine in plan.load_balancers]
        self.activated = tuple(node.command for node in chain)
        self.applied = dict(zip(names, (node.applied for node in chain), strict=True))
        self.applied |= {
            lb.name: node.applied for lb, node in zip(plan.load_balancers, balancers, strict=True)
        }
        self.ready = self._add_ons()
        self.register_outputs({"endpoint": self.endpoint})

    def _prepare(self, machine: str) -> NodePrepare:
        files = machine_files(self._plan, self._plan.machine(machine))
        return NodePrepare(
            f"prepare-{machine}",
            machine=self._machines[machine],
            plan=self._plan,
            files=files,
            opts=self._child,
        )

    def _balancer(self, machine: str) -> NodeConfig:
        prepare = self._prepare(machine)
        return self._activate(machine, prepare, [prepare.command])

    def _activate(self, machine: str, prepare: NodePrepare, after: Sequence[pulumi.Resource]) -> NodeConfig:
        planned = self._plan.machine(machine)
        return NodeConfig(
            f"activate-{machine}",
            machine=self._machines[machine],
            plan=self._plan,
            files=machine_files(self._plan, planned),
            secrets=secret_files(self._plan, planned, self._specs, self._pki),
            seed=self._pki.secret_seed,
            facts=prepare.facts,
            after=after,
            opts=self._child,
        )

    def _drains(self, names: Sequence[str]) -> None:
        """Each machine's Node leaves with it, asked from the next machine: a Node never tells of another instance."""
        for position, machine in enumerate(names):
            if len(names) > 1:
                NodeDrain(
                    f"drain-{machine}",
                    machine=self._machines[machine],
                    operations=self._machines[names[(position + 1) % len(names)]],
                    api_port=self._plan.network.api_port,
                    drain=DrainPlan(),
                    anchor=self._pki.anchor,
                    opts=self._child,
                )

    def _secret_manifests(self) -> dict[str, pulumi.Output[str]]:
        """Manifests that hold keys, by name."""
        leaf = self._pki.leaves.get("metrics-server")
        if leaf is None:
            return {}
        parts = (self._pki.authorities[Authority.KUBERNETES], leaf.certificate, leaf.private_key)
        return {
            METRICS_SERVER_SERVING: pulumi.Output.all(*parts).apply(lambda pem: metrics_server_serving(*pem))
        }

    def _shown(self, secret_manifests: Mapping[str, pulumi.Output[str]]) -> dict[str, pulumi.Output[Any]]:
        """Their keyed digests: a preview shows that one changes, and nothing of what is in it."""
        if not secret_manifests:
            return {}
        digests = pulumi.Output.all(self._pki.secret_seed, pulumi.Output.all(**secret_manifests)).apply(
            lambda both: {name: keyed_digest(both[0], text) for name, text in both[1].items()}
        )
        return {"secretManifests": pulumi.Output.unsecret(digests)}

    def _add_ons(self) -> NodeTask:
        manifests = wanted_manifests(self._plan)
        secret_manifests = self._secret_manifests()
        bootstrap = self._pki.leaves["bootstrap"]
        return NodeTask(
            "add-ons",
            machine=self._machines[self._plan.operations_machine],
            shown={"manifests": manifests, **self._shown(secret_manifests)},
            content={
                "step": "add-ons",
                "api": f"https://127.0.0.1:{self._plan.network.api_port}",
                "seconds": ADD_ONS_SECONDS,
                "manifests": manifests,
                "absent": absent_manifests(self._plan),
            },
            secrets={
                "secret_manifests": pulumi.Output.from_input(secret_manifests),
                "credential": pulumi.Output.all(
                    **{
                        "ca.crt": self._pki.authorities[Authority.KUBERNETES],
                        "client.crt": bootstrap.certificate,
                        "client.key": bootstrap.private_key,
                    }
                ),
            },
            seed=self._pki.secret_seed,
            after=self.activated,
            opts=self._child,
        )

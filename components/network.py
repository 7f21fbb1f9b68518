"""What the machines' network is made of on each platform; above it only the plan's addresses count."""

from __future__ import annotations

import json

import pulumi
from pulumi_command import local

from config.plan import NetworkPlan


class Network(pulumi.ComponentResource):
    """The network that machines are put into.

    On `lab` it is a bridge on this computer with the network's first address. On `hosts` it is the operator's
    own and this component holds nothing but the ranges.

    Attributes:
        made_by: resources that a machine in this network has to wait for.
        machines_range: the machines' range.
    """

    made_by: tuple[pulumi.Resource, ...]
    machines_range: str

    def __init__(
        self, name: str, *, plan: NetworkPlan, bridge: bool, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Make the network.

        Args:
            name: logical name.
            plan: ranges and addresses.
            bridge: whether to make the lab's bridge.
            opts: the component's options.
        """
        ranges = {"machines": str(plan.machines), "pods": str(plan.pods), "services": str(plan.services)}
        super().__init__("hardway:index:Network", name, {"ranges": ranges}, opts)
        self.machines_range = str(plan.machines)
        self.made_by = (self._bridge(plan),) if bridge else ()
        self.register_outputs({"machinesRange": self.machines_range})

    def _bridge(self, plan: NetworkPlan) -> pulumi.Resource:
        return local.Command(
            "bridge",
            create="python3 -m lab network create",
            delete="python3 -m lab network delete",
            stdin=json.dumps({"address": str(plan.gateway), "cidr": str(plan.machines)}, sort_keys=True),
            add_previous_output_in_env=False,
            logging=local.Logging.STDERR,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )

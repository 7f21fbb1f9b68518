"""The lab's network: a bridge on this computer, which carries the network's first address."""

from __future__ import annotations

import json

import pulumi
from pulumi_command import local

from config.plan import NetworkPlan


class LabNetwork(pulumi.ComponentResource):
    """The network that the lab's machines are put into.

    Attributes:
        made_by: resources that a machine in this network has to wait for.
    """

    made_by: tuple[pulumi.Resource, ...]

    def __init__(self, name: str, *, plan: NetworkPlan, opts: pulumi.ResourceOptions | None = None) -> None:
        """Make the bridge.

        Args:
            name: logical name.
            plan: ranges and addresses.
            opts: the component's options.
        """
        ranges = {"machines": str(plan.machines), "pods": str(plan.pods), "services": str(plan.services)}
        renamed = pulumi.ResourceOptions(aliases=[pulumi.Alias(type_="hardway:index:Network")])
        super().__init__(
            "hardway:index:LabNetwork",
            name,
            {"ranges": ranges},
            pulumi.ResourceOptions.merge(opts, renamed),
        )
        self.made_by = (self._bridge(plan),)
        self.register_outputs({})

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

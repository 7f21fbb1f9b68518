"""What a leaving takes: a machine's pods and Node before the machine, the cloud's objects before the cluster."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from components import bundle
from components.machine import Machine
from components.node import command_on
from config.plan import DrainPlan

LEAVE_SECONDS = 2400
"""What a drain may take beside its own bound: drains go one after the other (see agent/drain.py)."""
SWEEP_SECONDS = 600
EBS_DRIVER = "ebs.csi.aws.com"


class NodeDrain(pulumi.ComponentResource):
    """What a Node's leaving takes: its pods go elsewhere, its Node is deleted, then the machine may go.

    Nothing is done while it is created or changed. Its deletion does the work, from the operations machine, when its
    machine is removed or made anew; destroying the whole cluster skips it.
    """

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        operations: Machine,
        api_port: int,
        drain: DrainPlan,
        anchor: pulumi.Resource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Stand by for a machine's leaving.

        Args:
            name: logical name.
            machine: the one that will leave.
            operations: where kubectl runs.
            api_port: of the API server there.
            drain: for how long, and whether lone pods may be lost.
            anchor: what is deleted only with the whole cluster.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeDrain", name, None, opts)
        content = {
            "node": machine.name,
            "api": f"https://127.0.0.1:{api_port}",
            "seconds": drain.seconds,
            "force": drain.force,
        }
        command_on(
            name,
            operations,
            pulumi.Output.from_input(bundle.encode("drain", content, key="")),
            LEAVE_SECONDS,
            self,
            # The machine's own resources: what depends on them is deleted before them.
            machine.made_by,
            create="true",
            delete=bundle.remote_command(LEAVE_SECONDS + drain.seconds),
            # Another machine under the same name is another Node: the engine deletes this before the old machine. One
            # that is only stopped and started keeps its Node.
            triggers=machine.unmade_with,
            opts=pulumi.ResourceOptions(deleted_with=anchor, delete_before_replace=True),
        )
        self.register_outputs({})


class NodeSweep(pulumi.ComponentResource):
    """What destroying a cluster takes where controllers make things in the cloud: theirs go before its machines.

    Nothing is done while it is created or changed. Its deletion deletes Services with load balancers and claims of
    volumes, and waits until the controllers have taken them down.
    """

    def __init__(
        self,
        name: str,
        *,
        operations: Machine,
        cluster: str,
        api_port: int,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Stand by for the cluster's end.

        Args:
            name: logical name.
            operations: where kubectl runs.
            cluster: the cluster's name, in the tags of what controllers make.
            api_port: of the API server there.
            after: everything that has to be there still while it sweeps.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeSweep", name, None, opts)
        content = {
            "api": f"https://127.0.0.1:{api_port}",
            "cluster": cluster,
            "driver": EBS_DRIVER,
            "seconds": SWEEP_SECONDS,
        }
        command_on(
            name,
            operations,
            pulumi.Output.from_input(bundle.encode("sweep", content, key="")),
            SWEEP_SECONDS,
            self,
            after,
            create="true",
            delete=bundle.remote_command(SWEEP_SECONDS + 120),
        )
        self.register_outputs({})

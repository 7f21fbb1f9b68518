"""A machine's second SSH host key: the first one stood in user data, where others may read it."""

from __future__ import annotations

import pulumi

from components import bundle
from components.machine import Machine
from components.node import command_on

ROTATE_SECONDS = 60


class NodeHostKey(pulumi.ComponentResource):
    """Another SSH host key for a machine, planted under its first one.

    Attributes:
        command: after which the machine is known by the new key only.
    """

    command: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        machine: Machine,
        key: pulumi.Output[str],
        public_key: pulumi.Output[str],
        again: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Plant a host key.

        Args:
            name: logical name.
            machine: with a connection that expects its first key.
            key: private key, OpenSSH text, a secret.
            public_key: its public part.
            again: whether the machine is made anew in this run.
            opts: the component's options.
        """
        super().__init__("hardway:index:NodeHostKey", name, None, opts)
        stdin = pulumi.Output.all(machine.identity, key, public_key).apply(
            lambda known: bundle.encode(
                "rotate_host_key", {"identity": known[0], "key": known[1], "public": known[2]}, key=known[1]
            )
        )
        # Once for each machine: another way to it (a new bastion) or another release of the agent is no reason to
        # log in under a key that is gone.
        once = pulumi.ResourceOptions(
            ignore_changes=[] if again else ["connection", "create", "stdin"], delete_before_replace=True
        )
        self.command = command_on(
            name, machine, stdin, ROTATE_SECONDS, self, (), triggers=[machine.identity], opts=once
        )
        self.register_outputs({})

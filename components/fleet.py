"""Machines, from where each platform has them: every fleet gives name to `Machine`, in the plan's order.

SSH host keys are made in the state and planted before a machine's first boot, so that they can be pinned: no
connection ever trusts on first use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi
import pulumi_tls as tls
from pulumi_command import local

from components.lab_network import LabNetwork
from components.machine import Connection, Machine, confirmed_by
from components.ssh_key import read_key
from config.changes import Replacement
from config.plan import ClusterPlan, MachinePlan
from config.settings import Host, HostsPlatform


class LabFleet(pulumi.ComponentResource):
    """systemd-nspawn machines on this computer, each a command that makes it and one that unmakes it.

    Attributes:
        machines: by name.
        ssh_private_key: OpenSSH text with which to log in on any of them, a secret.
    """

    machines: dict[str, Machine]
    ssh_private_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        network: LabNetwork,
        replacements: Mapping[str, Replacement],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the planned machines in a network.

        Args:
            name: logical name.
            plan: of the cluster.
            network: the bridge.
            replacements: which machines this run makes anew.
            opts: the component's options.
        """
        super().__init__("hardway:index:LabFleet", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._network = network
        login = tls.PrivateKey("ssh-login", algorithm="ED25519", opts=self._child)
        self.ssh_private_key = login.private_key_openssh
        self.machines = {
            planned.name: self._machine(planned, plan, login, replacements[planned.name])
            for planned in plan.machines
        }
        self.register_outputs({"machines": list(self.machines)})

    def _machine(
        self, planned: MachinePlan, plan: ClusterPlan, login: tls.PrivateKey, replacement: Replacement
    ) -> Machine:
        host = tls.PrivateKey(f"ssh-host-{planned.name}", algorithm="ED25519", opts=self._child)
        specification = pulumi.Output.json_dumps(
            {
                "name": planned.name,
                "address": str(planned.address),
                "prefix_length": plan.network.machines.prefixlen,
                "gateway": str(plan.network.gateway),
                "host_key": host.private_key_openssh,
                "authorized_key": login.public_key_openssh,
            },
            sort_keys=True,
        )
        stdin: pulumi.Output[str] = pulumi.Output.secret(specification)
        made = local.Command(
            f"machine-{planned.name}",
            create="python3 -m lab machine create",
            delete=f"python3 -m lab machine delete {planned.name}",
            stdin=stdin,
            triggers=[replacement.count],
            add_previous_output_in_env=False,
            logging=local.Logging.STDERR,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=self._network.made_by,
                delete_before_replace=True,
                # How often a machine was made anew goes with the machine: a run that fails gives out no outputs, so
                # nothing else knows whether its replacement is still to come.
                ignore_changes=[] if replacement.now else ["triggers"],
            ),
        )
        # Nothing in the answer is secret, but an output of a command with a secret input is one until said
        # otherwise.
        identity = pulumi.Output.unsecret(made.stdout).apply(lambda text: str(json.loads(text)["identity"]))
        connection = Connection(
            str(planned.address), 22, "root", self.ssh_private_key, host.public_key_openssh
        )
        told = {
            "replacements": made.triggers.apply(lambda known: int(known[0]) if known else 0),
            "listed": confirmed_by(made, replacement.listed),
        }
        return Machine(planned, connection, identity, (made,), told=told)


class HostFleet(pulumi.ComponentResource):
    """Linux hosts that exist already.

    Attributes:
        machines: by name.
        ssh_private_key: the operator's key, a secret.
    """

    machines: dict[str, Machine]
    ssh_private_key: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        platform: HostsPlatform,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Take the hosts of the settings.

        Raises:
            pulumi.RunError: the private key cannot be read.
        """
        super().__init__(
            "hardway:index:HostFleet", name, {"hosts": [host.name for host in platform.hosts]}, opts
        )
        self.ssh_private_key = pulumi.Output.secret(read_key(platform.ssh.private_key_file))
        self.machines = {host.name: self._machine(host, plan, platform) for host in platform.hosts}
        self.register_outputs({"machines": list(self.machines)})

    def _machine(self, host: Host, plan: ClusterPlan, platform: HostsPlatform) -> Machine:
        connection = Connection(
            host=host.ssh_address or str(host.address),
            port=host.port or platform.ssh.port,
            user=host.user or platform.ssh.user,
            private_key=self.ssh_private_key,
            host_key=host.host_key,
        )
        # A host's pinned key is what tells it from another one: who reinstalls a host enters its new key.
        return Machine(plan.machine(host.name), connection, host.host_key)

"""The contract between platforms and everything above them.

A machine is a name, an address, a role, a zone, an identity and an SSH connection. Whatever made it, the code
above is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from config.plan import MachinePlan


@dataclass(frozen=True)
class Connection:
    """How to log in on a machine.

    Attributes:
        host: where SSH reaches it.
        port: of sshd.
        user: login name; root, or one with sudo without a password.
        private_key: OpenSSH or PEM text, a secret.
        host_key: the public host key that is pinned, such as `ssh-ed25519 AAAA...`.
    """

    host: str
    port: int
    user: str
    private_key: pulumi.Output[str]
    host_key: str | pulumi.Output[str]


@dataclass(frozen=True)
class Machine:
    """One machine that exists.

    Attributes:
        plan: what the plan says of it.
        connection: how to log in.
        identity: changes when the machine is another one under the same name and address (an instance id, a
            boot nonce). It goes into what runs on the machine, so that a replaced, empty machine is filled
            again.
        made_by: resources after which it can be used.
    """

    plan: MachinePlan
    connection: Connection
    identity: str | pulumi.Output[str]
    made_by: tuple[pulumi.Resource, ...] = ()

    def described(self) -> dict[str, str | int]:
        """What outputs tell of it: role, address, and how SSH reaches it. Nothing secret."""
        return {
            "role": str(self.plan.role),
            "address": str(self.plan.address),
            "sshHost": self.connection.host,
            "sshPort": self.connection.port,
            "sshUser": self.connection.user,
        }

    @property
    def name(self) -> str:
        """Name of the machine and of its Node."""
        return self.plan.name

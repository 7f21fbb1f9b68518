"""The contract between platforms and everything above them.

A machine is a name, an address, a role, a zone, an identity and an SSH connection. Whatever made it, the code
above is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pulumi

from config.plan import MachinePlan


@dataclass(frozen=True)
class Proxy:
    """A machine through which SSH goes to others; it opens connections and sees no content.

    Attributes:
        host: where SSH reaches it.
        user: login name.
        private_key: OpenSSH or PEM text, a secret.
        host_key: its public host key, pinned.
    """

    host: str | pulumi.Output[str]
    user: str
    private_key: pulumi.Output[str]
    host_key: pulumi.Output[str]

    def described(self) -> dict[str, pulumi.Input[str]]:
        """What outputs tell of it. Nothing secret."""
        return {"host": self.host, "user": self.user, "hostKey": self.host_key}


@dataclass(frozen=True)
class Connection:
    """How to log in on a machine.

    Attributes:
        host: where SSH reaches it.
        port: of sshd.
        user: login name; root, or one with sudo without a password.
        private_key: OpenSSH or PEM text, a secret.
        host_key: the public host key that is pinned, such as `ssh-ed25519 AAAA...`.
        proxy: through which machine, or None.
    """

    host: str | pulumi.Output[str]
    port: int
    user: str
    private_key: pulumi.Output[str]
    host_key: str | pulumi.Output[str]
    proxy: Proxy | None = None


def confirmed_by(made: pulumi.CustomResource, value: Any) -> pulumi.Output[Any]:
    """A planned value, told only once what it was planned for has been made: a failed run must not tell it as done."""
    return made.id.apply(lambda _: value)


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
        etcd_volume: id of the block device that holds etcd's data, None where the root disk does.
        told: what its maker confirmed and the next run has to know; see `config.changes`.
        shape: what its maker changes under it with a stop and a start, such as an instance type: it stays the machine
            that it was, and is looked at again.
    """

    plan: MachinePlan
    connection: Connection
    identity: str | pulumi.Output[str]
    made_by: tuple[pulumi.Resource, ...] = ()
    etcd_volume: pulumi.Output[str] | None = None
    told: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict)
    shape: pulumi.Output[str] | None = None

    def described(self) -> dict[str, pulumi.Input[Any]]:
        """What outputs tell of it: role, zone, address, and how SSH reaches it. Nothing secret."""
        return {
            "role": str(self.plan.role),
            "address": str(self.plan.address),
            "zone": self.plan.zone,
            "sshHost": self.connection.host,
            "sshPort": self.connection.port,
            "sshUser": self.connection.user,
            **self.told,
        }

    def known_by(self, host_key: pulumi.Output[str], *, after: pulumi.Resource) -> Machine:
        """The same machine, expected under another host key once a resource has planted that."""
        connection = replace(self.connection, host_key=host_key)
        return replace(self, connection=connection, made_by=(*self.made_by, after))

    @property
    def looked_at(self) -> str | pulumi.Output[str]:
        """Changes whenever prepare and activate have to look at the machine again."""
        return self.identity if self.shape is None else pulumi.Output.concat(self.identity, "/", self.shape)

    @property
    def unmade_with(self) -> list[str | pulumi.Output[str]]:
        """Changes when its platform unmakes the machine and makes another, which its Node must not outlive.

        Empty on hosts: who reinstalls one has done so before the settings say it, and a mistyped host key must not
        cost a living Node its pods.
        """
        return [self.identity] if self.made_by else []

    @property
    def name(self) -> str:
        """Name of the machine and of its Node."""
        return self.plan.name

"""The small machine through which SSH goes to machines without a public address. Nothing is installed on it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.ec2_options import METADATA, Login, root_volume
from components.machine import Proxy
from config.aws_plan import BASTION_ROOT_GIB, BastionPlan

SSHD = {"/etc/ssh/sshd_config.d/10-hardway.conf": "MaxStartups 100:30:200\n"}
"""All machines are prepared at once, and sshd's default drops connections beyond ten that have not logged in yet."""


class Bastion(pulumi.ComponentResource):
    """A bastion with an address that stays.

    Attributes:
        proxy: how SSH goes through it.
        door: after which it is reached at its address.
    """

    proxy: Proxy
    door: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        plan: BastionPlan,
        login: Login,
        subnet: pulumi.Input[str],
        group: pulumi.Input[str],
        after: tuple[pulumi.Resource, ...],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the bastion.

        Args:
            name: logical name.
            cluster: the cluster's name.
            plan: type, image and address.
            login: who may log in.
            subnet: id of a public subnet.
            group: id of its security group.
            after: what its address needs: the subnet's way to the internet.
            opts: the component's options.
        """
        super().__init__("hardway:index:Bastion", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        host = tls.PrivateKey("ssh-host-bastion", algorithm="ED25519", opts=child)
        tags = {"Name": f"{cluster}-bastion", "hardway.dev/role": "bastion"}
        machine = aws.ec2.Instance(
            "bastion",
            ami=plan.image,
            instance_type=plan.instance_type,
            subnet_id=subnet,
            private_ip=str(plan.address) if plan.address else None,
            vpc_security_group_ids=[group],
            metadata_options=METADATA,
            root_block_device=root_volume(BASTION_ROOT_GIB, tags),
            user_data=login.first_boot(host, files=SSHD),
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                delete_before_replace=True,
                additional_secret_outputs=["userData", "userDataBase64"],
                # It keeps nothing: its address and its host key outlive it, so another image may make it anew.
                ignore_changes=["userData"],
            ),
        )
        # AWS gives a machine no address of the internet's while its VPC has no gateway.
        reached = pulumi.ResourceOptions(parent=self, depends_on=list(after))
        address = aws.ec2.Eip("bastion", domain="vpc", instance=machine.id, tags=tags, opts=reached)
        self.door = address
        self.proxy = Proxy(address.public_ip, login.user, login.private_key, host.public_key_openssh)
        self.register_outputs({"address": address.public_ip})

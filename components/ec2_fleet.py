"""EC2 machines at the plan's addresses.

A machine's image and first-boot data are pinned in its life: another image in the settings makes nobody anew, only
`replace` does, one control-plane machine in a run. etcd's data lies on a volume of its own that outlives its machine.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.bastion import Bastion
from components.ec2_options import METADATA, Login, root_volume
from components.host_key import NodeHostKey
from components.instance_profiles import InstanceProfiles
from components.machine import Connection, Machine, Proxy, confirmed_by
from components.network import Network
from components.ssh_key import read_key
from config.aws_models import AwsSsh
from config.aws_plan import ETCD_DEVICE, AwsPlan, Group, InstancePlan
from config.changes import Replacement
from config.plan import ClusterPlan, MachinePlan, Role

REPLACEMENTS_TAG = "hardway.dev/replacements"
"""How often a machine was made anew by its name in `replace`."""
KEPT = ("ami", "userData", "associatePublicIpAddress", f'tags["{REPLACEMENTS_TAG}"]')
"""What a machine keeps in its life, whatever the settings or a refresh say: a stopped machine has no public address
and would be replaced for that (terraform-provider-aws#33775)."""


def _replacements(tags: Mapping[str, str] | None) -> int:
    """What the machine's own tag says; none on one that was made before there was the tag."""
    return int((tags or {}).get(REPLACEMENTS_TAG, 0))


class Ec2Fleet(pulumi.ComponentResource):
    """The cluster's machines on EC2.

    Attributes:
        machines: by name.
        ssh_private_key: with which to log in on any of them, a secret.
        proxy: through which SSH goes to them, or None.
    """

    machines: dict[str, Machine]
    ssh_private_key: pulumi.Output[str]
    proxy: Proxy | None

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        aws_plan: AwsPlan,
        ssh: AwsSsh,
        network: Network,
        profiles: InstanceProfiles,
        replacements: Mapping[str, Replacement],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the planned machines in a network.

        Args:
            name: logical name.
            plan: of the cluster.
            aws_plan: the plan's part for AWS.
            ssh: the operator's own key, if there is one.
            network: subnets and security groups.
            profiles: instance profiles by role.
            replacements: which machines this run makes anew.
            opts: the component's options, the provider among them.

        Raises:
            pulumi.RunError: the operator's private key cannot be read.
        """
        super().__init__("hardway:index:Ec2Fleet", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._cluster, self._plan, self._network = plan.name, aws_plan, network
        self._profiles = {Role.CONTROL_PLANE: profiles.control_plane, Role.WORKER: profiles.worker}
        self._login = self._make_login(ssh)
        self.ssh_private_key = self._login.private_key
        self._bastion = self._make_bastion()
        self.proxy = self._bastion.proxy if self._bastion else None
        self.machines = {
            machine.name: self._machine(machine, replacements[machine.name], self.proxy)
            for machine in plan.machines
        }
        self.register_outputs({"machines": list(self.machines)})

    def _make_login(self, ssh: AwsSsh) -> Login:
        if ssh.private_key_file and ssh.public_key:
            return Login(ssh.user, pulumi.Output.secret(read_key(ssh.private_key_file)), ssh.public_key)
        key = tls.PrivateKey("ssh-login", algorithm="ED25519", opts=self._child)
        return Login(ssh.user, key.private_key_openssh, key.public_key_openssh)

    def _make_bastion(self) -> Bastion | None:
        plan = self._plan.bastion
        if plan is None:
            return None
        return Bastion(
            "bastion",
            cluster=self._cluster,
            plan=plan,
            login=self._login,
            subnet=self._network.subnets[plan.subnet],
            group=self._network.groups[Group.BASTION],
            after=self._network.way_out.get(plan.subnet, ()),
            opts=self._child,
        )

    def _machine(self, planned: MachinePlan, replacement: Replacement, proxy: Proxy | None) -> Machine:
        instance_plan = self._plan.instances[planned.name]
        host_key = tls.PrivateKey(f"ssh-host-{planned.name}", algorithm="ED25519", opts=self._child)
        instance = self._instance(planned, instance_plan, host_key, replacement)
        volume, attachments = self._etcd_volume(planned, instance_plan, instance)
        direct = self._plan.public_machines and proxy is None
        reached_at = instance.public_ip if direct else str(planned.address)
        ways = self._network.way_out.get(instance_plan.subnet, ())
        machine = Machine(
            planned,
            Connection(
                reached_at,
                22,
                self._login.user,
                self._login.private_key,
                host_key.public_key_openssh,
                proxy,
            ),
            instance.id,
            (instance, *attachments, *ways, *self._network.opened),
            etcd_volume=volume,
            told={
                "instanceType": instance.instance_type,
                "spot": confirmed_by(instance, instance_plan.spot),
                "rootVolumeGib": confirmed_by(instance, instance_plan.root_gib),
                "etcdVolumeGib": volume.apply(lambda _: instance_plan.etcd_gib) if volume else None,
                "loginKey": confirmed_by(instance, self._plan.login_key),
                "replacements": instance.tags.apply(_replacements),
                "listed": confirmed_by(instance, replacement.listed),
                "hostKeyRotated": self._plan.rotate_host_keys,
            },
            shape=instance.instance_type,
        )
        if not self._plan.rotate_host_keys:
            return machine
        return self._with_rotated_key(machine, again=replacement.now)

    def _instance(
        self, planned: MachinePlan, plan: InstancePlan, host_key: tls.PrivateKey, replacement: Replacement
    ) -> aws.ec2.Instance:
        group = Group.CONTROL_PLANE if planned.role is Role.CONTROL_PLANE else Group.WORKER
        tags = {**self._tags(planned), REPLACEMENTS_TAG: str(replacement.count)}
        market = aws.ec2.InstanceInstanceMarketOptionsArgs(
            market_type="spot",
            spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
                spot_instance_type="one-time", instance_interruption_behavior="terminate"
            ),
        )
        # A worker's type makes it anew: drained first, not stopped under its pods. A control-plane machine is stopped
        # and started instead, with all that is on its disks.
        type_trigger = plan.instance_type if planned.role is Role.WORKER else None
        return aws.ec2.Instance(
            f"machine-{planned.name}",
            ami=plan.image,
            instance_type=plan.instance_type,
            subnet_id=self._network.subnets[plan.subnet],
            private_ip=str(planned.address),
            associate_public_ip_address=self._plan.public_machines,
            vpc_security_group_ids=[self._network.groups[group]],
            source_dest_check=True,
            iam_instance_profile=self._profiles[planned.role],
            metadata_options=METADATA,
            root_block_device=root_volume(plan.root_gib, self._tags(planned)),
            user_data=self._login.first_boot(host_key),
            instance_market_options=market if plan.spot else None,
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                # A machine that is made anew is drained first, through the bastion, which this run may make anew too.
                depends_on=[self._bastion.door] if self._bastion and replacement.now else None,
                delete_before_replace=True,
                additional_secret_outputs=["userData", "userDataBase64"],
                replacement_trigger=type_trigger,
                replace_on_changes=["tags"] if replacement.now else None,
                # A machine that is made anew follows the settings' image, every other one keeps its own (typhoon#126),
                # and with it the tag that says how often it was: a run that fails gives out no outputs, so only the
                # machine itself knows whether its replacement is still to come.
                ignore_changes=[] if replacement.now else list(KEPT),
            ),
        )

    def _tags(self, planned: MachinePlan) -> dict[str, str]:
        tags = {
            "Name": f"{self._cluster}-{planned.name}",
            "hardway.dev/role": str(planned.role),
            f"kubernetes.io/cluster/{self._cluster}": "owned",
        }
        return {**tags, "hardway.dev/pool": planned.pool} if planned.pool else tags

    def _etcd_volume(
        self, planned: MachinePlan, plan: InstancePlan, instance: aws.ec2.Instance
    ) -> tuple[pulumi.Output[str] | None, tuple[pulumi.Resource, ...]]:
        if plan.etcd_gib is None:
            return None, ()
        volume = aws.ebs.Volume(
            f"etcd-{planned.name}",
            availability_zone=planned.zone,
            size=plan.etcd_gib,
            type="gp3",
            encrypted=True,
            tags={"Name": f"{self._cluster}-etcd-{planned.name}"},
            opts=pulumi.ResourceOptions(parent=self, protect=self._plan.deletion_protection),
        )
        attachment = aws.ec2.VolumeAttachment(
            f"etcd-{planned.name}",
            device_name=ETCD_DEVICE,
            volume_id=volume.id,
            instance_id=instance.id,
            # A volume that is in use is let go by a machine that is off, cleanly written.
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return attachment.volume_id, (attachment,)

    def _with_rotated_key(self, machine: Machine, *, again: bool) -> Machine:
        """The machine under a host key that was never in user data."""
        key = tls.PrivateKey(f"ssh-host-{machine.name}-rotated", algorithm="ED25519", opts=self._child)
        rotated = NodeHostKey(
            f"host-key-{machine.name}",
            machine=machine,
            key=key.private_key_openssh,
            public_key=key.public_key_openssh,
            again=again,
            opts=self._child,
        )
        return machine.known_by(key.public_key_openssh, after=rotated.command)

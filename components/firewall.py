"""Security groups by role; every rule is a resource of its own, so that a change touches no other rule."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from config.aws_plan import FirewallRule, Group

DESCRIPTIONS = {
    Group.CONTROL_PLANE: "control-plane machines",
    Group.WORKER: "workers",
    Group.API: "load balancer of the API",
    Group.BASTION: "bastion",
}


class Firewall(pulumi.ComponentResource):
    """The security groups that the plan's rules name.

    Attributes:
        groups: their ids.
        opened: the rules of machines, after which they can talk.
    """

    groups: dict[Group, pulumi.Output[str]]
    opened: tuple[pulumi.Resource, ...]

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        rules: Sequence[FirewallRule],
        vpc: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make groups and rules.

        Args:
            name: logical name.
            cluster: the cluster's name.
            rules: of the plan.
            vpc: id of the VPC.
            opts: the component's options.
        """
        super().__init__("hardway:index:Firewall", name, None, opts)
        self._cluster = cluster
        named = {rule.group for rule in rules} | {rule.peer for rule in rules if isinstance(rule.peer, Group)}
        self.groups = {group: self._group(group, vpc) for group in Group if group in named}
        made = {rule: self._rule(rule) for rule in rules}
        self.opened = tuple(resource for rule, resource in made.items() if rule.group is not Group.API)
        self.register_outputs({})

    def _group(self, group: Group, vpc: pulumi.Input[str]) -> pulumi.Output[str]:
        tags = {"Name": f"{self._cluster}-{group}"}
        if group in (Group.CONTROL_PLANE, Group.WORKER):
            # aws-cloud-controller-manager opens NodePorts for a Service's balancer in the one group so tagged.
            tags[f"kubernetes.io/cluster/{self._cluster}"] = "owned"
        made = aws.ec2.SecurityGroup(
            str(group),
            description=f"{self._cluster}: {DESCRIPTIONS[group]}",
            vpc_id=vpc,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return made.id

    def _rule(self, rule: FirewallRule) -> pulumi.Resource:
        make = aws.vpc.SecurityGroupIngressRule if rule.inward else aws.vpc.SecurityGroupEgressRule
        ports = rule.ports or ((-1, -1) if rule.protocol == "icmp" else (None, None))
        peer = self.groups[rule.peer] if isinstance(rule.peer, Group) else None
        return make(
            rule.name,
            security_group_id=self.groups[rule.group],
            ip_protocol=rule.protocol,
            from_port=ports[0],
            to_port=ports[1],
            referenced_security_group_id=peer,
            cidr_ipv4=None if isinstance(rule.peer, Group) else str(rule.peer),
            tags={"Name": rule.name},
            opts=pulumi.ResourceOptions(parent=self),
        )

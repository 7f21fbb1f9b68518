"""The network load balancer in front of the API.

No machine of the cluster uses it (each has a balancer of its own), so it is off the bootstrap's critical path and no
target ever calls itself through it (cloud-provider-aws#1160).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws

from config.aws_plan import AwsPlan


class ApiLoadBalancer(pulumi.ComponentResource):
    """A balancer for TCP to every API server that is ready.

    Attributes:
        host: its DNS name.
    """

    host: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        plan: AwsPlan,
        port: int,
        targets: Mapping[str, IPv4Address],
        subnets: Mapping[str, pulumi.Input[str]],
        group: pulumi.Input[str],
        vpc: pulumi.Input[str],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the balancer.

        Args:
            name: logical name.
            cluster: the cluster's name.
            plan: which subnets, and whether internal.
            port: of the API, on the balancer and on the machines.
            targets: planned address by control-plane machine.
            subnets: ids by logical name.
            group: its security group; AWS lets none be added later.
            vpc: id of the VPC.
            after: what its subnets need before an interface or a target may be in them.
            opts: the component's options.
        """
        super().__init__("hardway:index:ApiLoadBalancer", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        tags = {"Name": f"{cluster}-api"}
        balancer = aws.lb.LoadBalancer(
            "api",
            load_balancer_type="network",
            internal=plan.api.internal,
            security_groups=[group],
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=plan.deletion_protection,
            subnet_mappings=[
                aws.lb.LoadBalancerSubnetMappingArgs(
                    subnet_id=subnets[subnet], private_ipv4_address=str(address) if address else None
                )
                for subnet, address in plan.api.subnets.items()
            ],
            tags=tags,
            # Its DNS name stands in every kubeconfig that was handed out (kops#15771).
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=list(after), protect=plan.deletion_protection
            ),
        )
        group_of_targets = aws.lb.TargetGroup(
            "api",
            port=port,
            protocol="TCP",
            target_type="ip",
            vpc_id=vpc,
            preserve_client_ip="false",
            deregistration_delay=30,
            connection_termination=True,
            health_check=aws.lb.TargetGroupHealthCheckArgs(
                protocol="HTTPS",
                path="/readyz",
                port=str(port),
                matcher="200",
                interval=10,
                timeout=6,
                healthy_threshold=2,
                unhealthy_threshold=2,
            ),
            tags=tags,
            opts=child,
        )
        for machine, address in targets.items():
            aws.lb.TargetGroupAttachment(
                f"api-{machine}",
                target_group_arn=group_of_targets.arn,
                target_id=str(address),
                port=port,
                # That a target lies in the VPC is checked when it is added, by the subnets that are there.
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
            )
        aws.lb.Listener(
            "api",
            load_balancer_arn=balancer.arn,
            port=port,
            protocol="TCP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(type="forward", target_group_arn=group_of_targets.arn)
            ],
            tags=tags,
            opts=child,
        )
        self.host = balancer.dns_name
        self.register_outputs({"host": self.host})

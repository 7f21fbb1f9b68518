"""The network on AWS: a VPC with subnets by zone, ways out, security groups by role, the API's load balancer.

Every range and rule is the plan's. In a VPC of the operator's own this makes security groups and the balancer, and
neither subnets nor gateways nor routes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components.api_load_balancer import ApiLoadBalancer
from components.firewall import Firewall
from config.aws_plan import AwsPlan, GatewayPlan, Group, SubnetPlan
from config.plan import ClusterPlan

ANYWHERE = "0.0.0.0/0"


class Network(pulumi.ComponentResource):
    """The network of a cluster.

    Attributes:
        subnets: id of each subnet by its logical name.
        groups: id of each security group.
        way_out: by a subnet's logical name what a machine there has to wait for before it reaches the internet.
        opened: the rules that let SSH and the cluster's own traffic through.
        endpoint: host of the API for clients outside.
    """

    subnets: dict[str, pulumi.Input[str]]
    groups: dict[Group, pulumi.Output[str]]
    way_out: dict[str, tuple[pulumi.Resource, ...]]
    opened: tuple[pulumi.Resource, ...]
    endpoint: pulumi.Input[str]

    def __init__(
        self,
        name: str,
        *,
        plan: ClusterPlan,
        aws_plan: AwsPlan,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make the network.

        Args:
            name: logical name.
            plan: of the cluster.
            aws_plan: the plan's part for AWS.
            opts: the component's options, the provider among them.
        """
        ranges = {key: str(subnet.cidr) for key, subnet in aws_plan.subnets.items() if subnet.cidr}
        super().__init__("hardway:index:Network", name, {"subnets": ranges}, opts)
        self._plan, self._cluster = aws_plan, plan.name
        self._child = pulumi.ResourceOptions(parent=self)
        self.way_out, self._kept = {}, list[pulumi.Resource]()
        if aws_plan.given_vpc is not None:
            vpc: pulumi.Input[str] = aws_plan.given_vpc
            self.subnets = {key: subnet.given_id or "" for key, subnet in aws_plan.subnets.items()}
        else:
            vpc = self._vpc()
            made = {key: self._subnet(subnet, vpc) for key, subnet in aws_plan.subnets.items()}
            self.subnets = {key: subnet.id for key, subnet in made.items()}
            self._routes(vpc)
        firewall = Firewall("firewall", cluster=plan.name, rules=aws_plan.rules, vpc=vpc, opts=self._child)
        self.groups, self.opened = firewall.groups, firewall.opened
        balancer = ApiLoadBalancer(
            "api",
            cluster=plan.name,
            plan=aws_plan,
            port=plan.network.api_port,
            targets={machine.name: machine.address for machine in plan.control_plane},
            subnets=self.subnets,
            group=self.groups[Group.API],
            vpc=vpc,
            after=self._before_balancer(),
            opts=self._child,
        )
        self.endpoint = aws_plan.api.endpoint or balancer.host
        self.register_outputs({"endpoint": self.endpoint})

    def _tags(self, name: str, **more: str) -> dict[str, str]:
        return {"Name": f"{self._cluster}-{name}", **more}

    def _vpc(self) -> pulumi.Output[str]:
        vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=str(self._plan.cidr),
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._tags("vpc"),
            opts=self._child,
        )
        options = aws.ec2.VpcDhcpOptions(
            "dhcp",
            domain_name=self._plan.domain,
            domain_name_servers=["AmazonProvidedDNS"],
            tags=self._tags("dhcp"),
            opts=self._child,
        )
        aws.ec2.VpcDhcpOptionsAssociation("dhcp", vpc_id=vpc.id, dhcp_options_id=options.id, opts=self._child)
        return vpc.id

    def _subnet(self, plan: SubnetPlan, vpc: pulumi.Input[str]) -> aws.ec2.Subnet:
        # The roles tell aws-cloud-controller-manager where a Service's balancer may stand.
        role = "kubernetes.io/role/elb" if plan.public else "kubernetes.io/role/internal-elb"
        tags = self._tags(plan.name, **{role: "1", f"kubernetes.io/cluster/{self._cluster}": "owned"})
        subnet = aws.ec2.Subnet(
            plan.name,
            vpc_id=vpc,
            availability_zone=plan.zone,
            cidr_block=str(plan.cidr),
            map_public_ip_on_launch=False,
            tags=tags,
            opts=self._child,
        )
        for number, reserved in enumerate(plan.reserved):
            # Else a balancer's interface could sit on the address of a machine that is yet to come.
            kept = aws.ec2.SubnetCidrReservation(
                f"{plan.name}-machines-{number}",
                subnet_id=subnet.id,
                cidr_block=str(reserved),
                reservation_type="explicit",
                description="machines of the plan",
                opts=self._child,
            )
            self._kept.append(kept)
        return subnet

    def _before_balancer(self) -> tuple[pulumi.Resource, ...]:
        """What the balancer waits for: planned addresses are kept, and the internet is there if it is to face that.

        AWS refuses a balancer that faces the internet in a VPC without a gateway (ELBv2, InvalidSubnet).
        """
        if self._plan.api.internal:
            return tuple(self._kept)
        ways = [way for key in self._plan.api.subnets for way in self.way_out.get(key, ())]
        return (*self._kept, *dict.fromkeys(ways))

    def _routes(self, vpc: pulumi.Input[str]) -> None:
        """Route tables: one for all public subnets, one for each private one, and S3 without a gateway's price."""
        internet = aws.ec2.InternetGateway(
            "internet", vpc_id=vpc, tags=self._tags("internet"), opts=self._child
        )
        public = self._route_table("public", vpc)
        way = aws.ec2.Route(
            "public-internet",
            route_table_id=public,
            destination_cidr_block=ANYWHERE,
            gateway_id=internet.id,
            opts=self._child,
        )
        tables = {"public": public}
        for key, subnet in self._plan.subnets.items():
            if not subnet.public:
                tables[key] = self._route_table(key, vpc)
            joined = aws.ec2.RouteTableAssociation(
                key,
                subnet_id=self.subnets[key],
                route_table_id=tables["public" if subnet.public else key],
                opts=self._child,
            )
            self.way_out[key] = (joined, way) if subnet.public else (joined,)
        for gateway in self._plan.gateways:
            self._nat(gateway, tables, way)
        aws.ec2.VpcEndpoint(
            "s3",
            vpc_id=vpc,
            service_name=f"com.amazonaws.{self._plan.region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(tables.values()),
            tags=self._tags("s3"),
            opts=self._child,
        )

    def _route_table(self, name: str, vpc: pulumi.Input[str]) -> pulumi.Output[str]:
        table = aws.ec2.RouteTable(name, vpc_id=vpc, tags=self._tags(name), opts=self._child)
        return table.id

    def _nat(
        self, plan: GatewayPlan, tables: Mapping[str, pulumi.Output[str]], internet: pulumi.Resource
    ) -> None:
        address = aws.ec2.Eip(plan.name, domain="vpc", tags=self._tags(plan.name), opts=self._child)
        gateway = aws.ec2.NatGateway(
            plan.name,
            subnet_id=self.subnets[plan.subnet],
            allocation_id=address.allocation_id,
            private_ip=str(plan.address),
            tags=self._tags(plan.name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[internet]),
        )
        for subnet in plan.serves:
            way = aws.ec2.Route(
                f"{subnet}-nat",
                route_table_id=tables[subnet],
                destination_cidr_block=ANYWHERE,
                nat_gateway_id=gateway.id,
                opts=self._child,
            )
            self.way_out[subnet] = (*self.way_out[subnet], way)

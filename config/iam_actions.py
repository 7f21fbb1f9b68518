"""What whoever runs Pulumi needs on AWS: actions by resource type, and the policy files made from them.

`python -m config.iam_actions` writes `docs/iam/*.json`; tests hold them and the table against the program. Pure but for
that. Source: the AWS service authorization reference, and which calls the Terraform provider behind `pulumi-aws` makes
for a resource. What machines may do is in `config.iam`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from config.iam import MADE_BY_HARDWAY, Policy

FOLDER = Path(__file__).parents[1] / "docs" / "iam"
IAM_PATH = "hardway"
"""First part of the path of every role and instance profile; `components/instance_profiles.py` puts them there."""

_READS = ("Describe", "Get", "List")
_EC2_TAGS = "CreateTags DeleteTags DescribeTags"
_ELB_TAGS = "AddTags RemoveTags DescribeTags"


def _ec2(names: str) -> tuple[str, ...]:
    return tuple(f"ec2:{name}" for name in names.split())


def _elb(names: str) -> tuple[str, ...]:
    return tuple(f"elasticloadbalancing:{name}" for name in names.split())


def _iam(names: str) -> tuple[str, ...]:
    return tuple(f"iam:{name}" for name in names.split())


_GROUP_RULES = "DescribeSecurityGroupRules DescribeSecurityGroups ModifySecurityGroupRules"

ACTIONS_BY_TYPE: dict[str, tuple[str, ...]] = {
    "aws:ebs/volume:Volume": _ec2(
        f"CreateVolume DeleteVolume DescribeVolumes DescribeVolumesModifications ModifyVolume {_EC2_TAGS}"
    ),
    "aws:ec2/eip:Eip": _ec2(
        "AllocateAddress AssociateAddress DescribeAddresses DescribeAddressesAttribute"
        f" DescribeNetworkInterfaces DisassociateAddress ReleaseAddress {_EC2_TAGS}"
    ),
    "aws:ec2/instance:Instance": (
        *_ec2(
            "RunInstances StartInstances StopInstances TerminateInstances ModifyInstanceAttribute"
            " ModifyInstanceMetadataOptions ModifyVolume DescribeImages DescribeInstances"
            " DescribeInstanceAttribute DescribeInstanceCreditSpecifications DescribeInstanceStatus"
            " DescribeInstanceTypes DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets"
            " DescribeVolumes DescribeVpcs MonitorInstances UnmonitorInstances"
            " AssociateIamInstanceProfile DescribeIamInstanceProfileAssociations"
            " CancelSpotInstanceRequests DescribeSpotInstanceRequests ModifyNetworkInterfaceAttribute"
            f" DisassociateIamInstanceProfile ReplaceIamInstanceProfileAssociation {_EC2_TAGS}"
        ),
        *_iam("PassRole CreateServiceLinkedRole"),
    ),
    "aws:ec2/internetGateway:InternetGateway": _ec2(
        "AttachInternetGateway CreateInternetGateway DeleteInternetGateway DescribeInternetGateways"
        f" DetachInternetGateway {_EC2_TAGS}"
    ),
    "aws:ec2/natGateway:NatGateway": _ec2(
        f"CreateNatGateway DeleteNatGateway DescribeNatGateways {_EC2_TAGS}"
    ),
    "aws:ec2/route:Route": _ec2("CreateRoute DeleteRoute DescribeRouteTables ReplaceRoute"),
    "aws:ec2/routeTable:RouteTable": _ec2(
        f"CreateRouteTable DeleteRouteTable DescribeRouteTables {_EC2_TAGS}"
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _ec2(
        "AssociateRouteTable DescribeRouteTables DisassociateRouteTable ReplaceRouteTableAssociation"
    ),
    "aws:ec2/securityGroup:SecurityGroup": _ec2(
        "CreateSecurityGroup DeleteSecurityGroup DescribeNetworkInterfaces DescribeSecurityGroups"
        # A new group lets everything out until the provider takes that rule away.
        f" RevokeSecurityGroupEgress {_EC2_TAGS}"
    ),
    "aws:ec2/subnet:Subnet": _ec2(
        "CreateSubnet DeleteSubnet DescribeNetworkInterfaces DescribeSubnets ModifySubnetAttribute"
        f" {_EC2_TAGS}"
    ),
    "aws:ec2/subnetCidrReservation:SubnetCidrReservation": _ec2(
        "CreateSubnetCidrReservation DeleteSubnetCidrReservation GetSubnetCidrReservations"
    ),
    "aws:ec2/volumeAttachment:VolumeAttachment": _ec2(
        "AttachVolume DescribeInstances DescribeVolumes DetachVolume StopInstances"
    ),
    "aws:ec2/vpc:Vpc": _ec2(
        "CreateVpc DeleteVpc DescribeNetworkAcls DescribeRouteTables DescribeSecurityGroups"
        f" DescribeVpcAttribute DescribeVpcs ModifyVpcAttribute {_EC2_TAGS}"
    ),
    "aws:ec2/vpcDhcpOptions:VpcDhcpOptions": _ec2(
        f"CreateDhcpOptions DeleteDhcpOptions DescribeDhcpOptions DescribeVpcs {_EC2_TAGS}"
    ),
    "aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation": _ec2("AssociateDhcpOptions DescribeVpcs"),
    "aws:ec2/vpcEndpoint:VpcEndpoint": _ec2(
        "CreateVpcEndpoint DeleteVpcEndpoints DescribePrefixLists DescribeVpcEndpoints ModifyVpcEndpoint"
        f" {_EC2_TAGS}"
    ),
    "aws:iam/instanceProfile:InstanceProfile": _iam(
        "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile"
        " ListInstanceProfileTags RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile"
        # Whoever puts a role into a profile hands it on.
        " GetRole PassRole"
    ),
    "aws:iam/role:Role": _iam(
        "CreateRole DeleteRole GetRole ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies"
        " ListRoleTags TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription"
    ),
    "aws:iam/rolePolicy:RolePolicy": _iam("DeleteRolePolicy GetRolePolicy PutRolePolicy"),
    "aws:lb/listener:Listener": _elb(
        "CreateListener DeleteListener DescribeListenerAttributes DescribeListeners ModifyListener"
        f" ModifyListenerAttributes {_ELB_TAGS}"
    ),
    "aws:lb/loadBalancer:LoadBalancer": (
        *_elb(
            "CreateLoadBalancer DeleteLoadBalancer DescribeCapacityReservation DescribeLoadBalancerAttributes"
            f" DescribeLoadBalancers ModifyLoadBalancerAttributes SetSecurityGroups SetSubnets {_ELB_TAGS}"
        ),
        *_ec2(
            "DescribeAccountAttributes DescribeAvailabilityZones DescribeInternetGateways"
            " DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets DescribeVpcs"
        ),
        *_iam("CreateServiceLinkedRole"),
    ),
    "aws:lb/targetGroup:TargetGroup": _elb(
        "CreateTargetGroup DeleteTargetGroup DescribeTargetGroupAttributes DescribeTargetGroups"
        f" ModifyTargetGroup ModifyTargetGroupAttributes {_ELB_TAGS}"
    ),
    "aws:lb/targetGroupAttachment:TargetGroupAttachment": _elb(
        "DeregisterTargets DescribeTargetHealth RegisterTargets"
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _ec2(
        f"AuthorizeSecurityGroupEgress RevokeSecurityGroupEgress {_GROUP_RULES} {_EC2_TAGS}"
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ec2(
        f"AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress {_GROUP_RULES} {_EC2_TAGS}"
    ),
}
"""Every action that creating, reading, changing and deleting a resource of a type takes, by Pulumi's type token."""

ONLY_OWN = frozenset(
    (
        *_ec2(
            "DeleteDhcpOptions DeleteInternetGateway DeleteNatGateway DeleteRouteTable DeleteSecurityGroup"
            " DeleteSubnet DeleteVolume DeleteVpc DeleteVpcEndpoints DetachVolume ReleaseAddress StopInstances"
            " TerminateInstances"
        ),
        *_elb("DeleteListener DeleteLoadBalancer DeleteTargetGroup"),
    )
)
"""Actions that destroy; allowed only on what carries the tag of a Hardway cluster."""

LINKED_ROLES = ("elasticloadbalancing", "spot")
"""Services whose own roles AWS makes with an account's first balancer and first spot machine."""


def actions(*, write: bool) -> list[str]:
    """Every action of the table, sorted; without `write` only those that read."""
    found = {action for one in ACTIONS_BY_TYPE.values() for action in one}
    return sorted(action for action in found if write or action.split(":")[1].startswith(_READS))


def preview_policy() -> Policy:
    """For previews and refreshes: reads, and nothing that costs or changes."""
    iam, others = _by_service(actions(write=False))
    return _document(
        _statement("Read", others, "*"),
        _statement("ReadRoles", iam, _own_roles()),
    )


def operator_policy() -> Policy:
    """For `pulumi up` and `pulumi destroy`."""
    iam, others = _by_service(actions(write=True))
    passing = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    services = {"StringEquals": {"iam:AWSServiceName": [f"{name}.amazonaws.com" for name in LINKED_ROLES]}}
    apart = {"iam:PassRole", "iam:CreateServiceLinkedRole"}
    return _document(
        _statement("Make", [action for action in others if action not in ONLY_OWN], "*"),
        _statement("DestroyOwn", sorted(ONLY_OWN), "*", {"StringLike": {MADE_BY_HARDWAY: "*"}}),
        _statement("Roles", [action for action in iam if action not in apart], _own_roles()),
        _statement("PassRoles", ["iam:PassRole"], _own_roles()[:1], passing),
        _statement(
            "RolesOfServices",
            ["iam:CreateServiceLinkedRole"],
            "arn:aws:iam::*:role/aws-service-role/*",
            services,
        ),
    )


def _own_roles() -> list[str]:
    return [f"arn:aws:iam::*:{kind}/{IAM_PATH}/*" for kind in ("role", "instance-profile")]


def _by_service(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """IAM's actions, and all others."""
    listed = list(names)
    iam = [name for name in listed if name.startswith("iam:")]
    return iam, [name for name in listed if name not in iam]


def _statement(
    sid: str, names: list[str], resources: str | list[str], conditions: dict[str, Any] | None = None
) -> Policy:
    statement: Policy = {"Sid": sid, "Effect": "Allow", "Action": names, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement


def _document(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def policy_files() -> dict[str, str]:
    """The files of `docs/iam`, by name."""
    policies = {"operator-policy.json": operator_policy(), "preview-policy.json": preview_policy()}
    return {name: json.dumps(policy, indent=2) + "\n" for name, policy in policies.items()}


if __name__ == "__main__":
    for name, text in policy_files().items():
        (FOLDER / name).write_text(text)

"""Everything of a cluster on AWS says which cluster it belongs to; machines also say what they are.

Whether a type can have tags at all is told by a list, so that a type which nobody thought of has to have them.
"""

from __future__ import annotations

from collections.abc import Iterator

from policy.model import UNKNOWN, Finding, Resource, ResourceRule, undecided, violation

CLUSTER_TAG = "hardway.dev/cluster"
ROLE_TAG = "hardway.dev/role"
CONTROL_PLANE = "control-plane"
"""The role tag's value on machines that run etcd."""

_INSTANCES = ("aws:ec2/instance:Instance", "aws:ec2/spotInstanceRequest:SpotInstanceRequest")

UNTAGGABLE = frozenset(
    {
        "aws:autoscaling/lifecycleHook:LifecycleHook",
        "aws:ec2/eipAssociation:EipAssociation",
        "aws:ec2/internetGatewayAttachment:InternetGatewayAttachment",
        "aws:ec2/mainRouteTableAssociation:MainRouteTableAssociation",
        "aws:ec2/networkAclAssociation:NetworkAclAssociation",
        "aws:ec2/networkAclRule:NetworkAclRule",
        "aws:ec2/networkInterfaceAttachment:NetworkInterfaceAttachment",
        "aws:ec2/route:Route",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/securityGroupRule:SecurityGroupRule",
        "aws:ec2/tag:Tag",
        "aws:ec2/volumeAttachment:VolumeAttachment",
        "aws:ec2/vpcDhcpOptionsAssociation:VpcDhcpOptionsAssociation",
        "aws:ec2/vpcEndpointRouteTableAssociation:VpcEndpointRouteTableAssociation",
        "aws:ec2/vpcEndpointSubnetAssociation:VpcEndpointSubnetAssociation",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:kms/alias:Alias",
        "aws:lb/targetGroupAttachment:TargetGroupAttachment",
        "aws:route53/record:Record",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
    }
)
"""Types of AWS resources that have no tags."""


def _missing(resource: Resource) -> Iterator[Finding]:
    if not resource.type.startswith("aws:") or resource.type in UNTAGGABLE:
        return
    tags = resource.tags
    if tags is UNKNOWN:
        yield undecided(resource, "tags")
        return
    wanted = (CLUSTER_TAG, "Name", ROLE_TAG) if resource.type in _INSTANCES else (CLUSTER_TAG,)
    for tag in wanted:
        # A value that is not known yet is a tag all the same.
        if not tags.get(tag):
            yield violation(
                resource,
                f"has no tag {tag}, so nobody can tell whose it is",
                "give it the cluster's provider (default tags) or the tag itself",
            )


TAGS = ResourceRule(
    "no-missing-tags", "Everything carries its cluster's tag; machines also name and role.", _missing
)

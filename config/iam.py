"""IAM policies of the machines' roles: the least that each enabled integration needs.

Pure: policy documents as dicts, from the plan alone. What a person needs who runs Pulumi is in
`config.iam_actions`. Nothing here is for Pods: the metadata service answers the machine only (hop limit 1), so what
works with these roles runs on the machines' network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.plan import ClusterPlan

Policy = dict[str, Any]
"""An IAM policy document, as JSON would hold it."""

MADE_BY_HARDWAY = "aws:ResourceTag/hardway.dev/cluster"
"""Condition key of the tag that the program puts on all that it makes; what controllers make has none."""


def partition_of(region: str) -> str:
    """The partition that a region's ARNs are in, by the region's name."""
    prefixes = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((partition for prefix, partition in prefixes.items() if region.startswith(prefix)), "aws")


def control_plane_policy(plan: ClusterPlan) -> Policy | None:
    """What control-plane machines may do; None where nothing, as on platforms without AWS.

    Args:
        plan: of the cluster; its name is the value of the tags that conditions ask for.
    """
    if plan.aws is None:
        return None
    statements: list[Policy] = []
    if plan.aws.cloud_controller:
        statements += _cloud_controller(plan.name, plan.aws.region)
    if plan.aws.ebs_csi:
        statements += _ebs_csi(plan.name, plan.aws.region)
    if plan.aws.ecr_credentials:
        statements += _ecr_pull(plan.aws.region)
    if plan.etcd.backup.bucket is not None:
        statements.append(_backups(plan.aws.region, plan.etcd.backup.bucket, plan.name))
    return _document(statements)


def worker_policy(plan: ClusterPlan) -> Policy | None:
    """What workers may do; None where nothing."""
    if plan.aws is None or not plan.aws.ecr_credentials:
        return None
    return _document(_ecr_pull(plan.aws.region))


def _document(statements: list[Policy]) -> Policy | None:
    return {"Version": "2012-10-17", "Statement": statements} if statements else None


def _allow(
    sid: str, actions: list[str], resources: list[str], conditions: Mapping[str, Mapping[str, object]]
) -> Policy:
    statement: Policy = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": dict(conditions)} if conditions else statement


def _actions(service: str, names: str) -> list[str]:
    return [f"{service}:{name}" for name in names.split()]


def _ec2(region: str, *kinds: str) -> list[str]:
    return [f"arn:{partition_of(region)}:ec2:{region}:*:{kind}/*" for kind in kinds]


def _cloud_controller(cluster: str, region: str) -> list[Policy]:
    """For Nodes and Services of type LoadBalancer.

    Source: cloud-provider-aws, docs/prerequisites.md, without what routes, volumes and groups of instances would
    need (`--configure-cloud-routes=false`, CSI, planned machines); conditions on tags as kOps has them
    (AddCCMPermissions).
    """
    tag = f"kubernetes.io/cluster/{cluster}"
    requested = {"StringEquals": {f"aws:RequestTag/{tag}": "owned"}}
    owned = {"StringEquals": {f"aws:ResourceTag/{tag}": "owned"}}
    owned_not_ours = {**owned, "Null": {MADE_BY_HARDWAY: "true"}}
    balancers = [f"arn:{partition_of(region)}:elasticloadbalancing:{region}:*:*"]
    groups = _ec2(region, "security-group")
    in_region = {"StringEquals": {"aws:RequestedRegion": region}}
    ec2_reads = (
        "DescribeAvailabilityZones DescribeInstances DescribeInstanceTopology DescribeRegions"
        " DescribeRouteTables DescribeSecurityGroups DescribeSubnets DescribeVpcs"
    )
    balancer_reads = (
        "DescribeListeners DescribeLoadBalancerAttributes DescribeLoadBalancerPolicies DescribeLoadBalancers"
        " DescribeTargetGroupAttributes DescribeTargetGroups DescribeTargetHealth"
    )
    balancer_changes = (
        "ApplySecurityGroupsToLoadBalancer AttachLoadBalancerToSubnets ConfigureHealthCheck"
        " CreateLoadBalancerListeners CreateLoadBalancerPolicy DeleteListener DeleteLoadBalancer"
        " DeleteLoadBalancerListeners DeleteTargetGroup DeregisterInstancesFromLoadBalancer DeregisterTargets"
        " DetachLoadBalancerFromSubnets ModifyListener ModifyLoadBalancerAttributes ModifyTargetGroup"
        " ModifyTargetGroupAttributes RegisterInstancesWithLoadBalancer RegisterTargets SetSecurityGroups"
        " SetLoadBalancerPoliciesForBackendServer SetLoadBalancerPoliciesOfListener"
    )
    elb = "elasticloadbalancing"
    at_creation = {**requested["StringEquals"], "ec2:CreateAction": "CreateSecurityGroup"}
    return [
        _allow(
            "CloudControllerReads",
            [*_actions("ec2", ec2_reads), *_actions(elb, balancer_reads)],
            ["*"],
            in_region,
        ),
        _allow("GroupsOfBalancers", ["ec2:CreateSecurityGroup"], groups, requested),
        # The VPC in which a group is made is a resource of the same call, and takes no tag from it.
        _allow("GroupsOfBalancersInVpc", ["ec2:CreateSecurityGroup"], _ec2(region, "vpc"), {}),
        _allow("TagGroupsAtCreation", ["ec2:CreateTags"], groups, {"StringEquals": at_creation}),
        _allow(
            "RulesOfGroups",
            _actions("ec2", "AuthorizeSecurityGroupIngress RevokeSecurityGroupIngress"),
            groups,
            owned,
        ),
        _allow("DeleteGroupsOfBalancers", ["ec2:DeleteSecurityGroup"], groups, owned_not_ours),
        _allow(
            "MakeBalancers",
            _actions(elb, "AddTags CreateListener CreateLoadBalancer CreateTargetGroup"),
            balancers,
            requested,
        ),
        _allow("ChangeBalancers", _actions(elb, f"AddTags {balancer_changes}"), balancers, owned_not_ours),
        _linked_role(partition_of(region), f"{elb}.amazonaws.com"),
    ]


def _linked_role(partition: str, service: str) -> Policy:
    """AWS makes a role of its own with the account's first balancer."""
    return _allow(
        "RoleOfBalancers",
        ["iam:CreateServiceLinkedRole"],
        [f"arn:{partition}:iam::*:role/aws-service-role/{service}/*"],
        {"StringEquals": {"iam:AWSServiceName": service}},
    )


def _ebs_csi(cluster: str, region: str) -> list[Policy]:
    """For volumes that the driver made for this cluster; etcd's and the machines' own are out of its reach.

    Source: aws-ebs-csi-driver 1.63.1, docs/AmazonEBSCSIDriverEKSClusterScopedPolicy.json, without snapshots. The
    driver tags what it makes by `--k8s-tag-cluster-id`. Encryption is with the account's own key for EBS, which
    needs no rights; another key needs some.
    """
    name = "ebs.csi.aws.com/cluster-name"
    own = {"StringEquals": {f"aws:ResourceTag/{name}": cluster}}
    made = {"StringEquals": {f"aws:RequestTag/{name}": cluster}}
    machine = {"StringEquals": {f"aws:ResourceTag/kubernetes.io/cluster/{cluster}": "owned"}}
    volumes = _ec2(region, "volume")
    reads = (
        "DescribeAvailabilityZones DescribeInstances DescribeInstanceTypes DescribeTags DescribeVolumes"
        " DescribeVolumesModifications DescribeVolumeStatus"
    )
    tagging = {"StringEquals": {"ec2:CreateAction": ["CreateVolume", "CopyVolumes"], **made["StringEquals"]}}
    return [
        _allow("EbsReads", _actions("ec2", reads), ["*"], {"StringEquals": {"aws:RequestedRegion": region}}),
        _allow("MakeVolumes", _actions("ec2", "CreateVolume CopyVolumes"), volumes, made),
        _allow("TagVolumesAtCreation", ["ec2:CreateTags"], volumes, tagging),
        _allow(
            "ChangeVolumes",
            _actions("ec2", "AttachVolume CopyVolumes DeleteVolume DetachVolume ModifyVolume"),
            volumes,
            own,
        ),
        _allow(
            "VolumesOfMachines",
            _actions("ec2", "AttachVolume DetachVolume"),
            _ec2(region, "instance"),
            machine,
        ),
    ]


def _ecr_pull(region: str) -> list[Policy]:
    """To pull images from any repository that lets the role in, and not to push."""
    pull = "BatchCheckLayerAvailability BatchGetImage GetDownloadUrlForLayer"
    return [
        # It names no repository, so it takes no resource.
        _allow("LogInToEcr", ["ecr:GetAuthorizationToken"], ["*"], {}),
        _allow(
            "PullFromEcr", _actions("ecr", pull), [f"arn:{partition_of(region)}:ecr:*:*:repository/*"], {}
        ),
    ]


def _backups(region: str, bucket: str, cluster: str) -> Policy:
    """To put snapshots of etcd below the cluster's own prefix, and neither to read nor to delete any.

    A machine that somebody broke into can't take earlier snapshots away; with versions kept in the bucket it can't
    write over them either.
    """
    return _allow(
        "PutBackups", ["s3:PutObject"], [f"arn:{partition_of(region)}:s3:::{bucket}/{cluster}/*"], {}
    )

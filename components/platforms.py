"""The one place that asks for the kind of machines; above it nobody knows.

Each platform's SDK is imported on that platform only: they take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.machine import Machine, Proxy
from config.changes import Replacement
from config.plan import ClusterPlan
from config.settings import AwsPlatform, HostsPlatform, Settings


@dataclass(frozen=True)
class Ground:
    """What a cluster stands on.

    Attributes:
        machines: by name.
        endpoint: host of the API for clients outside.
        ssh_private_key: with which to log in on any machine, a secret.
        proxy: through which SSH goes to them, or None.
    """

    machines: dict[str, Machine]
    endpoint: pulumi.Input[str]
    ssh_private_key: pulumi.Output[str]
    proxy: Proxy | None = None


def make_ground(settings: Settings, plan: ClusterPlan, replacements: Mapping[str, Replacement]) -> Ground:
    """Make, or take, the machines of the settings' platform."""
    if plan.aws is not None and isinstance(settings.platform, AwsPlatform):
        return _on_aws(settings.platform, plan, replacements)
    if isinstance(settings.platform, HostsPlatform):
        from components.fleet import HostFleet

        hosts = HostFleet("fleet", plan=plan, platform=settings.platform)
        return Ground(hosts.machines, str(plan.endpoint), hosts.ssh_private_key)
    from components.fleet import LabFleet
    from components.lab_network import LabNetwork

    network = LabNetwork("network", plan=plan.network)
    lab = LabFleet("fleet", plan=plan, network=network, replacements=replacements)
    return Ground(lab.machines, str(plan.endpoint), lab.ssh_private_key)


def _on_aws(platform: AwsPlatform, plan: ClusterPlan, replacements: Mapping[str, Replacement]) -> Ground:
    import pulumi_aws as aws

    from components.ec2_fleet import Ec2Fleet
    from components.instance_profiles import InstanceProfiles
    from components.network import Network
    from config.iam import control_plane_policy, worker_policy

    assert plan.aws is not None
    provider = aws.Provider(
        "aws",
        region=plan.aws.region,
        default_tags=aws.ProviderDefaultTagsArgs(
            tags={**plan.aws.tags, "hardway.dev/cluster": plan.name, "hardway.dev/stack": pulumi.get_stack()}
        ),
    )
    own = pulumi.ResourceOptions(providers={"aws": provider})
    network = Network("network", plan=plan, aws_plan=plan.aws, opts=own)
    profiles = InstanceProfiles(
        "profiles",
        cluster=plan.name,
        control_plane_policy=control_plane_policy(plan),
        worker_policy=worker_policy(plan),
        opts=own,
    )
    fleet = Ec2Fleet(
        "fleet",
        plan=plan,
        aws_plan=plan.aws,
        ssh=platform.ssh,
        network=network,
        profiles=profiles,
        replacements=replacements,
        opts=own,
    )
    return Ground(fleet.machines, network.endpoint, fleet.ssh_private_key, fleet.proxy)

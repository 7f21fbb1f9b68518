"""IAM roles and instance profiles of the cluster's machines. What they may do is decided in `config.iam`."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    ],
}
"""Only EC2 hands these roles out."""


class InstanceProfiles(pulumi.ComponentResource):
    """One role and one instance profile for control-plane machines, and one each for workers.

    Both are always there, with or without a policy: a profile that is added later would have to be attached to
    machines that run.

    Attributes:
        control_plane: name of the control-plane machines' instance profile.
        worker: name of the workers' instance profile.
    """

    control_plane: pulumi.Output[str]
    worker: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        cluster: str,
        control_plane_policy: dict[str, Any] | None,
        worker_policy: dict[str, Any] | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Make roles and profiles.

        Args:
            name: logical name.
            cluster: the cluster's name, in the path of what is made; `docs/iam/operator-policy.json` relies on it.
            control_plane_policy: policy document, or None for no rights.
            worker_policy: policy document, or None for no rights.
            opts: the component's options, the provider among them.
        """
        super().__init__("hardway:index:InstanceProfiles", name, None, opts)
        self._cluster = cluster
        self.control_plane = self._profile("control-plane", control_plane_policy)
        self.worker = self._profile("worker", worker_policy)
        self.register_outputs({"controlPlane": self.control_plane, "worker": self.worker})

    def _profile(self, role: str, policy: dict[str, Any] | None) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        path = f"/hardway/{self._cluster}/"
        tags = {"Name": f"{self._cluster}-{role}"}
        iam_role = aws.iam.Role(
            f"role-{role}",
            path=path,
            description=f"{role} machines of the Kubernetes cluster {self._cluster}",
            assume_role_policy=json.dumps(TRUST, sort_keys=True),
            tags=tags,
            opts=child,
        )
        rights = []
        if policy is not None:
            rights.append(
                aws.iam.RolePolicy(
                    f"policy-{role}",
                    role=iam_role.name,
                    policy=json.dumps(policy, sort_keys=True),
                    opts=child,
                )
            )
        # The profile after the policy: a machine that has the one has the other from its first boot.
        profile = aws.iam.InstanceProfile(
            f"profile-{role}",
            path=path,
            role=iam_role.name,
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=rights),
        )
        return profile.name

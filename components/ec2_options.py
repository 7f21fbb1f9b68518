"""What every EC2 machine of Hardway has, the bastion included: IMDSv2 only, an encrypted disk, one login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

from components.user_data import user_data

METADATA = aws.ec2.InstanceMetadataOptionsArgs(
    http_endpoint="enabled",
    # Session tokens, and no router on their way: a pod does not get its machine's role (kops#13078).
    http_tokens="required",
    http_put_response_hop_limit=1,
)


def root_volume(gib: int, tags: Mapping[str, str]) -> aws.ec2.InstanceRootBlockDeviceArgs:
    """An encrypted gp3 root volume that goes with its machine."""
    return aws.ec2.InstanceRootBlockDeviceArgs(
        volume_type="gp3", volume_size=gib, encrypted=True, delete_on_termination=True, tags=dict(tags)
    )


@dataclass(frozen=True)
class Login:
    """Who logs in on the machines.

    Attributes:
        user: login name.
        private_key: OpenSSH or PEM text, a secret.
        public_key: its public part.
    """

    user: str
    private_key: pulumi.Output[str]
    public_key: pulumi.Input[str]

    def first_boot(
        self, host_key: tls.PrivateKey, *, files: Mapping[str, str] = MappingProxyType({})
    ) -> pulumi.Output[str]:
        """A machine's user data, a secret; `files` are written at first boot, content by path."""
        text = pulumi.Output.all(
            host_key=host_key.private_key_openssh,
            public_host_key=host_key.public_key_openssh,
            authorized_key=self.public_key,
        ).apply(lambda known: user_data(user=self.user, files=files, **known))
        return pulumi.Output.secret(text)

"""The kubelet's way to ECR: which images it asks the plugin about. The plugin takes the machine's own role."""

from __future__ import annotations

from components.render import dump_yaml

PROVIDER = "ecr-credential-provider"
"""Name of the provider, of its program, and of the artifact that brings it: the kubelet wants the first two equal."""


def credential_provider_config() -> str:
    """CredentialProviderConfig for private repositories of ECR, in every region.

    A pattern's `*` stands for one part of a host name (kubernetes.io, "Kubelet CredentialProvider").
    """
    return dump_yaml(
        {
            "apiVersion": "kubelet.config.k8s.io/v1",
            "kind": "CredentialProviderConfig",
            "providers": [
                {
                    "name": PROVIDER,
                    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                    "matchImages": [
                        "*.dkr.ecr.*.amazonaws.com",
                        "*.dkr.ecr.*.amazonaws.com.cn",
                        "*.dkr.ecr-fips.*.amazonaws.com",
                    ],
                    # The plugin says itself for how long what it hands out is good; this is for when it does not.
                    "defaultCacheDuration": "6h",
                }
            ],
        }
    )

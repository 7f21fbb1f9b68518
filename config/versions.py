"""Artifacts: which version of what, from where, with which digest; and the Kubernetes versions known.

Facts, no logic beyond looking them up. Digests are the publishers' own sha256. An artifact without one here
can be served only by a mirror whose settings carry the digest (`artifacts.digests`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

Architecture = Literal["amd64", "arm64"]
ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64")

KUBERNETES_DEFAULT = "1.37.2"
KUBERNETES_MINORS = (36, 37)
"""Minors of Kubernetes 1 whose flags and configuration files are those that Hardway writes."""
KUBERNETES_SUPPORTED = ("1.36.4", "1.37.2")
"""Releases whose digests `make lock` asks for in any case, beside those that a stack file here names."""

_KUBERNETES_URL = "https://dl.k8s.io/release/v{version}/bin/linux/{arch}/"


@dataclass(frozen=True)
class Artifact:
    """One downloadable file.

    Attributes:
        name: what the file is called in Hardway; also its folder on a mirror.
        version: the publisher's version without a leading "v".
        url: where the publisher keeps it; `{version}` and `{arch}` are filled in.
        sha256: the publisher's digest by architecture; empty where none is known.
    """

    name: str
    version: str
    url: str
    sha256: dict[str, str] = field(default_factory=dict)

    def address(self, arch: str) -> str:
        """The publisher's URL for one architecture."""
        return self.url.format(version=self.version, arch=arch)

    def file_name(self, arch: str) -> str:
        """The last part of the publisher's URL; a mirror keeps the same name."""
        return self.address(arch).rsplit("/", 1)[1]

    def key(self, arch: str) -> str:
        """How locks and mirrors name it: `<name>/<version>/<architecture>`."""
        return f"{self.name}/{self.version}/{arch}"

    def digest(self, arch: str) -> str | None:
        """The committed sha256 for one architecture: from this module, else from the lock that `make lock` writes."""
        return self.sha256.get(arch) or LOCK.get(self.key(arch))


LOCK_FILE = Path(__file__).parent / "artifacts.lock.json"
LOCK: dict[str, str] = json.loads(LOCK_FILE.read_text())
"""sha256 by key, as publishers told it to `make lock`."""

_KUBERNETES_SHA256: dict[tuple[str, str], dict[str, str]] = {
    ("kubelet", "1.36.4"): {
        "amd64": "cf2562db46c48ab84cc3791540778ee7fb1a0a008529adbb434723dd02ed8b4b",
        "arm64": "fd53ea3fcbd077844f50a3c67e9b52f62972a563674956bab0c0f4fb7ea37d50",
    },
    ("kubectl", "1.36.4"): {
        "amd64": "8b8f088da2dab964f853b38464033b1be15ede2839eca751482357c45abdd05a",
        "arm64": "0ecf44450ee6063bf19dd166a103ee6df4a9034455c2abce626e6eea657d73fb",
    },
}

KUBERNETES_BINARIES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)


CONTROL_PLANE_KUBERNETES = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
NODE_KUBERNETES = ("kubelet", "kube-proxy")
NODE_ARTIFACTS = ("containerd", "runc", "cni-plugins", "crictl")
FLANNEL_ARTIFACTS = ("flanneld",)
NETWORK_POLICIES_ARTIFACTS = ("kube-network-policies",)


def kubernetes_artifact(binary: str, version: str) -> Artifact:
    """One Kubernetes binary of one version, as dl.k8s.io publishes it."""
    digests = _KUBERNETES_SHA256.get((binary, version), {})
    return Artifact(binary, version, _KUBERNETES_URL + binary, digests)


ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            "etcd",
            "3.6.14",
            "https://github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-linux-{arch}.tar.gz",
            {
                "amd64": "ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5",
                "arm64": "fa1b80565ee6fc2df1ae6f57a508b221f3ecc7d591c317c581cd8281b0842b3e",
            },
        ),
        Artifact(
            "containerd",
            "2.3.4",
            "https://github.com/containerd/containerd/releases/download/v{version}/"
            "containerd-static-{version}-linux-{arch}.tar.gz",
            {
                "amd64": "1d0eccd52471ab75e8d4645b538f73dc635f905cd2be776366eb1036a0089595",
                "arm64": "ad21f456a69bca9c183a8bde892a7576d5d09ae88b3e376a47bde4a886037ab3",
            },
        ),
        Artifact(
            "runc",
            "1.4.3",
            "https://github.com/opencontainers/runc/releases/download/v{version}/runc.{arch}",
            {
                "amd64": "f6ae8efc0fa40079e1475e97cbe9d1bd3f106a28d6af78a11d9f1bd565515e60",
                "arm64": "633301e2e32f8a5ad54031aab4901eb00308bec677dd15faa2751e8f9dab5ca4",
            },
        ),
        Artifact(
            "cni-plugins",
            "1.9.1",
            "https://github.com/containernetworking/plugins/releases/download/v{version}/"
            "cni-plugins-linux-{arch}-v{version}.tgz",
            {
                "amd64": "b98f74a0f8522f0a83867178729c1aa70f2158f90c45a2ca8fa791db1c76b303",
                "arm64": "56171987d3947707c3563db2f4001bccaf50fd63468611b9f3cbecb1375ee7ec",
            },
        ),
        Artifact(
            "crictl",
            "1.36.0",
            "https://github.com/kubernetes-sigs/cri-tools/releases/download/v{version}/"
            "crictl-v{version}-linux-{arch}.tar.gz",
            {
                "amd64": "83855e114566a8a8c44c548d515670f51de3a5e1da8b2effb59870e2f10c25a3",
                "arm64": "68328594ccf780a80ae2b092d9f6ce484eec7cf540c275242e8fd954bfd95332",
            },
        ),
        Artifact(
            "flanneld",
            "0.26.7",
            "https://github.com/flannel-io/flannel/releases/download/v{version}/flanneld-{arch}",
        ),
        Artifact(
            # The publisher ships this one as a container image only; the lab and `make lock` build the
            # binary.
            "kube-network-policies",
            "1.1.0",
            "https://github.com/kubernetes-sigs/kube-network-policies/releases/download/v{version}/"
            "kube-network-policies-linux-{arch}",
        ),
    )
}


VERSIONED = ("etcd", "containerd", "runc", "cni-plugins", "crictl", "flanneld", "coredns")
"""What `artifacts.versions` may name. What is left out has one version that fits the rest."""


def pinned(name: str, versions: Mapping[str, str]) -> Artifact:
    """An artifact in the version that settings ask for, else in Hardway's own.

    Another version has none of the digests here: somebody has to vouch for it in the lock or in the settings.

    Args:
        name: of an artifact here.
        versions: asked for, by name.
    """
    own = ARTIFACTS[name]
    version = versions.get(name, own.version)
    return own if version == own.version else replace(own, version=version, sha256={})


def artifacts_of_role(
    role: str,
    kubernetes_version: str,
    versions: Mapping[str, str],
    *,
    flannel: bool,
    policies_from_image: bool,
    ecr_credentials: bool = False,
) -> tuple[Artifact, ...]:
    """What a machine of a role needs on its disk, the control plane's first.

    Args:
        role: `control-plane`, `worker` or `load-balancer`; the last needs nothing.
        kubernetes_version: release of the Kubernetes binaries.
        versions: what settings ask for instead of the versions here, by name.
        flannel: whether Hardway brings the pods' network.
        policies_from_image: whether kube-network-policies runs from its publisher's image and needs no binary.
        ecr_credentials: whether kubelets ask AWS for registries' passwords.
    """
    if role == "load-balancer":
        return ()
    binaries: tuple[str, ...] = NODE_KUBERNETES
    others: tuple[str, ...] = NODE_ARTIFACTS
    if role == "control-plane":
        binaries, others = (*CONTROL_PLANE_KUBERNETES, *binaries), ("etcd", *others)
    if flannel:
        others = (*others, *FLANNEL_ARTIFACTS, *(() if policies_from_image else NETWORK_POLICIES_ARTIFACTS))
    kubernetes = tuple(kubernetes_artifact(binary, kubernetes_version) for binary in binaries)
    cloud = (CLOUD_ARTIFACTS["ecr-credential-provider"],) if ecr_credentials else ()
    return (*kubernetes, *(pinned(name, versions) for name in others), *cloud)


@dataclass(frozen=True)
class Image:
    """A container image that machines run.

    Attributes:
        name: its name as an artifact (`image-<name>` on a mirror).
        reference: what a Pod spec names.
        version: the tag without a leading "v".
    """

    name: str
    reference: str
    version: str

    def key(self, arch: str) -> str:
        """How locks and mirrors name its archive."""
        return f"image-{self.name}/{self.version}/{arch}"

    def file_name(self) -> str:
        """The archive's name on a mirror."""
        return f"{self.name}.tar"


IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image("pause", "registry.k8s.io/pause:3.10.2", "3.10.2"),
        Image("coredns", "registry.k8s.io/coredns/coredns:v1.14.6", "1.14.6"),
        Image("local-path-provisioner", "docker.io/rancher/local-path-provisioner:v0.0.30", "0.0.30"),
        Image("metrics-server", "registry.k8s.io/metrics-server/metrics-server:v0.9.0", "0.9.0"),
        # What the lab's own tests and examples run; never part of a cluster elsewhere.
        Image("busybox", "hardway.lab/busybox:1.35", "1.35"),
        Image("agnhost", "registry.k8s.io/e2e-test-images/agnhost:2.66.1", "2.66.1"),
    )
}


def pinned_image(name: str, versions: Mapping[str, str]) -> Image:
    """An image in the version that settings ask for, else in Hardway's own; its tag follows.

    Args:
        name: of an image here.
        versions: asked for, by name.
    """
    own = IMAGES[name]
    version = versions.get(name, own.version)
    return replace(own, version=version, reference=own.reference.replace(own.version, version))


CLOUD_ARTIFACTS: dict[str, Artifact] = {
    artifact.name: artifact
    for artifact in (
        Artifact(
            # The last release whose binary was published: nothing after 1.31.7 has reached the publisher's bucket
            # (kubernetes/cloud-provider-aws#1481). What has to fit is the kubelet's plugin API, v1 since 1.27.
            # Digests: kubernetes/k8s.io, artifacts/manifests/k8s-staging-provider-aws/v1.31.7.yaml.
            "ecr-credential-provider",
            "1.31.7",
            "https://artifacts.k8s.io/binaries/cloud-provider-aws/v{version}/linux/{arch}/"
            "ecr-credential-provider-linux-{arch}",
            {
                "amd64": "7644623e4ec9ad443ab352a8a5800a5180ee28741288be805286ba72bb8e7164",
                "arm64": "1980e3a038cb16da48a137743b31fb81de6c0b59fa06c206c2bc20ce0a52f849",
            },
        ),
    )
}
"""What only machines in a cloud need; the lab neither builds nor serves it."""

_PROVIDER_AWS = "registry.k8s.io/provider-aws"
_SIG_STORAGE = "registry.k8s.io/sig-storage"

REGISTRY_IMAGES: dict[str, Image] = {
    image.name: image
    for image in (
        Image(
            # The cloud controller manager may be one minor older than the API server and never newer. 1.36.1 was
            # promoted by kubernetes/k8s.io#9796; a GitHub release alone says nothing about an image (1.36.0 has none).
            # By tag: its digest could not be verified.
            "cloud-controller-manager",
            f"{_PROVIDER_AWS}/cloud-controller-manager:v1.36.1",
            "1.36.1",
        ),
        Image(
            # Digest: kubernetes/k8s.io, registry.k8s.io/images/k8s-staging-provider-aws/images.yaml.
            "aws-ebs-csi-driver",
            f"{_PROVIDER_AWS}/aws-ebs-csi-driver:v1.63.1"
            "@sha256:150de06f37bd1bc2ae09e311029edb4a14889b215f59ca3d4ba4e37f4668e867",
            "1.63.1",
        ),
        # The versions that driver 1.63.1's own chart pins. Their digests are the multi-architecture indexes, as
        # several projects that pin these tags have them.
        Image(
            "csi-provisioner",
            f"{_SIG_STORAGE}/csi-provisioner:v6.3.0"
            "@sha256:a4b0b1a37605b7b04a293e136edf7006ec1786a8eb3f4e5a945f81d667dcc371",
            "6.3.0",
        ),
        Image(
            "csi-attacher",
            f"{_SIG_STORAGE}/csi-attacher:v4.12.0"
            "@sha256:b9dc9a714a484ccdeeb6f86d88d4db9b7a5ecfc5a55da6db3a60bb3fa33c278a",
            "4.12.0",
        ),
        Image(
            "csi-resizer",
            f"{_SIG_STORAGE}/csi-resizer:v2.2.1"
            "@sha256:ea1d25e23479000c7e8eeb92d827df66258df4e482ca054c5e7ce3fc0f5c41a5",
            "2.2.1",
        ),
        Image(
            "csi-node-driver-registrar",
            f"{_SIG_STORAGE}/csi-node-driver-registrar:v2.17.0"
            "@sha256:f9de845b170155199f2a2a3f9531cf13d78e31235e9db6b6582a8b0db0a50dad",
            "2.17.0",
        ),
        Image(
            "livenessprobe",
            f"{_SIG_STORAGE}/livenessprobe:v2.19.0"
            "@sha256:06da0d5b8908072f2e4522692aee8dc119fba7247a9658497e1153992cd777e9",
            "2.19.0",
        ),
        Image(
            # The same version as the artifact of that name. Digest: kubernetes/k8s.io,
            # registry.k8s.io/images/k8s-staging-networking/images.yaml.
            "kube-network-policies",
            "registry.k8s.io/networking/kube-network-policies:v1.1.0"
            "@sha256:e3d06fa362c163855bdbbd0d5fa72fe9fabe147a21de62e8e88d22cbfeafe2a4",
            "1.1.0",
        ),
    )
}
"""Images that only registries serve: the lab makes none of them, and no mirror has to."""

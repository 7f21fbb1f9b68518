"""Artifacts: which version of what, from where, with which digest; and the Kubernetes versions known.

Facts, no logic beyond looking them up. Digests are the publishers' own sha256. An artifact without one here
can be served only by a mirror whose settings carry the digest (`artifacts.digests`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Architecture = Literal["amd64", "arm64"]
ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64")

KUBERNETES_DEFAULT = "1.37.2"
KUBERNETES_SUPPORTED = ("1.36.4", "1.37.2")

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
FLANNEL_ARTIFACTS = ("flanneld", "kube-network-policies")


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


def artifacts_of_role(role: str, kubernetes_version: str, *, flannel: bool) -> tuple[Artifact, ...]:
    """What a machine of a role needs on its disk, the control plane's first.

    Args:
        role: `control-plane`, `worker` or `load-balancer`; the last needs nothing.
        kubernetes_version: release of the Kubernetes binaries.
        flannel: whether Hardway brings the pods' network.
    """
    if role == "load-balancer":
        return ()
    binaries: tuple[str, ...] = NODE_KUBERNETES
    others: tuple[str, ...] = NODE_ARTIFACTS
    if role == "control-plane":
        binaries, others = (*CONTROL_PLANE_KUBERNETES, *binaries), ("etcd", *others)
    if flannel:
        others = (*others, *FLANNEL_ARTIFACTS)
    kubernetes = tuple(kubernetes_artifact(binary, kubernetes_version) for binary in binaries)
    return (*kubernetes, *(ARTIFACTS[name] for name in others))


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
        # What the lab's own tests and examples run; never part of a cluster elsewhere.
        Image("busybox", "hardway.lab/busybox:1.35", "1.35"),
        Image("agnhost", "registry.k8s.io/e2e-test-images/agnhost:2.66.1", "2.66.1"),
    )
}

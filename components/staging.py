"""What machines fetch and where it lies: artifacts in folders by version and digest, and the links to them.

Pure, but for the refusal of what nobody vouches for.
"""

from __future__ import annotations

from typing import Any

import pulumi

from config.plan import ClusterPlan, MachinePlan, machine_artifacts, machine_images

ARCHIVE_BINARIES = {
    "etcd": ("etcd", "etcdctl", "etcdutl"),
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "crictl": ("crictl",),
    "cni-plugins": ("*",),
}
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")


def artifact_entries(plan: ClusterPlan, machine: MachinePlan) -> list[dict[str, Any]]:
    """What prepare fetches: name, version, url, sha256, and which binaries of an archive are wanted.

    Raises:
        pulumi.RunError: an artifact has no digest, so nobody could tell a right file from a wrong one.
    """
    entries: list[dict[str, Any]] = []
    arch = machine.architecture
    for artifact in machine_artifacts(plan, machine):
        sha256 = plan.artifacts.sha256(artifact, arch)
        if sha256 is None:
            raise _no_digest(artifact.key(arch))
        binaries = list(ARCHIVE_BINARIES.get(artifact.name, (artifact.name,)))
        entries.append(
            {
                "name": artifact.name,
                "version": artifact.version,
                "url": plan.artifacts.url(artifact, arch),
                "sha256": sha256,
                "folder": artifact_folder(artifact.name, artifact.version, sha256),
                "binaries": binaries,
            }
        )
    for image in machine_images(plan, machine):
        sha256 = plan.artifacts.digests.get(image.key(arch))
        if sha256 is None:
            raise _no_digest(image.key(arch))
        entries.append(
            {
                "name": f"image-{image.name}",
                "version": image.version,
                "reference": image.reference,
                "sha256": sha256,
                "folder": artifact_folder(f"image-{image.name}", image.version, sha256),
                "url": f"{plan.artifacts.mirror}/{image.key(arch)}/{image.file_name()}",
            }
        )
    return entries


def _no_digest(key: str) -> pulumi.RunError:
    return pulumi.RunError(
        f"cluster.artifacts.digests: no sha256 is known for {key}, so no machine could check it; "
        "run 'make lock', or enter it there. Nothing was touched."
    )


def artifact_folder(name: str, version: str, sha256: str | None) -> str:
    """Where an artifact lies on a machine; another build of the same version lies beside it, not in its place."""
    return f"/opt/hardway/{name}/{version}-{(sha256 or 'unknown')[:8]}"


def binary_links(plan: ClusterPlan, machine: MachinePlan) -> dict[str, str]:
    """Link to target for every binary: activate switches them, prepare only fills the targets."""
    links: dict[str, str] = {}
    for artifact in machine_artifacts(plan, machine):
        sha256 = plan.artifacts.sha256(artifact, machine.architecture)
        folder = artifact_folder(artifact.name, artifact.version, sha256)
        if artifact.name == "cni-plugins":
            links |= {f"/opt/cni/bin/{plugin}": f"{folder}/{plugin}" for plugin in CNI_PLUGINS}
        else:
            binaries = ARCHIVE_BINARIES.get(artifact.name, (artifact.name,))
            links |= {f"/opt/hardway/bin/{binary}": f"{folder}/{binary}" for binary in binaries}
    return links

"""Checks of what talks to a cluster from here: kubectl and ssh."""

from __future__ import annotations

from config.versions import KUBERNETES_DEFAULT
from lab import paths
from lab.errors import LabError
from workstation import programs, stack_text
from workstation.findings import Finding, doubtful, good, missing

SKEW = 1
"""Minor versions that kubectl may be away from the API server (Kubernetes' version skew policy)."""


def kubectl(text: str) -> Finding:
    """A kubectl within one minor version of the cluster's, for a stack file's text."""
    cluster = stack_text.kubernetes_version(text) or KUBERNETES_DEFAULT
    wanted = f"kubectl {'.'.join(cluster.split('.')[:2])}, at most one minor version away"
    own = _of_mirror(cluster)
    if own:
        return good("kubectl", f"{cluster} in the cache")
    program = programs.found("kubectl")
    if program is None:
        return doubtful("kubectl", "none", f"{wanted}; `make up` does not need it on lab and hosts, you do")
    version = programs.version_in(programs.output([program, "version", "--client"]))
    if not version:
        return missing("kubectl", f"{program} tells no version", wanted)
    if _distance(version, programs.version_in(cluster)) > SKEW:
        return missing("kubectl", f"{programs.told(version)}, the cluster {cluster}", wanted)
    return good("kubectl", programs.told(version))


def _of_mirror(cluster: str) -> bool:
    """Whether the cache holds the cluster's own; `make` prefers that."""
    try:
        return (paths.MIRROR / "kubectl" / cluster / paths.architecture() / "kubectl").is_file()
    except LabError:
        return False


def _distance(one: programs.Version, other: programs.Version) -> int:
    return abs(one[1] - other[1]) if one[:1] == other[:1] else SKEW + 1


def ssh() -> Finding:
    """An SSH client, for `make ssh`."""
    if programs.found("ssh") is None:
        return missing("ssh", "none", "apt-get install openssh-client")
    version = (programs.output(["ssh", "-V"]) or "").split(",")[0].strip()
    return good("ssh", version or "there")

"""What this machine's parts say of themselves while they run: versions, etcd's health, alarms and size."""

import json
import os
import time
from typing import Any

from components.agent import etcd, kubelet_api, nodes
from components.agent.evidence import run, succeeds
from components.agent.findings import ACTIVATE, finding

Finding = dict[str, str]

ATTEMPTS = 3
"""How often something that may be busy is asked."""
MOST_OF_QUOTA = 0.8
"""Share of etcd's quota from which a defragmentation is due: at the quota it takes no writes any more."""


def versions(bundle: dict[str, Any]) -> tuple[str, list[Finding]]:
    """Versions that run, and whether the API calls the Node Ready."""
    name, wanted = bundle["machine"]["name"], bundle["versions"]
    node = _node(f"{bundle['api']}/api/v1/nodes/{name}")
    told = node["status"]["nodeInfo"]
    seen = {
        "kubelet": told["kubeletVersion"],
        "containerd": told["containerRuntimeVersion"].rpartition("//")[2],
    }
    if "kube-apiserver" in wanted:
        seen["kube-apiserver"] = _api_server(bundle)
    seen = {part: version.removeprefix("v") for part, version in seen.items()}
    found = [
        finding(part, f"runs as {version}, and the state says {wanted[part]}", ACTIVATE)
        for part, version in seen.items()
        if version != wanted.get(part, version)
    ]
    ready = {one["type"]: one["status"] for one in node["status"].get("conditions", [])}.get("Ready")
    if ready != "True":
        found.append(
            finding(
                f"Node {name}", "is not Ready", way_out=f"'kubectl describe node {name}' tells its conditions"
            )
        )
    if node["spec"].get("unschedulable"):
        found.append(
            finding(f"Node {name}", "is cordoned: it takes no new pods", way_out=f"'kubectl uncordon {name}'")
        )
    return ", ".join(f"{part} {version}" for part, version in seen.items()), found


def _node(url: str) -> dict[str, Any]:
    """The Node, asked again where the connection to one API server was cut: the next goes to another."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return kubelet_api.get(url)
        except OSError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(2)
    raise AssertionError("unreachable")


def _api_server(bundle: dict[str, Any]) -> str:
    server = f"https://127.0.0.1:{bundle['api_port']}"
    command = (nodes.KUBECTL, f"--kubeconfig={nodes.ADMIN}", f"--server={server}", "--request-timeout=5s")
    return str(json.loads(run(*command, "get", "--raw=/version", timeout=15))["gitVersion"])


def etcd_member(bundle: dict[str, Any]) -> tuple[str, list[Finding]]:
    """This machine's member: health, version, alarms, size against its quota, and whether all know each other."""
    own = next(one for one in bundle["etcd"]["members"] if one["name"] == bundle["machine"]["name"])
    ask = (*etcd.CTL, "--command-timeout=5s", f"--endpoints={own['client']}")
    if not os.path.exists(etcd.CTL[0]) or not _answers(ask):
        way_out = "'journalctl -u etcd' on it; with a majority of its members back it heals by itself"
        return "no answer", [finding(f"member {own['name']}", "does not answer a read", way_out=way_out)]
    status = json.loads(run(*ask, "endpoint", "status", "--write-out=json"))[0]["Status"]
    found = _version(status, bundle["versions"]["etcd"]) + _alarms(ask, status)
    found += _members(ask, {one["name"] for one in bundle["etcd"]["members"]})
    quota = int(status.get("dbSizeQuota") or 0)
    size = int(status["dbSize"])
    if quota and size > MOST_OF_QUOTA * quota:
        found.append(
            finding(
                "database",
                f"has {size / 2**20:.0f} MiB of at most {quota / 2**20:.0f}",
                way_out="'make defragment'; with COMPACT=1 where most of it is in use",
            )
        )
    leads = "leads" if status["leader"] == status["header"]["member_id"] else "follows"
    used = f"{size / 2**20:.0f} MiB of {quota / 2**20:.0f}" if quota else f"{size / 2**20:.0f} MiB"
    return f"healthy, {leads}, {used}", found


def _answers(ask: tuple[str, ...]) -> bool:
    """By a read: `endpoint health` calls a member sick that has an alarm, which is told by itself."""
    return any(succeeds(*ask, "get", "health", "--keys-only", timeout=10) for _ in range(ATTEMPTS))


def _version(status: dict[str, Any], wanted: str) -> list[Finding]:
    if status["version"] == wanted:
        return []
    return [finding("etcd", f"runs as {status['version']}, and the state says {wanted}", ACTIVATE)]


def _alarms(ask: tuple[str, ...], status: dict[str, Any]) -> list[Finding]:
    """This member's own alarms; each tells its own."""
    kinds = {1: "NOSPACE", 2: "CORRUPT"}
    alarms = json.loads(run(*ask, "alarm", "list", "--write-out=json")).get("alarms") or []
    own = [one for one in alarms if one.get("memberID") == status["header"]["member_id"]]
    way_out = "NOSPACE: 'make defragment'; CORRUPT: replace this machine (`replace`)"
    return [
        finding(f"alarm {kinds.get(one.get('alarm'), one.get('alarm'))}", "is raised", way_out=way_out)
        for one in own
    ]


def _members(ask: tuple[str, ...], wanted: set[str]) -> list[Finding]:
    listed = json.loads(run(*ask, "member", "list", "--write-out=json"))["members"]
    names = {str(one.get("name") or "(never started)") for one in listed}
    if names == wanted:
        return []
    what = f"are {', '.join(sorted(names))}, and the state says {', '.join(sorted(wanted))}"
    return [
        finding("members", what, way_out="'make up' brings the membership in order, or look at who added one")
    ]

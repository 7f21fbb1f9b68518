"""What tests of upgrades share: a workload that has to lose nothing, clients that count, and relinked binaries."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from config.plan import Role
from config.versions import KUBERNETES_BINARIES, KUBERNETES_DEFAULT
from demo.traffic import Count, Target, Visitors
from lab import artifacts, mirror, paths
from lab.client import wait_for
from lab.stack import FILE_SERVER_PORT
from tests.e2e.cluster import Cluster
from tests.e2e.pods import HTTP, pod

PORT = 30080
"""The NodePort that the lab's balancer forwards."""
NEXT_PATCH = f"{KUBERNETES_DEFAULT.rpartition('.')[0]}.99"
"""A patch that no publisher will ever have: the same sources as today's, linked with another stamp."""
OLD_KUBELET = "1.36.99"
"""Likewise a kubelet that says that it is a minor older."""
PLANTED = f"/opt/hardway/kubelet/{OLD_KUBELET}-planted"
"""Where a test puts it on a worker."""


@dataclass(frozen=True)
class Site(Target):
    """The workload at the balancer's address."""

    def get(self, path: str = "/hostname", seconds: float = 3.0) -> dict[str, Any]:
        """Ask for the pod's name; OSError as the demo's."""
        with urllib.request.urlopen(f"http://{self.host}:{self.port}{path}", timeout=seconds) as answer:
            return {"pod": answer.read().decode(), "version": "", "database": True}


@dataclass(frozen=True)
class Readiness(Target):
    """The API behind the balancer, asked whether it is ready."""

    def get(self, path: str = "/readyz", seconds: float = 3.0) -> dict[str, Any]:
        """Ask; OSError as the demo's."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        url = f"https://{self.host}:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=seconds, context=context) as answer:
            return {"pod": answer.read().decode(), "version": "", "database": True}


@dataclass
class Met:
    """What users of the workload and clients of the API met."""

    site: Count
    api: Count


@contextmanager
def under_load(cluster: Cluster) -> Iterator[Met]:
    """Ask the workload and the API ten times a second each, by connections of their own, through the balancer."""
    balancer = next(one for one in cluster.plan.machines if one.role is Role.LOAD_BALANCER)
    host = str(balancer.address)
    site = Visitors([Site(host, PORT)], needs_database=False)
    api = Visitors([Readiness(host, cluster.plan.network.api_port)], needs_database=False)
    with site, api:
        yield Met(site.count, api.count)


def deploy(cluster: Cluster, space: str) -> None:
    """Two replicas behind a Service, apart from each other, one of which may be away; each says goodbye for a while."""
    template = pod("web")
    container = {
        **template["spec"]["containers"][0],
        "lifecycle": {"preStop": {"sleep": {"seconds": 8}}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": HTTP}, "periodSeconds": 1},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    spec = {
        **template["spec"],
        "containers": [container],
        "terminationGracePeriodSeconds": 20,
        "topologySpreadConstraints": [spread],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec},
        },
    }
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": space},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": space},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ports": [{"port": HTTP, "targetPort": HTTP, "nodePort": PORT}],
        },
    }
    cluster.apply(deployment, budget, service)
    cluster.kubectl("--namespace", space, "rollout", "status", "deployment/web", "--timeout=90s", seconds=100)
    balancer = next(one for one in cluster.plan.machines if one.role is Role.LOAD_BALANCER)
    wait_for("the workload through the balancer", lambda: _answers(Site(str(balancer.address), PORT)), 30)


def _answers(site: Site) -> bool:
    try:
        return bool(site.get())
    except OSError:
        return False


def relinked() -> None:
    """Have today's Kubernetes under two other stamps in the mirror; linking alone, where it was built here before."""
    wanted = [
        artifacts.order(name, kubernetes=NEXT_PATCH, sources=KUBERNETES_DEFAULT)
        for name in KUBERNETES_BINARIES
    ]
    artifacts.fill([*wanted, artifacts.order("kubelet", kubernetes=OLD_KUBELET, sources=KUBERNETES_DEFAULT)])


def plant_old_kubelet(cluster: Cluster, worker: str) -> None:
    """Have a worker run a kubelet of the minor before, as a half-done upgrade would leave it."""
    arch = paths.architecture()
    key = f"kubelet/{OLD_KUBELET}/{arch}"
    url = f"http://{cluster.plan.network.gateway}:{FILE_SERVER_PORT}/{key}/kubelet"
    cluster.ssh(
        worker,
        f"set -e; mkdir -p {PLANTED}; curl --fail --silent --show-error --output {PLANTED}/kubelet {url}; "
        f"echo '{mirror.read_lock()[key].sha256}  {PLANTED}/kubelet' | sha256sum --check --quiet; "
        f"chmod 755 {PLANTED}/kubelet; ln -sfn {PLANTED}/kubelet /opt/hardway/bin/kubelet; "
        "systemctl restart kubelet",
        seconds=120,
    )
    wait_for(f"Node {worker} of {OLD_KUBELET}", lambda: kubelets(cluster)[worker] == f"v{OLD_KUBELET}", 60)
    wait_for("Node Ready", lambda: worker in cluster.ready_nodes(), 60)


def kubelets(cluster: Cluster) -> dict[str, str]:
    """What each Node's kubelet says that it is."""
    return {
        node["metadata"]["name"]: node["status"]["nodeInfo"]["kubeletVersion"]
        for node in cluster.get("nodes")["items"]
    }


def replicas(cluster: Cluster, space: str) -> dict[str, str]:
    """The workload's pods that are not about to end: Node by the pod's UID."""
    return {
        one["metadata"]["uid"]: one["spec"]["nodeName"]
        for one in cluster.get("pods", f"--namespace={space}", "--selector=app=web")["items"]
        if "deletionTimestamp" not in one["metadata"]
    }


def started_in_order(cluster: Cluster) -> list[float]:
    """Seconds on the computer's clock at which the kubelets started, in the order in which machines are changed."""
    return [cluster.starts(name)["kubelet.service"] / 1e6 for name in cluster.nodes]


def note(cluster: Cluster, what: str, met: Met, seconds: float) -> None:
    """Report what was met during an upgrade."""
    cluster.figures[f"{what}: requests failed"] = f"{met.site.failed} of {met.site.asked}"
    cluster.figures[f"{what}: longest gap of the workload"] = f"{met.site.longest_gap:.2f} s"
    cluster.figures[f"{what}: longest gap of the API"] = f"{met.api.longest_gap:.2f} s"
    cluster.figures[f"{what}: API requests failed"] = f"{met.api.failed} of {met.api.asked}"
    cluster.figures[f"{what}: seconds"] = f"{seconds:.1f}"


def now() -> float:
    """A clock for durations."""
    return time.monotonic()

"""Objects that tests deploy, and the images they run, brought onto the workers as the lab brings its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from config.versions import IMAGES
from lab import mirror, paths
from lab.client import condition, wait_for
from lab.stack import FILE_SERVER_PORT
from tests.e2e.cluster import Cluster

AGNHOST = IMAGES["agnhost"].reference
BUSYBOX = IMAGES["busybox"].reference
HTTP = 8080
POD_SECONDS = 90.0


def import_images(cluster: Cluster, workers: list[str] | None = None) -> None:
    """Import the tests' images on workers: from the lab's file server, checked by the mirror's digest."""
    locked = mirror.read_lock()
    for name in ("agnhost", "busybox"):
        image = IMAGES[name]
        key = image.key(paths.architecture())
        url = f"http://{cluster.plan.network.gateway}:{FILE_SERVER_PORT}/{key}/{image.file_name()}"
        command = (
            f'set -e; ctr() {{ /opt/hardway/bin/ctr --namespace k8s.io images "$@"; }}; '
            f"ctr list --quiet | grep -qxF {image.reference} && exit 0; "
            f"curl --fail --silent --show-error --output /var/tmp/image.tar {url}; "
            f"echo '{locked[key].sha256}  /var/tmp/image.tar' | sha256sum --check --quiet; "
            f"ctr import /var/tmp/image.tar >/dev/null; rm /var/tmp/image.tar"
        )
        for worker in workers or cluster.workers:
            cluster.ssh(worker, command, seconds=120)


def pod(
    name: str,
    *,
    image: str = AGNHOST,
    args: tuple[str, ...] = ("netexec", f"--http-port={HTTP}"),
    node: str | None = None,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Pod that serves its own name over HTTP unless told otherwise; without a token."""
    container = {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "args": list(args)}
    whole: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "containers": [{**container, **spec.pop("container", {})}],
        **spec,
    }
    if node:
        whole["nodeSelector"] = {"kubernetes.io/hostname": node}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": whole,
    }


def service(name: str, selector: Mapping[str, str], port: int, target: int) -> dict[str, Any]:
    """A ClusterIP Service."""
    ports = [{"port": port, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": dict(selector), "ports": ports},
    }


def placed(namespace: str, *documents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same objects in a namespace."""
    return [{**one, "metadata": {**one["metadata"], "namespace": namespace}} for one in documents]


def run_pods(cluster: Cluster, namespace: str, *pods: Mapping[str, Any]) -> dict[str, str]:
    """Start Pods, wait until they are Ready, and give their addresses by name."""
    cluster.apply(*placed(namespace, *pods))
    return {one["metadata"]["name"]: ready_pod(cluster, namespace, one["metadata"]["name"]) for one in pods}


def ready_pod(cluster: Cluster, namespace: str, name: str) -> str:
    """Wait until a Pod is Ready and give its address."""

    def look() -> str | None:
        done = cluster.try_kubectl("--namespace", namespace, "get", "pod", name, "--output=json")
        found = json.loads(done.output) if done.status == 0 else {}
        return str(found["status"]["podIP"]) if condition(found, "Ready") else None

    return str(
        wait_for(f"Pod {namespace}/{name} Ready", look, POD_SECONDS, lambda: describe(cluster, namespace))
    )


def describe(cluster: Cluster, namespace: str) -> str:
    """What there is to see of a namespace's Pods when one does not come up."""
    pods = cluster.try_kubectl("--namespace", namespace, "get", "pods", "--output=wide").output
    events = cluster.try_kubectl("--namespace", namespace, "get", "events", "--sort-by=.lastTimestamp").output
    return f"{pods}\n{events[-3000:]}"


def connects(cluster: Cluster, namespace: str, client: str, target: str, seconds: int = 3) -> bool:
    """Whether a Pod gets a TCP connection to `host:port`."""
    line = ("exec", client, "--", "/agnhost", "connect", f"--timeout={seconds}s", target)
    return cluster.try_kubectl("--namespace", namespace, *line).status == 0


def fetch(cluster: Cluster, namespace: str, client: str, address: str, path: str) -> str:
    """What a Pod reads over HTTP from an address."""
    return cluster.kubectl(
        "--namespace",
        namespace,
        "exec",
        client,
        "--",
        "wget",
        "-q",
        "-O",
        "-",
        f"http://{address}:{HTTP}{path}",
    ).strip()

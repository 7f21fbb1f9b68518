"""metrics-server: usage of Nodes and Pods, over two connections that are both verified."""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from lab.client import condition, wait_for
from tests.e2e.cluster import Cluster

SYSTEM = "--namespace=kube-system"
AUTHORITY = "/etc/kubernetes/pki/ca.crt"
OTHER_AUTHORITY = "/etc/etcd/pki/ca.crt"
WRONG = "e2e-metrics-wrong-authority"
NOT_TRUSTED = 60
"""curl's exit status when a server's certificate can't be verified."""


def rows(cluster: Cluster, *arguments: str) -> dict[str, list[str]]:
    """What `kubectl top` shows, by name; metrics are there a look or two after a Pod's start."""
    done = wait_for(
        f"kubectl top {' '.join(arguments)}",
        lambda: (found := cluster.try_kubectl("top", *arguments, "--no-headers")).status == 0 and found,
        60,
    )
    assert done
    return {line.split()[0]: line.split()[1:] for line in done.output.splitlines()}


def test_top_shows_the_usage_of_every_node(cluster: Cluster) -> None:
    def every_node() -> dict[str, list[str]] | None:
        found = rows(cluster, "nodes")
        known = {node for node, usage in found.items() if "<unknown>" not in usage}
        return found if known == set(cluster.nodes) else None

    for node, (cpu, _, memory, _) in wait_for("usage of every Node", every_node, 60).items():
        assert int(cpu.removesuffix("m")) > 0, node
        assert int(memory.removesuffix("Mi")) > 20, node


def test_top_shows_the_usage_of_pods(cluster: Cluster) -> None:
    def running() -> set[str]:
        pods = cluster.get("pods", SYSTEM)["items"]
        return {one["metadata"]["name"] for one in pods if condition(one, "Ready")}

    wait_for("usage of every Pod", lambda: running() <= set(rows(cluster, "pods", SYSTEM)), 60)
    assert any(name.startswith("metrics-server-") for name in running())


def test_the_api_server_serves_usage_and_verifies_who_answers(cluster: Cluster) -> None:
    service = cluster.get("apiservice", "v1beta1.metrics.k8s.io")
    assert condition(service, "Available")
    assert "insecureSkipTLSVerify" not in service["spec"]
    authority = cluster.ssh("cp-0", f"cat {AUTHORITY}")
    assert base64.b64decode(service["spec"]["caBundle"]).decode() == authority


def test_metrics_server_has_a_certificate_of_the_clusters_authority_in_its_services_name(
    cluster: Cluster,
) -> None:
    address = cluster.get("service", "metrics-server", SYSTEM)["spec"]["clusterIP"]

    def status(authority: str, name: str) -> int:
        command = (
            f"openssl s_client -connect {address}:443 -CAfile {authority} -verify_hostname {name} "
            "-verify_return_error </dev/null >/dev/null 2>&1"
        )
        return cluster.try_ssh("cp-0", command).status

    assert status(AUTHORITY, "metrics-server.kube-system.svc") == 0
    assert status(AUTHORITY, "kubernetes.default.svc") != 0
    assert status(OTHER_AUTHORITY, "metrics-server.kube-system.svc") != 0


def test_every_kubelets_certificate_fits_its_address_under_the_clusters_authority_alone(
    cluster: Cluster,
) -> None:
    for machine in cluster.nodes:
        url = f"https://{cluster.address(machine)}:10250/metrics/resource"
        ask = "curl --silent --output /dev/null --write-out '%{http_code}' --cacert"
        assert cluster.ssh("cp-0", f"{ask} {AUTHORITY} {url}") == "401", machine
        assert cluster.try_ssh("cp-0", f"{ask} {OTHER_AUTHORITY} {url}").status == NOT_TRUSTED, machine


def test_metrics_server_runs_without_any_insecure_flag(cluster: Cluster) -> None:
    pods = cluster.get("pods", SYSTEM, "--selector=k8s-app=metrics-server")["items"]
    assert pods
    for one in pods:
        (container,) = one["spec"]["containers"]
        assert "--kubelet-preferred-address-types=InternalIP" in container["args"]
        assert [flag for flag in container["args"] if "insecure" in flag] == []


@pytest.fixture
def mistrustful(cluster: Cluster) -> Iterator[str]:
    """A second metrics-server, which no Service knows, whose authority for kubelets is another one."""
    deployment = cluster.get("deployment", "metrics-server", SYSTEM)
    spec: dict[str, Any] = copy.deepcopy(deployment["spec"]["template"]["spec"])
    spec.pop("topologySpreadConstraints")
    (container,) = spec["containers"]
    flag = "--kubelet-certificate-authority="
    container["args"] = [
        f"{flag}/etc/wrong/ca.crt" if one.startswith(flag) else one for one in container["args"]
    ]
    container["volumeMounts"].append({"name": "wrong", "mountPath": "/etc/wrong"})
    spec["volumes"].append({"name": "wrong", "configMap": {"name": WRONG}})
    about = {"name": WRONG, "namespace": "kube-system"}
    authority = cluster.ssh("cp-0", f"cat {OTHER_AUTHORITY}")
    cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": {"ca.crt": authority}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec},
    )
    yield WRONG
    cluster.kubectl("delete", f"pod/{WRONG}", f"configmap/{WRONG}", SYSTEM, "--grace-period=1")


def test_a_metrics_server_with_another_authority_gets_nothing_from_any_kubelet(
    cluster: Cluster, mistrustful: str
) -> None:
    def refused() -> set[str]:
        log = cluster.try_kubectl("logs", mistrustful, SYSTEM).output
        lines = [line for line in log.splitlines() if "certificate signed by unknown authority" in line]
        return {node for node in cluster.nodes for line in lines if f'node="{node}"' in line}

    wait_for("a look at every kubelet that fails", lambda: refused() == set(cluster.nodes), 60)
    assert not condition(cluster.get("pod", mistrustful, SYSTEM), "Ready")

"""Pods, Services, names and policies, across machines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.client import run, wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.pods import HTTP, connects, fetch, placed, pod, run_pods, service

SPACE = "e2e-network"


@pytest.fixture(scope="module")
def addresses(cluster: Cluster) -> Iterator[dict[str, str]]:
    """A server and two clients, one of them on the other worker, by their Pods' addresses."""
    first, second = cluster.workers
    with cluster.namespace(SPACE):
        yield run_pods(
            cluster,
            SPACE,
            pod("server", node=first),
            pod("near", node=first),
            pod("far", node=second, labels={"friend": "yes"}),
        )


def test_pods_reach_each_other_across_machines_by_address(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    assert fetch(cluster, SPACE, "far", addresses["server"], "/hostname") == "server"
    assert fetch(cluster, SPACE, "near", addresses["far"], "/hostname") == "far"
    # The packets keep their sender: nothing between Pods is translated.
    seen = fetch(cluster, SPACE, "far", addresses["server"], "/clientip")
    assert seen.rpartition(":")[0] == addresses["far"]


def test_a_service_answers_by_its_address_and_its_name_on_every_worker(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    cluster.apply(*placed(SPACE, service("web", {"app": "server"}, 80, HTTP)))
    address = cluster.get("service", "web", f"--namespace={SPACE}")["spec"]["clusterIP"]
    for client in ("near", "far"):
        for target in (address, "web", f"web.{SPACE}", f"web.{SPACE}.svc.{cluster.plan.network.domain}"):
            _reaches_soon(cluster, client, f"{target}:80")
    assert addresses["server"] != address


def _reaches_soon(cluster: Cluster, client: str, target: str) -> None:
    wait_for(f"{client} to reach {target}", lambda: connects(cluster, SPACE, client, target), 15)


def test_a_name_that_does_not_exist_is_answered_at_once(cluster: Cluster, addresses: dict[str, str]) -> None:
    line = ("exec", "far", "--", "/agnhost", "connect", "--timeout=3s", f"absent.{SPACE}:80")
    done = cluster.try_kubectl("--namespace", SPACE, *line)
    assert "DNS" in done.output
    assert done.seconds < 10, addresses


def test_pods_reach_the_api_by_its_service(cluster: Cluster, addresses: dict[str, str]) -> None:
    assert connects(cluster, SPACE, "near", "kubernetes.default:443"), addresses


def test_the_api_server_reaches_pods_on_every_worker(cluster: Cluster, addresses: dict[str, str]) -> None:
    for name in addresses:
        path = f"/api/v1/namespaces/{SPACE}/pods/{name}:{HTTP}/proxy/hostname"
        assert cluster.kubectl("get", "--raw", path) == name


def test_a_network_policy_blocks_everybody_but_whom_it_names(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    target = f"{addresses['server']}:{HTTP}"
    assert connects(cluster, SPACE, "near", target)
    assert connects(cluster, SPACE, "far", target)
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "friends-only"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "server"}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"friend": "yes"}}}]}],
        },
    }
    cluster.apply(*placed(SPACE, policy))
    wait_for(
        "the policy to block the near client", lambda: not connects(cluster, SPACE, "near", target, 2), 20
    )
    assert connects(cluster, SPACE, "far", target)
    # And from the other machine too, once the label is gone.
    cluster.kubectl("--namespace", SPACE, "label", "pod", "far", "friend-")
    wait_for("the policy to block the far client", lambda: not connects(cluster, SPACE, "far", target, 2), 20)
    cluster.kubectl("--namespace", SPACE, "delete", "networkpolicy", "friends-only")
    wait_for("the near client to be let in again", lambda: connects(cluster, SPACE, "near", target), 20)


def test_machines_listen_to_the_network_only_where_they_have_to(cluster: Cluster) -> None:
    """sshd, etcd, API server and kubelet; kube-proxy's health check is for load balancers outside."""
    node = {22, 10250, 10256}
    expected = {name: node | {2379, 2380, 6443} for name in cluster.control_plane}
    forwarded = set(cluster.plan.network.forwarded_node_ports)
    expected |= dict.fromkeys(cluster.workers, node) | {"lb-0": {22, 6443} | forwarded}
    for machine, ports in expected.items():
        listening = cluster.ssh(
            machine, "ss --listening --tcp --numeric --no-header | awk '{print $4}'"
        ).split()
        outside = {int(one.rpartition(":")[2]) for one in listening if not one.startswith(("127.", "[::1]"))}
        assert outside == ports, machine


def test_the_computer_itself_reaches_no_pod(cluster: Cluster, addresses: dict[str, str]) -> None:
    """The lab routes nothing: the cluster's ranges never meet the computer's own networks."""
    routed = run(["ip", "route", "show", "to", "match", addresses["server"]]).output
    assert str(cluster.plan.network.pods) not in routed


def test_a_worker_sees_the_control_groups_of_its_own_pods_only(
    cluster: Cluster, addresses: dict[str, str]
) -> None:
    """Machines share a kernel: in a tree in common, kubelets would take each other's Pods for orphans."""
    command = "find /sys/fs/cgroup -path '*/kubepods/*' -type d -name 'pod*' -printf '%f\\n'"

    def foreign(worker: str) -> set[str]:
        pods = cluster.get("pods", "--all-namespaces", f"--field-selector=spec.nodeName={worker}")["items"]
        own = {f"pod{one['metadata']['uid']}" for one in pods}
        return set(cluster.ssh(worker, command).split()) - own

    for worker in cluster.workers:
        # A Pod that ends keeps its group for a moment.
        wait_for(f"{worker} without foreign groups", lambda worker=worker: not foreign(worker), 40)  # type: ignore[misc]
    assert addresses

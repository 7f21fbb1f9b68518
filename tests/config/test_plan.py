"""The plan: the lab's exact machines, and that nobody moves when others come or go."""

from __future__ import annotations

import subprocess
import sys
from ipaddress import IPv4Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.plan import ClusterPlan, EtcdMember, MachinePlan, Role, machine_artifacts, machine_images
from config.versions import IMAGES, kubernetes_artifact
from tests.config.clusters import PROJECT, hosts, lab, plan_of

Value = dict[str, Any]

LAB_MACHINES = [
    ("lb-0", "load-balancer", "172.31.0.5", "lab", None),
    ("cp-0", "control-plane", "172.31.0.10", "lab", None),
    ("cp-1", "control-plane", "172.31.0.11", "lab", None),
    ("cp-2", "control-plane", "172.31.0.12", "lab", None),
    ("worker-general-0", "worker", "172.31.0.20", "lab", "general"),
    ("worker-general-1", "worker", "172.31.0.21", "lab", "general"),
]

HOST_MACHINES = [
    ("balancer", "load-balancer", "192.168.40.5", "default", None),
    ("cp-a", "control-plane", "192.168.40.10", "rack-1", None),
    ("cp-b", "control-plane", "192.168.40.11", "rack-2", None),
    ("cp-c", "control-plane", "192.168.40.12", "rack-3", None),
    ("worker-a", "worker", "192.168.40.20", "rack-1", "general"),
    ("worker-b", "worker", "192.168.40.21", "rack-2", "general"),
]


def rows(plan: ClusterPlan) -> list[tuple[str, str, str, str, str | None]]:
    return [(m.name, str(m.role), str(m.address), m.zone, m.pool) for m in plan.machines]


def by_name(plan: ClusterPlan) -> dict[str, MachinePlan]:
    return {machine.name: machine for machine in plan.machines}


# The lab


def test_the_lab_has_exactly_these_machines() -> None:
    assert rows(plan_of(lab())) == LAB_MACHINES


def test_the_lab_has_these_addresses_for_services_and_clients() -> None:
    plan = plan_of(lab())
    assert plan.endpoint == "172.31.0.5"
    assert plan.api_name == "api.lab.internal"
    assert str(plan.network.gateway) == "172.31.0.1"
    assert str(plan.network.api_service_address) == "10.32.0.1"
    assert str(plan.network.dns_service_address) == "10.32.0.10"
    assert (plan.network.api_port, plan.network.local_api_port) == (6443, 7443)
    assert plan.warnings == ()


def test_every_control_plane_machine_of_the_lab_is_a_member_of_etcd() -> None:
    etcd = plan_of(lab()).etcd
    assert [(member.name, member.peer_url, member.client_url) for member in etcd.members] == [
        ("cp-0", "https://172.31.0.10:2380", "https://172.31.0.10:2379"),
        ("cp-1", "https://172.31.0.11:2380", "https://172.31.0.11:2379"),
        ("cp-2", "https://172.31.0.12:2380", "https://172.31.0.12:2379"),
    ]
    assert (etcd.heartbeat_ms, etcd.election_ms) == (200, 2000)


def test_every_machine_but_the_balancer_is_a_node() -> None:
    plan = plan_of(lab())
    assert [machine.name for machine in plan.machines if not machine.is_node] == ["lb-0"]
    assert [machine.name for machine in plan.nodes] == [row[0] for row in LAB_MACHINES[1:]]


def test_certificates_of_the_lab_live_one_year_and_authorities_ten() -> None:
    certificates = plan_of(lab()).certificates
    assert (certificates.generation, certificates.leaf_hours, certificates.authority_hours) == (
        1,
        8760,
        87600,
    )


@pytest.mark.parametrize(
    ("block", "number", "address"),
    [(0, 0, "172.31.0.20"), (0, 999, "172.31.3.251"), (1, 0, "172.31.4.20"), (63, 999, "172.31.255.251")],
)
def test_a_workers_address_follows_from_its_block_and_number(block: int, number: int, address: str) -> None:
    pool = {"name": "p", "block": block, "count": number + 1, "exclude": list(range(number))}
    network = {"pods": "10.64.0.0/12"}
    plan = plan_of(lab(workerPools=[pool], network=network))
    assert [(m.name, str(m.address)) for m in plan.workers] == [(f"worker-p-{number}", address)]


def test_another_network_moves_every_machine_by_the_same_rule() -> None:
    plan = plan_of(lab(network={"machines": "192.168.64.0/24"}))
    assert [str(m.address) for m in plan.machines] == [
        "192.168.64.5", "192.168.64.10", "192.168.64.11", "192.168.64.12", "192.168.64.20", "192.168.64.21",
    ]  # fmt: skip


def test_a_pool_carries_its_labels_taints_and_limits() -> None:
    taint = {"key": "dedicated", "value": "batch", "effect": "NoSchedule"}
    pool = {
        "name": "batch",
        "labels": {"example.com/tier": "batch"},
        "taints": [taint, {"key": "slow", "effect": "PreferNoSchedule"}],
        "maxUnavailable": 3,
        "kubelet": {"maxPods": 30},
    }
    [planned] = plan_of(lab(workerPools=[pool])).pools
    assert planned.labels == {"example.com/tier": "batch"}
    assert planned.taints == (taint, {"key": "slow", "value": "", "effect": "PreferNoSchedule"})
    assert (planned.max_unavailable, planned.max_pods) == (3, 30)


# Nobody moves


def pools() -> st.SearchStrategy[list[Value]]:
    """Up to five pools with blocks of their own, each with some numbers left out."""
    names = st.lists(st.sampled_from(["a", "a-1", "b", "batch", "gpu", "x-0"]), unique=True, max_size=5)
    return names.flatmap(lambda chosen: st.tuples(*(pool(name) for name in chosen))).map(with_own_blocks)


@st.composite
def pool(draw: st.DrawFn, name: str) -> Value:
    count = draw(st.integers(0, 12))
    exclude = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=4)) if count else []
    return {"name": name, "count": count, "exclude": exclude, "block": draw(st.integers(0, 63))}


def with_own_blocks(chosen: tuple[Value, ...]) -> list[Value]:
    taken: set[int] = set()
    for one in chosen:
        one["block"] = next(b % 64 for b in range(one["block"], one["block"] + 64) if b % 64 not in taken)
        taken.add(one["block"])
    return list(chosen)


def cluster(worker_pools: list[Value], control_plane: int = 3) -> ClusterPlan:
    off = {"coredns": False, "storage": "none"}
    return plan_of(lab(workerPools=worker_pools, controlPlane={"count": control_plane}, addOns=off))


def assert_only(before: ClusterPlan, after: ClusterPlan, *, gone: set[str], come: set[str]) -> None:
    """Exactly these machines left and came; every other one is the same in every respect."""
    old, new = by_name(before), by_name(after)
    assert set(old) - set(new) == gone
    assert set(new) - set(old) == come
    assert {name: new[name] for name in old if name in new} == {
        name: old[name] for name in old if name in new
    }


def names_of(worker_pool: Value) -> set[str]:
    numbers = set(range(worker_pool["count"])) - set(worker_pool["exclude"])
    return {f"worker-{worker_pool['name']}-{number}" for number in numbers}


@given(pools(), st.data())
def test_removing_or_adding_a_pool_anywhere_moves_nobody_else(
    chosen: list[Value], data: st.DataObject
) -> None:
    if not chosen:
        return
    index = data.draw(st.integers(0, len(chosen) - 1))
    rest = [*chosen[:index], *chosen[index + 1 :]]
    assert_only(cluster(chosen), cluster(rest), gone=names_of(chosen[index]), come=set())
    assert_only(cluster(rest), cluster(chosen), gone=set(), come=names_of(chosen[index]))


@given(pools())
def test_the_order_of_pools_moves_nobody(chosen: list[Value]) -> None:
    assert_only(cluster(chosen), cluster(chosen[::-1]), gone=set(), come=set())


@given(pools(), st.data())
def test_a_larger_count_adds_at_the_end_and_moves_nobody_else(
    chosen: list[Value], data: st.DataObject
) -> None:
    if not chosen:
        return
    index = data.draw(st.integers(0, len(chosen) - 1))
    old = chosen[index]
    more = data.draw(st.integers(1, 5))
    grown = [*chosen[:index], {**old, "count": old["count"] + more}, *chosen[index + 1 :]]
    come = {f"worker-{old['name']}-{number}" for number in range(old["count"], old["count"] + more)}
    assert_only(cluster(chosen), cluster(grown), gone=set(), come=come)
    assert_only(cluster(grown), cluster(chosen), gone=come, come=set())


@given(pools(), st.data())
def test_excluding_a_number_removes_that_machine_and_moves_nobody_else(
    chosen: list[Value], data: st.DataObject
) -> None:
    if not any(names_of(one) for one in chosen):
        return
    index = data.draw(st.sampled_from([i for i, one in enumerate(chosen) if names_of(one)]))
    old = chosen[index]
    number = data.draw(st.sampled_from(sorted(set(range(old["count"])) - set(old["exclude"]))))
    less = [*chosen[:index], {**old, "exclude": [*old["exclude"], number]}, *chosen[index + 1 :]]
    gone = {f"worker-{old['name']}-{number}"}
    assert_only(cluster(chosen), cluster(less), gone=gone, come=set())


@given(pools(), st.sampled_from([(1, 3), (3, 5), (3, 7), (5, 9)]))
def test_a_larger_control_plane_moves_no_machine_and_no_member_of_etcd(
    chosen: list[Value], counts: tuple[int, int]
) -> None:
    small, large = (cluster(chosen, count) for count in counts)
    assert_only(small, large, gone=set(), come={f"cp-{n}" for n in range(*counts)})
    assert large.etcd.members[: counts[0]] == small.etcd.members


@given(pools())
def test_workers_are_no_members_of_etcd_and_change_none(chosen: list[Value]) -> None:
    members = tuple(EtcdMember(f"cp-{n}", IPv4Address(f"172.31.0.{10 + n}")) for n in range(3))
    assert cluster(chosen).etcd.members == members


@given(pools(), st.sampled_from([1, 3, 5, 7, 9]))
def test_names_and_addresses_are_unique_and_inside_of_the_network(chosen: list[Value], count: int) -> None:
    plan = cluster(chosen, count)
    network = plan.network.machines
    reserved = {network.network_address, network.broadcast_address, plan.network.gateway}
    addresses = [machine.address for machine in plan.machines]
    assert len({machine.name for machine in plan.machines}) == len(plan.machines)
    assert len(set(addresses)) == len(addresses)
    assert [address for address in addresses if address not in network or address in reserved] == []


@given(pools())
def test_a_pools_addresses_stay_in_its_block_and_above_the_infrastructure(chosen: list[Value]) -> None:
    plan = cluster(chosen, 9)
    start = int(plan.network.machines.network_address)
    for one in chosen:
        offsets = [
            int(m.address) - start - one["block"] * 1024 for m in plan.workers if m.pool == one["name"]
        ]
        assert [offset for offset in offsets if not 20 <= offset < 1024] == []


# Hosts


def test_hosts_are_planned_as_they_are_given() -> None:
    assert rows(plan_of(hosts())) == HOST_MACHINES


@pytest.mark.parametrize("name", ["worker-a", "worker-b", "balancer"])
def test_removing_a_host_changes_no_other(name: str) -> None:
    value = hosts()
    before = plan_of(value)
    platform = value["platform"]
    rest = [host for host in platform["hosts"] if host["name"] != name]
    after = plan_of({**value, "platform": {**platform, "hosts": rest}})
    assert_only(before, after, gone={name}, come=set())
    assert after.etcd == before.etcd


def test_the_order_of_hosts_decides_nothing_but_the_members_order() -> None:
    value = hosts()
    before = plan_of(value)
    value["platform"]["hosts"].reverse()
    after = plan_of(value)
    assert_only(before, after, gone=set(), come=set())
    assert set(after.etcd.members) == set(before.etcd.members)


def hosts_without_balancer(**platform: Any) -> Value:
    value = hosts()
    given_hosts = [host for host in value["platform"]["hosts"] if host["role"] != "load-balancer"]
    return {**value, "platform": {**value["platform"], "hosts": given_hosts, **platform}}


def test_the_endpoint_of_hosts_is_their_load_balancer_host() -> None:
    plan = plan_of(hosts())
    assert (plan.endpoint, plan.warnings) == ("192.168.40.5", ())


def test_the_endpoint_of_hosts_is_the_operators_balancer_if_one_is_named() -> None:
    plan = plan_of(hosts_without_balancer(endpoint="api.example.com"))
    assert (plan.endpoint, plan.warnings, plan.load_balancers) == ("api.example.com", (), ())


def test_without_any_balancer_the_first_control_plane_is_the_endpoint_and_a_warning_says_so() -> None:
    plan = plan_of(hosts_without_balancer())
    assert plan.endpoint == "192.168.40.10"
    assert plan.warnings == (
        (
            "No balancer stands in front of the API: the kubeconfig points at cp-a alone, which is not highly"
            " available. Add a host with role load-balancer, or name your own in platform.endpoint."
        ),
    )


def test_a_second_balancer_host_is_told_to_be_a_spare() -> None:
    value = hosts()
    second = {**value["platform"]["hosts"][-1], "name": "balancer-2", "address": "192.168.40.6"}
    value["platform"]["hosts"].append(second)
    plan = plan_of(value)
    assert plan.endpoint == "192.168.40.5"
    assert plan.warnings == (
        (
            "balancer-2 is a spare balancer: the kubeconfig names balancer alone. Move a shared address"
            " between the two, or remove one."
        ),
    )


def test_steps_that_run_once_run_on_the_first_control_plane_unless_a_setting_says_otherwise() -> None:
    assert plan_of(lab()).operations_machine == "cp-0"
    assert plan_of(hosts()).operations_machine == "cp-a"
    assert plan_of(lab(controlPlane={"operationsMachine": "cp-2"})).operations_machine == "cp-2"
    assert plan_of(hosts(controlPlane={"operationsMachine": "cp-b"})).operations_machine == "cp-b"


# Artifacts

NODE = ["kubelet", "kube-proxy"]
CONTROL_PLANE = ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", *NODE, "etcd"]
RUNTIME = ["containerd", "runc", "cni-plugins", "crictl"]
FLANNEL = ["flanneld", "kube-network-policies"]


@pytest.mark.parametrize(
    ("machine", "cni", "names"),
    [
        ("cp-0", "flannel", [*CONTROL_PLANE, *RUNTIME, *FLANNEL]),
        ("worker-general-0", "flannel", [*NODE, *RUNTIME, *FLANNEL]),
        ("lb-0", "flannel", []),
        ("cp-0", "none", [*CONTROL_PLANE, *RUNTIME]),
        ("worker-general-0", "none", [*NODE, *RUNTIME]),
    ],
)
def test_a_machine_gets_what_its_role_runs(machine: str, cni: str, names: list[str]) -> None:
    plan = plan_of(lab(network={"cni": cni}))
    assert [artifact.name for artifact in machine_artifacts(plan, plan.machine(machine))] == names


def test_kubernetes_binaries_are_of_the_clusters_version() -> None:
    plan = plan_of(lab(kubernetes={"version": "1.36.4"}))
    kubelet = machine_artifacts(plan, plan.workers[0])[0]
    assert (kubelet.name, kubelet.version, kubelet.key("arm64")) == (
        "kubelet",
        "1.36.4",
        "kubelet/1.36.4/arm64",
    )


def test_without_a_mirror_machines_fetch_from_the_publisher() -> None:
    url = plan_of(lab()).artifacts.url(kubernetes_artifact("kubelet", "1.37.2"), "arm64")
    assert url == "https://dl.k8s.io/release/v1.37.2/bin/linux/arm64/kubelet"


def test_with_a_mirror_machines_fetch_the_same_file_name_from_there() -> None:
    plan = plan_of(lab(artifacts={"mirror": "http://172.31.0.1:8080"}))
    etcd = next(a for a in machine_artifacts(plan, plan.control_plane[0]) if a.name == "etcd")
    expected = "http://172.31.0.1:8080/etcd/3.6.14/amd64/etcd-v3.6.14-linux-amd64.tar.gz"
    assert plan.artifacts.url(etcd, "amd64") == expected


def test_a_digest_of_the_settings_goes_before_the_committed_one() -> None:
    kubelet = kubernetes_artifact("kubelet", "1.36.4")
    committed = "cf2562db46c48ab84cc3791540778ee7fb1a0a008529adbb434723dd02ed8b4b"
    assert plan_of(lab()).artifacts.sha256(kubelet, "amd64") == committed
    own = plan_of(lab(artifacts={"digests": {"kubelet/1.36.4/amd64": "a" * 64}})).artifacts
    assert own.sha256(kubelet, "amd64") == "a" * 64
    assert plan_of(lab()).artifacts.sha256(kubernetes_artifact("kubelet", "1.37.2"), "amd64") is None


def test_images_are_imported_only_on_request_and_only_where_they_run() -> None:
    assert machine_images(plan_of(lab()), plan_of(lab()).workers[0]) == ()
    mirrored = {"mirror": "http://172.31.0.1:8080", "preloadImages": True}
    plan = plan_of(lab(artifacts=mirrored))
    names = {
        machine.name: [image.name for image in machine_images(plan, machine)] for machine in plan.machines
    }
    workers = ["pause", "coredns", "local-path-provisioner", "busybox", "metrics-server"]
    assert names == {
        "lb-0": [],
        "cp-0": ["pause"],
        "cp-1": ["pause"],
        "cp-2": ["pause"],
        "worker-general-0": workers,
        "worker-general-1": workers,
    }
    assert set(workers) <= set(IMAGES)


def test_a_machine_is_found_by_its_name_and_an_unknown_name_is_an_error() -> None:
    plan = plan_of(lab())
    assert plan.machine("cp-1").role is Role.CONTROL_PLANE
    with pytest.raises(KeyError, match="cp-9"):
        plan.machine("cp-9")


def test_the_package_config_imports_neither_pulumi_nor_anything_above_it() -> None:
    code = (
        "import sys, config.certificates, config.plan, config.settings, config.stack_file;print([name for"
        " name in sys.modules if name.split('.')[0].startswith(('pulumi', 'components', 'lab'))])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

"""The certificates: the lab's exact table, and what no cluster's table may contain."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.certificates import AUTHORITY_PATHS, Authority, CertificateSpec, certificates_for
from config.plan import ClusterPlan, Role
from tests.config.clusters import hosts, lab, plan_of
from tests.config.test_plan import cluster

CONTROL_PLANE = ("cp-0", "cp-1", "cp-2")
WORKERS = ("worker-general-0", "worker-general-1")
NODES = (*CONTROL_PLANE, *WORKERS)
CLIENT, SERVER, BOTH = ("client_auth",), ("server_auth",), ("server_auth", "client_auth")
K8S, ETCD = "/etc/kubernetes/pki", "/etc/etcd/pki"

Row = tuple[str, str, str, str | None, tuple[str, ...], tuple[str, ...], str]

LAB_TABLE: list[Row] = [
    *((f"etcd-server-{m}", "etcd", m, None, SERVER, (m,), f"{ETCD}/server") for m in CONTROL_PLANE),
    *((f"etcd-peer-{m}", "etcd", m, None, BOTH, (m,), f"{ETCD}/peer") for m in CONTROL_PLANE),
    (
        "etcd-healthcheck-client", "etcd", "hardway:etcd-healthcheck", None, CLIENT, CONTROL_PLANE,
        f"{ETCD}/healthcheck-client",
    ),
    (
        "apiserver-etcd-client", "etcd", "hardway:kube-apiserver", None, CLIENT, CONTROL_PLANE,
        f"{K8S}/apiserver-etcd-client",
    ),
    *(
        (f"apiserver-{m}", "kubernetes", "kube-apiserver", None, SERVER, (m,), f"{K8S}/apiserver")
        for m in CONTROL_PLANE
    ),
    (
        "apiserver-kubelet-client", "kubernetes", "hardway:kube-apiserver-kubelet-client", None, CLIENT,
        CONTROL_PLANE, f"{K8S}/apiserver-kubelet-client",
    ),
    (
        "front-proxy-client", "front-proxy", "front-proxy-client", None, CLIENT, CONTROL_PLANE,
        f"{K8S}/front-proxy-client",
    ),
    (
        "controller-manager", "kubernetes", "system:kube-controller-manager", None, CLIENT, CONTROL_PLANE,
        f"{K8S}/controller-manager",
    ),
    ("scheduler", "kubernetes", "system:kube-scheduler", None, CLIENT, CONTROL_PLANE, f"{K8S}/scheduler"),
    (
        "admin", "kubernetes", "hardway:admin", "hardway:cluster-admins", CLIENT, CONTROL_PLANE,
        f"{K8S}/admin",
    ),
    *(
        (f"kubelet-client-{m}", "kubernetes", f"system:node:{m}", "system:nodes", CLIENT, (m,),
         f"{K8S}/kubelet-client")
        for m in NODES
    ),
    *((f"kubelet-{m}", "kubernetes", m, None, SERVER, (m,), f"{K8S}/kubelet") for m in NODES),
    ("kube-proxy", "kubernetes", "system:kube-proxy", None, CLIENT, NODES, f"{K8S}/kube-proxy"),
    ("flanneld", "kubernetes", "hardway:flanneld", None, CLIENT, NODES, f"{K8S}/flanneld"),
    (
        "kube-network-policies", "kubernetes", "hardway:kube-network-policies", None, CLIENT, NODES,
        f"{K8S}/kube-network-policies",
    ),
    ("bootstrap", "kubernetes", "hardway:bootstrap", "system:masters", CLIENT, (), ""),
    ("metrics-server", "kubernetes", "metrics-server", None, SERVER, (), ""),
]  # fmt: skip

API_ADDRESSES = ("172.31.0.10", "172.31.0.11", "172.31.0.12", "172.31.0.5", "127.0.0.1", "10.32.0.1")


def row(spec: CertificateSpec) -> Row:
    usages = tuple(str(usage) for usage in spec.usages)
    return (
        spec.name, str(spec.authority), spec.common_name, spec.organization, usages, spec.machines, spec.path,
    )  # fmt: skip


def lab_certificates() -> dict[str, CertificateSpec]:
    return {spec.name: spec for spec in certificates_for(plan_of(lab()))}


def test_the_lab_has_exactly_these_leaves() -> None:
    assert [row(spec) for spec in certificates_for(plan_of(lab()))] == LAB_TABLE


@pytest.mark.parametrize("machine", CONTROL_PLANE)
def test_an_api_server_answers_to_every_name_and_address_of_the_api(machine: str) -> None:
    spec = lab_certificates()[f"apiserver-{machine}"]
    assert spec.dns_names == (
        "api.lab.internal",
        machine,
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    assert spec.ip_addresses == API_ADDRESSES


def test_metrics_server_answers_to_the_name_by_which_the_api_server_asks_for_it() -> None:
    spec = lab_certificates()["metrics-server"]
    assert (spec.dns_names, spec.ip_addresses) == (("metrics-server.kube-system.svc",), ())


def test_without_metrics_server_nothing_is_signed_for_it() -> None:
    plan = plan_of(lab(addOns={"metricsServer": False}))
    assert "metrics-server" not in {spec.name for spec in certificates_for(plan)}
    assert "metrics-server" not in {spec.name for spec in certificates_for(plan_of(lab(addOns={})))}


def test_other_servers_answer_to_their_own_machine_only() -> None:
    found = {name: (spec.dns_names, spec.ip_addresses) for name, spec in lab_certificates().items()}
    assert found["etcd-server-cp-1"] == (("cp-1", "localhost"), ("172.31.0.11", "127.0.0.1"))
    assert found["etcd-peer-cp-1"] == (("cp-1",), ("172.31.0.11",))
    assert found["kubelet-cp-1"] == (("cp-1",), ("172.31.0.11",))
    assert found["kubelet-worker-general-1"] == (("worker-general-1",), ("172.31.0.21",))


def test_clients_carry_no_names_of_servers() -> None:
    clients = [spec for spec in lab_certificates().values() if not spec.name.startswith("etcd-peer")]
    named = [s.name for s in clients if "client_auth" in s.usages and (s.dns_names or s.ip_addresses)]
    assert named == []


def test_another_domain_and_service_range_reach_the_api_servers_names() -> None:
    plan = plan_of(lab(network={"domain": "corp.example", "services": "10.96.0.0/16"}))
    spec = next(spec for spec in certificates_for(plan) if spec.name == "apiserver-cp-0")
    assert spec.dns_names[-1] == "kubernetes.default.svc.corp.example"
    assert spec.ip_addresses[-1] == "10.96.0.1"


def test_without_flannel_its_clients_get_no_certificate() -> None:
    names = {spec.name for spec in certificates_for(plan_of(lab(network={"cni": "none"})))}
    assert set(lab_certificates()) - names == {"flanneld", "kube-network-policies"}


def test_a_worker_holds_these_keys_and_no_other() -> None:
    held = [spec.name for spec in lab_certificates().values() if "worker-general-0" in spec.machines]
    assert held == [
        "kubelet-client-worker-general-0",
        "kubelet-worker-general-0",
        "kube-proxy",
        "flanneld",
        "kube-network-policies",
    ]


def test_the_balancer_holds_no_key_at_all() -> None:
    assert [spec.name for spec in lab_certificates().values() if "lb-0" in spec.machines] == []


def test_authorities_lie_where_their_leaves_are_checked_and_etcds_on_no_worker() -> None:
    assert {
        Authority.KUBERNETES: {
            Role.CONTROL_PLANE: (f"{K8S}/ca.crt",),
            Role.WORKER: (f"{K8S}/ca.crt",),
            Role.LOAD_BALANCER: (f"{K8S}/ca.crt",),
        },
        Authority.ETCD: {Role.CONTROL_PLANE: (f"{ETCD}/ca.crt", f"{K8S}/etcd/ca.crt")},
        Authority.FRONT_PROXY: {Role.CONTROL_PLANE: (f"{K8S}/front-proxy-ca.crt",)},
    } == AUTHORITY_PATHS


# What holds for every cluster


@st.composite
def clusters(draw: st.DrawFn) -> ClusterPlan:
    names = draw(st.lists(st.sampled_from(["a", "a-1", "client", "gpu"]), unique=True, max_size=3))
    pools = [
        {"name": name, "block": block, "count": draw(st.integers(0, 6)), "exclude": []}
        for block, name in enumerate(names)
    ]
    return cluster(pools, draw(st.sampled_from([1, 3, 5])))


@given(clusters())
def test_names_are_unique_and_no_machine_gets_two_leaves_at_one_path(plan: ClusterPlan) -> None:
    specs = certificates_for(plan)
    places = Counter((machine, spec.path) for spec in specs for machine in spec.machines)
    assert [name for name, count in Counter(spec.name for spec in specs).items() if count > 1] == []
    assert [place for place, count in places.items() if count > 1] == []


@given(clusters())
def test_only_the_bootstrap_is_in_system_masters_and_it_is_installed_nowhere(plan: ClusterPlan) -> None:
    masters = [spec for spec in certificates_for(plan) if spec.organization == "system:masters"]
    assert [(spec.name, spec.machines, spec.path) for spec in masters] == [("bootstrap", (), "")]


@given(clusters())
def test_no_worker_holds_a_leaf_that_is_more_than_a_nodes(plan: ClusterPlan) -> None:
    workers = {machine.name for machine in plan.workers}
    powerful = {
        "admin",
        "controller-manager",
        "scheduler",
        "apiserver-kubelet-client",
        "apiserver-etcd-client",
    }
    specs = certificates_for(plan)
    assert [s.name for s in specs if s.name in powerful and workers & set(s.machines)] == []
    assert [
        s.name for s in specs if s.authority is not Authority.KUBERNETES and workers & set(s.machines)
    ] == []


@given(clusters())
def test_no_name_is_a_wildcard_and_every_server_has_a_name(plan: ClusterPlan) -> None:
    specs = certificates_for(plan)
    assert [spec.name for spec in specs if any("*" in name for name in spec.dns_names)] == []
    servers = [spec for spec in specs if "server_auth" in spec.usages]
    assert [spec.name for spec in servers if not (spec.dns_names and spec.ip_addresses)] == []


@given(clusters())
def test_every_leaf_has_a_usage_and_the_peers_alone_have_two(plan: ClusterPlan) -> None:
    counts = {spec.name: len(spec.usages) for spec in certificates_for(plan)}
    assert {name for name, count in counts.items() if count != 1} == {
        f"etcd-peer-{machine.name}" for machine in plan.control_plane
    }


@given(clusters())
def test_every_nodes_user_is_its_own_name_in_the_group_of_nodes(plan: ClusterPlan) -> None:
    users = {
        (spec.machines, spec.common_name)
        for spec in certificates_for(plan)
        if spec.organization == "system:nodes"
    }
    assert users == {((machine.name,), f"system:node:{machine.name}") for machine in plan.nodes}


@given(clusters())
def test_a_new_worker_changes_no_leaf_of_another_machine(plan: ClusterPlan) -> None:
    """A leaf is issued anew when its subject or names change; being installed on one machine more changes
    neither."""

    def identity(spec: CertificateSpec) -> tuple[object, ...]:
        return (
            spec.authority,
            spec.common_name,
            spec.organization,
            spec.usages,
            spec.dns_names,
            spec.ip_addresses,
        )

    more = [
        {"name": pool.name, "block": block, "count": len(pool.machines), "exclude": []}
        for block, pool in enumerate(plan.pools)
    ]
    grown = cluster([*more, {"name": "new", "block": 9, "count": 2, "exclude": []}], len(plan.control_plane))
    before = {spec.name: identity(spec) for spec in certificates_for(plan)}
    after = {spec.name: identity(spec) for spec in certificates_for(grown)}
    assert {name: after[name] for name in before} == before


def test_hosts_get_the_same_kinds_of_leaves_under_their_own_names() -> None:
    specs = {spec.name: spec for spec in certificates_for(plan_of(hosts()))}
    assert len(specs) == len(LAB_TABLE) - 2
    assert "kube-network-policies" not in specs, "without a mirror it is a DaemonSet with a service account"
    assert "metrics-server" not in specs, "nobody asked for it"
    assert specs["kubelet-client-worker-b"].common_name == "system:node:worker-b"
    assert specs["apiserver-cp-a"].dns_names[0] == "api.office.internal"
    assert "192.168.40.5" in specs["apiserver-cp-a"].ip_addresses

"""Secure from the first minute: what design and the CIS Kubernetes Benchmark ask of every tree."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.backup_tree import BACKUP_SCRIPT
from components.secrets import encryption_config
from components.tree import machine_files, machine_folders, secret_paths
from config.certificates import certificates_for
from config.plan import ClusterPlan, MachinePlan, Role
from tests.components.trees import (
    Started,
    directive,
    document,
    every_machine,
    lab_plan,
    single_plan,
    started,
    tree,
    unit_files,
)
from tests.config.clusters import lab, plan_of

GOOD_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}

Both = pytest.mark.parametrize(
    ("plan", "name"), [(lab_plan(), "cp-0"), (lab_plan(), "cp-2"), (single_plan(), "solo")]
)
Every = pytest.mark.parametrize(
    ("plan", "machine"), every_machine(), ids=[machine.name for _, machine in every_machine()]
)
Nodes = pytest.mark.parametrize(
    ("plan", "machine"),
    [(plan, machine) for plan, machine in every_machine() if machine.is_node],
    ids=[machine.name for _, machine in every_machine() if machine.is_node],
)


def api_server(plan: ClusterPlan, name: str) -> Started:
    return started(tree(plan, name), "kube-apiserver.service")


def etcd(plan: ClusterPlan, name: str) -> Started:
    return started(tree(plan, name), "etcd.service")


@Both
def test_requests_without_a_credential_reach_only_the_three_health_paths(
    plan: ClusterPlan, name: str
) -> None:
    files = tree(plan, name)
    path = api_server(plan, name).flags["authentication-config"]
    assert document(files, path) == {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": True,
            "conditions": [{"path": "/livez"}, {"path": "/readyz"}, {"path": "/healthz"}],
        },
    }
    # Beside the file this flag would be refused, and alone it would open every path.
    assert "anonymous-auth" not in api_server(plan, name).flags


@Both
def test_nodes_and_rbac_alone_authorize_and_a_node_may_change_only_itself(
    plan: ClusterPlan, name: str
) -> None:
    flags = api_server(plan, name).flags
    assert flags["authorization-mode"] == "Node,RBAC"
    assert flags["enable-admission-plugins"] == "NodeRestriction"
    assert "disable-admission-plugins" not in flags
    assert "authorization-config" not in flags


@Both
def test_service_account_tokens_are_checked_bound_and_not_stretched(plan: ClusterPlan, name: str) -> None:
    flags = api_server(plan, name).flags
    assert flags["service-account-lookup"] == "true"
    assert flags["service-account-extend-token-expiration"] == "false"
    assert flags["service-account-key-file"] == "/etc/kubernetes/pki/sa.pub"
    assert "token-auth-file" not in flags


def test_the_service_account_issuer_does_not_depend_on_the_endpoint() -> None:
    issuers = {
        api_server(plan, plan.control_plane[0].name).flags["service-account-issuer"] for plan in _plans()
    }
    assert issuers == {"https://kubernetes.default.svc.cluster.local"}


def _plans() -> list[ClusterPlan]:
    return [lab_plan(), single_plan()]


def test_secrets_are_encrypted_by_secretbox_first_and_old_plain_ones_stay_readable() -> None:
    config = yaml.safe_load(encryption_config("-----BEGIN PRIVATE KEY-----"))
    (rule,) = config["resources"]
    assert rule["resources"] == ["secrets"]
    assert [list(provider) for provider in rule["providers"]] == [["secretbox"], ["identity"]]
    (key,) = rule["providers"][0]["secretbox"]["keys"]
    assert (key["name"], len(key["secret"])) == ("key1", 44)


@Both
def test_the_api_server_reads_the_encryption_config_that_it_receives(plan: ClusterPlan, name: str) -> None:
    paths = secret_paths(plan, plan.machine(name), certificates_for(plan))
    assert paths[api_server(plan, name).flags["encryption-provider-config"]] == "root"


@Both
def test_the_audit_policy_never_logs_the_body_of_a_secret(plan: ClusterPlan, name: str) -> None:
    rules = document(tree(plan, name), api_server(plan, name).flags["audit-policy-file"])["rules"]
    for resource in ("secrets", "configmaps", "serviceaccounts/token"):
        for verb in ("get", "create", "update", "patch", "delete"):
            assert _audit_level(rules, "", resource, verb, "alice") == "Metadata", (resource, verb)
    assert _audit_level(rules, "authentication.k8s.io", "tokenreviews", "create", "alice") == "Metadata"


@Both
def test_the_audit_policy_logs_who_changed_what_and_every_way_into_a_container(
    plan: ClusterPlan, name: str
) -> None:
    rules = document(tree(plan, name), api_server(plan, name).flags["audit-policy-file"])["rules"]
    assert _audit_level(rules, "apps", "deployments", "create", "alice") == "Request"
    assert _audit_level(rules, "", "pods/exec", "get", "alice") == "Request"
    assert (
        _audit_level(rules, "rbac.authorization.k8s.io", "clusterrolebindings", "patch", "alice") == "Request"
    )
    assert _audit_level(rules, "", "pods", "list", "alice") == "Metadata"


def _audit_level(rules: list[dict[str, Any]], group: str, resource: str, verb: str, user: str) -> str:
    """The level of the first rule that matches a resource request of an ordinary, authenticated user."""
    for rule in rules:
        named = rule.get("resources")
        fits = named is None or any(
            one.get("group", "") == group and (not one.get("resources") or resource in one["resources"])
            for one in named
        )
        fits = fits and verb in rule.get("verbs", [verb]) and user in rule.get("users", [user])
        fits = fits and "system:authenticated" in rule.get("userGroups", ["system:authenticated"])
        if fits and "nonResourceURLs" not in rule:
            return str(rule["level"])
    raise AssertionError("the policy has no rule for everything else")


@Both
def test_the_audit_log_is_kept_for_a_month_and_bounded(plan: ClusterPlan, name: str) -> None:
    flags = api_server(plan, name).flags
    kept = [flags[f"audit-log-{word}"] for word in ("path", "maxage", "maxbackup", "maxsize")]
    assert kept == ["/var/log/kubernetes/audit.log", "30", "10", "100"]


@Both
def test_no_component_serves_profiles(plan: ClusterPlan, name: str) -> None:
    files = tree(plan, name)
    for unit in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert started(files, f"{unit}.service").flags["profiling"] == "false", unit
    assert document(files, "/var/lib/kubelet/config.yaml")["enableProfilingHandler"] is False
    assert "enableProfiling" not in document(files, "/var/lib/kube-proxy/config.yaml")
    assert "enable-pprof" not in etcd(plan, name).flags


@Both
def test_every_server_speaks_tls_1_2_or_later_with_forward_secrecy_and_authenticated_ciphers(
    plan: ClusterPlan, name: str
) -> None:
    files = tree(plan, name)
    for unit in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        flags = started(files, f"{unit}.service").flags
        assert flags["tls-min-version"] == "VersionTLS12", unit
        assert set(flags["tls-cipher-suites"].split(",")) == GOOD_CIPHERS, unit
    assert etcd(plan, name).flags["tls-min-version"] == "TLS1.2"
    assert set(etcd(plan, name).flags["cipher-suites"].split(",")) == GOOD_CIPHERS


@Both
def test_controller_manager_and_scheduler_listen_on_loopback_only(plan: ClusterPlan, name: str) -> None:
    files = tree(plan, name)
    for unit in ("kube-controller-manager.service", "kube-scheduler.service"):
        assert started(files, unit).flags["bind-address"] == "127.0.0.1"


@Both
def test_controllers_act_under_their_own_accounts_and_cannot_sign(plan: ClusterPlan, name: str) -> None:
    flags = started(tree(plan, name), "kube-controller-manager.service").flags
    assert flags["use-service-account-credentials"] == "true"
    assert flags["root-ca-file"] == "/etc/kubernetes/pki/ca.crt"
    assert not {flag for flag in flags if flag.startswith("cluster-signing")}


@Nodes
def test_the_kubelet_lets_in_only_who_the_api_server_allows(plan: ClusterPlan, machine: MachinePlan) -> None:
    config = document(machine_files(plan, machine), "/var/lib/kubelet/config.yaml")
    assert config["authentication"] == {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
    }
    assert config["authorization"] == {"mode": "Webhook"}
    assert config["readOnlyPort"] == 0


@Nodes
def test_the_kubelet_serves_with_a_certificate_of_the_cluster_and_modern_tls(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    config = document(machine_files(plan, machine), "/var/lib/kubelet/config.yaml")
    paths = secret_paths(plan, machine, certificates_for(plan))
    assert paths[config["tlsCertFile"]] == paths[config["tlsPrivateKeyFile"]] == "root"
    assert config["tlsMinVersion"] == "VersionTLS12"
    assert set(config["tlsCipherSuites"]) == GOOD_CIPHERS


@Nodes
def test_the_kubelet_confines_pods(plan: ClusterPlan, machine: MachinePlan) -> None:
    config = document(machine_files(plan, machine), "/var/lib/kubelet/config.yaml")
    assert config["seccompDefault"] is True
    assert config["podPidsLimit"] == 4096
    assert config["protectKernelDefaults"] is True
    assert config["makeIPTablesUtilChains"] is True
    assert "streamingConnectionIdleTimeout" not in config  # 0 would keep idle ones for ever


@Nodes
def test_the_kernel_settings_that_the_kubelet_insists_on_are_planted(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    text = machine_files(plan, machine)["/etc/sysctl.d/90-kubernetes.conf"].text
    settings = dict(line.split(" = ") for line in text.splitlines() if not line.startswith("#"))
    insisted = {
        "vm.overcommit_memory": "1",
        "vm.panic_on_oom": "0",
        "kernel.panic": "10",
        "kernel.panic_on_oops": "1",
        "kernel.keys.root_maxkeys": "1000000",
        "kernel.keys.root_maxbytes": "25000000",
    }
    assert {name: settings[name] for name in insisted} == insisted


@Both
def test_etcd_asks_every_client_and_peer_for_a_certificate_of_its_own_authority(
    plan: ClusterPlan, name: str
) -> None:
    flags = etcd(plan, name).flags
    assert flags["client-cert-auth"] == flags["peer-client-cert-auth"] == "true"
    assert flags["trusted-ca-file"] == flags["peer-trusted-ca-file"] == "/etc/etcd/pki/ca.crt"
    assert flags["auto-tls"] == flags["peer-auto-tls"] == "false"
    assert (flags["cert-file"], flags["key-file"]) == ("/etc/etcd/pki/server.crt", "/etc/etcd/pki/server.key")
    assert (flags["peer-cert-file"], flags["peer-key-file"]) == (
        "/etc/etcd/pki/peer.crt",
        "/etc/etcd/pki/peer.key",
    )


@Both
def test_etcd_talks_in_the_clear_only_to_its_own_machine(plan: ClusterPlan, name: str) -> None:
    environment = tree(plan, name)["/etc/etcd/etcd.env"].text
    assert "http://" not in environment
    assert etcd(plan, name).flags["listen-metrics-urls"] == "http://127.0.0.1:2381"


@Both
def test_etcd_runs_as_a_user_of_its_own_who_alone_reads_its_data(plan: ClusterPlan, name: str) -> None:
    unit = unit_files(tree(plan, name))["etcd.service"]
    assert directive(unit, "User") == ["etcd"]
    folders = {folder["path"]: folder for folder in machine_folders(plan.machine(name))}
    for path in ("/var/lib/etcd", "/etc/etcd/pki"):
        assert (folders[path]["owner"], folders[path]["mode"]) == ("etcd", 0o700)


@Both
def test_etcd_and_kubernetes_trust_different_authorities(plan: ClusterPlan, name: str) -> None:
    specs = {spec.path: spec.authority for spec in certificates_for(plan) if name in spec.machines}
    flags = api_server(plan, name).flags
    assert flags["etcd-cafile"] == "/etc/kubernetes/pki/etcd/ca.crt"
    assert specs[flags["etcd-certfile"].removesuffix(".crt")] == "etcd"
    assert specs[flags["proxy-client-cert-file"].removesuffix(".crt")] == "front-proxy"
    assert specs[flags["kubelet-client-certificate"].removesuffix(".crt")] == "kubernetes"


@Both
def test_the_api_server_checks_the_certificates_of_kubelets(plan: ClusterPlan, name: str) -> None:
    assert api_server(plan, name).flags["kubelet-certificate-authority"] == "/etc/kubernetes/pki/ca.crt"


@Every
def test_files_are_for_their_owner_alone(plan: ClusterPlan, machine: MachinePlan) -> None:
    files = machine_files(plan, machine)
    scripts = {path for path, file in files.items() if file.mode == 0o700}
    assert {file.mode for path, file in files.items() if path not in scripts} == {0o600}
    assert all(path.startswith("/usr/local/lib/hardway/") for path in scripts)
    others = {path: file.owner for path, file in files.items() if file.owner != "root"}
    # Run as etcd's user and by nobody else: root's own file would be hidden from it.
    assert others == ({BACKUP_SCRIPT: "etcd"} if machine.role is Role.CONTROL_PLANE else {})


@Every
def test_folders_with_keys_are_for_their_owner_alone(plan: ClusterPlan, machine: MachinePlan) -> None:
    modes = {folder["path"]: (folder["owner"], folder["mode"]) for folder in machine_folders(machine)}
    for path, owner in secret_paths(plan, machine, certificates_for(plan)).items():
        folder = path.rsplit("/", 1)[0]
        if folder != "/etc/kubernetes":
            assert modes[folder] == (owner, 0o700), path


@Every
def test_no_authority_key_and_no_bootstrap_credential_reaches_a_machine(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    paths = secret_paths(plan, machine, certificates_for(plan))
    assert not [path for path in paths if path.endswith("ca.key") or "bootstrap" in path]


@Every
def test_only_the_control_plane_holds_credentials_that_rule(plan: ClusterPlan, machine: MachinePlan) -> None:
    paths = [*secret_paths(plan, machine, certificates_for(plan)), *machine_files(plan, machine)]
    ruling = (
        "admin",
        "controller-manager",
        "scheduler",
        "sa.key",
        "apiserver",
        "encryption",
        "/etcd/",
        "front-proxy",
    )
    found = [path for path in paths if any(word in path for word in ruling)]
    assert bool(found) == (machine.role is Role.CONTROL_PLANE)


def test_a_balancer_holds_no_key_at_all() -> None:
    plan = lab_plan()
    paths = secret_paths(plan, plan.machine("lb-0"), certificates_for(plan))
    assert list(paths) == ["/etc/kubernetes/pki/ca.crt"]


def test_nobody_but_the_uninstalled_bootstrap_is_of_system_masters() -> None:
    for plan in _plans():
        masters = [spec for spec in certificates_for(plan) if spec.organization == "system:masters"]
        assert [(spec.name, spec.machines) for spec in masters] == [("bootstrap", ())]


@Every
def test_every_balancer_checks_the_certificate_and_the_name_of_the_api_server(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    text = machine_files(plan, machine)["/etc/haproxy/kube-api.cfg"].text
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith("default-server"))
    checks = f"check-ssl verify required ca-file /etc/kubernetes/pki/ca.crt verifyhost {plan.api_name} "
    assert checks in line
    servers = [line.split()[1:3] for line in text.splitlines() if line.strip().startswith("server ")]
    assert servers == [[cp.name, f"{cp.address}:6443"] for cp in plan.control_plane]


@Every
def test_a_control_plane_machines_agents_talk_to_its_own_api_server_while_that_serves(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    """Half-way through an upgrade its kubelet is new and the other API servers are old."""
    text = machine_files(plan, machine)["/etc/haproxy/kube-api.cfg"].text
    backups = [line.split()[1] for line in text.splitlines() if line.endswith(" backup")]
    back = [line.split()[1] for line in text.splitlines() if "on-marked-up shutdown-backup-sessions" in line]
    others = [cp.name for cp in plan.control_plane if cp.name != machine.name]
    prefers = machine.role is Role.CONTROL_PLANE and bool(others)
    assert backups == (others if prefers else [])
    assert back == ([machine.name] if prefers else [])
    assert ("option allbackups" in text) is prefers


@Every
def test_a_nodes_balancer_answers_on_loopback_only(plan: ClusterPlan, machine: MachinePlan) -> None:
    text = machine_files(plan, machine)["/etc/haproxy/kube-api.cfg"].text
    binds = [line.split()[1] for line in text.splitlines() if line.strip().startswith("bind ")]
    assert binds == (["127.0.0.1:7443"] if machine.is_node else ["0.0.0.0:6443"])


@Both
def test_namespaces_get_the_baseline_and_hear_of_the_restricted_profile(plan: ClusterPlan, name: str) -> None:
    files = tree(plan, name)
    admission = document(files, api_server(plan, name).flags["admission-control-config-file"])
    (plugin,) = admission["plugins"]
    assert plugin["name"] == "PodSecurity"
    config = document(files, plugin["path"])
    levels = {level: config["defaults"][level] for level in ("enforce", "audit", "warn")}
    assert levels == {"enforce": "baseline", "audit": "restricted", "warn": "restricted"}
    assert config["exemptions"] == {"namespaces": ["kube-system"]}


@Nodes
def test_metrics_without_authentication_are_served_to_the_own_machine_only(
    plan: ClusterPlan, machine: MachinePlan
) -> None:
    files = machine_files(plan, machine)
    assert document(files, "/var/lib/kube-proxy/config.yaml")["metricsBindAddress"] == "127.0.0.1:10249"
    if "/etc/systemd/system/kube-network-policies.service" in files:
        flags = started(files, "kube-network-policies.service").flags
        assert flags["metrics-bind-address"] == "127.0.0.1:9080"


FORWARDING = "/etc/haproxy/node-port-workers.cfg"
"""The one file that names workers and is not theirs."""


@given(st.integers(1, 4), st.integers(1, 3))
def test_adding_workers_changes_the_tree_of_no_other_machine_but_where_node_ports_lead(
    count: int, more: int
) -> None:
    before, after = _with_workers(count), _with_workers(count + more)
    for machine in before.machines:
        old, new = machine_files(before, machine), machine_files(after, machine)
        differing = [path for path in {*old, *new} if old.get(path) != new.get(path)]
        assert differing == ([FORWARDING] if machine.name == "lb-0" else []), machine.name
        known = secret_paths(before, machine, certificates_for(before))
        assert secret_paths(after, machine, certificates_for(after)) == known


def _with_workers(count: int) -> ClusterPlan:
    return plan_of(lab(workerPools=[{"name": "general", "count": count}]))


def test_without_forwarded_node_ports_a_balancer_has_nothing_of_them() -> None:
    plan = plan_of(lab(network={}))
    assert list(machine_files(plan, plan.machine("lb-0"))) == [
        "/etc/haproxy/kube-api.cfg",
        "/etc/systemd/system/kube-api-balancer.service",
    ]


@Nodes
def test_a_node_forwards_no_node_port(plan: ClusterPlan, machine: MachinePlan) -> None:
    assert not [path for path in machine_files(plan, machine) if "node-port" in path]


def test_forwarded_node_ports_lead_to_every_worker_of_every_pool() -> None:
    pools = [
        {"name": "general", "count": 1},
        {"name": "batch", "count": 1, "block": 1},
        {"name": "none", "count": 0},
    ]
    pools[2]["block"] = 2
    network = {"forwardedNodePorts": [30080, 31000]}
    plan = plan_of(lab(workerPools=pools, network=network))
    files = machine_files(plan, plan.machine("lb-0"))
    sections = {
        section.split()[1]: re.findall(r"server (\S+) (\S+) tcp-ut 3s", section)
        for section in files[FORWARDING].text.split("\n\n")
        if section.startswith("backend ")
    }
    workers = {"worker-general-0": "172.31.0.20", "worker-batch-0": "172.31.4.20"}
    assert sections == {
        f"node-port-{port}": [(name, f"{address}:{port}") for name, address in workers.items()]
        for port in (30080, 31000)
    }
    frontends = re.findall(
        r"frontend (\S+)\n    bind (\S+)\n    default_backend (\S+)\n",
        files["/etc/haproxy/node-ports.cfg"].text,
    )
    assert frontends == [
        (f"node-port-{port}", f"0.0.0.0:{port}", f"node-port-{port}") for port in (30080, 31000)
    ]


def test_users_of_node_ports_meet_a_process_of_their_own_without_roots_rights() -> None:
    files = machine_files(lab_plan(), lab_plan().machine("lb-0"))
    assert "    user haproxy\n    group haproxy\n" in files["/etc/haproxy/node-ports.cfg"].text
    assert "30080" not in files["/etc/haproxy/kube-api.cfg"].text
    assert "node-port" not in unit_files(files)["kube-api-balancer.service"]


def test_every_node_renews_its_lease_in_time_for_the_grace_of_the_controller_manager() -> None:
    plan = plan_of(lab(nodeLoss={"leaseSeconds": 8, "graceSeconds": 8}))
    for machine in plan.nodes:
        config = document(machine_files(plan, machine), "/var/lib/kubelet/config.yaml")
        assert config["nodeLeaseDurationSeconds"] == 8, machine.name
    for machine in plan.control_plane:
        flags = started(machine_files(plan, machine), "kube-controller-manager.service").flags
        assert (flags["node-monitor-grace-period"], flags["node-monitor-period"]) == ("8s", "1s")


def test_without_seconds_of_its_own_a_cluster_sees_lost_nodes_as_kubernetes_does() -> None:
    files = tree(lab_plan(), "cp-0")
    assert "nodeLeaseDurationSeconds" not in document(files, "/var/lib/kubelet/config.yaml")
    assert not [
        flag for flag in started(files, "kube-controller-manager.service").flags if "node-monitor" in flag
    ]


@Every
def test_no_file_names_a_worker_but_the_workers_own(plan: ClusterPlan, machine: MachinePlan) -> None:
    others = [other for other in plan.workers if other.name != machine.name]
    files = machine_files(plan, machine)
    files.pop(FORWARDING, None)
    for path, file in files.items():
        words = file.text.replace('"', " ").replace(":", " ").replace("/", " ").split()
        assert not {str(other.address) for other in others} & set(words), path
        assert not {other.name for other in others} & set(words), path

"""The secure defaults, asked of what runs: who gets in, who may do what, and where a secret can be read."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator

import pytest

from lab import paths
from lab.client import run
from tests.e2e.cluster import Cluster
from tests.e2e.pods import pod

SPACE = "e2e-security"


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace(SPACE) as name:
        yield name


@pytest.fixture(scope="module")
def sentinel(cluster: Cluster, space: str) -> str:
    """A Secret's value that is nowhere else in the world."""
    value = f"sentinel-{secrets.token_hex(16)}"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kept", "namespace": space}}
    cluster.apply({**secret, "stringData": {"value": value}})
    return value


def test_a_secret_is_encrypted_in_etcd(cluster: Cluster, sentinel: str) -> None:
    text = cluster.etcdctl("cp-0", f"get /registry/secrets/{SPACE}/kept --write-out=json")
    raw = base64.b64decode(json.loads(text)["kvs"][0]["value"])
    assert raw.startswith(b"k8s:enc:secretbox:v1:")
    assert sentinel.encode() not in raw
    for machine in cluster.control_plane:
        found = cluster.ssh(
            machine, "grep --recursive --count --fixed-strings --file=- /var/lib/etcd || true", stdin=sentinel
        )
        assert {line.rpartition(":")[2] for line in found.split()} == {"0"}, found
    assert (
        cluster.get("secret", "kept", f"--namespace={SPACE}")["data"]["value"]
        == base64.b64encode(sentinel.encode()).decode()
    )


def test_nobody_without_a_credential_gets_past_health_checks(cluster: Cluster) -> None:
    for machine in [*cluster.control_plane, "lb-0"]:
        url = f"https://{cluster.address(machine)}:6443"
        assert [cluster.anonymous(url + path) for path in ("/livez", "/readyz", "/healthz")] == [
            200,
            200,
            200,
        ]
        for path in (
            "/",
            "/version",
            "/api",
            "/metrics",
            "/openapi/v3",
            "/api/v1/namespaces",
            "/.well-known/openid-configuration",
        ):
            assert cluster.anonymous(url + path) == 401, f"{machine}{path}"


def test_kubelets_refuse_who_has_no_credential_and_have_no_read_only_port(cluster: Cluster) -> None:
    for machine in cluster.nodes:
        for path in ("/pods", "/metrics", "/configz", "/healthz", "/containerLogs/a/b/c"):
            assert cluster.anonymous(f"https://{cluster.address(machine)}:10250{path}") == 401, machine + path
        assert cluster.anonymous(f"http://{cluster.address(machine)}:10255/pods", 2) == 0


def test_etcd_talks_to_nobody_without_its_own_certificate(cluster: Cluster) -> None:
    for machine in cluster.control_plane:
        for port in (2379, 2380):
            assert cluster.anonymous(f"https://{cluster.address(machine)}:{port}/version") == 0, machine
    # Not even the cluster's administrator: etcd trusts another authority.
    pki = "/etc/kubernetes/pki"
    command = f"curl -sS --cacert /etc/etcd/pki/ca.crt --cert {pki}/admin.crt --key {pki}/admin.key https://127.0.0.1:2379/version"
    assert cluster.try_ssh("cp-0", command).status != 0


def test_the_api_server_accepts_every_kubelets_certificate(cluster: Cluster) -> None:
    for machine in cluster.nodes:
        assert cluster.kubectl("get", "--raw", f"/api/v1/nodes/{machine}/proxy/healthz") == "ok"


def _asked_with(cluster: Cluster, machine: str, credential: str, path: str, *options: str) -> int:
    """The API's answer to a machine's own process, over the machine's own balancer."""
    pki = "/etc/kubernetes/pki"
    return int(
        cluster.ssh(
            machine,
            f"curl --silent --output /dev/null --write-out '%{{http_code}}' --cacert {pki}/ca.crt "
            f"--cert {pki}/{credential}.crt --key {pki}/{credential}.key {' '.join(options)} 'https://127.0.0.1:7443{path}'",
        )
    )


def test_a_workers_credentials_open_no_more_than_its_agents_need(cluster: Cluster) -> None:
    own, other = cluster.workers
    assert _asked_with(cluster, own, "kubelet-client", f"/api/v1/nodes/{own}") == 200
    refused = [
        "/api/v1/secrets",
        "/api/v1/nodes",
        f"/api/v1/namespaces/{SPACE}/secrets/kept",
        "/api/v1/configmaps",
    ]
    for path in refused:
        assert _asked_with(cluster, own, "kubelet-client", path) == 403, path
    patch = (
        "--request PATCH",
        "--header 'Content-Type: application/merge-patch+json'",
        '--data \'{"metadata":{"labels":{"x":"y"}}}\'',
    )
    assert _asked_with(cluster, own, "kubelet-client", f"/api/v1/nodes/{other}", *patch) == 403
    for agent in ("kube-proxy", "flanneld", "kube-network-policies"):
        assert _asked_with(cluster, own, agent, "/api/v1/nodes") == 200, agent
        assert _asked_with(cluster, own, agent, "/api/v1/secrets") == 403, agent
        assert _asked_with(cluster, own, agent, "/api/v1/nodes/x", "--request DELETE") == 403, agent


def test_no_administrator_and_no_authority_key_is_on_a_worker(cluster: Cluster) -> None:
    for machine in cluster.workers:
        keys = sorted(
            cluster.ssh(machine, "find /etc/kubernetes /etc/etcd -name '*.key' 2>/dev/null || true").split()
        )
        names = ("flanneld", "kube-network-policies", "kube-proxy", "kubelet", "kubelet-client")
        assert keys == sorted(f"/etc/kubernetes/pki/{name}.key" for name in names)
    for machine in cluster.control_plane:
        assert (
            cluster.ssh(machine, "find / -xdev \\( -name 'ca.key' -o -name '*-ca.key' \\) | wc -l").strip()
            == "0"
        )


def _may(cluster: Cluster, user: str, verb: str, resource: str, group: str = "") -> bool:
    whole, _, part = resource.partition("/")
    options = [
        f"--as={user}",
        *([f"--as-group={group}"] if group else []),
        *([f"--subresource={part}"] if part else []),
    ]
    done = cluster.try_kubectl("auth", "can-i", verb, whole, "--all-namespaces", *options)
    return done.output.splitlines()[-1] == "yes"


def test_components_may_do_their_work_and_no_more(cluster: Cluster) -> None:
    assert _may(cluster, "system:kube-scheduler", "create", "pods/binding")
    assert not _may(cluster, "system:kube-scheduler", "list", "secrets")
    assert not _may(cluster, "system:kube-controller-manager", "create", "deployments.apps")
    assert not _may(cluster, "hardway:kube-apiserver-kubelet-client", "list", "secrets")
    assert not _may(cluster, "hardway:kube-apiserver", "list", "pods")
    assert not _may(cluster, "hardway:etcd-healthcheck", "get", "pods")
    assert not _may(cluster, "system:node:worker-general-0", "list", "secrets", "system:nodes")
    assert _may(cluster, "hardway:admin", "*", "*", "hardway:cluster-admins")
    assert not _may(cluster, "hardway:admin", "get", "pods"), (
        "the administrator is a group's member, not a name"
    )


def test_nobody_is_a_member_of_system_masters(cluster: Cluster) -> None:
    """The administrator's certificate says another group; the one that says it is installed nowhere."""
    for machine in cluster.control_plane:
        subjects = cluster.ssh(
            machine,
            "find /etc/kubernetes /etc/etcd -name '*.crt' -exec openssl x509 -noout -subject -in {} ';'",
        )
        assert "system:masters" not in subjects
        assert "hardway:cluster-admins" in subjects


def test_the_baseline_refuses_a_privileged_pod_and_kube_system_does_not(cluster: Cluster) -> None:
    privileged = pod("privileged", container={"securityContext": {"privileged": True}})
    for namespace, allowed in (("default", False), (SPACE, False), ("kube-system", True)):
        done = cluster.try_kubectl(
            "--namespace",
            namespace,
            "create",
            "--dry-run=server",
            "--filename=-",
            stdin=json.dumps(privileged),
        )
        assert (done.status == 0) is allowed, done.output
        assert allowed or 'violates PodSecurity "baseline:latest"' in done.output
    host = pod("host", volumes=[{"name": "host", "hostPath": {"path": "/"}}])
    done = cluster.try_kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(host))
    assert "hostPath" in done.output


def test_containers_run_under_the_runtimes_seccomp_profile(cluster: Cluster, space: str) -> None:
    from tests.e2e.pods import run_pods

    run_pods(cluster, space, pod("confined"))
    status = cluster.kubectl("--namespace", space, "exec", "confined", "--", "cat", "/proc/1/status")
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE)
    assert "serviceaccount" not in cluster.kubectl(
        "--namespace", space, "exec", "confined", "--", "cat", "/proc/mounts"
    )


def _secret_lines(cluster: Cluster) -> list[str]:
    """A telling line of every kind of secret that the program handles."""
    outputs = cluster.stack.outputs()
    admin = re.search(r"client-key-data: (\S+)", outputs["kubeconfig"])
    assert admin
    found = [admin.group(1), outputs["sshPrivateKey"].splitlines()[2]]
    files = ["pki/sa.key", "pki/apiserver.key", "pki/admin.key", "pki/kubelet-client.key"]
    found += [cluster.ssh("cp-0", f"sed -n 2p /etc/kubernetes/{file}").strip() for file in files]
    encryption = re.search(r"secret: (\S+)", cluster.ssh("cp-0", "cat /etc/kubernetes/encryption.yaml"))
    assert encryption
    return [*found, encryption.group(1).strip("\"'")]


def test_no_secret_is_in_a_command_line_a_journal_or_a_file_that_everybody_reads(
    cluster: Cluster, sentinel: str
) -> None:
    patterns = "\n".join([*_secret_lines(cluster), sentinel]) + "\n"
    assert all(len(line) >= 16 for line in patterns.split())
    readable = "find / -xdev -type f -perm -o+r -size -4096k -not -path '/usr/*' -not -path '/proc/*' -print0"
    audit = "cat /var/log/kubernetes/audit*.log 2>/dev/null"
    script = (
        "cat > /dev/shm/patterns && chmod 600 /dev/shm/patterns; "
        "(ps axwwe -o args; journalctl --no-pager; "
        + audit
        + ") | grep --fixed-strings --file=/dev/shm/patterns | cut -c1-200; "
        f"{readable} | xargs -0 -r grep --files-with-matches --fixed-strings --file=/dev/shm/patterns; "
        "rm -f /dev/shm/patterns"
    )
    for machine in [*cluster.nodes, "lb-0"]:
        # Only root reads below these, whatever a file's own mode says.
        allowed = ("/var/lib/kubelet/pods/", "/var/lib/containerd/", "/root/")
        said = cluster.try_ssh(machine, script, stdin=patterns, seconds=120).output.splitlines()
        assert [line for line in said if not line.startswith(allowed)] == [], machine


def test_on_this_computer_secrets_lie_only_where_nobody_else_reads(cluster: Cluster) -> None:
    lines = _secret_lines(cluster)
    assert not any(line in run(["ps", "axwwe", "-o", "args"]).output for line in lines)
    said = "".join(log.read_text(errors="replace") for log in cluster.logs.glob("*.log"))
    state = (paths.STATE / "state" / ".pulumi" / "stacks" / "hardway" / f"{cluster.name}.json").read_text()
    generated = cluster.stack.config.read_text()
    for line in lines:
        assert line not in said
        assert line not in state
        assert line not in generated
    for path in (
        paths.STATE / "passphrase",
        cluster.stack.outputs_file,
        cluster.stack.kubeconfig,
        cluster.stack.folder / "ssh_key",
    ):
        assert path.stat().st_mode & 0o077 == 0, path
    for folder in (cluster.stack.folder, paths.STATE / "state", paths.STATE / "lab"):
        assert folder.stat().st_mode & 0o077 == 0, folder

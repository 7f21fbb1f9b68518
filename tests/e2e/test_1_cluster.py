"""What stands after `up`: the Nodes of the plan, and the everyday things that people do with a cluster."""

from __future__ import annotations

import base64
import datetime
import ipaddress
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import paths
from lab.client import condition, run, wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.pods import AGNHOST, BUSYBOX, describe, placed, pod, run_pods, service

SPACE = "e2e-cluster"


@pytest.fixture(scope="module")
def space(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace(SPACE) as name:
        yield name


def test_five_nodes_are_ready_as_the_plan_names_addresses_and_versions_them(cluster: Cluster) -> None:
    found = {node["metadata"]["name"]: node for node in cluster.get("nodes")["items"]}
    assert sorted(found) == ["cp-0", "cp-1", "cp-2", "worker-general-0", "worker-general-1"]
    for planned in cluster.plan.nodes:
        node = found[planned.name]
        assert condition(node, "Ready"), planned.name
        addresses = {entry["type"]: entry["address"] for entry in node["status"]["addresses"]}
        assert addresses == {"InternalIP": str(planned.address), "Hostname": planned.name}
        information = node["status"]["nodeInfo"]
        assert information["kubeletVersion"] == f"v{cluster.plan.kubernetes_version}"
        assert information["containerRuntimeVersion"].startswith("containerd://")
        assert ipaddress.ip_network(node["spec"]["podCIDR"]).subnet_of(
            ipaddress.ip_network(str(cluster.plan.network.pods))  # type: ignore[arg-type]
        )


def test_only_control_plane_nodes_have_the_role_and_its_taint(cluster: Cluster) -> None:
    role = "node-role.kubernetes.io/control-plane"
    for node in cluster.get("nodes")["items"]:
        is_control_plane = node["metadata"]["name"] in cluster.control_plane
        assert (role in node["metadata"]["labels"]) is is_control_plane
        expected = [{"key": role, "effect": "NoSchedule"}] if is_control_plane else []
        assert node["spec"].get("taints", []) == expected, node["metadata"]["name"]


def test_every_api_server_answers_and_etcd_has_three_healthy_members(cluster: Cluster) -> None:
    for machine in cluster.control_plane:
        url = f"https://{cluster.address(machine)}:6443/readyz"
        assert cluster.anonymous(url) == 200, machine
        assert cluster.healthy_members(machine) == 3
    assert sorted(cluster.members("cp-0")) == cluster.control_plane


def test_cluster_dns_runs_on_both_workers(cluster: Cluster) -> None:
    pods = cluster.get("pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns")["items"]
    assert [condition(one, "Ready") for one in pods] == [True, True]
    assert sorted(one["spec"]["nodeName"] for one in pods) == cluster.workers


def test_the_command_line_tells_machines_kubeconfig_and_runs_commands(cluster: Cluster) -> None:
    nodes = cluster.lab("nodes").output.splitlines()
    assert nodes == [
        f"{one.name} {one.role} {one.address}" for one in sorted(cluster.plan.machines, key=lambda m: m.name)
    ]
    assert cluster.lab("kubeconfig").output == f"{cluster.stack.kubeconfig}\n"
    assert cluster.stack.kubeconfig.stat().st_mode & 0o777 == 0o600
    line = [
        "make",
        "--no-print-directory",
        "ssh",
        f"STACK={cluster.name}",
        "NODE=cp-1",
        'CMD=echo "it\'s $(hostname)"',
    ]
    assert run(line, seconds=60).output == "it's cp-1\n"


def test_a_deployment_is_spread_over_both_workers(cluster: Cluster, space: str) -> None:
    template = pod("web")
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        # Or else the control plane, where these Pods may not go, would count as the emptiest place.
        "nodeTaintsPolicy": "Honor",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {**template["spec"], "topologySpreadConstraints": [spread]},
            },
        },
    }
    cluster.apply(*placed(space, deployment))
    cluster.kubectl("--namespace", space, "rollout", "status", "deployment/web", "--timeout=90s", seconds=100)
    pods = cluster.get("pods", f"--namespace={space}", "--selector=app=web")["items"]
    assert sorted(one["spec"]["nodeName"] for one in pods) == sorted([*cluster.workers, *cluster.workers])


def test_logs_and_exec_reach_containers_on_every_worker(cluster: Cluster, space: str) -> None:
    names = {worker: f"talker-{number}" for number, worker in enumerate(cluster.workers)}
    script = ("sh", "-c", "echo said by $(hostname); sleep 3600")
    talkers = [
        pod(name, image=BUSYBOX, args=script[1:], container={"command": [script[0]]}, node=worker)
        for worker, name in names.items()
    ]
    run_pods(cluster, space, *talkers)
    for name in names.values():
        assert cluster.kubectl("--namespace", space, "logs", name) == f"said by {name}\n"
        assert cluster.kubectl("--namespace", space, "exec", name, "--", "hostname") == f"{name}\n"


def test_a_volume_of_the_default_class_keeps_its_data_from_one_pod_to_the_next(
    cluster: Cluster, space: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }

    def with_volume(name: str, script: str) -> dict[str, object]:
        return pod(
            name,
            image=BUSYBOX,
            args=("-c", f"{script} && sleep 3600"),
            container={"command": ["sh"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        )

    cluster.apply(*placed(space, claim))
    run_pods(cluster, space, with_volume("writer", "echo kept > /data/file && sync"))
    cluster.kubectl("--namespace", space, "delete", "pod", "writer", "--wait", seconds=90)
    run_pods(cluster, space, with_volume("reader", "cat /data/file"))
    assert cluster.kubectl("--namespace", space, "logs", "reader") == "kept\n"
    classes = cluster.get("storageclass")["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    assert [
        one["metadata"]["name"] for one in classes if one["metadata"]["annotations"].get(default) == "true"
    ] == ["local-path"]


def test_the_api_server_asks_a_webhook_that_a_pod_serves(cluster: Cluster, space: str) -> None:
    authority, certificate, key = _serving_certificate(f"webhook.{space}.svc")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "webhook"},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    }
    server = pod(
        "webhook",
        args=(
            "webhook",
            "--tls-cert-file=/tls/tls.crt",
            "--tls-private-key-file=/tls/tls.key",
            "--port=8443",
        ),
        container={
            "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
            "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
        },
        volumes=[{"name": "tls", "secret": {"secretName": "webhook"}}],
    )
    cluster.apply(*placed(space, secret, service("webhook", {"app": "webhook"}, 443, 8443)))
    run_pods(cluster, space, server)
    cluster.apply(_denying_webhook(space, authority))
    line = ("--namespace", space, "create", "configmap", "refused", "--from-literal=a=b")
    denied = 'admission webhook "deny.e2e.hardway.dev" denied the request'
    said: list[str] = []

    def asked() -> bool:
        said.append(cluster.try_kubectl(*line, "--dry-run=server").output)
        return denied in said[-1]

    try:
        # The API server takes a new configuration up within moments, and every machine the Service's new address.
        wait_for("the webhook to deny", asked, 30, lambda: f"{said[-1]}\n{describe(cluster, space)}")
        assert denied in said[-1]
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration", "e2e-deny")


def _denying_webhook(space: str, authority: bytes) -> dict[str, object]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "e2e-deny"},
        "webhooks": [
            {
                "name": "deny.e2e.hardway.dev",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "namespaceSelector": {"matchLabels": {"e2e": SPACE}},
                "rules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE"],
                        "resources": ["configmaps"],
                    }
                ],
                "clientConfig": {
                    "caBundle": base64.b64encode(authority).decode(),
                    "service": {"namespace": space, "name": "webhook", "path": "/always-deny"},
                },
            }
        ],
    }


def _serving_certificate(name: str) -> tuple[bytes, str, str]:
    """A CA of its own, and a serving certificate with its key: all PEM."""
    now = datetime.datetime.now(datetime.UTC)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "e2e webhook CA")])

    def build(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=2))
        )

    authority, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = build("e2e webhook CA", authority.public_key()).add_extension(
        x509.BasicConstraints(True, 0), critical=True
    )
    served = build(name, leaf.public_key()).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    pem = serialization.Encoding.PEM
    key = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = [one.sign(authority, hashes.SHA256()).public_bytes(pem) for one in (root, served)]
    return signed[0], signed[1].decode(), key.decode()


def test_a_pod_of_an_image_that_is_nowhere_says_so(cluster: Cluster, space: str) -> None:
    cluster.apply(*placed(space, pod("nowhere", image=f"{AGNHOST}-absent")))

    def reason() -> str | None:
        found = cluster.get("pod", "nowhere", f"--namespace={space}")
        waiting = [one["state"].get("waiting", {}) for one in found["status"].get("containerStatuses", [])]
        return next((str(one["reason"]) for one in waiting if "Pull" in one.get("reason", "")), None)

    assert wait_for("a reason", reason, 60) in ("ErrImagePull", "ImagePullBackOff")


def test_another_up_changes_nothing(cluster: Cluster) -> None:
    committed = cluster.stack.source.read_bytes()
    starts = {machine: cluster.starts(machine) for machine in cluster.nodes}
    done = cluster.up()
    assert set(cluster.changes()) == {"same"}, done.tail()
    assert {machine: cluster.starts(machine) for machine in cluster.nodes} == starts
    assert cluster.stack.source.read_bytes() == committed
    cluster.figures["up with nothing to do"] = f"{done.seconds:.1f} s"


def test_a_second_clone_is_refused_by_the_name_of_the_first(cluster: Cluster, tmp_path: object) -> None:
    other = {"HARDWAY_INSTANCE": "e2e0ff", "HARDWAY_STATE": f"{tmp_path}/state"}
    done = cluster.lab("up", seconds=120, **other)
    assert done.status == 1
    assert f"hw-{paths.instance()} (Hardway lab of {paths.PROJECT})" in done.output
    assert str(cluster.plan.network.machines) in done.output
    assert "Traceback" not in done.output
    assert "hw-e2e0ff" not in run(["ip", "link", "show", "type", "bridge"]).output

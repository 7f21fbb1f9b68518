"""Housekeeping: room in etcd, reboots, people, and how machines get out; the cluster's users notice nothing."""

from __future__ import annotations

import base64
import json
import re
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import pytest
import yaml

from config.stack_file import KEY
from config.versions import IMAGES
from demo.traffic import Target
from lab import mirror, paths
from lab.client import Finished, run, wait_for
from tests.e2e.cluster import Cluster
from tests.e2e.issuer import Issuer
from tests.e2e.pods import AGNHOST, HTTP, POD_SECONDS, placed
from tests.e2e.registry import Registry

SPACE = "e2e-housekeeping"
NODE_PORT = 30080
"""The one that the lab's balancer forwards."""
AUDIENCE = "hardway-e2e"


def operate(cluster: Cluster, command: str, *arguments: str, seconds: float = 900) -> Finished:
    """`python3 -m operations COMMAND` for the cluster's stack."""
    line = [sys.executable, "-m", "operations", command, "--stack", cluster.name, *arguments]
    return run(line, seconds=seconds)


@pytest.fixture(scope="module", autouse=True)
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace of this file's own."""
    cluster.wait_until_ready(120)
    with cluster.namespace(SPACE) as name:
        yield name


def test_every_member_is_defragmented_the_leader_last_and_its_file_shrinks(cluster: Cluster) -> None:
    leader = cluster.leader("cp-0")
    filler = "x" * 500_000
    for number in range(20):
        body = {"filler": filler + str(number)}
        document = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "filler", "namespace": SPACE},
            "data": body,
        }
        # On the server: a client's apply keeps a copy in an annotation, which may hold 256 KiB.
        cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(document))
    cluster.kubectl("--namespace", SPACE, "delete", "configmap", "filler")
    begin = time.monotonic()
    done = operate(cluster, "defragment", "--compact")
    assert done.status == 0, done.tail()
    steps = re.findall(r"^(cp-\d): ([\d.]+) MiB -> ([\d.]+) MiB in", done.output, re.MULTILINE)
    assert sorted(name for name, _, _ in steps) == ["cp-0", "cp-1", "cp-2"]
    assert steps[-1][0] == leader
    assert all(float(after) < float(before) - 5 for _, before, after in steps), done.output
    assert done.output.rstrip().endswith("alarms: none")
    assert cluster.healthy_members("cp-0") == 3
    cluster.figures["etcd defragmented, three members"] = (
        f"{time.monotonic() - begin:.1f} s, {steps[0][1]} to {steps[0][2]} MiB each"
    )


def test_a_person_may_do_what_its_group_may_and_nothing_else(cluster: Cluster) -> None:
    done = operate(cluster, "user", "--name", "jane", "--group", "e2e-readers")
    assert done.status == 0, done.tail()
    file = cluster.stack.users / "jane.kubeconfig"
    assert file.stat().st_mode & 0o777 == 0o600

    def as_jane(*arguments: str) -> Finished:
        return cluster.try_kubectl(f"--kubeconfig={file}", "--namespace", SPACE, *arguments)

    assert as_jane("get", "configmaps").output.startswith("Error from server (Forbidden)")
    binding = ("rolebinding", "readers", "--clusterrole=view", "--group=e2e-readers")
    cluster.kubectl("--namespace", SPACE, "create", *binding)
    wait_for("the binding", lambda: as_jane("get", "configmaps").status == 0, 15)
    assert as_jane("get", "secrets").status == 1
    assert as_jane("create", "configmap", "x").status == 1
    assert cluster.try_kubectl(f"--kubeconfig={file}", "get", "nodes").status == 1
    cluster.kubectl("--namespace", SPACE, "delete", "rolebinding", "readers")
    wait_for("the binding to be gone", lambda: as_jane("get", "configmaps").status == 1, 15)
    file.unlink()


class Visitors:
    """Ten requests a second by the balancer, each by a connection of its own and never tried again."""

    def __init__(self, address: str) -> None:
        self._target = Target(address, NODE_PORT)
        self.answered = 0
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._come, name="visitors")
        self._pool = ThreadPoolExecutor(max_workers=64)

    def __enter__(self) -> Visitors:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def _come(self) -> None:
        while not self._stop.wait(0.1):
            self._pool.submit(self._ask)

    def _ask(self) -> None:
        url = f"http://{self._target.host}:{self._target.port}/hostname"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()
            self.answered += 1
        except OSError as error:
            self.failures.append(f"{time.strftime('%H:%M:%S')} {error}")


def _site() -> list[dict[str, Any]]:
    """Two replicas, one of which may be away; a replica that is to go answers on for some seconds."""
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": AGNHOST,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", f"--http-port={HTTP}", "--delay-shutdown=5"],
        "readinessProbe": {"httpGet": {"path": "/hostname", "port": HTTP}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 20,
        "topologySpreadConstraints": [spread],
        "containers": [container],
    }
    selector = {"matchLabels": labels}
    port = {"port": 80, "targetPort": HTTP, "nodePort": NODE_PORT}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": 2,
                "selector": selector,
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web"},
            "spec": {"minAvailable": 1, "selector": selector},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"type": "NodePort", "selector": labels, "ports": [port]},
        },
    ]


@pytest.mark.soak
def test_machines_reboot_one_after_the_other_and_no_request_is_lost(cluster: Cluster) -> None:
    cluster.apply(*placed(SPACE, *_site()))
    cluster.kubectl(
        "--namespace", SPACE, "rollout", "status", "deployment/web", f"--timeout={POD_SECONDS:.0f}s"
    )
    names = ["cp-1", *cluster.workers]
    before = {name: cluster.ssh(name, "cat /proc/sys/kernel/random/boot_id") for name in names}
    balancer = next(machine for machine in cluster.plan.load_balancers)
    kept = cluster.workers[0]
    cluster.kubectl("cordon", kept)
    try:
        with Visitors(str(balancer.address)) as visitors:
            wait_for("visitors to be answered", lambda: visitors.answered > 5, 30)
            visitors.failures.clear()
            done = operate(cluster, "reboot", "--node", names[0])
            assert done.status == 0, done.tail()
            assert cluster.get("node", kept)["spec"]["unschedulable"] is True
            cluster.kubectl("uncordon", kept)
            done = operate(cluster, "reboot", "--node", ",".join(names[1:]))
            time.sleep(2)
        assert done.status == 0, done.tail()
    finally:
        cluster.try_kubectl("uncordon", kept)
        cluster.try_kubectl("--namespace", SPACE, "delete", "deployment,service,poddisruptionbudget", "web")
    after = {name: cluster.ssh(name, "cat /proc/sys/kernel/random/boot_id") for name in names}
    assert [name for name in names if before[name] == after[name]] == []
    whole = re.findall(r"(\S+): .*whole after (\d+) s", done.output)
    assert [name for name, _ in whole] == cluster.workers
    cluster.figures["a worker drained, rebooted and back"] = " and ".join(
        f"{seconds} s" for _, seconds in whole
    )
    cluster.figures["failed requests while three machines rebooted"] = (
        f"{len(visitors.failures)} of {visitors.answered + len(visitors.failures)}"
    )
    assert visitors.failures == []
    assert not [node for node in cluster.get("nodes")["items"] if node["spec"].get("unschedulable")]
    assert cluster.healthy_members("cp-0") == 3


def _who(cluster: Cluster, token: str) -> tuple[int, dict[str, Any]]:
    """Whom the API server takes the bearer of a token for."""
    server, _ = cluster.credential()
    config = yaml.safe_load(cluster.stack.kubeconfig.read_text())
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    request = urllib.request.Request(
        f"{server}/apis/authentication.k8s.io/v1/selfsubjectreviews",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    try:
        context = ssl.create_default_context(cadata=authority)
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            return answer.status, json.load(answer)["status"]["userInfo"]
    except urllib.error.HTTPError as refused:
        return refused.code, {}
    except OSError:
        return 0, {}


@pytest.mark.soak
def test_tokens_of_an_issuer_log_in_and_a_registrys_mirror_is_asked(own_settings: Cluster) -> None:
    cluster = own_settings
    gateway = str(cluster.plan.network.gateway)
    image, archive = "library/hardway-e2e", _busybox()
    committed = yaml.safe_load((paths.PROJECT / "Pulumi.lab.yaml").read_text())["config"][KEY]
    with Issuer(gateway, cluster.logs) as issuer, Registry(gateway, image, "1", archive) as registry:
        oidc = {
            "issuerUrl": issuer.url,
            "clientId": AUDIENCE,
            "certificateAuthorityFile": str(issuer.authority.relative_to(paths.PROJECT)),
        }
        cluster.write_settings(
            controlPlane={**committed.get("controlPlane", {}), "oidc": oidc},
            artifacts={**committed.get("artifacts", {}), "registryMirrors": {"docker.io": [registry.url]}},
        )
        begin = time.monotonic()
        cluster.up()
        cluster.figures["up with an issuer of tokens and a registry's mirror"] = (
            f"{time.monotonic() - begin:.1f} s"
        )
        good = issuer.token("jane", ["readers", "system:masters"], AUDIENCE)
        # Each API server reads the issuer's keys by itself, and the balancer asks now this one, now that one.
        wait_for("every API server to know the issuer", lambda: _all_know(cluster, good), 60)
        _, user = _who(cluster, good)
        assert user["username"] == "oidc:jane"
        assert sorted(user["groups"]) == ["oidc:readers", "oidc:system:masters", "system:authenticated"]
        assert _who(cluster, issuer.token("jane", ["readers"], "another"))[0] == 401
        assert "/.well-known/openid-configuration" in issuer.asked
        worker = cluster.workers[0]
        cluster.ssh(worker, f"/opt/hardway/bin/crictl {CRI} pull docker.io/{image}:1", seconds=120)
        assert f"HEAD /v2/{image}/manifests/1?ns=docker.io" in registry.asked
        cluster.ssh(worker, f"/opt/hardway/bin/crictl {CRI} rmi docker.io/{image}:1")
    cluster.write_settings()
    cluster.up()
    assert cluster.try_ssh(worker, "ls /etc/containerd/certs.d/docker.io/hosts.toml").status != 0
    assert _who(cluster, good)[0] == 401


CRI = "--runtime-endpoint=unix:///run/containerd/containerd.sock"


def _all_know(cluster: Cluster, token: str) -> bool:
    return all(_who(cluster, token)[0] == 201 for _ in range(6))


def _busybox() -> Any:
    image = IMAGES["busybox"]
    key = image.key(paths.architecture())
    assert key in mirror.read_lock()
    return paths.MIRROR / key / image.file_name()


QUOTA = 48 * 1024 * 1024
DROP_IN = "/etc/systemd/system/etcd.service.d/90-e2e-quota.conf"


@pytest.fixture
def small_quota(cluster: Cluster) -> Iterator[Cluster]:
    """etcd with room for 48 MiB on every member, and as it was afterwards."""
    for name in cluster.control_plane:
        cluster.ssh(
            name,
            "set -e; mkdir -p $(dirname " + DROP_IN + "); "
            "line=$(sed -e ':a;/\\\\$/{N;s/ *\\\\\\n */ /;ba}' /etc/systemd/system/etcd.service | grep ^ExecStart= |"
            f" sed 's/--quota-backend-bytes=[0-9]*/--quota-backend-bytes={QUOTA}/'); "
            f"printf '[Service]\\nExecStart=\\n%s\\n' \"$line\" > {DROP_IN}; "
            "systemctl daemon-reload; systemctl restart etcd",
        )
        wait_for("three healthy members", lambda: cluster.healthy_members("cp-0") == 3, 60)
    try:
        yield cluster
    finally:
        for name in cluster.control_plane:
            cluster.ssh(name, f"rm {DROP_IN}; systemctl daemon-reload; systemctl restart etcd")
            wait_for("etcd on it", lambda name=name: cluster.healthy_members(name) == 3, 60)  # type: ignore[misc]
        cluster.wait_until_ready()


@pytest.mark.soak
def test_a_full_etcd_refuses_writes_until_it_is_compacted_and_defragmented(small_quota: Cluster) -> None:
    cluster = small_quota

    def write(number: int) -> Finished:
        data = {"filler": "x" * 900_000 + str(number)}
        meta = {"name": "filler", "namespace": SPACE}
        body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
        return cluster.try_kubectl("apply", "--server-side", "--filename=-", stdin=body)

    refused = next((done for number in range(120) if (done := write(number)).status), None)
    assert refused is not None
    assert "database space exceeded" in refused.output
    plain = operate(cluster, "defragment")
    assert plain.status == 1, plain.tail()
    assert "NOSPACE on" in plain.output
    assert "make defragment COMPACT=1" in plain.output
    assert write(1).status != 0
    done = operate(cluster, "defragment", "--compact")
    assert done.status == 0, done.tail()
    assert "The alarm is taken away: the API writes again." in done.output
    assert write(2).status == 0
    cluster.kubectl("--namespace", SPACE, "delete", "configmap", "filler")

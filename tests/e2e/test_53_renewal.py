"""Certificates end and are renewed: under load, after all have expired, and on no machine whose clock is late.

The generation goes up in the first run and back in the second: any other one than the last run's issues every leaf
anew, and the cluster is left with the committed settings.
"""

from __future__ import annotations

import json
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import TracebackType

import pytest

from components import bundle
from lab import stack as lab_stack
from lab.client import condition, wait_for
from lab.errors import LabError
from operations.phases import run_phase
from tests.e2e import leaves
from tests.e2e.cluster import Cluster
from tests.e2e.served import Visitors, deploy_site
from tests.e2e.writer import Writer

SPACE = "e2e-renewal"


class NodesSeen:
    """Looks at all Nodes twice a second while its block runs.

    Attributes:
        unready: names of those that were not Ready at some time, with how often.
        looks: how many answers there were.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._server, self._context = cluster.credential()
        self.looks, self.unready = 0, dict[str, int]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, name="nodes")

    def __enter__(self) -> NodesSeen:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.5):
            try:
                items = read(f"{self._server}/api/v1/nodes", self._context)["items"]
            except OSError:
                continue
            self.looks += 1
            for node in items:
                if not condition(node, "Ready"):
                    name = node["metadata"]["name"]
                    self.unready[name] = self.unready.get(name, 0) + 1


def read(url: str, context: ssl.SSLContext) -> dict[str, list[dict[str, dict[str, str]]]]:
    """GET a JSON document of the API."""
    with urllib.request.urlopen(url, timeout=5, context=context) as answer:
        return dict(json.load(answer))


@pytest.fixture(scope="module")
def site(cluster: Cluster) -> Iterator[Cluster]:
    """A site with two replicas, and something in etcd that has to outlive everything."""
    with cluster.namespace(SPACE):
        deploy_site(cluster, SPACE)
        cluster.kubectl("--namespace", SPACE, "create", "configmap", "kept", "--from-literal=value=kept")
        cluster.kubectl(
            "--namespace", SPACE, "create", "secret", "generic", "kept", "--from-literal=value=secret"
        )
        yield cluster


def _restarts(cluster: Cluster) -> dict[str, int]:
    """Restarts of the site's containers by pod."""
    return {
        one["metadata"]["name"]: one["status"]["containerStatuses"][0]["restartCount"]
        for one in cluster.get("pods", f"--namespace={SPACE}")["items"]
    }


def test_a_new_generation_renews_every_leaf_on_every_machine_and_no_visitor_notices(
    site: Cluster, own_settings: Cluster
) -> None:
    cluster = own_settings
    before, pods = leaves.serials(cluster), _restarts(cluster)
    server, old = cluster.credential()
    cluster.write_settings(certificates={"generation": 2})
    with Visitors(cluster) as visitors, Writer(cluster, SPACE) as writer, NodesSeen(cluster) as seen:
        done = cluster.up()
    wrote = f"{len(writer.failures)} of {len(writer.failures) + len(writer.successes)}"
    cluster.figures["up that renews every leaf"] = f"{done.seconds:.1f} s"
    cluster.figures["longest pause of writes while every leaf is renewed"] = f"{writer.longest_pause():.2f} s"
    cluster.figures["failed writes while every leaf is renewed"] = wrote
    cluster.figures["failed requests while every leaf is renewed"] = (
        f"{len(visitors.failures)} of {visitors.asked}"
    )
    after = leaves.serials(cluster)
    assert sorted(after) == sorted(before)
    assert [path for path in after if after[path] == before[path]] == []
    assert visitors.failures == []
    assert visitors.asked > done.seconds
    assert (seen.unready, seen.looks > 10) == ({}, True)
    assert _restarts(cluster) == pods
    assert len(read(f"{server}/api/v1/nodes", old)["items"]) == len(cluster.nodes), "it is not revoked"
    again = cluster.up()
    assert set(cluster.changes()) == {"same"}, again.tail()


def _quorate(cluster: Cluster) -> list[str]:
    """Control-plane machines whose etcd says that it is a member of a cluster with quorum; asked without TLS."""
    line = "curl --fail --silent --max-time 2 http://127.0.0.1:2381/health"
    return [machine for machine in cluster.control_plane if cluster.try_ssh(machine, line).status == 0]


def _ready_apis(cluster: Cluster) -> list[str]:
    """Control-plane machines whose API server calls itself ready."""
    urls = {machine: f"https://{cluster.address(machine)}:6443/readyz" for machine in cluster.control_plane}
    return [machine for machine, url in urls.items() if cluster.anonymous(url, 3) == 200]


def _break(cluster: Cluster) -> None:
    """Have every leaf expired and in use, and wait until nothing answers any more."""
    leaves.plant_expired(cluster)
    units = {machine: list(cluster.starts(machine)) for machine in cluster.nodes}
    for machine, names in units.items():
        cluster.ssh(machine, f"systemctl restart --no-block {' '.join(names)}")
    wait_for("etcd to be without quorum", lambda: not _quorate(cluster), 60)
    wait_for("every API server to be gone", lambda: not _ready_apis(cluster), 60)
    assert cluster.ready_nodes() == set()


def test_after_every_leaf_has_expired_one_up_brings_the_cluster_back_with_its_data(
    site: Cluster, own_settings: Cluster
) -> None:
    cluster = own_settings
    before, pods = leaves.serials(cluster), _restarts(cluster)
    _break(cluster)
    assert sorted(leaves.expired(cluster)) == sorted(before), "every leaf, on every machine"
    cluster.write_settings()
    with Visitors(cluster) as visitors:
        done = cluster.up()
    cluster.figures["up that brings back a cluster whose leaves have all expired"] = f"{done.seconds:.1f} s"
    cluster.figures["failed requests meanwhile"] = f"{len(visitors.failures)} of {visitors.asked}"
    after = leaves.serials(cluster)
    assert leaves.expired(cluster) == []
    assert [path for path in after if after[path] == before[path]] == []
    assert cluster.ready_nodes() == set(cluster.nodes)
    assert cluster.healthy_members("cp-0") == 3
    assert _ready_apis(cluster) == cluster.control_plane
    assert cluster.get("configmap", "kept", f"--namespace={SPACE}")["data"] == {"value": "kept"}
    assert cluster.get("secret", "kept", f"--namespace={SPACE}")["data"] == {"value": "c2VjcmV0"}
    assert _restarts(cluster) == pods
    assert visitors.failures == [], "what runs goes on without certificates"
    again = cluster.up()
    assert set(cluster.changes()) == {"same"}, again.tail()


def test_a_machine_whose_clock_is_behind_its_new_certificates_refuses_them(cluster: Cluster) -> None:
    """Machines of the lab share this computer's clock: the certificate begins in an hour instead."""
    worker = cluster.workers[0]
    resources = lab_stack.exported(cluster.stack, "--show-secrets")
    named = {(one["type"], str(one["urn"]).rsplit("::", 1)[1]): one for one in resources}
    stdin = named["command:remote:Command", f"activate-{worker}"]["inputs"]["stdin"]["plaintext"]
    document = bundle.decode(json.loads(stdin))
    key = json.loads(named[leaves.KEY, "kubernetes-ca"]["outputs"]["privateKeyPem"]["plaintext"])
    begin = datetime.now(UTC) + timedelta(hours=1)
    for file in document["files"]:
        if file["path"].endswith("/kubelet.crt"):
            file["text"] = leaves.reissued(file["text"], key, begin + timedelta(days=1), begin)
    content = {name: value for name, value in document.items() if name not in ("agent", "phase", "digest")}
    starts, serials = cluster.starts(worker), leaves.serials(cluster)
    with pytest.raises(LabError, match=r"this machine's clock says .* UTC, before its certificates begin"):
        run_phase(cluster.stack, worker, "activate", content, seconds=120, say=lambda _: None)
    assert (cluster.starts(worker), leaves.serials(cluster)) == (starts, serials), "nothing was changed"

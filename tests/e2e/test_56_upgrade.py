"""A patch version rolls through the cluster under load, a kubelet of another minor is drained for, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.versions import KUBERNETES_DEFAULT
from lab.client import run
from lab.cluster import client
from tests.e2e.cluster import Cluster
from tests.e2e.upgrading import (
    NEXT_PATCH,
    PLANTED,
    deploy,
    kubelets,
    note,
    now,
    plant_old_kubelet,
    relinked,
    replicas,
    started_in_order,
    under_load,
)

SPACE = "e2e-upgrade"
NEXT = {"kubernetes": {"version": NEXT_PATCH}}
BAD_FLAG = {"controlPlane": {"count": 3, "apiServer": {"extraArgs": {"event-ttl": "soon"}}}}


@pytest.fixture
def upgradable(own_settings: Cluster) -> Iterator[Cluster]:
    """The cluster with the next version at hand; afterwards it has today's version again, whatever happened."""
    relinked()
    yield own_settings
    own_settings.write_settings()
    own_settings.up()
    for worker in own_settings.workers:
        own_settings.ssh(worker, f"rm -rf {PLANTED}")


def test_a_version_stops_at_the_first_unhealthy_machine_goes_on_when_it_is_mended_and_comes_back(
    upgradable: Cluster, tmp_path: Path
) -> None:
    cluster = upgradable
    first = cluster.control_plane[0]
    old, drained = f"v{KUBERNETES_DEFAULT}", cluster.workers[1]
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.stack.kubeconfig.read_text())
    with cluster.namespace(SPACE):
        deploy(cluster, SPACE)
        plant_old_kubelet(cluster, drained)
        before = replicas(cluster, SPACE)
        assert sorted(before.values()) == cluster.workers, "one replica on each"
        with under_load(cluster) as met:
            _stops_at_the_first(cluster, first, old)
            begin = now()
            cluster.write_settings(**NEXT)
            done = cluster.up()
            seconds = now() - begin
        note(cluster, "upgrade of a patch", met, seconds)
        starts = started_in_order(cluster)
        assert starts == sorted(starts), "control plane first, one machine after the other, then the workers"
        apart = (starts[-1] - starts[0]) / (len(starts) - 1)
        cluster.figures["upgrade of a patch: seconds from machine to machine"] = f"{apart:.1f}"
        assert set(kubelets(cluster).values()) == {f"v{NEXT_PATCH}"}, done.tail()
        assert met.site.failed == 0, met.site.failures
        stayed = set(before) & set(replicas(cluster, SPACE))
        assert [before[uid] for uid in stayed] == [cluster.workers[0]], (
            "a patch takes no drain, another minor does"
        )
        _is_given_back(cluster, drained)
        tool = [str(client(cluster.plan)), "--kubeconfig", str(kubeconfig)]
        assert run([*tool, "get", "--raw=/readyz"]).output == "ok", "the kubeconfig from before"
        cluster.up()
        assert set(cluster.changes()) == {"same"}, "a second run changes nothing"
        _a_minor_back_is_refused(cluster)
        begin = now()
        with under_load(cluster) as met:
            cluster.write_settings()
            cluster.up()
        note(cluster, "a patch back", met, now() - begin)
        assert set(kubelets(cluster).values()) == {old}
        assert met.site.failed == 0, met.site.failures


def _stops_at_the_first(cluster: Cluster, first: str, old: str) -> None:
    """The new version comes with a flag that its API server does not take: nobody after that machine is touched."""
    untouched = [name for name in cluster.nodes if name != first]
    before: dict[str, Any] = {name: cluster.starts(name) for name in untouched}
    cluster.write_settings(**NEXT, **BAD_FLAG)
    done = cluster.lab("up")
    assert done.status != 0
    assert f"{first}: kube-apiserver.service was restarted and is not healthy" in done.output, done.tail()
    assert {name: cluster.starts(name) for name in untouched} == before
    staged = f"ls /opt/hardway/kubelet | grep -c ^{NEXT_PATCH}-"
    assert {name: cluster.ssh(name, staged).strip() for name in cluster.nodes} == dict.fromkeys(
        cluster.nodes, "1"
    ), "staged everywhere before anything was switched"
    assert kubelets(cluster)[untouched[0]] == old


def _is_given_back(cluster: Cluster, worker: str) -> None:
    node = cluster.get("node", worker)
    assert "unschedulable" not in node["spec"]
    assert "hardway.dev/cordoned-for" not in node["metadata"]["annotations"]


def _a_minor_back_is_refused(cluster: Cluster) -> None:
    before = {name: cluster.starts(name) for name in cluster.nodes}
    cluster.write_settings(kubernetes={"version": "1.36.4"})
    done = cluster.lab("preview")
    assert done.status != 0
    assert f"1.36.4 would take the control plane back a minor, from {NEXT_PATCH}" in done.output, done.tail()
    assert "nothing was touched" in done.output
    assert {name: cluster.starts(name) for name in cluster.nodes} == before

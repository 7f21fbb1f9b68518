"""Soak: from Kubernetes 1.36.4 with older parts to today's versions, one thing after the other, under load."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.versions import ARTIFACTS, IMAGES, KUBERNETES_DEFAULT
from tests.e2e.cluster import Cluster
from tests.e2e.pods import import_images
from tests.e2e.upgrading import deploy, kubelets, note, now, replicas, started_in_order, under_load

SPACE = "e2e-upgrade-minor"
OLD_KUBERNETES = "1.36.4"
OLD_PARTS = {"etcd": "3.6.5", "containerd": "2.3.3", "cni-plugins": "1.9.0", "coredns": "1.14.5"}
"""Older releases whose modules the public proxy has whole."""


@pytest.fixture
def old_cluster(own_settings: Cluster) -> Iterator[Cluster]:
    """A cluster of the old versions in place of the session's, which is made anew: no minor goes back."""
    cluster = own_settings
    cluster.lab("down")
    cluster.write_settings(kubernetes={"version": OLD_KUBERNETES}, artifacts={"versions": OLD_PARTS})
    cluster.up()
    import_images(cluster)
    yield cluster
    if set(kubelets(cluster).values()) != {f"v{KUBERNETES_DEFAULT}"}:
        cluster.lab("down")
    cluster.write_settings()
    cluster.up()
    import_images(cluster)


def _parts(cluster: Cluster) -> dict[str, str]:
    confirmed = cluster.applied()["cp-0"]["versions"]
    return {name: confirmed.get(name, "") for name in OLD_PARTS if name != "coredns"}


@pytest.mark.soak
@pytest.mark.timeout(5400)
def test_every_part_and_then_kubernetes_go_up_a_version_and_no_request_is_lost(
    old_cluster: Cluster, proof: Path | None
) -> None:
    cluster = old_cluster
    kubeconfig = cluster.stack.kubeconfig.read_text()
    assert set(kubelets(cluster).values()) == {f"v{OLD_KUBERNETES}"}
    assert _parts(cluster) == {name: version for name, version in OLD_PARTS.items() if name != "coredns"}
    rows: list[str] = []
    with cluster.namespace(SPACE):
        deploy(cluster, SPACE)
        parts = dict(OLD_PARTS)
        for name in OLD_PARTS:
            before = parts.pop(name)
            after = IMAGES[name].version if name in IMAGES else ARTIFACTS[name].version
            sections = {"kubernetes": {"version": OLD_KUBERNETES}, "artifacts": {"versions": parts}}
            rows.append(_step(cluster, f"{name} {before} to {after}", **sections))
        rows.append(_step(cluster, f"Kubernetes {OLD_KUBERNETES} to {KUBERNETES_DEFAULT}"))
        starts = started_in_order(cluster)
        assert starts == sorted(starts)
        apart = (starts[-1] - starts[0]) / (len(starts) - 1)
        cluster.figures["upgrade of a minor: seconds from machine to machine"] = f"{apart:.1f}"
    assert set(kubelets(cluster).values()) == {f"v{KUBERNETES_DEFAULT}"}
    assert _parts(cluster) == {name: ARTIFACTS[name].version for name in OLD_PARTS if name != "coredns"}
    assert cluster.stack.kubeconfig.read_text() == kubeconfig
    assert cluster.healthy_members("cp-0") == 3
    assert not any("unschedulable" in node["spec"] for node in cluster.get("nodes")["items"])
    cluster.up()
    assert set(cluster.changes()) == {"same"}
    if proof:
        proof.mkdir(parents=True, exist_ok=True)
        (proof / "upgrade.md").write_text(_report(rows, apart))


def _step(cluster: Cluster, what: str, **sections: object) -> str:
    """One `up` under load; gives its line of the report."""
    before, begin = replicas(cluster, SPACE), now()
    with under_load(cluster) as met:
        cluster.write_settings(**sections)
        cluster.up()
    seconds = now() - begin
    note(cluster, what, met, seconds)
    assert met.site.failed == 0, (what, met.site.failures)
    moved = len(set(before) - set(replicas(cluster, SPACE)))
    failed = f"{met.site.failed} of {met.site.asked}"
    gap = f"{met.api.longest_gap:.2f} s"
    return f"| {what} | {seconds:.0f} | {moved} | {failed} | {gap} |"


def _report(rows: list[str], apart: float) -> str:
    lines = [
        "# Upgrades in the lab",
        "",
        f"Run on {datetime.date.today().isoformat()}, {os.cpu_count()} processors, by"
        " `pytest -m soak tests/e2e/test_57_upgrade_minor.py`: three control-plane machines and two workers, a workload"
        " of two replicas asked ten times a second, and the API's `/readyz` likewise, both through the balancer.",
        "",
        "| `make up` from ... to ... | seconds | replicas moved | requests failed | longest gap of the API |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"With the minor of Kubernetes {apart:.1f} s lie between the new kubelets of two machines, drain included.",
    ]
    return "\n".join(lines) + "\n"

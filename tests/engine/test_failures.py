"""Runs that fail half-way: what is left, and that the next run ends it and does nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.cluster import Cluster, settings
from tests.engine.conftest import Standing

pytestmark = pytest.mark.engine

WORKER = "worker-general-1"
LISTED = settings(replace=[WORKER])
INSTANCE = f"machine-{WORKER}"


def test_a_worker_that_leaves_is_kept_until_its_drain_succeeds(cluster: Cluster) -> None:
    fewer = settings(workerPools=[{"name": "general", "count": 1}])
    failed = cluster.up(fewer, failing=f"delete Command drain-{WORKER}")
    assert not failed.ok
    assert f"delete Instance {INSTANCE}" not in failed.done
    assert {f"Instance {INSTANCE}", f"Command drain-{WORKER}"} <= set(cluster.resources())
    again = cluster.up(fewer)
    assert again.ok, again.text
    gone = again.about(WORKER)
    assert gone.index(f"delete Command drain-{WORKER}") < gone.index(f"delete Instance {INSTANCE}")
    assert (f"drain-{WORKER}", "drain") in again.phases()
    assert [name for name in cluster.resources() if name.endswith(WORKER)] == []


def test_a_machine_that_could_not_be_made_anew_is_made_by_the_next_run(cluster: Cluster) -> None:
    failed = cluster.up(LISTED, failing=f"create Instance {INSTANCE}")
    assert not failed.ok
    assert cluster.resources()[f"Instance {INSTANCE}"]["pendingReplacement"] is True
    again = cluster.up(LISTED)
    assert again.ok, again.text
    assert again.about(INSTANCE) == [f"create Instance {INSTANCE}"]
    assert {(f"prepare-{WORKER}", "prepare"), (f"activate-{WORKER}", "activate")} <= set(again.phases())
    settled = cluster.preview(LISTED, "--expect-no-changes")
    assert settled.ok, settled.text


@pytest.fixture(scope="module")
def unfinished(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster whose worker was made anew and could not be activated."""
    cluster = standing.cluster.copied_to(tmp_path_factory.mktemp("unfinished"))
    failed = cluster.up(LISTED, failing=f"update Command activate-{WORKER}")
    assert not failed.ok
    assert f"create Instance {INSTANCE}" in failed.done
    return cluster


def test_a_machine_that_could_not_be_activated_is_activated_and_not_made_anew_again(
    unfinished: Cluster, tmp_path: Path
) -> None:
    cluster = unfinished.copied_to(tmp_path / "cluster")
    again = cluster.up(LISTED)
    assert again.ok, again.text
    assert again.phases() == [(f"activate-{WORKER}", "activate"), ("ready", "operate")]
    assert again.about(INSTANCE) == []
    settled = cluster.preview(LISTED, "--expect-no-changes")
    assert settled.ok, settled.text


def test_a_name_taken_out_after_a_failed_run_makes_nothing_anew(unfinished: Cluster, tmp_path: Path) -> None:
    again = unfinished.copied_to(tmp_path / "cluster").up(settings())
    assert again.ok, again.text
    assert again.about(INSTANCE) == []


def test_a_lease_that_a_failed_run_brought_to_some_machines_is_not_taken_for_everybodys(
    cluster: Cluster,
) -> None:
    """Else the next run would let the control plane wait less for the Nodes that renew as slowly as ever."""
    failed = cluster.up(settings(nodeLoss={"leaseSeconds": 8}), failing=f"update Command activate-{WORKER}")
    assert not failed.ok
    refused = cluster.up(settings(nodeLoss={"leaseSeconds": 8, "graceSeconds": 8}))
    assert not refused.ok
    assert refused.done == []
    assert "cluster.nodeLoss: machines are changed one after the other" in refused.text

"""Other instance types: one control-plane machine in a run is stopped and started, a worker is made anew."""

from __future__ import annotations

import pytest

from tests.engine.cluster import Cluster, settings

pytestmark = pytest.mark.engine

LARGER = "t4g.large"


def test_a_larger_type_for_the_whole_control_plane_is_refused_before_any_provider_is_asked(
    cluster: Cluster,
) -> None:
    wanted = settings(controlPlane={"count": 3, "aws": {"instanceType": LARGER}})
    for run in (cluster.preview(wanted), cluster.up(wanted)):
        assert not run.ok
        assert "nothing was touched" in run.text
        assert "cluster.controlPlane: cp-0 would go from t4g.medium to t4g.large; cp-1" in run.text
        assert f"`instanceTypes: {{cp-0: {LARGER}}}`" in run.text
        assert run.calls == ()


def test_a_larger_type_for_one_control_plane_machine_changes_that_one_in_place(cluster: Cluster) -> None:
    run = cluster.up(settings(controlPlane={"count": 3, "aws": {"instanceTypes": {"cp-1": LARGER}}}))
    assert run.ok, run.text
    assert run.done == [
        "update Instance machine-cp-1",
        "update Command prepare-cp-1",
        "update Command activate-cp-1",
        "update Command ready",
    ]
    assert (
        cluster.up(settings(controlPlane={"count": 3, "aws": {"instanceTypes": {"cp-1": LARGER}}})).done == []
    )


def test_a_larger_type_for_one_worker_makes_it_anew_after_a_drain(cluster: Cluster) -> None:
    aws = {"instanceTypes": {"worker-general-0": LARGER}}
    run = cluster.up(settings(workerPools=[{"name": "general", "count": 2, "aws": aws}]))
    assert run.ok, run.text
    assert run.done[:3] == [
        "delete Command drain-worker-general-0",
        "delete Instance machine-worker-general-0",
        "create Instance machine-worker-general-0",
    ]
    assert run.about("machine-worker-general-1", "machine-cp-0", "machine-cp-1", "machine-cp-2") == []

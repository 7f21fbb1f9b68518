"""Versions that may follow one another, judged from what machines confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from config.plan import ClusterPlan
from config.skew import skew_refusals
from tests.config.clusters import lab, plan_of

CONTROL_PLANE = ("cp-0", "cp-1", "cp-2")
WORKERS = ("worker-general-0", "worker-general-1")


def plan(kubernetes: str = "1.37.2", **versions: str) -> ClusterPlan:
    return plan_of(lab(kubernetes={"version": kubernetes}, artifacts={"versions": versions}))


def confirmed(
    control_plane: str = "1.37.2", workers: str = "1.37.2", etcd: str = "3.6.14", **others: str
) -> dict[str, Any]:
    """Output `applied` of a run; `others` gives single machines another Kubernetes."""
    told: dict[str, Any] = {"lb-0": {"versions": {}}}
    for name in (*CONTROL_PLANE, *WORKERS):
        release = others.get(name.replace("-", "_"), control_plane if name in CONTROL_PLANE else workers)
        told[name] = {"versions": {"kubelet": release, "kube-proxy": release}}
        if name in CONTROL_PLANE:
            told[name]["versions"] |= {"kube-apiserver": release, "etcd": etcd}
    return told


def test_a_first_run_is_refused_nothing() -> None:
    assert skew_refusals(plan(), {}) == []


@pytest.mark.parametrize(
    "last",
    [
        confirmed(),
        confirmed("1.36.4", "1.36.4"),
        confirmed("1.37.9", "1.37.9"),
        confirmed("1.36.4", "1.34.1"),
        confirmed("1.36.4", "1.36.4", cp_0="1.37.2"),
        confirmed("1.37.2", "1.36.4", worker_general_0="1.37.2"),
        confirmed(etcd="3.5.30"),
    ],
    ids=[
        "same",
        "next-minor",
        "a-patch-back",
        "old-kubelets",
        "half-the-control-plane",
        "half-the-workers",
        "etcd",
    ],
)
def test_one_minor_up_and_any_patch_may_follow(last: dict[str, Any]) -> None:
    assert skew_refusals(plan(), last) == []


def test_a_minor_back_is_refused_by_the_highest_version_that_any_machine_has() -> None:
    for last in (confirmed(), confirmed("1.36.4", "1.36.4", cp_0="1.37.2")):
        assert skew_refusals(plan("1.36.4"), last) == [
            "cluster.kubernetes.version: 1.36.4 would take the control plane back a minor, from 1.37.2: what newer API"
            " servers have written to etcd older ones can't be trusted to read. Way out: write 1.37.2, or another"
            " patch of 1.37."
        ]


def test_a_skipped_minor_is_refused_by_the_lowest_version_that_any_machine_has() -> None:
    for last in (confirmed("1.35.1", "1.35.1"), confirmed("1.36.4", "1.36.4", cp_2="1.35.1")):
        assert skew_refusals(plan(), last) == [
            "cluster.kubernetes.version: 1.37.2 would skip a minor after 1.35.1: API servers of one cluster may differ"
            " by one minor, and each release converts what the one before it has stored. Way out: a run with a patch of"
            " 1.36 first."
        ]


def test_a_kubelet_ahead_of_the_api_servers_is_refused() -> None:
    """No run of ours puts one there; a machine that was made by hand may be."""
    assert skew_refusals(plan("1.36.4"), confirmed("1.36.4", "1.36.4", worker_general_1="1.37.2")) == [
        "cluster.kubernetes.version: 1.36.4 is older than a kubelet that runs (1.37.2), and no kubelet may be ahead of"
        " an API server. Way out: write 1.37.2, or another patch of 1.37."
    ]


def test_a_kubelet_more_than_three_minors_behind_is_refused() -> None:
    assert skew_refusals(plan(), confirmed("1.36.4", "1.33.9")) == [
        "cluster.kubernetes.version: 1.37.2 would leave a kubelet of 1.33.9 more than 3 minors behind its API server."
        " Way out: a run with a patch of 1.36 or older first."
    ]


@pytest.mark.parametrize(
    ("wanted", "last", "words"),
    [
        (
            "3.5.30",
            "3.6.14",
            "cluster.artifacts.versions.etcd: 3.5.30 would take etcd back a minor, from 3.6.14",
        ),
        (
            "3.7.1",
            "3.5.30",
            "would skip a minor after 3.5.30: members of one cluster may differ by one minor",
        ),
        ("4.0.0", "3.6.14", "is another major than 3.6.14"),
    ],
)
def test_etcd_goes_neither_back_a_minor_nor_over_one(wanted: str, last: str, words: str) -> None:
    (refusal,) = skew_refusals(plan(etcd=wanted), confirmed(etcd=last))
    assert words in refusal


@pytest.mark.parametrize("wanted", ["3.6.5", "3.7.1"])
def test_etcd_may_go_back_a_patch_and_up_a_minor(wanted: str) -> None:
    assert skew_refusals(plan(etcd=wanted), confirmed()) == []

"""The engine dies at random moments: the next `up` makes it good, data stay, nothing is left, nobody lends a hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import machines
from tests.e2e.cluster import Cluster
from tests.e2e.kills import Killer

SPACE = "e2e-kills"
SECONDS = {"create": 60.0, "change": 20.0, "scale-up": 35.0, "scale-down": 15.0}
"""About what each run takes after its engine has started."""
ROUNDS = 5
"""Kills of each kind in the long test."""


@contextmanager
def _data(cluster: Cluster) -> Iterator[None]:
    """Something written before, which is there afterwards."""
    with cluster.namespace(SPACE):
        cluster.kubectl("--namespace", SPACE, "create", "configmap", "kept", "--from-literal=text=before")
        yield
        kept = cluster.get("configmap", "kept", f"--namespace={SPACE}")
        assert kept["data"] == {"text": "before"}


def _settings(cluster: Cluster, count: int, pods: int = 110) -> dict[str, Any]:
    return cluster.worker_pool(count=count, kubelet={"maxPods": pods})


def _round(killer: Killer, number: int) -> None:
    """One kill each of a change of every worker, of a worker that comes and of one that goes."""
    cluster, pods = killer.cluster, 130 + number
    for what, settings in (
        ("change", _settings(cluster, 2, pods)),
        ("scale-up", _settings(cluster, 3, pods)),
        ("scale-down", _settings(cluster, 2, pods)),
    ):
        killer.kill(what, SECONDS[what], **settings)
        killer.made_good()
        limits = {cluster.get("node", one)["status"]["capacity"]["pods"] for one in cluster.workers}
        assert limits == {str(pods)}
        assert {one.name for one in machines.list_machines()} == {one.name for one in cluster.plan.machines}


def test_an_engine_killed_at_a_random_moment_of_a_change_a_growth_and_a_shrinking_is_made_good(
    own_settings: Cluster,
) -> None:
    killer = Killer(own_settings)
    with _data(own_settings):
        _round(killer, 0)
    own_settings.write_settings()
    own_settings.up()
    own_settings.figures["engine killed at random moments, made good"] = _told(killer)


@pytest.mark.soak
def test_twenty_kills_of_create_change_growth_and_shrinking_are_made_good(
    own_settings: Cluster, proof: Path | None
) -> None:
    cluster, killer = own_settings, Killer(own_settings)
    with _data(cluster):
        for number in range(1, ROUNDS + 1):
            _round(killer, number)
    while sum(what == "create" for what, _ in killer.kills) < ROUNDS:
        assert cluster.lab("down").status == 0
        killer.kill("create", SECONDS["create"])
        killer.made_good()
    cluster.figures["engine killed at random moments, made good (soak)"] = _told(killer)
    if proof:
        (proof / "interruptions.md").write_text(_page(killer))


def _told(killer: Killer) -> str:
    return f"{len(killer.kills)} of {len(killer.kills)} (seed {killer.seed})"


def _page(killer: Killer) -> str:
    """What is committed of the long run."""
    count = Counter(what for what, _ in killer.kills)
    lines = [
        "# The engine killed at random moments",
        "",
        f"`HARDWAY_SEED={killer.seed}`: {len(killer.kills)} kills"
        f" ({', '.join(f'{number} of {what}' for what, number in count.items())}). After each: `up` until it ended"
        f" well ({max(killer.runs)} at most), every planned Node Ready and no other left, what was written before"
        " there, and a further `up` changed nothing. No lock, no pending operation and no machine needed a hand.",
        "",
        "| run | killed after |",
        "|---|---|",
        *(f"| {what} | {seconds:.1f} s |" for what, seconds in killer.kills),
    ]
    return "\n".join(lines) + "\n"

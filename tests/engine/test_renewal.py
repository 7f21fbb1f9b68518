"""Leaves that live for a day: told of by the next run, issued anew by another generation and by nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from config.certificates import Authority, certificates_for
from tests.config.clusters import plan_of
from tests.engine.cluster import Cluster, settings
from tests.engine.conftest import Standing
from tests.engine.test_up import MACHINES

pytestmark = pytest.mark.engine

LEAVES = sorted(spec.name for spec in certificates_for(plan_of(settings())))


def short(generation: int) -> dict[str, Any]:
    return settings(certificates={"generation": generation, "leafDays": 1})


@pytest.fixture(scope="module")
def fleeting(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster whose leaves end tomorrow."""
    cluster = standing.cluster.copied_to(tmp_path_factory.mktemp("fleeting"))
    made = cluster.up(short(1))
    assert made.ok, made.text
    assert "cluster.certificates" not in made.text, "the run before gave out leaves of a year"
    return cluster


def ends(cluster: Cluster) -> dict[str, str]:
    """Output `certificates`, as the state has it."""
    latest = json.loads(cluster.checkpoint())["checkpoint"]["latest"]
    stack = next(one for one in latest["resources"] if one["type"] == "pulumi:pulumi:Stack")
    return dict(stack["outputs"]["certificates"])


def test_the_next_preview_warns_and_changes_nothing(fleeting: Cluster) -> None:
    preview = fleeting.preview(short(1), "--expect-no-changes")
    assert preview.ok, preview.text
    last = ends(fleeting)
    assert sorted(last) == sorted([*LEAVES, *(f"{authority}-ca" for authority in Authority)])
    end, name = min((last[leaf], leaf) for leaf in LEAVES)
    warning = (
        rf"warning: cluster\.certificates: {len(LEAVES)} of {len(LEAVES)} leaves end within 30 days, the first one"
        rf" {name} on {end[:10]} {end[11:16]} UTC \(23 hours left\)\."
        r" Write `certificates\.generation: 2` and run again:"
        r" every leaf is issued anew, one machine after the other \(docs/renewal\.md\)\."
    )
    assert re.search(warning, preview.text), preview.text


def test_another_generation_issues_every_leaf_and_no_authority_and_visits_the_machines_in_turn(
    fleeting: Cluster, tmp_path: Path
) -> None:
    cluster = fleeting.copied_to(tmp_path / "cluster")
    before = cluster.resources()
    run = cluster.up(short(2))
    assert run.ok, run.text
    assert "cluster.certificates" not in run.text
    after = cluster.resources()
    anew = {name for name in after if after[name].get("id") != before[name].get("id")}
    kinds = ("PrivateKey", "CertRequest", "LocallySignedCert")
    assert anew == {f"{kind} {leaf}" for kind in kinds for leaf in LEAVES}
    activated = [name for name, phase in run.phases() if phase == "activate"]
    assert activated == [f"activate-{machine}" for machine in MACHINES]
    assert [phase for _, phase in run.phases() if phase in ("prepare", "drain")] == []


def test_a_renewal_that_fails_half_way_is_not_told_as_done_and_goes_on(
    fleeting: Cluster, tmp_path: Path
) -> None:
    cluster = fleeting.copied_to(tmp_path / "cluster")
    before = ends(cluster)
    failed = cluster.up(short(2), failing="update Command activate-worker-general-1")
    assert not failed.ok
    assert ends(cluster) == before
    again = cluster.up(short(2))
    assert again.ok, again.text
    # The add-ons go beside the workers, and were done before the failure or are done now.
    assert [name for name, _ in again.phases() if name != "add-ons"] == ["activate-worker-general-1", "ready"]
    # Those of before are deleted now; none is issued once more.
    assert {one.split()[0] for one in again.done if "LocallySignedCert" in one} <= {"delete"}
    settled = cluster.preview(short(2), "--expect-no-changes")
    assert settled.ok, settled.text

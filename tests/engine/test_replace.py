"""What the engine does to machines that are made anew, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.engine.cluster import IMAGE, Cluster, Run, platform, settings
from tests.engine.conftest import Standing

pytestmark = pytest.mark.engine

WORKER = "worker-general-1"
OTHERS = ("cp-0", "cp-1", "cp-2", "worker-general-0")
NEWER_IMAGE = "ami-0bbbbbbbbbbbbbbb2"
NEWER = platform(images={"arm64": NEWER_IMAGE})


@dataclass(frozen=True)
class Replaced:
    """A cluster in which a worker was made anew, with a newer image in the settings, and the run that did it."""

    cluster: Cluster
    run: Run


@pytest.fixture(scope="module")
def replaced(standing: Standing, tmp_path_factory: pytest.TempPathFactory) -> Replaced:
    cluster = standing.cluster.copied_to(tmp_path_factory.mktemp("replaced"))
    run = cluster.up(settings(platform=NEWER, replace=[WORKER]))
    assert run.ok, run.text
    return Replaced(cluster, run)


def test_a_listed_worker_is_drained_then_unmade_then_made_then_filled(replaced: Replaced) -> None:
    standing_by = f"create Command drain-{WORKER}"
    beside = {standing_by, *replaced.run.about("bastion")}
    assert [action for action in replaced.run.done if action not in beside] == [
        f"delete Command drain-{WORKER}",
        f"delete Instance machine-{WORKER}",
        f"create Instance machine-{WORKER}",
        f"update Command prepare-{WORKER}",
        f"update Command activate-{WORKER}",
        "update Command ready",
    ]
    assert replaced.run.done.count(standing_by) == 1
    assert replaced.run.phases()[0] == (f"drain-{WORKER}", "drain")


def test_a_bastion_of_a_newer_image_stands_before_anything_goes_through_it(replaced: Replaced) -> None:
    done = replaced.run.done
    assert done[:4] == [
        "delete Instance bastion",
        "create Instance bastion",
        "update Eip bastion",
        f"delete Command drain-{WORKER}",
    ]


def test_a_machine_made_anew_is_told_its_new_identity(replaced: Replaced) -> None:
    instance = replaced.cluster.resources()[f"Instance machine-{WORKER}"]
    documents = [call.ran[1] for call in replaced.run.calls if call.ran and call.name.endswith(WORKER)]
    told = [one["identity"] for one in documents if one["phase"] in ("prepare", "activate")]
    assert told == [f"{instance['id']}/t4g.medium"] * 2


def test_a_newer_image_is_for_the_machine_that_is_made_anew(replaced: Replaced, standing: Standing) -> None:
    assert images_of(replaced.cluster) == {**dict.fromkeys(OTHERS, IMAGE), WORKER: NEWER_IMAGE}
    before, after = standing.cluster.resources(), replaced.cluster.resources()
    same = [name for name in OTHERS if _id(before, name) == _id(after, name)]
    assert (same, _id(before, WORKER) == _id(after, WORKER)) == (list(OTHERS), False)


def test_a_name_in_the_list_makes_its_machine_anew_once_until_it_was_out(
    replaced: Replaced, tmp_path: Path
) -> None:
    cluster = replaced.cluster.copied_to(tmp_path / "cluster")
    listed, unlisted = settings(platform=NEWER, replace=[WORKER]), settings(platform=NEWER)
    still = cluster.preview(listed, "--expect-no-changes")
    assert still.ok, still.text
    assert cluster.up(unlisted).done == []
    assert cluster.up(listed).about(f"machine-{WORKER}") == [
        f"delete Instance machine-{WORKER}",
        f"create Instance machine-{WORKER}",
    ]


def test_a_newer_image_is_for_workers_that_are_added_and_touches_no_machine_that_stands(
    cluster: Cluster,
) -> None:
    run = cluster.up(settings(platform=NEWER, workerPools=[{"name": "general", "count": 3}]))
    assert run.ok, run.text
    made = [action for action in run.done if "Instance machine-" in action]
    assert made == ["create Instance machine-worker-general-2"]
    assert images_of(cluster) == {
        **dict.fromkeys((*OTHERS, WORKER), IMAGE),
        "worker-general-2": NEWER_IMAGE,
    }
    assert sorted(run.phases()) == [
        ("activate-worker-general-2", "activate"),
        ("prepare-worker-general-2", "prepare"),
        ("ready", "operate"),
    ]


def test_a_control_plane_machine_made_anew_takes_its_etcd_volume_along(cluster: Cluster) -> None:
    volume = cluster.resources()["Volume etcd-cp-1"]["id"]
    run = cluster.up(settings(replace=["cp-1"]))
    assert run.ok, run.text
    standing_by = "create Command drain-cp-1"
    assert [action for action in run.done if action != standing_by] == [
        "delete Command drain-cp-1",
        "delete VolumeAttachment etcd-cp-1",
        "delete Instance machine-cp-1",
        "create Instance machine-cp-1",
        "create VolumeAttachment etcd-cp-1",
        "update Command prepare-cp-1",
        "update Command activate-cp-1",
        "update Command ready",
    ]
    assert run.calls_of("delete VolumeAttachment etcd-cp-1")[0].inputs["stopInstanceBeforeDetaching"] is True
    (prepared,) = run.calls_of("update Command prepare-cp-1")
    assert prepared.ran is not None
    assert prepared.ran[1]["disks"] == [
        {"mount": "/var/lib/etcd", "volume": volume, "device": "/dev/sdf", "owner": "etcd"}
    ]
    assert cluster.resources()["Volume etcd-cp-1"]["id"] == volume


def images_of(cluster: Cluster) -> dict[str, str]:
    """Image by machine, as the state has it; the bastion left out."""
    resources = cluster.resources()
    prefix = "Instance machine-"
    return {
        name.removeprefix(prefix): one["outputs"]["ami"]
        for name, one in sorted(resources.items())
        if name.startswith(prefix)
    }


def _id(resources: Mapping[str, Mapping[str, Any]], machine: str) -> str:
    return str(resources[f"Instance machine-{machine}"]["id"])

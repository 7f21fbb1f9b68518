"""Preparation: its order, drop-ins of this machine, and no other machine's architecture."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from components.agent import cloud, cloud_init, disks, downloads, machine_facts, packages, prepare
from components.agent.evidence import Failure

FACTS = machine_facts.Facts(
    cgroup_v2=True,
    may_lower_oom_score=True,
    swap=False,
    nft_queue=True,
    container=True,
    resolver="/etc/resolv.conf",
)
PROVIDER = "aws:///eu-central-1a/i-0123456789abcdef0"


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What prepare does, in order; nothing of it is done."""
    done: list[str] = []

    def note(words: str) -> Callable[..., None]:
        return lambda *_, **__: done.append(words)

    monkeypatch.setattr(cloud_init, "wait", note("cloud-init"))
    monkeypatch.setattr(machine_facts, "check_distribution", lambda _text: "debian 12")
    monkeypatch.setattr(machine_facts, "architecture", lambda: "amd64")
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    monkeypatch.setattr(prepare, "machine_lock", nullcontext)
    monkeypatch.setattr(packages, "install", note("packages"))
    monkeypatch.setattr(packages, "silence_haproxy", note("haproxy"))
    monkeypatch.setattr(prepare, "_make_user", lambda name, _home: done.append(f"user {name}"))
    monkeypatch.setattr(disks, "mount", lambda wanted: done.append(f"{len(wanted)} disks"))
    monkeypatch.setattr(machine_facts, "find", lambda: FACTS)
    monkeypatch.setattr(
        prepare, "_apply_kernel_files", lambda _files, *, container: done.append(f"container {container}")
    )
    monkeypatch.setattr(cloud, "provider_id", lambda asked: PROVIDER if asked == "aws" else None)
    monkeypatch.setattr(
        prepare, "write_file", lambda path, *_: done.append(f"wrote {os.path.basename(path)}")
    )
    monkeypatch.setattr(downloads, "stage", lambda _artifacts, _way_out: 0)
    return done


def bundle(*, node: bool, **more: object) -> dict[str, Any]:
    return {
        "machine": {"architecture": "amd64", "node": node},
        "packages": [],
        "users": {"etcd": "/var/lib/etcd"},
        "pods": "172.20.0.0/16",
        "kernel_files": {},
        "artifacts": [],
        "identity": "i",
        **more,
    }


def test_cloud_init_comes_first_and_users_are_there_before_the_disks_that_they_own(order: list[str]) -> None:
    prepare.run(bundle(node=False, disks=[{"mount": "/var/lib/etcd"}]))
    assert order == ["cloud-init", "packages", "haproxy", "user etcd", "1 disks", "container True"]


def test_a_machine_outside_of_a_cloud_reports_the_facts_that_it_always_did(order: list[str]) -> None:
    told = prepare.run(bundle(node=False))
    assert order[4] == "0 disks"
    assert told == {"system": "debian 12", "identity": "i", "facts": asdict(FACTS), "members": {}}


def test_what_came_out_of_archives_is_told_by_digest_and_nothing_of_single_files_and_images(
    order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = {
        "/opt/crictl": {"crictl": {"sha256": "c1", "mode": 0o755}},
        "/opt/kubelet": {"kubelet": {"sha256": "k", "mode": 0o755}},
    }
    monkeypatch.setattr(downloads, "staged_files", lambda folder: staged.get(folder, {}))
    entries = [
        {"name": "crictl", "folder": "/opt/crictl", "sha256": "archive"},
        {"name": "kubelet", "folder": "/opt/kubelet", "sha256": "k"},
        {"name": "image-pause", "folder": "/opt/pause", "sha256": "p", "reference": "pause:1"},
    ]
    assert prepare.run(bundle(node=False, artifacts=entries))["members"] == {"/opt/crictl": {"crictl": "c1"}}


def test_a_clouds_identity_is_a_fact_so_that_activate_runs_when_it_changes(order: list[str]) -> None:
    told = prepare.run(bundle(node=True, cloud="aws"))
    assert told["facts"] == asdict(FACTS) | {"provider_id": PROVIDER}
    assert order[-3:] == ["wrote 50-machine.conf", "wrote 50-machine.toml", "wrote 60-cloud.conf"]


def test_a_machine_of_another_architecture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_facts, "architecture", lambda: "arm64")
    prepare._check_architecture("arm64")
    with pytest.raises(
        Failure, match=r"^this machine is arm64 and the settings say amd64; correct its architecture"
    ):
        prepare._check_architecture("amd64")


def test_a_drop_in_that_the_machine_needs_no_more_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(tmp_path / name) for name in ("kubelet.conf", "policies.conf", "60-cloud.conf")]
    monkeypatch.setattr(machine_facts, "DROP_INS", tuple(paths[:2]))
    monkeypatch.setattr(cloud, "DROP_IN", paths[2])
    prepare._plant_drop_ins(dict.fromkeys(paths, "1"))
    prepare._plant_drop_ins({paths[0]: "2"})
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("kubelet.conf", "2")]
    assert (tmp_path / "kubelet.conf").stat().st_mode & 0o777 == 0o600


def test_kernel_files_are_planted_before_modules_are_loaded_and_settings_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(prepare, "write_file", lambda path, _text: order.append(f"write {path}"))
    monkeypatch.setattr(machine_facts, "load_modules", lambda text: order.append(f"load {text}"))
    monkeypatch.setattr(
        machine_facts,
        "check_kernel_settings",
        lambda text, *, container: order.append(f"set {text} {container}"),
    )
    files = {"/etc/sysctl.d/90-a.conf": "s", "/etc/modules-load.d/a.conf": "m"}
    prepare._apply_kernel_files(files, container=True)
    assert order == [
        "write /etc/sysctl.d/90-a.conf",
        "write /etc/modules-load.d/a.conf",
        "load m",
        "set s True",
    ]

"""What a machine is made from, and what the computer must offer; no machine is made here."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import base, cgroups, computer, disks, mounts, paths, specification
from lab.disks import Disk
from lab.errors import LabError

SPEC: dict[str, Any] = {
    "name": "cp-0",
    "address": "172.31.0.10",
    "prefix_length": 16,
    "gateway": "172.31.0.1",
    "host_key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----\nsentinel-of-the-host-key\n",
    "authorized_key": "ssh-ed25519 AAAA engine",
}


def test_a_specification_survives_its_file_and_is_for_root_alone(tmp_path: Path) -> None:
    spec = specification.parse(json.dumps(SPEC))
    file = tmp_path / "machine/spec.json"
    specification.save(spec, file)
    assert specification.load(file) == spec
    assert file.stat().st_mode & 0o077 == 0
    assert str(spec.interface) == "172.31.0.10/16"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "../etc"}, "not a name"),
        ({"name": "CP-0"}, "not a name"),
        ({"name": ""}, "not a name"),
        ({"address": "172.31.0"}, "give IPv4 addresses"),
        ({"prefix_length": 33}, "give IPv4 addresses"),
        ({"prefix_length": None}, "give IPv4 addresses"),
        ({"gateway": "10.0.0.1"}, "gateway 10.0.0.1 lies outside 172.31.0.0/16"),
        ({"host_key": "sentinel-of-the-host-key"}, "host_key is no private key"),
        ({"authorized_key": "none"}, "authorized_key is no OpenSSH public key"),
        ({"zone": "a"}, "expected an object with exactly"),
    ],
)
def test_a_bad_specification_is_refused_without_showing_the_key(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(LabError, match=reason) as caught:
        specification.parse(json.dumps({**SPEC, **change}))
    assert "sentinel" not in str(caught.value)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(LabError, match="machine on standard input: no JSON"):
        specification.parse("cp-0")


def test_mount_points_with_blanks_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = "22 1 8:1 / / rw - ext4 /dev/a rw\n23 22 0:9 / /a\\040b rw shared:1 - overlay overlay rw\n"
    (tmp_path / "mountinfo").write_text(table)
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "mountinfo")
    assert mounts.below(Path("/a b")) == [mounts.Mount(Path("/a b"), "overlay")]
    assert mounts.below(Path("/a")) == []
    assert mounts.file_system(Path("/nowhere/yet")) == "ext4"


def test_every_reason_against_the_computer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computer, "file_system", lambda _: "overlay")
    monkeypatch.setattr(cgroups, "ROOT", Path("/nowhere"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: None if program == "systemd-nspawn" else "/x")
    with pytest.raises(LabError) as caught:
        computer.check()
    first, second, third = str(caught.value).splitlines()
    assert first.startswith("this computer: systemd-nspawn is not installed; run `make up`")
    assert second.startswith("this computer: /nowhere has no control groups that machines could be given")
    assert "lies on overlay, which can't hold the overlays of machines" in third


def test_without_root_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root: run it with sudo, or as root"):
        computer.check()


def test_another_system_than_linux_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(LabError, match="runs darwin; the lab's machines need Linux"):
        computer.check()


def test_a_wiped_disk_comes_back_as_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(base, "ensure", lambda: Path("/cache/base/bookworm-1"))
    disk = Disk("cp-0")
    first = disks.make(disk)
    (disk.content / "data/etcd/member").write_text("written by the machine")
    assert disks.make(disk) == first, "an existing disk is kept"
    disks.wipe(disk)
    assert disks.identity(disk) is None
    assert disks.make(disk) != first
    assert not (disk.content / "data/etcd/member").exists()
    assert sorted(path.name for path in disk.folder.iterdir()) == ["disk"]


def test_a_half_made_disk_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(base, "ensure", lambda: Path("/cache/base/bookworm-1"))
    disk = Disk("cp-0")
    (disk.content / "upper").mkdir(parents=True)
    assert disks.make(disk) == disks.identity(disk)


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A v1 tree with two controllers, below whatever groups the caller is in."""
    own = {
        line.split(":")[1]: line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().splitlines()
    }
    for controller in ("pids", "memory"):
        folder = tmp_path / controller / own.get(controller, "/").lstrip("/")
        folder.mkdir(parents=True)
        for group in {tmp_path / controller, folder}:
            (group / "cgroup.procs").write_text("")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    return tmp_path


def test_every_machine_has_a_group_of_its_own_in_every_controller(groups: Path) -> None:
    command = cgroups.wrap("abcdef-cp-0", ["systemd-nspawn", "--quiet"])
    made = cgroups.folders("abcdef-cp-0")
    assert command[-3:] == ["--", "systemd-nspawn", "--quiet"]
    assert command[3:-3] == [str(folder) for folder in made]
    assert [folder.relative_to(groups).parts[0] for folder in made] == ["memory", "pids"]
    assert cgroups.folders("abcdef-cp-1") == []
    assert cgroups.folders("abcdef-*") == made


def test_a_computer_with_the_unified_tree_is_asked_for_a_delegated_scope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    monkeypatch.setattr(cgroups, "ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "SYSTEMD", tmp_path / "none")
    assert not cgroups.usable()
    monkeypatch.setattr(cgroups, "SYSTEMD", tmp_path)
    assert cgroups.usable()
    command = cgroups.wrap("abcdef-cp-0", ["systemd-nspawn"])
    assert {"--scope", "--unit=hardway-abcdef-cp-0", "--property=Delegate=yes"} <= set(command)
    assert command[-2:] == ["--", "systemd-nspawn"]


def test_processes_of_inner_groups_belong_to_the_machine(groups: Path) -> None:
    cgroups.wrap("abcdef-cp-0", [])
    inner = groups / "pids" / "kubepods/pod1"
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("77\n")
    machine = next(
        folder for folder in cgroups.folders("abcdef-cp-0") if folder.is_relative_to(groups / "pids")
    )
    (machine / "kubepods").mkdir()
    (machine / "cgroup.procs").write_text("1234567\n")
    (machine / "kubepods/cgroup.procs").write_text("1234568\n0\n")
    assert cgroups.processes("abcdef-cp-0") == {1234567, 1234568}

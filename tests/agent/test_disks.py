"""Disks: found by their volume, formatted only when blank, mounted by a unit, nothing hidden or overwritten."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.agent import disks, etcd, evidence
from components.agent.evidence import Failure

VOLUME = "vol-0abc0123456789def"
MIB = 1 << 20


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without disks; the programs of the file system are the real ones."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin:/sbin")
    monkeypatch.setattr(disks, "BLOCK_DEVICES", str(tmp_path / "block"))
    monkeypatch.setattr(disks, "BY_ID", str(tmp_path / "by-id-"))
    monkeypatch.setattr(disks, "UNIT_FOLDER", str(tmp_path / "units"))
    monkeypatch.setattr(disks, "succeeds", lambda *_: True)
    return tmp_path


def nvme(machine: Path, name: str, serial: str) -> None:
    folder = machine / "block" / name / "device"
    folder.mkdir(parents=True)
    (folder / "serial").write_text(f"{serial:<20}\n")


def blank(machine: Path, size: int = 32 * MIB) -> str:
    """A file that stands for a disk."""
    path = machine / "disk"
    with path.open("wb") as file:
        file.truncate(size)
    return str(path)


def entry(machine: Path, **more: str) -> dict[str, str]:
    return {"mount": str(machine / "etcd"), "volume": VOLUME, "owner": "etcd", **more}


def test_a_disk_is_found_by_the_serial_number_of_its_volume(machine: Path) -> None:
    nvme(machine, "nvme0n1", "vol0fff0123456789def")
    assert disks.find(entry(machine)) is None
    nvme(machine, "nvme1n1", "vol0abc0123456789def")
    assert disks.find(entry(machine)) == "/dev/nvme1n1"


def test_a_disk_is_found_by_udevs_link(machine: Path) -> None:
    (machine / "nvme7n1").touch()
    (machine / "by-id-vol0abc0123456789def").symlink_to(machine / "nvme7n1")
    assert disks.find(entry(machine)) == str(machine / "nvme7n1")


def test_a_disk_is_found_by_the_name_that_the_instance_gave_it(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = {"/dev/xvdf"}
    monkeypatch.setattr(os.path, "exists", lambda path: path in present)
    assert disks.find(entry(machine, device="/dev/sdf")) == "/dev/xvdf"
    present.add("/dev/sdf")
    assert disks.find(entry(machine, device="/dev/sdf")) == "/dev/sdf"
    assert disks.find(entry(machine)) is None


def test_a_disk_that_does_not_appear_is_named_with_what_to_look_at(machine: Path, slept: list[float]) -> None:
    with pytest.raises(Failure) as caught:
        disks.mount([entry(machine)], seconds=-1)
    assert str(caught.value) == (
        f"volume {VOLUME} for {machine}/etcd did not appear within -1 s. See whether it is attached to this instance "
        f"('aws ec2 describe-volumes --volume-ids {VOLUME}') and which disks the machine has ('lsblk --output "
        "NAME,SERIAL,SIZE,MOUNTPOINT'), then run again"
    )


def test_a_blank_disk_gets_one_file_system_with_our_label_and_keeps_it(machine: Path) -> None:
    device = blank(machine)
    first = disks._ensure_file_system(device, VOLUME, "hardway-etcd")
    assert disks._ensure_file_system(device, VOLUME, "another") == first
    told = disks._probe(device)
    assert (told["TYPE"], told["LABEL"], told["UUID"]) == ("ext4", "hardway-etcd", first)


@pytest.mark.parametrize(
    ("offset", "content"), [(0, b"\1"), (MIB - 1, b"\1"), (4096, b"somebody's database")]
)
def test_a_disk_that_is_not_blank_is_refused_and_not_overwritten(
    machine: Path, offset: int, content: bytes
) -> None:
    device = blank(machine)
    with open(device, "r+b") as file:
        file.seek(offset)
        file.write(content)
    before = Path(device).read_bytes()
    with pytest.raises(
        Failure, match=r"holds something that is not known and neither ext4 nor nothing; it was not"
    ):
        disks._ensure_file_system(device, VOLUME, "hardway-etcd")
    assert Path(device).read_bytes() == before


def test_another_file_system_is_refused_by_its_name(machine: Path) -> None:
    device = blank(machine)
    subprocess.run(["mkfs.ext2", "-q", device], check=True)
    before = Path(device).read_bytes()
    with pytest.raises(Failure) as caught:
        disks._ensure_file_system(device, VOLUME, "hardway-etcd")
    assert str(caught.value).startswith(f"{VOLUME} ({device}) holds ext2 and neither ext4 nor nothing")
    assert Path(device).read_bytes() == before


def test_a_disk_that_cannot_be_judged_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = machine / "bin"
    folder.mkdir()
    (folder / "blkid").write_text("#!/bin/sh\necho 'ambivalent result' >&2\nexit 8\n")
    (folder / "blkid").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    device = blank(machine)
    with pytest.raises(Failure) as caught:
        disks._ensure_file_system(device, VOLUME, "hardway-etcd")
    assert str(caught.value) == f"blkid cannot tell what {device} holds (status 8): ambivalent result"
    assert not any(Path(device).read_bytes())


class Systemd:
    """systemctl that mounts what a unit says, on the device that it is told; all else is the real program.

    Attributes:
        calls: words of systemctl, in order.
        device: what has the UUID that a unit names; None mounts nothing.
    """

    def __init__(self, device: str | None) -> None:
        self.calls: list[str] = []
        self.device = device

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """One call."""
        if command[0] != "systemctl":
            return evidence.run(*command, timeout=timeout, text=text)
        self.calls.append(" ".join(command[1:]))
        if command[1] == "start" and self.device:
            unit = (Path(disks.UNIT_FOLDER) / command[2]).read_text()
            (where,) = re.findall("^Where=(.*)$", unit, re.MULTILINE)
            if not os.path.ismount(where):
                evidence.run("mount", "--types", "ext4", self.device, where)
        return ""


def planted(machine: Path) -> tuple[str, str]:
    (unit,) = (machine / "units").iterdir()
    return unit.name, unit.read_text()


def test_the_mounts_unit_is_planted_and_started_without_holding_up_the_boot(
    machine: Path, monkeypatch: pytest.MonkeyPatch, owners: dict[str, str]
) -> None:
    systemd, device = Systemd(None), blank(machine)
    monkeypatch.setattr(disks, "run", systemd.run)
    held = iter([False, True])
    monkeypatch.setattr(disks, "_holds", lambda *_: next(held))
    disks.mount([entry(machine, device=device)])
    name, text = planted(machine)
    expected = subprocess.run(
        ["systemd-escape", "--path", "--suffix=mount", str(machine / "etcd")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert name == expected.stdout.strip()
    assert systemd.calls == ["daemon-reload", f"enable --quiet {name}", f"start {name}"]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == [
        "[Unit]",
        f"Description={VOLUME} at {machine}/etcd",
        "Before=etcd.service",
        "[Mount]",
        f"What=/dev/disk/by-uuid/{disks._probe(device)['UUID']}",
        f"Where={machine}/etcd",
        "Type=ext4",
        "Options=nofail",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    assert (owners[str(machine / "etcd")], (machine / "etcd").stat().st_mode & 0o777) == ("etcd", 0o700)


def test_a_mount_that_came_from_another_disk_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two volumes of one snapshot have one UUID."""
    device = blank(machine)
    monkeypatch.setattr(disks, "run", Systemd(None).run)
    with pytest.raises(
        Failure, match=r"etcd is mounted, but not from vol-0abc0123456789def .*from a snapshot of it"
    ):
        disks.mount([entry(machine, device=device)])


def test_a_mount_that_fails_is_told_with_the_units_own_words(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*command: str, timeout: float = 60) -> str:
        if command[:2] == ("systemctl", "start"):
            raise Failure("job failed")
        return Systemd(None).run(*command, timeout=timeout)

    monkeypatch.setattr(disks, "run", run)
    monkeypatch.setattr(disks, "unit_evidence", lambda name: f"--- {name}")
    with pytest.raises(Failure, match=f"^{VOLUME} could not be mounted at .*: job failed\n--- .*etcd.mount$"):
        disks.mount([entry(machine, device=blank(machine))])


def test_a_folder_with_contents_is_refused_rather_than_hidden(machine: Path) -> None:
    device = blank(machine)
    (machine / "etcd/member").mkdir(parents=True)
    with pytest.raises(Failure) as caught:
        disks.mount([entry(machine, device=device)])
    assert str(caught.value) == (
        f"{machine}/etcd is not empty, and {VOLUME} mounted there would hide what it holds. Stop what uses it, move "
        "its contents away, then run again"
    )
    assert not any(Path(device).read_bytes())
    assert not (machine / "units").exists()


def test_a_folder_that_another_disk_is_mounted_on_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine / "etcd").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda _path: True)
    with pytest.raises(
        Failure, match=r"etcd is mounted from another disk than vol-0abc.*; 'findmnt .*etcd' names it"
    ):
        disks.mount([entry(machine, device=blank(machine))])


@pytest.fixture
def loop(machine: Path) -> Iterator[str]:
    """A block device of a file, gone afterwards with what is mounted from it."""
    done = subprocess.run(
        ["losetup", "--find", "--show", blank(machine, 64 * MIB)], capture_output=True, text=True, check=True
    )
    device = done.stdout.strip()
    yield device
    if os.path.ismount(machine / "etcd"):
        subprocess.run(["umount", str(machine / "etcd")], check=True)
    subprocess.run(["losetup", "--detach", device], check=True)


@pytest.mark.lab
def test_a_real_disk_keeps_its_data_over_runs_and_boots_and_lost_and_found_is_no_member(
    machine: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    systemd, disk = Systemd(loop), entry(machine, device=loop)
    monkeypatch.setattr(disks, "run", systemd.run)
    monkeypatch.setattr(etcd, "LOG", etcd.LOG.replace("/var/lib/etcd", disk["mount"]))
    disks.mount([disk])
    assert (os.listdir(disk["mount"]), etcd.has_data()) == (["lost+found"], False)
    log = Path(disk["mount"], "member/wal/0.wal")
    log.parent.mkdir(parents=True)
    log.touch()
    systemd.calls.clear()
    disks.mount([disk])
    name, _ = planted(machine)
    assert systemd.calls == [f"enable --quiet {name}", f"start {name}"]
    subprocess.run(["umount", disk["mount"]], check=True)
    assert etcd.has_data() is False
    disks.mount([disk])
    assert etcd.has_data() is True
    assert shutil.disk_usage(disk["mount"]).total < 64 * MIB

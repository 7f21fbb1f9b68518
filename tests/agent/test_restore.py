"""One machine's steps of a restore: nothing deleted, whatever ended it is finished by the next call."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from components.agent import etcd, restore, snapshots
from components.agent.evidence import Failure

DATA = b"snapshot" * 100
SNAPSHOT = DATA + hashlib.sha256(DATA).digest()
DIGEST = hashlib.sha256(SNAPSHOT).hexdigest()
MEMBERS = [
    {"name": name, "peer": f"https://10.0.0.{n}:2380", "client": f"https://10.0.0.{n}:2379"}
    for n, name in enumerate(("cp-0", "cp-1", "cp-2"))
]
BUNDLE: dict[str, Any] = {
    "machine": {"name": "cp-1"},
    "members": MEMBERS,
    "snapshot": DIGEST,
    "attempt": "now",
    "bump": 1000,
    "revision": 1400,
    "cluster": "lab",
    "api_port": 6443,
}


class Machine:
    """A machine's folders, and what is called on it."""

    def __init__(self, root: Path) -> None:
        self.etcd = root / "etcd"
        self.calls: list[str] = []
        (self.etcd / "member").mkdir(parents=True)
        (self.etcd / "member/old").touch()

    def run(self, *command: str, timeout: float = 60, text: str | None = None) -> str:
        """Note a call; a restore makes its folder."""
        self.calls.append(" ".join(command))
        for word in command:
            if word.startswith("--data-dir="):
                member = Path(word.partition("=")[2]) / "member"
                member.mkdir(parents=True)
                (member / "new").touch()
        return ""

    def folders(self) -> list[str]:
        """What lies beside each other in etcd's folder."""
        return sorted(path.name.partition("-2")[0] for path in self.etcd.iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A member with data."""
    made = Machine(tmp_path)
    monkeypatch.setattr(restore, "command", made.run)
    monkeypatch.setattr(restore, "succeeds", lambda *_: True)
    monkeypatch.setattr(restore, "ETCD", str(made.etcd))
    monkeypatch.setattr(restore, "MARK", str(tmp_path / "mark.json"))
    monkeypatch.setattr(restore, "DONE", str(tmp_path / "done.json"))
    monkeypatch.setattr(etcd, "DATA", str(made.etcd / "member"))
    monkeypatch.setattr(etcd, "ENVIRONMENT", str(tmp_path / "initial.env"))
    monkeypatch.setattr(snapshots, "FOLDER", str(tmp_path))
    (tmp_path / f"restore-{DIGEST[:16]}.db").write_bytes(SNAPSHOT)
    return made


def test_staging_touches_neither_the_old_data_nor_any_unit(machine: Machine) -> None:
    assert restore.stage(BUNDLE) == {"state": "staged"}
    assert machine.folders() == ["member", "restored-now"]
    assert (machine.etcd / "member/old").exists()
    assert [call for call in machine.calls if "systemctl" in call] == []
    (line,) = [call for call in machine.calls if "snapshot restore" in call]
    for word in (
        "--name=cp-1",
        "--initial-cluster=cp-0=https://10.0.0.0:2380,cp-1=https://10.0.0.1:2380,cp-2=https://10.0.0.2:2380",
        "--initial-cluster-token=lab-now",
        "--initial-advertise-peer-urls=https://10.0.0.1:2380",
        "--bump-revision=1000",
        "--mark-compacted",
    ):
        assert f" {word}" in line


def test_a_swap_puts_the_old_data_aside_after_etcd_was_stopped(machine: Machine) -> None:
    restore.stage(BUNDLE)
    (aside,) = restore.swap(BUNDLE)["aside"]
    assert machine.calls[-1] == "systemctl stop etcd.service"
    assert (Path(aside) / "old").exists()
    assert (machine.etcd / "member/new").exists()
    assert machine.folders() == ["member", "member.replaced"]


def test_steps_that_are_done_are_not_done_again(machine: Machine) -> None:
    restore.stage(BUNDLE)
    restore.swap(BUNDLE)
    done = list(machine.calls)
    restore.stage(BUNDLE)
    restore.swap(BUNDLE)
    assert machine.calls == done
    assert (machine.etcd / "member/new").exists()


def test_a_swap_that_was_ended_between_its_renames_is_finished(machine: Machine) -> None:
    restore.stage(BUNDLE)
    (machine.etcd / "member").rename(machine.etcd / "member.replaced-20261123")
    restore.swap(BUNDLE)
    assert (machine.etcd / "member/new").exists()
    assert (machine.etcd / "member.replaced-20261123/old").exists()


def test_a_swap_whose_mark_was_not_written_puts_nothing_aside_again(machine: Machine) -> None:
    restore.stage(BUNDLE)
    mark = Path(restore.MARK).read_text()
    restore.swap(BUNDLE)
    Path(restore.MARK).write_text(mark)
    assert len(restore.swap(BUNDLE)["aside"]) == 1
    assert (machine.etcd / "member/new").exists()


def test_a_machine_that_lost_its_data_has_nothing_to_put_aside(machine: Machine) -> None:
    (machine.etcd / "member/old").unlink()
    (machine.etcd / "member").rmdir()
    restore.stage(BUNDLE)
    assert restore.swap(BUNDLE) == {"aside": []}
    assert machine.folders() == ["member"]


def test_another_attempt_begins_with_staging(machine: Machine) -> None:
    restore.stage({**BUNDLE, "attempt": "earlier"})
    restore.swap({**BUNDLE, "attempt": "earlier"})
    restore.stage(BUNDLE)
    assert json.loads(Path(restore.MARK).read_text()) == {
        "attempt": "now",
        "bump": 1000,
        "revision": 1400,
        "snapshot": DIGEST,
        "state": "staged",
    }


def test_the_end_leaves_what_a_later_restore_has_to_know(machine: Machine) -> None:
    restore.stage(BUNDLE)
    restore.swap(BUNDLE)
    restore.finish(BUNDLE)
    assert not Path(restore.MARK).exists()
    assert not Path(restore.snapshot_path(DIGEST)).exists()
    assert json.loads(Path(restore.DONE).read_text())["revision"] == 1400
    restore.finish(BUNDLE)


def test_the_highest_revision_is_also_that_of_earlier_restores_and_snapshots(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "living_revision", lambda _: None)
    monkeypatch.setattr(restore, "is_active", lambda _: True)
    assert restore.highest_revision(MEMBERS[0]) == 0
    (Path(snapshots.FOLDER) / "etcd-20261123T050000Z-77.db").touch()
    monkeypatch.setattr(snapshots, "listed", lambda: [f"{snapshots.FOLDER}/etcd-20261123T050000Z-77.db"])
    assert restore.highest_revision(MEMBERS[0]) == 77
    Path(restore.DONE).write_text('{"revision": 1400}')
    assert restore.highest_revision(MEMBERS[0]) == 1400


def test_a_snapshot_of_a_newer_etcd_is_refused() -> None:
    restore._check_version("3.6.0", "3.6.14")
    restore._check_version("3.5.0", "3.6.14")
    with pytest.raises(Failure, match=r"the snapshot is of etcd 3\.7\.0 and this machine has 3\.6\.14"):
        restore._check_version("3.7.0", "3.6.14")


def test_a_file_that_was_cut_or_copied_from_a_data_folder_is_no_snapshot(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(SNAPSHOT)
    assert snapshots.whole_digest(str(path)) == DIGEST
    for wrong in (SNAPSHOT[:-1], DATA, b""):
        path.write_bytes(wrong)
        with pytest.raises(Failure, match="does not end in the digest of what is before it"):
            snapshots.whole_digest(str(path))

"""A snapshot on its way to a machine: the script runs for real, with the machine's `df` and `sudo` stood in for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lab import stack
from lab.errors import LabError
from operations import snapshot_files

CONTENT = b"a snapshot"
NEEDED = len(CONTENT) + (64 << 20)


class Machine:
    """A machine's folder and programs; its ssh runs commands here."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.bin = root / "backups", root / "bin"
        self.remote = self.folder / "restore-1.db"
        self.local = root / "etcd.db"
        self.local.write_bytes(CONTENT)
        self.folder.mkdir()
        self.bin.mkdir()
        self.program("sudo", 'shift; exec "$@"')
        self.has_free(NEEDED)
        monkeypatch.setenv("PATH", f"{self.bin}:{os.environ['PATH']}")
        monkeypatch.setattr(stack, "ssh_command", lambda _stack, _name, remote: ["sh", "-c", remote])

    def program(self, name: str, script: str) -> None:
        """Put a program there."""
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def has_free(self, size: int) -> None:
        """Have `df` tell that many bytes, as it aligns them below their head."""
        self.program("df", f"printf '      Avail\\n%11d\\n' {size}")

    def send(self, digest: str | None = None) -> None:
        """Send the snapshot, under its own digest or another one."""
        own: Any = stack.Stack("lab")
        known = digest or snapshot_files.file_digest(self.local)
        snapshot_files.send(own, "cp-0", self.local, str(self.remote), known)

    def names(self) -> list[str]:
        """What lies in the folder."""
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with just enough room."""
    return Machine(tmp_path, monkeypatch)


def test_a_snapshot_arrives_whole_and_for_its_owner_only(machine: Machine) -> None:
    machine.send()
    assert machine.remote.read_bytes() == CONTENT
    assert machine.remote.stat().st_mode & 0o777 == 0o600
    assert machine.names() == ["restore-1.db"]


def test_a_full_disk_refuses_before_anything_is_sent(machine: Machine) -> None:
    machine.has_free(NEEDED - 1)
    machine.program("cat", "echo 'it was sent' >&2; exit 1")
    with pytest.raises(LabError) as raised:
        machine.send()
    assert str(raised.value) == (
        f"cp-0: {machine.remote} was not copied: {machine.folder} has 64 MiB free and needs 65; make room there"
    )
    assert machine.names() == []


def test_what_is_there_already_needs_no_room(machine: Machine) -> None:
    machine.send()
    machine.has_free(0)
    machine.send()
    assert machine.names() == ["restore-1.db"]


def test_what_came_otherwise_than_it_was_sent_gets_no_name_and_goes(machine: Machine) -> None:
    with pytest.raises(LabError, match="what came there is not what was sent; run again"):
        machine.send("0" * 64)
    assert machine.names() == []


def test_half_a_snapshot_is_taken_away_when_the_rest_does_not_come(machine: Machine) -> None:
    machine.program("cat", "head -c 4; echo 'No space left on device' >&2; exit 1")
    with pytest.raises(LabError, match="was not copied: No space left on device"):
        machine.send()
    assert machine.names() == []


def test_a_machine_without_the_folder_is_told_what_makes_it(machine: Machine) -> None:
    machine.folder.rmdir()
    with pytest.raises(LabError, match="is missing there; run 'make up' once"):
        machine.send()

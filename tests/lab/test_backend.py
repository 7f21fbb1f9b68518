"""The engine's state folder: what it holds, when it is locked out, and locks of engines that are gone."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import __main__ as command_line
from lab import backend, orphans, paths, sweep
from lab.errors import LabError


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and nothing of the user's in the environment."""
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / ".hardway"
    monkeypatch.setattr(paths, "STATE", folder)
    monkeypatch.setattr(paths, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(backend, "STATE", folder / "state")
    monkeypatch.setattr(backend, "PASSPHRASE", folder / "passphrase")
    monkeypatch.setattr(backend, "_STACKS", folder / "state/stacks")
    monkeypatch.setattr(backend, "_LOCKS", folder / "state/locks")
    monkeypatch.setattr(orphans, "end", list)
    return folder


def plant_stack(name: str, *resources: str) -> Path:
    """A checkpoint as the engine writes one."""
    latest = {"resources": [{"urn": urn} for urn in resources]} if resources else {}
    return plant(name, {"version": 3, "checkpoint": {"stack": name, "latest": latest}})


def plant(name: str, content: Any) -> Path:
    backend._STACKS.mkdir(parents=True, exist_ok=True)
    file = backend._STACKS / f"{name}.json"
    file.write_text(json.dumps(content))
    return file


def plant_lock(stack: str, pid: int, hostname: str | None = None) -> Path:
    """A lock as the engine writes one."""
    folder = backend._LOCKS / stack
    folder.mkdir(parents=True, exist_ok=True)
    told = {"pid": pid, "hostname": hostname or socket.gethostname(), "timestamp": "2026-11-22T19:00:00Z"}
    (folder / "one.json").write_text(json.dumps(told))
    return folder / "one.json"


def test_only_stacks_that_hold_something_count() -> None:
    assert backend.stacks_with_resources() == []
    plant_stack("empty")
    plant("never-run", {"version": 3, "checkpoint": {"stack": "never-run"}})
    plant_stack("lab", "urn:1")
    plant_stack("dev", "urn:2")
    assert backend.stacks_with_resources() == ["dev", "lab"]


def test_a_state_that_cannot_be_read_counts_as_full() -> None:
    """It may hold the only keys of a cluster: nothing may throw it away unseen."""
    backend._STACKS.mkdir(parents=True)
    (backend._STACKS / "lab.json").write_text("{half")
    plant("dev", {"version": 9})
    assert backend.stacks_with_resources() == ["dev", "lab"]


@pytest.mark.parametrize(
    ("resources", "passphrase", "given", "locked"),
    [
        (["urn:1"], False, None, True),
        (["urn:1"], True, None, False),
        ([], False, None, False),
        (["urn:1"], False, "PULUMI_CONFIG_PASSPHRASE", False),
        (["urn:1"], False, "PULUMI_CONFIG_PASSPHRASE_FILE", False),
        (["urn:1"], False, "PULUMI_BACKEND_URL", False),
    ],
    ids=["gone", "there", "nothing-encrypted", "own-passphrase", "own-passphrase-file", "own-backend"],
)
def test_who_lost_the_passphrase_of_stacks_that_hold_something_is_locked_out(
    monkeypatch: pytest.MonkeyPatch, resources: list[str], passphrase: bool, given: str | None, locked: bool
) -> None:
    plant_stack("lab", *resources)
    if passphrase:
        backend.PASSPHRASE.write_text("words")
    if given:
        monkeypatch.setenv(given, "value")
    assert backend.is_locked_out() is locked


def test_no_second_passphrase_is_made_where_stacks_need_the_first() -> None:
    plant_stack("lab", "urn:1")
    with pytest.raises(LabError, match="put it back from your backup"):
        backend.prepare()
    assert not backend.PASSPHRASE.exists()


def test_a_passphrase_is_made_once_and_for_this_user_alone() -> None:
    backend.prepare()
    words = backend.PASSPHRASE.read_text()
    assert len(words.strip()) == 43
    assert stat.S_IMODE(backend.PASSPHRASE.stat().st_mode) == 0o600
    plant_stack("lab", "urn:1")
    backend.prepare()
    assert backend.PASSPHRASE.read_text() == words


def test_forgetting_a_stack_takes_its_state_backup_and_locks_and_no_other_stacks() -> None:
    gone = [plant_stack("lab", "urn:1"), plant_lock("lab", 1)]
    (backend._STACKS / "lab.json.bak").write_text("{}")
    kept = [plant_stack("lab-two", "urn:2"), plant_lock("lab-two", 1)]
    backend.forget("lab")
    assert not any(file.exists() for file in (*gone, backend._STACKS / "lab.json.bak"))
    assert all(file.exists() for file in kept)
    backend.forget("lab")


@pytest.fixture
def ended() -> int:
    """A process id that belonged to a process and does no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def engine() -> Iterator[int]:
    """A process that is called as the engine is."""
    process = subprocess.Popen(["pulumi", "60"], executable="/bin/sleep")
    deadline = time.monotonic() + 10
    # For an instant of its start a process has no command line yet.
    while not _line(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process.pid
    process.kill()
    process.wait()


def test_the_lock_of_an_engine_that_is_gone_is_taken_away_with_a_word(
    ended: int, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, other = plant_lock("lab", ended), plant_lock("dev", ended)
    backend.release_dead_locks("lab")
    assert not lock.exists()
    assert other.exists()
    assert f"stack lab: its engine (process {ended}) was killed" in capsys.readouterr().err


def test_the_lock_of_an_engine_that_works_stays_and_is_told(engine: int) -> None:
    lock = plant_lock("lab", engine)
    with pytest.raises(LabError, match=rf"stack lab: process {engine} on .* since 2026-11-22T19:00:00Z"):
        backend.release_dead_locks("lab")
    assert lock.exists()


def test_a_number_that_another_program_has_now_is_no_engine() -> None:
    lock = plant_lock("lab", os.getppid() if b"pulumi" not in _line(os.getppid()) else 1)
    backend.release_dead_locks("lab")
    assert not lock.exists()


def _line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_lock_of_another_computer_is_never_taken_away(ended: int) -> None:
    """Its processes cannot be seen from here."""
    lock = plant_lock("lab", ended, hostname="another.example")
    with pytest.raises(LabError, match=r"on another\.example works on it"):
        backend.release_dead_locks("lab")
    assert lock.exists()


def test_a_lock_that_was_half_written_is_taken_away() -> None:
    lock = plant_lock("lab", 1)
    lock.write_text("{")
    backend.release_dead_locks("lab")
    assert not lock.exists()


def test_clean_refuses_while_a_stack_holds_resources(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "leftovers", list)
    plant_stack("dev", "urn:1")
    assert command_line.main(["clean"]) == 1
    told = capsys.readouterr().err
    assert "holds the keys of stack dev; 'make down STACK=dev' first" in told
    assert state.exists()


def test_clean_refuses_while_the_lab_runs(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweep, "leftovers", lambda: ["bridge hw-1", "process 2", "mount 3", "folder 4"])
    plant_stack("dev")
    assert command_line.main(["clean"]) == 1
    assert (
        "the lab still runs (bridge hw-1; process 2; mount 3); 'make down' first" in capsys.readouterr().err
    )
    assert state.exists()


def test_clean_removes_the_state_folder_when_nothing_is_left(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "leftovers", list)
    plant_stack("lab")
    paths.VENV.symlink_to(state)
    assert command_line.main(["clean"]) == 0
    assert not state.exists()
    assert not paths.VENV.is_symlink()


def test_a_state_that_a_killed_engine_did_not_write_to_its_end_is_put_back_from_the_engines_copy(
    ended: int,
) -> None:
    whole = plant_stack("e2e", "machine")
    copy = whole.with_name("e2e.json.bak")
    copy.write_text(whole.read_text())
    whole.write_text("")
    plant_lock("e2e", ended)
    backend.release_dead_locks("e2e")
    assert whole.read_text() == copy.read_text()


def test_a_whole_state_is_never_replaced_by_its_copy() -> None:
    whole = plant_stack("e2e", "machine")
    written = whole.read_text()
    plant_stack("e2e.json.bak").rename(whole.with_name("e2e.json.bak"))
    backend.put_back_whole_state("e2e")
    assert whole.read_text() == written

"""What a process was started from, told from what lies there now: real processes, real files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.agent import running
from components.agent.units import Unit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where binaries are ours, with one and a link to it."""
    monkeypatch.setattr(running, "BINARIES", f"{tmp_path.resolve()}/")
    shutil.copy2("/bin/sleep", tmp_path / "agent-1")
    shutil.copy2("/bin/sleep", tmp_path / "agent-2")
    (tmp_path / "agent").symlink_to(tmp_path / "agent-1")
    return tmp_path.resolve()


@pytest.fixture
def process(folder: Path) -> Iterator[int]:
    started = subprocess.Popen([str(folder / "agent"), "60"])
    yield started.pid
    started.kill()
    started.wait()


def unit(folder: Path) -> Unit:
    return Unit("agent.service", (f"{folder}/agent", f"{folder}/*.conf"), None, False)


def test_a_process_runs_the_file_that_it_was_started_from(folder: Path, process: int) -> None:
    assert not running.runs_another_file(unit(folder), process)


def test_a_file_that_was_replaced_is_another(folder: Path, process: int) -> None:
    shutil.copy2("/bin/sleep", folder / "new")
    os.replace(folder / "new", folder / "agent-1")
    assert running.runs_another_file(unit(folder), process)


def test_a_link_that_was_switched_is_an_input_that_changed_and_not_our_business(
    folder: Path, process: int
) -> None:
    (folder / "agent").unlink()
    (folder / "agent").symlink_to(folder / "agent-2")
    assert not running.runs_another_file(unit(folder), process)


def test_a_unit_without_a_process_runs_nothing(folder: Path) -> None:
    assert not running.runs_another_file(unit(folder), 0)


def test_a_removed_file_counts_as_changed_when_its_folder_was(folder: Path) -> None:
    path = folder / "a.conf"
    os.utime(folder, (5, 5))
    assert running.changed_at([str(path), "/nowhere/b.conf"]) == {str(path): 5.0, "/nowhere/b.conf": 0.0}


@pytest.mark.parametrize(("started", "read"), [(101.0, True), (99.0, False)])
def test_a_unit_has_read_a_change_that_came_before_its_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, started: float, read: bool
) -> None:
    monkeypatch.setattr(running, "_started_at", lambda _name: started)
    assert running.read_what_changed(unit(folder), {f"{folder}/a.conf": 100.0}) is read
    assert not running.read_what_changed(unit(folder), {"/etc/other": 1.0})

"""One phase at a time on a machine, and one of any other kind of work that has a lock of its own."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from components.agent import lock
from components.agent.evidence import Failure


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock's file."""
    monkeypatch.setattr(lock, "LOCK", str(tmp_path / "hardway.lock"))
    return tmp_path / "hardway.lock"


def test_a_second_run_gives_up_after_its_time_and_says_how_to_find_the_first(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = pytest.raises(Failure, match=f"^an earlier run still works here; 'fuser -v {path}'")
    with lock.machine_lock(), refused, lock.machine_lock(seconds=0.2):
        raise AssertionError("two runs at once")
    assert capsys.readouterr().err == "an earlier run still works on this machine; waiting for it\n"


def test_a_second_run_waits_until_the_first_is_done() -> None:
    order: list[str] = []
    holds = threading.Event()

    def first() -> None:
        with lock.machine_lock():
            holds.set()
            waits.wait(5)
            order.append("first")

    waits = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    holds.wait(5)
    threading.Timer(0.1, waits.set).start()
    with lock.machine_lock(seconds=5):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_a_run_that_failed_leaves_the_lock_free() -> None:
    with pytest.raises(ValueError, match="broken"), lock.machine_lock():
        raise ValueError("broken")
    with lock.machine_lock(seconds=0):
        pass


def test_another_kind_of_work_has_a_lock_of_its_own_and_names_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = str(tmp_path / "drain.lock")
    refused = pytest.raises(Failure, match=f"^another drain still works here; 'fuser -v {own}'")
    with (
        lock.machine_lock(),
        lock.hold(own, "another drain", 5),
        refused,
        lock.hold(own, "another drain", 0.1),
    ):
        raise AssertionError("two drains at once")
    assert capsys.readouterr().err == "another drain still works on this machine; waiting for it\n"

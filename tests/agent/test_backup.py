"""A snapshot that is asked for now: never one that was begun before."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.agent import backup, snapshots
from components.agent.evidence import Failure

NOW = 1_795_412_000.25
"""A clock's reading, within a second."""


class Service:
    """The machine's service behind a made-up systemctl.

    Attributes:
        runs: what each start does, in turn.
        starts: the time that each start was given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = NOW
        self.runs: list[Callable[[], None]] = []
        self.starts: list[float] = []

    def holds(self, at: float, revision: int = 5) -> None:
        """There is a snapshot that was begun then."""
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        (self.folder / f"etcd-{stamp}-{revision}.db").write_bytes(b"1")

    def command(self, *words: str, timeout: float) -> str:
        """One start of the service."""
        assert words == ("systemctl", "start", snapshots.SERVICE)
        self.starts.append(timeout)
        self.runs.pop(0)()
        return ""

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """A machine with a healthy member and no snapshot."""
    made = Service(tmp_path)
    real = snapshots.listed
    monkeypatch.setattr(snapshots, "listed", lambda: real(str(tmp_path)))
    monkeypatch.setattr(snapshots, "status", lambda _: {"revision": 5})
    monkeypatch.setattr(snapshots, "whole_digest", lambda _: "d")
    monkeypatch.setattr(snapshots, "etcd_version", lambda: "3.6.14")
    monkeypatch.setattr(backup, "command", made.command)
    monkeypatch.setattr(backup, "succeeds", lambda *_, **__: True)
    monkeypatch.setattr(backup, "unit_evidence", lambda *_, **__: "its journal")
    monkeypatch.setattr("components.agent.backup.os.path.exists", lambda _: True)
    monkeypatch.setattr("components.agent.backup.time.time", lambda: made.now)
    monkeypatch.setattr("components.agent.backup.time.monotonic", lambda: made.now)
    monkeypatch.setattr("components.agent.backup.time.sleep", made.sleep)
    return made


def test_a_snapshot_that_was_begun_after_it_was_asked_for_is_given_at_once(service: Service) -> None:
    service.runs = [lambda: service.holds(service.now)]
    found = backup.run({})
    assert found == {
        "path": str(service.folder / "etcd-20261123T053321Z-5.db"),
        "size": 1,
        "sha256": "d",
        "status": {"revision": 5},
        "etcd": "3.6.14",
    }
    assert service.starts == [600.0]


@pytest.mark.parametrize("before", [0.0, 30.0], ids=["in the same second", "earlier"])
def test_after_a_run_that_was_under_way_there_is_one_more(service: Service, before: float) -> None:
    def joined() -> None:
        service.holds(NOW - before, revision=4)
        service.now += 100

    service.runs = [joined, lambda: service.holds(service.now)]
    assert backup.run({})["path"].endswith("-5.db")
    assert service.starts == [600.0, 500.0]


def test_two_runs_that_leave_nothing_are_told_with_the_services_words(service: Service) -> None:
    service.holds(NOW - 60)
    service.runs = [lambda: None, lambda: None]
    with pytest.raises(Failure, match="no snapshot was taken\\.\nits journal"):
        backup.run({})
    assert len(service.starts) == 2


def test_a_bucket_that_takes_nothing_leaves_the_snapshot_here(service: Service) -> None:
    def kept() -> None:
        service.holds(service.now)
        raise Failure("status 1")

    service.runs = [kept]
    assert backup.run({})["path"].endswith("-5.db")
    assert len(service.starts) == 1

"""Defragmentation: in which order, and when an alarm may go."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import pytest

from lab.errors import LabError
from operations import defragment

GIB = 1 << 30
QUOTA = 8 * GIB


def state(size: int = GIB, in_use: int = GIB, alarms: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """What etcd says; cp-0 leads."""
    member = {"size": size, "in_use": in_use, "quota": QUOTA}
    return {
        "members": {name: dict(member) for name in ("cp-0", "cp-1", "cp-2")},
        "leader": "cp-0",
        "revision": 5,
        "alarms": [list(alarm) for alarm in alarms],
    }


class Etcd:
    """Members behind made-up phases.

    Attributes:
        steps: what was asked, and where.
    """

    def __init__(self, now: dict[str, Any], after: dict[str, Any]) -> None:
        self.now, self.after = now, after
        self.steps: list[str] = []

    def phase(
        self, _stack: Any, machine: str, _phase: str, content: dict[str, str], **_: Any
    ) -> dict[str, Any]:
        """One phase on a machine."""
        step = content["step"]
        self.steps.append(f"{step} {machine}")
        if step == "defragment":
            before = self.now["members"][machine]
            self.now["members"][machine] = self.after["members"][machine]
            return {**self.now, "before": before, "seconds": 0.5}
        if step == "disarm":
            self.now["alarms"] = []
        if step == "compact":
            for member in self.now["members"].values():
                member["in_use"] = GIB
            self.after = state(alarms=tuple(map(tuple, self.now["alarms"])))
        return self.now


def play(etcd: Etcd, monkeypatch: pytest.MonkeyPatch, *, compact: bool = False) -> int:
    """The command on made-up members."""
    monkeypatch.setattr(defragment, "run_phase", etcd.phase)
    monkeypatch.setattr(defragment, "machines_of_role", lambda *_: ["cp-0", "cp-1", "cp-2"])
    return defragment.run(SimpleNamespace(name="lab"), argparse.Namespace(compact=compact))  # type: ignore[arg-type]


def test_followers_go_first_and_the_leader_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    etcd = Etcd(state(size=4 * GIB), state())
    assert play(etcd, monkeypatch) == 0
    assert etcd.steps == ["look cp-0", "defragment cp-1", "defragment cp-2", "defragment cp-0"]
    assert "cp-1: 4096.0 MiB -> 1024.0 MiB in 0.5 s" in capsys.readouterr().out


def test_an_alarm_for_want_of_space_goes_when_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    full = state(size=QUOTA, alarms=(("cp-1", "NOSPACE"),))
    etcd = Etcd(full, state())
    assert play(etcd, monkeypatch) == 0
    assert etcd.steps[-1] == "disarm cp-0"


def test_without_room_the_alarm_stays_and_the_way_out_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = state(size=QUOTA, in_use=7 * GIB, alarms=(("cp-1", "NOSPACE"),))
    etcd = Etcd(full, state(size=7 * GIB, in_use=7 * GIB))
    assert play(etcd, monkeypatch) == 1
    assert "disarm cp-0" not in etcd.steps
    said = capsys.readouterr().out
    assert "More than 75% of the quota is in use" in said
    assert "make defragment COMPACT=1" in said


def test_old_revisions_are_compacted_first_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    full = state(size=QUOTA, in_use=7 * GIB, alarms=(("cp-1", "NOSPACE"),))
    etcd = Etcd(full, state(size=7 * GIB, in_use=7 * GIB))
    assert play(etcd, monkeypatch, compact=True) == 0
    assert etcd.steps[:2] == ["look cp-0", "compact cp-0"]
    assert etcd.steps[-1] == "disarm cp-0"


def test_damaged_data_is_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = Etcd(state(alarms=(("cp-2", "CORRUPT"),)), state())
    with pytest.raises(LabError, match=r"etcd's data on cp-2 differs .*'replace: \[cp-2\]'"):
        play(etcd, monkeypatch)
    assert etcd.steps == ["look cp-0"]

"""What `make restore` decides before and between the steps on machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab import stack
from lab.errors import LabError
from operations import phases, restore, snapshot_files
from tests.components.trees import lab_plan

DIGEST = "a" * 64
NOW = "20261123T050000Z"


def said(*, highest: int = 500, mark: dict[str, Any] | None = None, revision: int = 400) -> dict[str, Any]:
    """What one machine answers to the check."""
    return {"status": {"revision": revision}, "mark": mark, "highest": highest, "living": None}


def mark(attempt: str, digest: str = DIGEST) -> dict[str, Any]:
    """A machine's mark of a restore that was begun."""
    return {"attempt": attempt, "snapshot": digest, "bump": 7, "revision": 407, "state": "staged"}


def test_a_restore_raises_revisions_by_a_billion() -> None:
    found = restore.decide(DIGEST, {"cp-0": said(), "cp-1": said()}, NOW)
    assert found == restore.Restore(NOW, DIGEST, 1_000_000_100, 1_000_000_500, False)


def test_a_second_restore_of_the_same_snapshot_goes_above_what_watchers_know_from_the_first() -> None:
    found = restore.decide(DIGEST, {"cp-0": said(), "cp-1": said(highest=1_000_000_900)}, NOW)
    assert found.revision == 2_000_000_900
    assert found.bump == 2_000_000_500


def test_a_snapshot_that_is_later_than_all_that_is_known_is_raised_by_a_billion_too() -> None:
    assert restore.decide(DIGEST, {"cp-0": said(highest=0)}, NOW).bump == restore.BUMP


def test_a_restore_that_was_begun_goes_on_under_its_own_name_and_revision() -> None:
    found = restore.decide(DIGEST, {"cp-0": said(mark=mark("earlier")), "cp-1": said()}, NOW)
    assert found == restore.Restore("earlier", DIGEST, 7, 407, True)


def test_after_a_half_restore_of_another_snapshot_every_machine_begins_anew() -> None:
    checked = {"cp-0": said(mark=mark("earlier", "b" * 64)), "cp-1": said(mark=mark("earlier", "b" * 64))}
    assert restore.decide(DIGEST, checked, NOW).attempt == NOW


def test_two_attempts_that_met_are_both_given_up() -> None:
    checked = {"cp-0": said(mark=mark("one")), "cp-1": said(mark=mark("two"))}
    found = restore.decide(DIGEST, checked, NOW)
    assert (found.attempt, found.goes_on) == (NOW, False)


def test_members_have_to_be_the_machines_that_were_built() -> None:
    assert restore.planned_machines(lab_plan(), ["cp-2", "cp-0", "cp-1"]) == ("cp-0", "cp-1", "cp-2")
    with pytest.raises(
        LabError, match=r"plans cp-0, cp-1, cp-2 as control plane, and the last run made cp-0;"
    ):
        restore.planned_machines(lab_plan(), ["cp-0"])


def test_one_machine_that_fails_fails_the_step_with_every_reason_and_the_way_out() -> None:
    results = {"cp-0": {"revision": 1}, "cp-1": LabError("cp-1: full"), "cp-2": LabError("cp-2: away")}
    with pytest.raises(LabError) as raised:
        restore.whole(results, "Nothing was stopped.")
    assert str(raised.value) == "cp-1: full\ncp-2: away\nNothing was stopped."


def test_a_folder_stands_for_the_one_snapshot_in_it(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is none"):
        snapshot_files.chosen_snapshot(str(tmp_path))
    (tmp_path / "etcd.db").touch()
    assert snapshot_files.chosen_snapshot(str(tmp_path)) == tmp_path / "etcd.db"
    (tmp_path / "other.db").touch()
    with pytest.raises(LabError, match=r"there is etcd\.db, other\.db; name the file"):
        snapshot_files.chosen_snapshot(str(tmp_path))
    with pytest.raises(LabError, match="no such file or folder; 'make backup' prints"):
        snapshot_files.chosen_snapshot(str(tmp_path / "absent"))


def test_a_step_has_time_for_an_earlier_runs_lock_and_for_the_longest_restore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []

    def step(*_: Any, seconds: int) -> dict[str, Any]:
        given.append(seconds)
        return {}

    monkeypatch.setattr(phases, "run_phase", step)
    restore.Steps(stack.Stack("lab"), lab_plan(), ("cp-0",), DIGEST).run("stage", {})
    lock, etcdutl, owner, sync = 600, 600, 60, 300
    assert given == [1700]
    assert given[0] > lock + etcdutl + owner + sync

"""Seconds by phase, from the engine's event log."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab import timeline
from lab.timeline import Phase, Step

URN = "urn:pulumi:lab::hardway::"


def event(
    second: int, kind: str, name: str, type_: str = "command:remote:Command", op: str = "create"
) -> Any:
    """One event of the log."""
    return {"timestamp": 1000 + second, kind: {"metadata": {"urn": f"{URN}{type_}::{name}", "op": op}}}


def begin(second: int, name: str, **more: str) -> Any:
    return event(second, "resourcePreEvent", name, **more)


def end(second: int, name: str, **more: str) -> Any:
    return event(second, "resOutputsEvent", name, **more)


EVENTS = [
    {"timestamp": 1000, "preludeEvent": {"config": {}}},
    begin(1, "machine-cp-0", type_="command:local:Command"),
    begin(1, "ca", type_="tls:index/privateKey:PrivateKey"),
    end(1, "ca", type_="tls:index/privateKey:PrivateKey"),
    end(4, "machine-cp-0", type_="command:local:Command"),
    begin(4, "prepare-cp-0"),
    begin(5, "prepare-cp-1", op="same"),
    end(5, "prepare-cp-1", op="same"),
    end(9, "prepare-cp-0"),
    begin(9, "activate-cp-0"),
    begin(10, "activate-cp-1"),
    end(12, "activate-cp-1"),
    end(14, "activate-cp-0"),
    {"timestamp": 1015, "summaryEvent": {"durationSeconds": 15}},
]


def test_steps_are_the_commands_that_ran_in_seconds_from_the_first_event() -> None:
    assert timeline.steps(EVENTS) == [
        Step("machine-cp-0", 1, 4),
        Step("prepare-cp-0", 4, 9),
        Step("activate-cp-1", 10, 12),
        Step("activate-cp-0", 9, 14),
    ]


def test_a_step_whose_begin_is_not_in_the_log_took_no_time() -> None:
    assert timeline.steps([{"timestamp": 1000}, end(3, "ready")]) == [Step("ready", 3, 3)]


@pytest.mark.parametrize("events", [[], [{"timestamp": 5}], [{"timestamp": 5, "resourcePreEvent": {}}]])
def test_a_log_without_commands_has_no_steps(events: list[dict[str, Any]]) -> None:
    assert timeline.steps(events) == []


def test_a_phase_goes_from_its_first_begin_to_its_last_end_and_idle_ones_are_left_out() -> None:
    assert timeline.phases(timeline.steps(EVENTS)) == [
        Phase("machines answer on SSH", 1, 4),
        Phase("artifacts staged", 4, 9),
        Phase("machines activated", 9, 14),
    ]


def test_every_kind_of_command_belongs_to_exactly_one_phase() -> None:
    for name in ("bridge", "machine-lb-0", "prepare-cp-0", "activate-cp-0", "add-ons", "ready"):
        assert len(timeline.phases([Step(name, 0, 1)])) == 1, name
    assert timeline.phases([Step("drain-worker-0", 0, 1)]) == []


def test_a_log_is_read_line_by_line_and_none_is_no_steps(tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    assert timeline.read(log) == []
    log.write_text("".join(json.dumps(one) + "\n" for one in EVENTS))
    assert timeline.read(log) == timeline.steps(EVENTS)

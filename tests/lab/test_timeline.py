"""Steps and seconds by phase, from the engine's event log."""

import json
from pathlib import Path
from typing import Any

import pytest

from lab import event_log, timeline
from lab.timeline import Phase, Step
from tests.lab import recordings

URN = "urn:pulumi:lab::hardway::"
COMMAND = "command:remote:Command"


def event(second: int, kind: str, name: str, type_: str = COMMAND, op: str = "create") -> Any:
    """One event of the log."""
    return {"timestamp": 1000 + second, kind: {"metadata": {"urn": f"{URN}{type_}::{name}", "op": op}}}


def begin(second: int, name: str, **more: str) -> Any:
    return event(second, "resourcePreEvent", name, **more)


def end(second: int, name: str, **more: str) -> Any:
    return event(second, "resOutputsEvent", name, **more)


def says(second: int, name: str, text: str, severity: str = "info") -> Any:
    told = {"urn": f"{URN}{COMMAND}::{name}", "severity": severity, "message": text}
    return {"timestamp": 1000 + second, "diagnosticEvent": told}


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


def steps(events: list[Any]) -> list[Step]:
    return timeline.steps(event_log.by_timestamps(events))


def told(events: list[Any]) -> list[tuple[str, str, float, float | None, str]]:
    return [(step.name, step.op, step.begin, step.end, step.outcome) for step in steps(events)]


def test_steps_are_in_the_order_of_their_begins_in_seconds_from_the_first_event() -> None:
    assert told(EVENTS) == [
        ("machine-cp-0", "create", 1, 4, "done"),
        ("ca", "create", 1, 1, "done"),
        ("prepare-cp-0", "create", 4, 9, "done"),
        ("prepare-cp-1", "same", 5, 5, "done"),
        ("activate-cp-0", "create", 9, 14, "done"),
        ("activate-cp-1", "create", 10, 12, "done"),
    ]


def test_a_step_whose_begin_is_not_in_the_log_took_no_time() -> None:
    assert told([{"timestamp": 1000}, end(3, "ready")]) == [("ready", "create", 3, 3, "done")]


def test_a_step_that_the_run_did_not_see_end_is_unfinished() -> None:
    assert told([begin(0, "ready")]) == [("ready", "create", 0, None, "unfinished")]


def test_a_replacement_is_two_steps_of_one_resource_and_no_third() -> None:
    events = [
        begin(0, "ready", op="create-replacement"),
        end(2, "ready", op="create-replacement"),
        begin(2, "ready", op="replace"),
        end(2, "ready", op="replace"),
        begin(3, "ready", op="delete-replaced"),
        end(4, "ready", op="delete-replaced"),
    ]
    assert told(events) == [
        ("ready", "create-replacement", 0, 2, "done"),
        ("ready", "delete-replaced", 3, 4, "done"),
    ]


def test_a_step_keeps_its_last_line_and_a_failed_one_its_first_error() -> None:
    events = [
        begin(0, "ready"),
        says(1, "ready", "one\ntwo\n"),
        says(1, "ready", "not for people", "debug"),
        begin(0, "add-ons"),
        says(1, "add-ons", "the cause\nat length\n", "error"),
        says(2, "add-ons", "update failed", "error"),
        says(2, "add-ons", "later"),
        event(2, "resOpFailedEvent", "add-ons"),
    ]
    assert [(step.name, step.said, step.outcome) for step in steps(events)] == [
        ("ready", "two", "unfinished"),
        ("add-ons", "error: the cause\nat length", "failed"),
    ]


@pytest.mark.parametrize("events", [[], [{"timestamp": 5}], [{"timestamp": 5, "resourcePreEvent": {}}]])
def test_a_log_without_resources_has_no_steps(events: list[Any]) -> None:
    assert steps(events) == []


def test_a_phase_goes_from_its_first_begin_to_its_last_end_and_idle_ones_are_left_out() -> None:
    assert timeline.phases(steps(EVENTS)) == [
        Phase("machines answer on SSH", 1, 4),
        Phase("artifacts staged", 4, 9),
        Phase("machines activated", 9, 14),
    ]


def test_every_kind_of_command_belongs_to_exactly_one_phase() -> None:
    for name in ("bridge", "machine-lb-0", "prepare-cp-0", "activate-cp-0", "add-ons", "ready"):
        assert len(timeline.phases(steps([begin(0, name), end(1, name)]))) == 1, name
    assert timeline.phases(steps([begin(0, "drain-cp-0"), end(1, "drain-cp-0")])) == []


def test_a_log_is_read_line_by_line_and_none_is_no_steps(tmp_path: Path) -> None:
    log = tmp_path / "events.json"
    assert timeline.read(log) == []
    log.write_text("".join(json.dumps(one) + "\n" for one in EVENTS))
    assert timeline.read(log) == steps(EVENTS)


def test_a_real_run_has_its_commands_keys_components_and_providers() -> None:
    run = timeline.read(recordings.FIRST_UP)
    own = [step for step in run if not step.component and not step.type.startswith("pulumi:")]
    assert (len(run), sum(step.component for step in run), len(own)) == (160, 26, 131)
    assert {step.outcome for step in run} == {"done"}
    assert timeline.phases(run) == [
        Phase("machines answer on SSH", 1, 6),
        Phase("artifacts staged", 6, 17),
        Phase("machines activated", 8, 34),
        Phase("API, RBAC and add-ons", 27, 30),
        Phase("Nodes and DNS ready", 34, 49),
    ]

"""The engine's event log as it grows, and the arrival times beside it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from lab import event_log
from lab.event_log import Follower, Heard, Tail


class Clock:
    """Seconds that stand still until told otherwise."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def line(sequence: int, second: int = 1000) -> bytes:
    return json.dumps({"sequence": sequence, "timestamp": second}).encode() + b"\n"


def sequences(heard: list[Heard]) -> list[Any]:
    return [one.event["sequence"] for one in heard]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.json"


def test_an_event_counts_from_the_first_by_when_it_came_in(log: Path) -> None:
    clock = Clock()
    tail = Tail(log, clock)
    assert tail.poll() == []
    log.write_bytes(line(0))
    clock.now = 103.0
    assert [one.seconds for one in tail.poll()] == [0.0]
    with log.open("ab") as file:
        file.write(line(1))
    clock.now = 103.25
    assert [one.seconds for one in tail.poll()] == [0.25]


def test_half_a_line_waits_for_its_rest(log: Path) -> None:
    tail = Tail(log, Clock())
    log.write_bytes(line(0) + line(1)[:10])
    assert sequences(tail.poll()) == [0]
    with log.open("ab") as file:
        file.write(line(1)[10:])
    assert sequences(tail.poll()) == [1]


def test_arrival_times_go_before_the_engines_whole_seconds(log: Path) -> None:
    clock = Clock()
    tail = Tail(log, clock)
    log.write_bytes(line(0))
    tail.poll()
    clock.now = 101.75
    with log.open("ab") as file:
        file.write(line(1, 1001))
    tail.poll()
    tail.close()
    assert [one.seconds for one in event_log.read(log)] == [0.0, 1.75]


@pytest.mark.parametrize("times", [None, "[0.0]", "[0.0, 1.5, 2.0]", "no JSON"])
def test_times_that_do_not_fit_the_log_are_not_used(log: Path, times: str | None) -> None:
    log.write_bytes(line(0) + line(1, 1002))
    if times is not None:
        event_log.times_file(log).write_text(times)
    assert [one.seconds for one in event_log.read(log)] == [0.0, 2.0]


def test_the_line_that_a_killed_engine_left_half_written_is_left_out(log: Path) -> None:
    log.write_bytes(line(0) + line(1)[:-5])
    assert sequences(event_log.read(log)) == [0]


def test_no_log_has_no_events(log: Path) -> None:
    assert event_log.read(log) == []


def test_a_follower_hears_everything_to_the_last_line(log: Path) -> None:
    heard: list[Heard] = []
    with Follower(log, heard.extend):
        log.write_bytes(line(0))
        time.sleep(0.2)
        with log.open("ab") as file:
            file.write(line(1))
    assert sequences(heard) == [0, 1]
    assert heard[1].seconds >= 0.1
    assert event_log.read(log) == heard

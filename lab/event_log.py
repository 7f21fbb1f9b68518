"""The engine's event log: read as it grows, with the moment each line came in.

The engine writes one JSON event a line, at once, and stamps it with whole seconds. Whoever follows the log while it
grows knows better: arrival times by the monotonic clock are saved beside it and used by whoever reads it later.
Nothing here knows what the events mean.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from lab import mirror

POLL_SECONDS = 0.05
"""How often the log is looked at, and so how exact arrival times are."""


@dataclass(frozen=True)
class Heard:
    """One event, and the seconds from the run's first event until it came in."""

    seconds: float
    event: dict[str, Any]


def times_file(log: Path) -> Path:
    """Where the arrival times of a log lie: a JSON list, one number of seconds for each line of the log."""
    return log.with_suffix(".times.json")


def by_timestamps(events: Iterable[dict[str, Any]]) -> list[Heard]:
    """Events by the engine's own clock, which counts whole seconds."""
    listed = list(events)
    return [Heard(float(event["timestamp"] - listed[0]["timestamp"]), event) for event in listed]


def read(log: Path) -> list[Heard]:
    """The events of a finished run, by their arrival when someone listened; none when there is no log."""
    if not log.exists():
        return []
    events = [event for event in map(_parse, log.read_bytes().splitlines()) if event]
    try:
        times = json.loads(times_file(log).read_text())
    except (OSError, ValueError):
        times = []
    if len(times) != len(events):
        return by_timestamps(events)
    return [Heard(float(seconds), event) for seconds, event in zip(times, events, strict=True)]


def _parse(line: bytes) -> dict[str, Any] | None:
    """One line's event; none for the line that an engine was killed in the middle of."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "timestamp" in event else None


class Tail:
    """Reads what was added to a log since the last look."""

    def __init__(self, log: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at the log's begin; the file need not be there yet."""
        self._log = log
        self._clock = clock
        self._file: BinaryIO | None = None
        self._partial = b""
        self._first: float | None = None
        self._times: list[float] = []

    def poll(self) -> list[Heard]:
        """The events that came in since the last poll; a half-written line waits for its rest."""
        if self._file is None:
            if not self._log.exists():
                return []
            self._file = self._log.open("rb")
        *lines, self._partial = (self._partial + self._file.read()).split(b"\n")
        now = self._clock()
        heard = []
        for event in filter(None, map(_parse, lines)):
            self._first = now if self._first is None else self._first
            heard.append(Heard(round(now - self._first, 3), event))
        self._times += [one.seconds for one in heard]
        return heard

    def close(self) -> None:
        """Keep the arrival times beside the log."""
        if self._file is not None:
            self._file.close()
            mirror.write_atomically(times_file(self._log), json.dumps(self._times) + "\n")


class Follower:
    """Follows a log in a thread of its own for as long as the block runs, so that no signal interrupts a look.

    The thread tells `take` of new events, and of none when nothing came in; a last look follows the block's end.
    """

    def __init__(self, log: Path, take: Callable[[list[Heard]], None] = lambda heard: None) -> None:
        """Prepare to follow a log, which need not be there yet."""
        self._tail = Tail(log)
        self._take = take
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="event log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        try:
            while not self._ended.wait(POLL_SECONDS):
                self._take(self._tail.poll())
            self._take(self._tail.poll())
        finally:
            self._tail.close()

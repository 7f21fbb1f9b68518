"""Visitors of the site: requests at a steady rate, counted, with and without a client that tries again.

Every request is a connection of its own, as from so many browsers, and is sent when its time has come, whether or not
earlier ones have been answered.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

PATH = "/about.json"
"""The page that visitors ask for: it says which pod answered, and asks the database on the way."""
REQUEST_SECONDS = 3.0
"""After how long a visitor gives a request up."""
IN_FLIGHT = 64


@dataclass(frozen=True)
class Target:
    """An address at which the site answers."""

    host: str
    port: int

    def get(self, path: str = PATH, seconds: float = REQUEST_SECONDS) -> dict[str, Any]:
        """GET a JSON document.

        Raises:
            OSError: no connection, no answer in time, another status than 200, or something else than a document.
        """
        connection = http.client.HTTPConnection(self.host, self.port, timeout=seconds)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            body = answer.read()
        except http.client.HTTPException as broken:
            raise OSError(f"{self.host}:{self.port}: {broken!r}") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise OSError(f"{self.host}:{self.port}: status {answer.status}")
        try:
            return dict(json.loads(body))
        except (TypeError, ValueError):
            raise OSError(f"{self.host}:{self.port}: no JSON document") from None


@dataclass
class Count:
    """What visitors met.

    Attributes:
        asked: requests.
        failed: those without a good answer, after all tries.
        pods: answers by the pod that gave them.
        versions: answers by the version that the page shows.
        slowest: seconds of the slowest good answer, tries that failed before included.
        longest_gap: most seconds between two good answers.
        failures: how often each kind of failure ended a request.
    """

    asked: int = 0
    failed: int = 0
    pods: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    longest_gap: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.failed} of {self.asked} requests failed"


class Visitors:
    """A stream of visitors while a `with` block runs; afterwards `count` tells what they met."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        tries: int = 1,
        per_second: float = 10,
        needs_database: bool = True,
    ) -> None:
        """Prepare a stream.

        Args:
            targets: where to ask, in turn; a further try goes to the next one.
            tries: how often a visitor tries before giving up.
            per_second: new requests a second.
            needs_database: whether an answer without the database counts as failed.
        """
        self.count = Count()
        self._targets = tuple(targets)
        self._tries, self._pause, self._needs_database = tries, 1 / per_second, needs_database
        self._lock, self._over = threading.Lock(), threading.Event()
        self._last_good = 0.0
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="visitor")
        self._sent: list[Future[None]] = []
        self._sender = threading.Thread(target=self._send, name="visitors")

    def __enter__(self) -> Self:
        self._last_good = time.monotonic()
        self._sender.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._sender.join()
        self._pool.shutdown(wait=True)
        for one in self._sent:
            one.result()  # a mistake of ours in a visit must not look like a visit that never was
        # A silence that lasts to the end is a gap too.
        self._note_gap(time.monotonic())

    def _send(self) -> None:
        begin = time.monotonic()
        for number in itertools.count():
            if self._over.wait(max(0.0, begin + number * self._pause - time.monotonic())):
                return
            tries = [self._targets[(number + again) % len(self._targets)] for again in range(self._tries)]
            self._sent.append(self._pool.submit(self._visit, tries))

    def _visit(self, tries: list[Target]) -> None:
        begin, failure = time.monotonic(), ""
        for target in tries:
            try:
                page = target.get()
            except OSError as error:
                failure = type(error).__name__ if str(error) == "" else str(error).split(": ")[-1]
                continue
            if self._needs_database and not page["database"]:
                failure = "no database"
                continue
            self._note_good(page, time.monotonic() - begin)
            return
        with self._lock:
            self.count.asked += 1
            self.count.failed += 1
            self.count.failures[failure] += 1

    def _note_good(self, page: dict[str, Any], seconds: float) -> None:
        with self._lock:
            self.count.asked += 1
            self.count.pods[page["pod"]] += 1
            self.count.versions[page["version"]] += 1
            self.count.slowest = max(self.count.slowest, seconds)
            now = time.monotonic()
            self._note_gap(now)
            self._last_good = now

    def _note_gap(self, now: float) -> None:
        self.count.longest_gap = max(self.count.longest_gap, now - self._last_good)


def answers(target: Target, accept: Callable[[dict[str, Any]], bool] = bool) -> bool:
    """Whether the site answers there just now, and as it should."""
    try:
        return accept(target.get())
    except OSError:
        return False

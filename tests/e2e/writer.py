"""Writes through the balancer at a steady beat, as a client outside would, and their longest pause."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from tests.e2e.cluster import Cluster

BEAT = 0.2
TIMEOUT = 10.0


class Writer:
    """Changes a ConfigMap every 200 ms, each time over a connection of its own, while its block runs.

    A write that hangs holds nobody up: the next one begins on the beat.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._server, self._context = cluster.credential()
        self._url = f"{self._server}/api/v1/namespaces/{namespace}/configmaps/beat"
        cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "beat", "namespace": namespace}}
        )
        self.successes: list[float] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="writer")
        self._pool = ThreadPoolExecutor(max_workers=64)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def _beat(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stop.is_set():
            self._pool.submit(self._write, number)
            number, due = number + 1, due + BEAT
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _write(self, number: int) -> None:
        request = urllib.request.Request(
            self._url,
            data=json.dumps({"data": {"number": str(number)}}).encode(),
            method="PATCH",
            headers={"Content-Type": "application/merge-patch+json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._context) as answer:
                answer.read()
            self.successes.append(time.monotonic())
        except OSError as error:
            self.failures.append(str(error))

    def longest_pause(self) -> float:
        """Seconds between two successes that follow each other, at most."""
        times = sorted(self.successes)
        return max(later - earlier for earlier, later in itertools.pairwise(times))

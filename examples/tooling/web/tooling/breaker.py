"""A circuit breaker: while the database is away, one request at a time waits for it and all others fail at once.

Without it every thread would sit in a connect timeout, the health checks would queue behind them, and a database on a
dead node would get healthy web pods restarted. Each process has its own; they share nothing.
"""

import threading
import time
from collections.abc import Callable

from tooling.store import OpenStore, Store, StoreUnavailableError

RETRY_SECONDS = 1.0


class CircuitBreaker:
    """Opens stores, and remembers for a second that the last attempt failed.

    Args:
        open_store: what is tried.
        retry_seconds: how long after a failure nobody tries.
        clock: seconds that never jump back.
    """

    def __init__(
        self,
        open_store: OpenStore,
        retry_seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_store = open_store
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._away = False
        self._probing = False
        self._retry_at = 0.0

    def __call__(self) -> Store:
        """Open a store.

        Raises:
            StoreUnavailableError: if the database is away, or was a moment ago.
        """
        probe = self._enter()
        try:
            store = self._open_store()
        except BaseException:
            self._leave(probe, away=True)
            raise
        self._leave(probe, away=False)
        return store

    def _enter(self) -> bool:
        with self._lock:
            if not self._away:
                return False
            if self._probing or self._clock() < self._retry_at:
                raise StoreUnavailableError("the database did not answer a moment ago")
            self._probing = True
            return True

    def _leave(self, probe: bool, *, away: bool) -> None:
        with self._lock:
            self._away = away
            self._retry_at = self._clock() + self._retry_seconds
            if probe:
                self._probing = False

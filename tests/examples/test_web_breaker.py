"""The circuit breaker between requests and a database that is away."""

import threading

import pytest
from tooling.breaker import CircuitBreaker
from tooling.store import Store, StoreUnavailableError

from tests.examples.site import MemoryStore


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_after_a_failure_nobody_tries_for_a_second() -> None:
    store, clock, tried = MemoryStore(away=True), Clock(), []

    def attempt() -> Store:
        tried.append(clock.now)
        return store.open()

    breaker = CircuitBreaker(attempt, clock=clock)
    for _ in range(3):
        with pytest.raises(StoreUnavailableError):
            breaker()
    assert tried == [100.0]
    clock.now = 101.0
    store.away = False
    assert breaker() is store
    assert breaker() is store
    assert tried == [100.0, 101.0, 101.0]


def test_one_request_tries_while_the_others_fail_at_once() -> None:
    clock, waiting, go_on = Clock(), threading.Event(), threading.Event()
    store = MemoryStore(away=True)

    def attempt() -> Store:
        if clock.now > 100:
            waiting.set()
            assert go_on.wait(5)
        return store.open()

    breaker = CircuitBreaker(attempt, clock=clock)
    with pytest.raises(StoreUnavailableError):
        breaker()
    clock.now = 200.0
    store.away = False
    opened: list[Store] = []
    probe = threading.Thread(target=lambda: opened.append(breaker()))
    probe.start()
    assert waiting.wait(5)
    with pytest.raises(StoreUnavailableError, match="did not answer a moment ago"):
        breaker()
    go_on.set()
    probe.join(5)
    assert opened == [store]
    assert breaker() is store

"""Visitors count what they met: a made-up site on loopback fails as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from demo.traffic import Target, Visitors, answers


@contextmanager
def site(
    *statuses: int,
    pod: str = "web-a",
    database: bool = True,
    keys: tuple[str, ...] = ("pod", "version", "database"),
) -> Iterator[Target]:
    """A site that answers with the given statuses in turn, the last one for ever."""
    waiting = list(statuses)
    lock = threading.Lock()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                status = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            whole = {"pod": pod, "version": "1", "database": {"host": "db"} if database else None}
            document = json.dumps({key: whole[key] for key in keys})
            body = b"<html>" if self.path == "/html" else document.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Target("127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def nobody() -> Target:
    """A port at which nobody listens."""
    with site(200) as gone:
        return gone


def some(visitors: Visitors, requests: int) -> None:
    deadline = time.monotonic() + 20
    while visitors.count.asked < requests and time.monotonic() < deadline:
        time.sleep(0.02)


def test_good_answers_are_counted_by_pod_and_version() -> None:
    with site(200) as target, Visitors([target], per_second=50) as visitors:
        some(visitors, 5)
    count = visitors.count
    assert count.failed == 0
    assert count.pods == {"web-a": count.asked}
    assert count.versions == {"1": count.asked}
    assert count.asked >= 5


def test_another_status_is_a_failure_and_is_named() -> None:
    with site(503, 503, 200) as target, Visitors([target], per_second=50) as visitors:
        some(visitors, 6)
    assert visitors.count.failed == 2
    assert visitors.count.failures == {"status 503": 2}
    assert str(visitors.count) == f"2 of {visitors.count.asked} requests failed"


def test_who_tries_again_meets_no_failure() -> None:
    with site(503, 200, 503, 200) as target, Visitors([target], tries=2, per_second=10) as visitors:
        some(visitors, 4)
    assert visitors.count.failed == 0


def test_a_further_try_goes_to_the_next_address() -> None:
    with site(200) as target, Visitors([nobody(), target], tries=2, per_second=50) as visitors:
        some(visitors, 6)
    assert visitors.count.failed == 0


def test_without_a_further_try_every_second_request_fails_where_one_of_two_addresses_is_dead() -> None:
    with site(200) as target, Visitors([nobody(), target], per_second=50) as visitors:
        some(visitors, 10)
    assert visitors.count.failed in (visitors.count.asked // 2, (visitors.count.asked + 1) // 2)


@pytest.mark.parametrize(("needed", "failed"), [(True, True), (False, False)])
def test_an_answer_without_the_database_fails_who_needs_it(needed: bool, failed: bool) -> None:
    with (
        site(200, database=False) as target,
        Visitors([target], needs_database=needed, per_second=50) as visitors,
    ):
        some(visitors, 3)
    assert visitors.count.failed == (visitors.count.asked if failed else 0)


def test_a_silence_that_lasts_to_the_end_is_the_longest_gap() -> None:
    with Visitors([nobody()], per_second=20) as visitors:
        time.sleep(0.5)
    assert visitors.count.longest_gap >= 0.5


def test_a_page_that_is_no_document_is_a_failure() -> None:
    with site(200, pod="") as target:
        with pytest.raises(OSError, match=r"no JSON document$"):
            target.get("/html")
        with Visitors([target], per_second=50) as visitors:
            some(visitors, 2)
    assert visitors.count.failed == 0


def test_a_visit_that_fails_by_a_mistake_of_ours_is_not_lost() -> None:
    with site(200, keys=("pod",)) as target:
        visitors = Visitors([target], per_second=50)
        visitors.__enter__()
        time.sleep(0.2)
        with pytest.raises(KeyError, match="database"):
            visitors.__exit__(None, None, None)


def test_a_site_answers_only_as_it_is_asked_to() -> None:
    with site(200) as target:
        assert answers(target, lambda page: page["pod"] == "web-a")
        assert not answers(target, lambda page: page["pod"] == "web-b")
    assert not answers(target)

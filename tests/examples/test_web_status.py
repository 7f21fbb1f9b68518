"""What probes, the balancer and the demo ask the Tooling site."""

import time
from pathlib import Path

import pytest

from tests.examples.site import MemoryStore, Visitor


@pytest.mark.parametrize("away", [False, True])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_never_depends_on_the_database(tmp_path: Path, path: str, away: bool) -> None:
    store = MemoryStore(away=away)
    answer = Visitor(tmp_path, store).get(path)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert store.opened == 0


def test_a_file_takes_a_replica_out_of_service_and_back(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path, MemoryStore())
    file = tmp_path / "out-of-service"
    file.touch()
    answer = visitor.get("/readyz")
    assert (answer.status_code, answer.text) == (503, f"out of service: {file} exists\n")
    assert visitor.get("/healthz").status_code == 200
    file.unlink()
    assert visitor.get("/readyz").status_code == 200


def test_about_tells_the_replica_and_its_database_without_a_login(tmp_path: Path) -> None:
    assert Visitor(tmp_path, MemoryStore()).get("/about.json").json == {
        "version": "7",
        "pod": "web-1",
        "node": "worker-0",
        "address": "10.200.1.4",
        "database": {"host": "database", "address": "10.200.2.9", "hostname": "database-0"},
    }


def test_about_tells_of_a_database_that_is_away(tmp_path: Path) -> None:
    answer = Visitor(tmp_path, MemoryStore(away=True)).get("/about.json")
    assert answer.status_code == 200
    assert answer.json is not None
    assert answer.json["database"] is None


def test_burning_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert Visitor(tmp_path, MemoryStore()).get("/burn?milliseconds=1").status_code == 404


def test_burning_takes_processor_time(tmp_path: Path) -> None:
    visitor = Visitor(tmp_path, MemoryStore(), burn=True)
    before = time.thread_time()
    answer = visitor.get("/burn?milliseconds=50")
    assert time.thread_time() - before >= 0.05
    assert answer.json == {"burned_milliseconds": 50, "pod": "web-1"}


@pytest.mark.parametrize("text", ["", "-1", "1001", "1.5", "x", "²"])
def test_no_request_burns_more_than_a_second(tmp_path: Path, text: str) -> None:
    answer = Visitor(tmp_path, MemoryStore(), burn=True).get(f"/burn?milliseconds={text}")
    assert answer.status_code == 400
    assert answer.json == {"error": "milliseconds: give a number from 0 to 1000"}

"""The MariaDB store without a server: what its errors become, and that a silent server can't hold a request."""

import socket
import threading
import time

import pymysql
import pytest
from tooling import database
from tooling.settings import DatabaseSettings
from tooling.store import StoreUnavailableError


def at(port: int) -> DatabaseSettings:
    return DatabaseSettings("127.0.0.1", port, "tooling", "tooling", "secret")


def test_a_refused_connection_is_an_unavailable_store() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(StoreUnavailableError, match=f"^127.0.0.1:{port}: .*[Rr]efused"):
            database.MariaDbStore(at(port))


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            database.connect(at(silent.getsockname()[1]), read_seconds=1)
        assert time.monotonic() - began < 3


def test_a_server_that_hangs_up_is_an_unavailable_store() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: server.accept()[0].close()).start()
        with pytest.raises(StoreUnavailableError):
            database.MariaDbStore(at(server.getsockname()[1]))


def test_missing_tables_name_the_migration() -> None:
    with (
        pytest.raises(StoreUnavailableError, match=r"run: python3 -m tooling\.migrate$"),
        database.unavailable_is_told(at(3306)),
    ):
        raise pymysql.err.ProgrammingError(1146, "Table 'tooling.links' doesn't exist")


def test_wrong_sql_stays_an_error_of_ours() -> None:
    with pytest.raises(pymysql.err.ProgrammingError), database.unavailable_is_told(at(3306)):
        raise pymysql.err.ProgrammingError(1064, "You have an error in your SQL syntax")


def test_no_wait_for_the_server_is_longer_than_three_seconds() -> None:
    assert database.TIMEOUT_SECONDS == 3

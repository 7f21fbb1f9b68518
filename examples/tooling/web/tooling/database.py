"""MariaDB behind the `Store` seam: one connection per request, and no wait for the server is longer than 3 s.

There is no pool: a connection costs a millisecond inside of a cluster, and none can outlive the server it led to.
SQL is constant text; values travel as parameters. The connection is not encrypted, as the server has no certificate:
who can read the network between the machines can read it. How long a name server takes to answer is not bounded here.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import ER
from pymysql.cursors import Cursor

from tooling.settings import DatabaseSettings
from tooling.store import DatabaseServer, Link, StoreUnavailableError, User

TIMEOUT_SECONDS = 3
"""For the connect, and for each read and write: the node of a database may vanish without a word."""

_UNFINISHED = frozenset({ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR})


@contextmanager
def unavailable_is_told(settings: DatabaseSettings) -> Iterator[None]:
    """Turn what a lost, refusing or unprepared server raises into `StoreUnavailableError`; other errors are bugs."""
    try:
        yield
    except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
        raise StoreUnavailableError(f"{settings.host}:{settings.port}: {error}") from error
    except pymysql.err.ProgrammingError as error:
        if error.args[0] not in _UNFINISHED:
            raise
        raise StoreUnavailableError(
            f"{settings.host}:{settings.port}: {error.args[1]}; run: python3 -m tooling.migrate"
        ) from error


def connect(
    settings: DatabaseSettings, read_seconds: int = TIMEOUT_SECONDS
) -> tuple["Connection[Cursor]", str]:
    """Open a connection that commits every statement by itself.

    Args:
        settings: where and as whom.
        read_seconds: the longest wait for an answer.

    Returns:
        The connection, and the address at its other end.

    Raises:
        StoreUnavailableError: if the server is away or refuses us.
    """
    connection = pymysql.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password,
        database=settings.name,
        charset="utf8mb4",
        autocommit=True,
        read_timeout=read_seconds,
        write_timeout=TIMEOUT_SECONDS,
        ssl_disabled=True,  # else each connection reads all of this computer's CAs first: 25 ms
        defer_connect=True,
    )
    # The socket is made here because the driver does not tell whom it reached.
    with unavailable_is_told(settings):
        peer = socket.create_connection((settings.host, settings.port), TIMEOUT_SECONDS)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        address = str(peer.getpeername()[0])
        connection.connect(peer)
    return connection, address


class MariaDbStore:
    """The store of one request."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._settings = settings
        self._connection, self._address = connect(settings)

    def user_named(self, name: str) -> User | None:
        """See `Store`."""
        rows = self._rows("SELECT id, name, password_hash FROM users WHERE name = %s", name)
        return User(*rows[0]) if rows else None

    def user(self, user_id: int) -> User | None:
        """See `Store`."""
        rows = self._rows("SELECT id, name, password_hash FROM users WHERE id = %s", user_id)
        return User(*rows[0]) if rows else None

    def links(self) -> list[Link]:
        """See `Store`."""
        return [Link(*row) for row in self._rows("SELECT id, title, url FROM links ORDER BY title, id")]

    def add_link(self, title: str, url: str) -> None:
        """See `Store`."""
        self._change("INSERT INTO links (title, url) VALUES (%s, %s)", title, url)

    def delete_link(self, link_id: int) -> bool:
        """See `Store`."""
        return self._change("DELETE FROM links WHERE id = %s", link_id) == 1

    def server(self) -> DatabaseServer:
        """See `Store`."""
        (hostname,) = self._rows("SELECT @@hostname")[0]
        return DatabaseServer(self._settings.host, self._address, str(hostname))

    def close(self) -> None:
        """See `Store`."""
        try:
            self._connection.close()
        except (pymysql.err.Error, OSError):
            return  # it was lost before; there is nothing left to give back

    def _rows(self, statement: str, *values: object) -> tuple[tuple[Any, ...], ...]:
        with unavailable_is_told(self._settings), self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def _change(self, statement: str, *values: object) -> int:
        with unavailable_is_told(self._settings), self._connection.cursor() as cursor:
            return cursor.execute(statement, values)

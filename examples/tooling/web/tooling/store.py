"""What the site keeps, and the seam behind which it is kept. Pages see only this; MariaDB is in `database`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class StoreUnavailableError(Exception):
    """The database can't be used now; the message says why, for the log and not for visitors."""


@dataclass(frozen=True)
class User:
    """Someone who may log in."""

    id: int
    name: str
    password_hash: str


@dataclass(frozen=True)
class Link:
    """A tool of the team."""

    id: int
    title: str
    url: str


@dataclass(frozen=True)
class DatabaseServer:
    """Which server answered: the name we asked for, the peer of the TCP connection, its own host name."""

    host: str
    address: str
    hostname: str


class Store(Protocol):
    """Users and links, for one request; every method raises `StoreUnavailableError` when the database is away."""

    def user_named(self, name: str) -> User | None:
        """Return the user of this name, if there is one."""

    def user(self, user_id: int) -> User | None:
        """Return the user of this number, if there still is one."""

    def links(self) -> list[Link]:
        """Return all links by title."""

    def add_link(self, title: str, url: str) -> None:
        """Keep a link; title and URL were checked by the form."""

    def delete_link(self, link_id: int) -> bool:
        """Forget a link; False when somebody else already did."""

    def server(self) -> DatabaseServer:
        """Return which server is at the other end."""

    def close(self) -> None:
        """Give the connection back; never raises."""


OpenStore = Callable[[], Store]
"""Opens a store for one request, or raises `StoreUnavailableError` within seconds."""

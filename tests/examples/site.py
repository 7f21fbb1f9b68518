"""The Tooling site as tests see it: with a store in memory, and a browser that remembers cookies."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from flask.testing import FlaskClient
from tooling import create_app
from tooling.passwords import hash_password
from tooling.settings import DatabaseSettings, Settings
from tooling.store import DatabaseServer, Link, Store, StoreUnavailableError, User
from werkzeug.test import TestResponse

PASSWORD = "correct horse"
ADMIN = User(1, "admin", hash_password(PASSWORD))
SESSION_KEY = "k" * 32


@dataclass
class MemoryStore:
    """Users and links in this process; `closed` counts how often a request gave it back."""

    users: list[User] = field(default_factory=lambda: [ADMIN])
    kept: list[Link] = field(default_factory=list)
    away: bool = False
    opened: int = 0
    closed: int = 0

    def open(self) -> Store:
        """Act as the site's `open_store`."""
        if self.away:
            raise StoreUnavailableError("database.internal:3306: no route, password hunter2")
        self.opened += 1
        return self

    def user_named(self, name: str) -> User | None:
        """See `Store`."""
        return next((user for user in self.users if user.name == name), None)

    def user(self, user_id: int) -> User | None:
        """See `Store`."""
        return next((user for user in self.users if user.id == user_id), None)

    def links(self) -> list[Link]:
        """See `Store`."""
        return self.kept

    def add_link(self, title: str, url: str) -> None:
        """See `Store`."""
        self.kept.append(Link(len(self.kept) + 1, title, url))

    def delete_link(self, link_id: int) -> bool:
        """See `Store`."""
        before = len(self.kept)
        self.kept = [link for link in self.kept if link.id != link_id]
        return len(self.kept) < before

    def server(self) -> DatabaseServer:
        """See `Store`."""
        return DatabaseServer("database", "10.200.2.9", "database-0")

    def close(self) -> None:
        """See `Store`."""
        self.closed += 1


def settings(folder: Path, *, burn: bool = False, https: bool = False) -> Settings:
    """Return settings whose file for being out of service lies in a test's folder."""
    return Settings(
        database=DatabaseSettings("database", 3306, "tooling", "tooling", "secret"),
        session_key=SESSION_KEY,
        version="7",
        pod="web-1",
        node="worker-0",
        address="10.200.1.4",
        burn=burn,
        https=https,
        out_of_service_file=folder / "out-of-service",
    )


class Visitor:
    """A browser at the site."""

    def __init__(self, folder: Path, store: MemoryStore, *, burn: bool = False, https: bool = False) -> None:
        self.client: FlaskClient = create_app(
            settings(folder, burn=burn, https=https), store.open
        ).test_client()

    def get(self, path: str) -> TestResponse:
        """Ask for a page."""
        return self.client.get(path)

    def send(self, path: str, **fields: str) -> TestResponse:
        """Send a form of a page that was open: with its CSRF token."""
        page = self.get("/login").text
        found = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert found, page
        return self.client.post(path, data={**fields, "csrf_token": found.group(1)})

    def log_in(self, name: str = "admin", password: str = PASSWORD) -> TestResponse:
        """Send the login form."""
        return self.send("/login", name=name, password=password)

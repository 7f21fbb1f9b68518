"""What the pages need from the application, and the store of the request that is served."""

from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, g

from tooling.passwords import Passwords
from tooling.settings import Settings
from tooling.store import OpenStore, Store

_EXTENSION = "tooling"


@dataclass(frozen=True)
class Parts:
    """Made once in each process."""

    settings: Settings
    open_store: OpenStore
    passwords: Passwords


def install(app: Flask, made: Parts) -> None:
    """Give the parts to an application, and its requests a store that is closed when they end."""
    app.extensions[_EXTENSION] = made
    app.teardown_appcontext(_close_store)


def parts() -> Parts:
    """Return the parts of the application that serves this request."""
    return cast(Parts, current_app.extensions[_EXTENSION])


def store() -> Store:
    """Return the store of this request, opened when it is first asked for.

    Raises:
        StoreUnavailableError: if the database is away.
    """
    if "store" not in g:
        g.store = parts().open_store()
    return cast(Store, g.store)


def _close_store(_: BaseException | None) -> None:
    opened: Store | None = g.pop("store", None)
    if opened is not None:
        opened.close()

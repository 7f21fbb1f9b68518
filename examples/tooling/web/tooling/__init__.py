"""The Tooling site: a team's page of links to its DevOps tools, behind a login.

Nothing here knows whether it runs under Compose, Swarm or Kubernetes: what differs comes by environment and files.
It serves plain HTTP; TLS, and a limit on how often one may try a password, belong to what stands in front of it.
"""

from datetime import timedelta

from flask import Flask
from flask_wtf.csrf import CSRFProtect

from tooling import access, errors, headers, links, parts, status
from tooling.breaker import CircuitBreaker
from tooling.database import MariaDbStore
from tooling.passwords import Passwords
from tooling.settings import Settings
from tooling.store import OpenStore, Store

SESSION_HOURS = 12
LARGEST_REQUEST = 64 * 1024
"""Bytes; a form of this site has under four thousand characters."""


def create_app(settings: Settings | None = None, open_store: OpenStore | None = None) -> Flask:
    """Build the application. It connects to nothing yet, so the site starts while its database is away.

    Args:
        settings: what it runs with; read from the environment when None.
        open_store: opens the store of one request; MariaDB behind a circuit breaker when None.

    Raises:
        SettingsError: if a variable or a secret file is missing or unusable.
    """
    settings = settings or Settings.from_environment()
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=settings.session_key,
        SESSION_COOKIE_NAME="tooling",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.https,
        PERMANENT_SESSION_LIFETIME=timedelta(hours=SESSION_HOURS),
        MAX_CONTENT_LENGTH=LARGEST_REQUEST,
        WTF_CSRF_TIME_LIMIT=None,  # a token is the session's, and ends with it
    )
    CSRFProtect(app)
    parts.install(app, parts.Parts(settings, open_store or _guarded_mariadb(settings), Passwords()))
    errors.install(app)
    headers.install(app)
    for module in (access, links, status):
        app.register_blueprint(module.pages)
    app.context_processor(lambda: {"settings": settings})
    return app


def _guarded_mariadb(settings: Settings) -> OpenStore:
    def open_store() -> Store:
        return MariaDbStore(settings.database)

    return CircuitBreaker(open_store)

"""Who is logged in: a signed cookie that any replica can read, since all have the same key. No server-side sessions."""

import hmac
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Blueprint, current_app, g, redirect, render_template, session, url_for
from werkzeug.wrappers import Response

from tooling.forms import LoginForm
from tooling.parts import parts, store
from tooling.passwords import stamp
from tooling.store import User

pages = Blueprint("access", __name__)
_Arguments = ParamSpec("_Arguments")
_Page = Response | str | tuple[str, int]


def login_required(view: Callable[_Arguments, _Page]) -> Callable[_Arguments, _Page]:
    """Send visitors who aren't logged in to the login page."""

    @wraps(view)
    def guarded(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Page:
        g.user = _visitor()
        if g.user is None:
            return redirect(url_for("access.login"), code=303)
        return view(*arguments, **named)

    return guarded


@pages.get("/login")
def login() -> _Page:
    """Show the form."""
    return render_template("login.html", form=LoginForm())


@pages.post("/login")
def log_in() -> _Page:
    """Check name and password; the answer does not tell which of them was wrong."""
    form = LoginForm()
    if form.validate():
        user = store().user_named(form.name.data)
        if parts().passwords.match(form.password.data, user.password_hash if user else None) and user:
            _begin_session(user)
            return redirect(url_for("links.page"), code=303)
        current_app.logger.warning("a login was refused")
    return render_template("login.html", form=form, refused=True), 401


@pages.post("/logout")
def log_out() -> _Page:
    """Forget the visitor. The cookie is gone from this browser; a copied one lives until it expires."""
    session.clear()
    return redirect(url_for("access.login"), code=303)


def _begin_session(user: User) -> None:
    session.clear()  # a new CSRF token too: what was known before the login is worth nothing after it
    session.permanent = True
    session["user"] = user.id
    session["stamp"] = stamp(user.password_hash, parts().settings.session_key)


def _visitor() -> User | None:
    if "user" not in session:
        return None
    user = store().user(session["user"])
    if user is None:
        return None
    expected = stamp(user.password_hash, parts().settings.session_key)
    return user if hmac.compare_digest(session.get("stamp", ""), expected) else None

"""Pages for what went wrong. Visitors read what to do; the reason goes to the log, a traceback never to a visitor."""

from flask import Flask, current_app, make_response, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from tooling.store import StoreUnavailableError

RETRY_AFTER_SECONDS = 5

_SENTENCES = {
    404: ("There is no such page", "The address is wrong, or the page is gone."),
    405: ("That is not how this page works", "Go back to the tools and try from there."),
    413: ("That is too much", "The form has far more text in it than any tool needs."),
    500: ("Something went wrong", "It is in the log of the replica named below. Trying again may help."),
}
_OTHER = ("That did not work", "Go back to the tools and try again.")


def install(app: Flask) -> None:
    """Register the pages."""
    app.register_error_handler(StoreUnavailableError, _database_away)
    app.register_error_handler(CSRFError, _form_too_old)
    app.register_error_handler(HTTPException, _other)


def _database_away(error: StoreUnavailableError) -> Response:
    current_app.logger.warning("the database is away: %s", error)
    answer = _page(
        503, "The database is away", "The site is running, but its database does not answer. Try again soon."
    )
    answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def _form_too_old(_: CSRFError) -> Response:
    return _page(400, "The form has expired", "Open the page again and send the form once more.")


def _other(error: HTTPException) -> Response:
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()
    return _page(error.code, *_SENTENCES.get(error.code, _OTHER))


def _page(code: int, title: str, sentence: str) -> Response:
    return make_response(render_template("error.html", code=code, title=title, sentence=sentence), code)

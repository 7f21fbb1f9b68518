"""What machines ask: does the process live, may it get requests, which replica is it. No login, nothing secret."""

import time

from flask import Blueprint, abort, current_app, jsonify, request
from flask.typing import ResponseReturnValue

from tooling.parts import parts, store
from tooling.store import StoreUnavailableError

pages = Blueprint("status", __name__)

LONGEST_BURN = 1000
"""Milliseconds of processor time that one request may take."""


@pages.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Tell that the process serves; restarting it would not mend a database, so that isn't asked."""
    return "ok\n", {"Content-Type": "text/plain"}


@pages.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Tell whether this replica wants requests: 503 while `/tmp/out-of-service` exists.

    It does not ask for the database: all replicas would leave the Service at once, and visitors would get a refused
    connection instead of a page that says what is wrong.
    """
    out = parts().settings.out_of_service_file
    if out.exists():
        return f"out of service: {out} exists\n", 503, {"Content-Type": "text/plain"}
    return "ok\n", {"Content-Type": "text/plain"}


@pages.get("/about.json")
def about() -> ResponseReturnValue:
    """Tell which replica answers, and which database answers it (null when it is away)."""
    settings = parts().settings
    database: dict[str, str] | None = None
    try:
        server = store().server()
        database = {"host": server.host, "address": server.address, "hostname": server.hostname}
    except StoreUnavailableError as error:
        current_app.logger.warning("about.json without a database: %s", error)
    return jsonify(
        version=settings.version,
        pod=settings.pod,
        node=settings.node,
        address=settings.address,
        database=database,
    )


@pages.get("/burn")
def burn() -> ResponseReturnValue:
    """Use processor time, for the autoscaler's demonstration; no such page unless `TOOLING_BURN=1`."""
    if not parts().settings.burn:
        abort(404)
    text = request.args.get("milliseconds", "")
    if not (text.isascii() and text.isdigit() and int(text) <= LONGEST_BURN):
        return jsonify(error=f"milliseconds: give a number from 0 to {LONGEST_BURN}"), 400
    until = time.thread_time() + int(text) / 1000
    while time.thread_time() < until:
        pass
    return jsonify(burned_milliseconds=int(text), pod=parts().settings.pod)

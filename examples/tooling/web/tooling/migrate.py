"""`python3 -m tooling.migrate`: brings the database to what this version of the site needs, then ends.

Runs before every replica starts, so it changes nothing when nothing is to do, and replicas that start at the same
time take turns under a lock in the database. It never goes back: see `schema` for what a step may do.
"""

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from pymysql.connections import Connection
from pymysql.cursors import Cursor

from tooling.database import connect, unavailable_is_told
from tooling.passwords import hash_password, verify_password
from tooling.schema import CREATE_STEPS, STEPS
from tooling.settings import DatabaseSettings, SettingsError, read_secret
from tooling.store import StoreUnavailableError

ADMIN = "admin"
LOCK = "tooling.migrate"
LOCK_SECONDS = 60
WAIT_SECONDS = 600
"""How long a database may be away; after it the orchestrator tries again. Long, since orchestrators wait ever longer
between tries, and the site is wanted as soon as the database is back."""
RETRY_SECONDS = 1.0

_Result = TypeVar("_Result")


def main() -> int:
    """Wait for the database and migrate it; 0 when it is up to date, 1 with the reason on standard error."""
    try:
        settings = DatabaseSettings.from_environment()
        admin_password = read_secret("ADMIN_PASSWORD_FILE", "admin-password")
        # The lock's wait is an answer that takes long, and longer than any other.
        connection, _ = wait_for(lambda: connect(settings, read_seconds=LOCK_SECONDS + 10), WAIT_SECONDS)
        with unavailable_is_told(settings), connection, connection.cursor() as cursor:
            for line in migrate(connection, cursor, admin_password):
                print(f"tooling.migrate: {line}")
    except (SettingsError, StoreUnavailableError, LockTakenError) as error:
        print(f"tooling.migrate: {error}", file=sys.stderr)
        return 1
    return 0


class LockTakenError(Exception):
    """Another migration holds the lock for longer than any should take."""


def wait_for(
    attempt: Callable[[], _Result],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> _Result:
    """Try every second until it works.

    Args:
        attempt: raises `StoreUnavailableError` while the database is away.
        seconds: how long to go on.
        clock: seconds that never jump back.
        sleep: waits so many seconds.

    Raises:
        StoreUnavailableError: the last one, when the time is over.
    """
    deadline = clock() + seconds
    while True:
        try:
            return attempt()
        except StoreUnavailableError as error:
            if clock() >= deadline:
                raise StoreUnavailableError(f"no usable database within {seconds:g} s: {error}") from error
        sleep(RETRY_SECONDS)


def migrate(connection: "Connection[Cursor]", cursor: Cursor, admin_password: str) -> list[str]:
    """Apply the steps that are missing, in order, and see to the administrator; under the lock.

    Args:
        connection: to begin and commit with.
        cursor: one of the connection's.
        admin_password: what the user `admin` shall log in with.

    Returns:
        What was done, for the log.

    Raises:
        LockTakenError: if another migration did not end within 60 s.
    """
    cursor.execute("SELECT GET_LOCK(%s, %s)", (LOCK, LOCK_SECONDS))
    if cursor.fetchone() != (1,):
        raise LockTakenError(
            f"the lock {LOCK!r} was not free within {LOCK_SECONDS} s; "
            "look at SHOW PROCESSLIST for the migration that holds it"
        )
    try:
        return _apply_steps(connection, cursor) + _set_admin(cursor, admin_password)
    finally:
        cursor.execute("SELECT RELEASE_LOCK(%s)", (LOCK,))


def _apply_steps(connection: "Connection[Cursor]", cursor: Cursor) -> list[str]:
    cursor.execute(CREATE_STEPS)
    cursor.execute("SELECT number FROM steps")
    applied = {row[0] for row in cursor.fetchall()}
    missing = [step for step in STEPS if step.number not in applied]
    for step in missing:
        # Rows and their record are kept together or not at all.
        connection.begin()
        for statement, values in step.statements:
            cursor.execute(statement, values)
        cursor.execute("INSERT INTO steps (number) VALUES (%s)", (step.number,))
        connection.commit()
    return [f"step {step.number} applied" for step in missing] or ["up to date"]


def _set_admin(cursor: Cursor, password: str) -> list[str]:
    """The secret decides: a changed one is the password after the next start, and ends the sessions of the old."""
    cursor.execute("SELECT password_hash FROM users WHERE name = %s", (ADMIN,))
    row = cursor.fetchone()
    if row and verify_password(password, row[0]):
        return []
    cursor.execute(
        "INSERT INTO users (name, password_hash) VALUES (%s, %s) "
        "ON DUPLICATE KEY UPDATE password_hash = VALUES(password_hash)",
        (ADMIN, hash_password(password)),
    )
    return [f"password of {ADMIN} set"]


if __name__ == "__main__":
    sys.exit(main())

"""The migration against a cursor that remembers what it was told: order, lock, and nothing twice."""

import re
from collections.abc import Sequence
from typing import Any, cast

import pytest
from pymysql.connections import Connection
from pymysql.cursors import Cursor
from tooling import migrate
from tooling.passwords import verify_password
from tooling.schema import FIRST_LINKS, STEPS
from tooling.store import StoreUnavailableError


class FakeDatabase:
    """A connection and its cursor; keeps the recorded steps and the administrator's hash between migrations."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.steps: list[int] = []
        self.titles: list[str] = []
        self.password_hash: str | None = None
        self.lock_is_free = True
        self.fails_at: str | None = None
        self._answer: list[tuple[Any, ...]] = []

    def execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        self.log.append(statement)
        if self.fails_at and self.fails_at in statement:
            raise RuntimeError(statement)
        self._answer = []
        if "GET_LOCK" in statement:
            self._answer = [(1 if self.lock_is_free else 0,)]
        elif statement == "SELECT number FROM steps":
            self._answer = [(number,) for number in self.steps]
        elif statement.startswith("INSERT INTO steps"):
            self.steps.append(values[0])
        elif statement.startswith("INSERT INTO links"):
            self.titles.append(values[0])
        elif statement.startswith("SELECT password_hash"):
            self._answer = [(self.password_hash,)] if self.password_hash else []
        elif statement.startswith("INSERT INTO users"):
            self.password_hash = values[1]

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._answer[0] if self._answer else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._answer

    def begin(self) -> None:
        self.log.append("BEGIN")

    def commit(self) -> None:
        self.log.append("COMMIT")

    def migrate(self, password: str = "first") -> list[str]:
        return migrate.migrate(cast("Connection[Cursor]", self), cast(Cursor, self), password)


def shapes(log: list[str]) -> list[str]:
    return [" ".join(re.findall(r"[A-Za-z_]+", line)[:3]) for line in log]


def test_a_new_database_gets_tables_then_rows_then_the_administrator() -> None:
    database = FakeDatabase()
    assert database.migrate() == ["step 1 applied", "step 2 applied", "password of admin set"]
    assert database.titles == [title for title, _ in FIRST_LINKS]
    assert database.password_hash is not None
    assert verify_password("first", database.password_hash)
    assert [line for line in shapes(database.log) if not line.startswith("INSERT INTO links")] == [
        "SELECT GET_LOCK s",
        "CREATE TABLE IF",
        "SELECT number FROM",
        "BEGIN",
        "CREATE TABLE IF",
        "CREATE TABLE IF",
        "INSERT INTO steps",
        "COMMIT",
        "BEGIN",
        "INSERT INTO steps",
        "COMMIT",
        "SELECT password_hash FROM",
        "INSERT INTO users",
        "SELECT RELEASE_LOCK s",
    ]


def test_a_second_migration_changes_nothing() -> None:
    database = FakeDatabase()
    database.migrate()
    database.titles.remove("Jenkins")
    kept = database.password_hash
    database.log.clear()
    assert database.migrate() == ["up to date"]
    assert "Jenkins" not in database.titles
    assert database.password_hash == kept
    assert not [line for line in database.log if line.startswith(("INSERT", "UPDATE", "DELETE", "ALTER"))]


def test_a_changed_secret_is_the_administrators_new_password() -> None:
    database = FakeDatabase()
    database.migrate("first")
    assert database.migrate("second") == ["up to date", "password of admin set"]
    assert database.password_hash is not None
    assert verify_password("second", database.password_hash)


def test_a_step_that_was_interrupted_is_applied_again() -> None:
    database = FakeDatabase()
    database.fails_at = "INSERT INTO links"
    with pytest.raises(RuntimeError):
        database.migrate()
    assert database.steps == [1]
    assert database.log[-1] == "SELECT RELEASE_LOCK(%s)"
    assert database.log.count("COMMIT") == 1
    database.fails_at = None
    assert database.migrate()[0] == "step 2 applied"


def test_nothing_is_touched_without_the_lock() -> None:
    database = FakeDatabase()
    database.lock_is_free = False
    with pytest.raises(migrate.LockTakenError, match="look at SHOW PROCESSLIST"):
        database.migrate()
    assert database.log == ["SELECT GET_LOCK(%s, %s)"]


def test_steps_are_numbered_in_order_and_tables_bear_repetition() -> None:
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    for step in STEPS:
        for statement, _ in step.statements:
            assert not statement.startswith("CREATE") or statement.startswith("CREATE TABLE IF NOT EXISTS")


def test_waiting_ends_with_the_last_reason() -> None:
    now = [0.0]

    def attempt() -> None:
        raise StoreUnavailableError("database:3306: refused")

    with pytest.raises(StoreUnavailableError) as told:
        migrate.wait_for(attempt, 3, lambda: now[0], lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert str(told.value) == "no usable database within 3 s: database:3306: refused"
    assert now == [3.0]


def test_waiting_ends_as_soon_as_the_database_answers() -> None:
    answers = [StoreUnavailableError("refused"), StoreUnavailableError("refused")]
    slept: list[float] = []

    def attempt() -> str:
        if answers:
            raise answers.pop()
        return "connected"

    assert migrate.wait_for(attempt, 60, lambda: 0.0, slept.append) == "connected"
    assert slept == [1.0, 1.0]


def test_a_missing_secret_ends_the_migration_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD_FILE", "/nowhere/password")
    assert migrate.main() == 1
    assert capsys.readouterr().err == (
        "tooling.migrate: DATABASE_PASSWORD_FILE: /nowhere/password: No such file or directory; "
        "mount the secret there\n"
    )

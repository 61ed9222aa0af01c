"""Drivers of both databases whose every step is an edge: as theirs, but for the faults."""

# ruff: noqa: ANN401 - the methods that are overridden here take and return anything

import re
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

from proof.steps import Steps

T = TypeVar("T")


def break_database(engine: Engine, steps: Steps) -> None:
    """Have every connection that `engine` makes from now on fail at the edges, as its driver would."""
    sqlite = engine.dialect.name == "sqlite"
    make = SqliteConnection.made if sqlite else PostgresConnection.made

    def connect(_dialect: object, _record: object, positional: list[Any], named: dict[str, Any]) -> Any:
        fault = sqlite3.OperationalError if sqlite else psycopg.OperationalError
        return steps.step("connect", lambda: make(steps, *positional, **named), lambda: fault("timeout expired"))

    event.listen(engine, "do_connect", connect)


def brief(statement: object) -> str:
    """Return a statement as a name for it."""
    return re.sub(r"\s+", " ", str(statement)).strip()[:60]


class SqliteConnection(sqlite3.Connection):
    """A connection to a file on a disk that fails."""

    steps: Steps

    @classmethod
    def made(cls, steps: Steps, *positional: Any, **named: Any) -> "SqliteConnection":
        """Connect."""
        connection = sqlite3.connect(*positional, factory=cls, **named)
        connection.steps = steps
        return connection

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or SqliteCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:  # or it would make a cursor of another class
        return self.cursor().execute(sql, parameters)

    def commit(self) -> None:
        self.steps.step("COMMIT", super().commit, self.fail)

    def rollback(self) -> None:
        self.steps.step("ROLLBACK", super().rollback, lambda: sqlite3.OperationalError("disk I/O error"))

    def __del__(self) -> None:
        """Close what SQLAlchemy drops where a fault strikes while it sets a connection up: Python 3.13 warns."""
        self.close()

    def fail(self) -> Exception:
        """Roll back, as SQLite itself does where the disk is full or fails; return the fault."""
        if self.in_transaction:
            super().rollback()
        return sqlite3.OperationalError("disk I/O error")


class SqliteCursor(sqlite3.Cursor):
    """Runs statements on a disk that fails."""

    connection: SqliteConnection

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        execute = super().execute
        return self._step(brief(sql), lambda: execute(sql, parameters))

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        executemany = super().executemany
        return self._step(f"{brief(sql)} (many)", lambda: executemany(sql, parameters))

    def fetchone(self) -> Any:
        return self._step("fetch", super().fetchone)

    def fetchall(self) -> list[Any]:
        return self._step("fetch", super().fetchall)

    def _step(self, name: str, do: Callable[[], T]) -> T:
        return self.connection.steps.step(name, do, self.connection.fail)


class PostgresConnection(psycopg.Connection[Any]):
    """A connection that is cut; the server rolls back what was not committed."""

    steps: Steps

    @classmethod
    def made(cls, steps: Steps, *positional: Any, **named: Any) -> "PostgresConnection":
        """Connect."""
        connection = cls.connect(*positional, cursor_factory=PostgresCursor, **named)
        connection.steps = steps
        return connection

    def commit(self) -> None:
        self.steps.step("COMMIT", super().commit, self.cut)

    def rollback(self) -> None:
        self.steps.step("ROLLBACK", super().rollback, self.cut)

    def cut(self) -> Exception:
        """Close the socket; return the fault."""
        self.pgconn.finish()
        return psycopg.OperationalError("server closed the connection unexpectedly")


class PostgresCursor(psycopg.Cursor[Any]):
    """Runs statements on a connection that is cut. What it fetches is here already: no step."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        execute = super().execute
        return self._step(brief(query), lambda: execute(query, params, **options))

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        executemany = super().executemany
        self._step(f"{brief(query)} (many)", lambda: executemany(query, params_seq, **options))

    def _step(self, name: str, do: Callable[[], T]) -> T:
        connection: Any = self.connection
        if not hasattr(connection, "steps"):  # while connecting
            return do()
        steps: Steps = connection.steps
        return steps.step(name, do, connection.cut)

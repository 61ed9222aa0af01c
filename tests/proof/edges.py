"""The places where the outside of a process can fail, and what can be had to happen there."""

import sqlite3
from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import psycopg
from sqlalchemy import Engine, event

Edge: TypeAlias = Literal["statement", "write", "commit", "committed", "ask", "told"]
DATABASE_EDGES: Final[tuple[Edge, ...]] = ("statement", "write", "commit", "committed")
"""Before any statement, before one that writes, before a COMMIT, and after it was done."""
PANEL_EDGES: Final[tuple[Edge, ...]] = ("ask", "told")
"""Before a request arrives, and while its reply is on its way."""
EDGES: Final = DATABASE_EDGES + PANEL_EDGES
WRITES: Final = ("INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """A process dies here: nothing of it goes on, and its connections break."""


class Edges:
    """The places where the outside can fail, each armed for at most one thing at a time."""

    def __init__(self) -> None:
        self._armed: dict[Edge, tuple[int, Callable[[], object]]] = {}

    def arm(self, edge: Edge, count: int, what: Callable[[], object]) -> None:
        """Have `what` done at the `count`-th edge from now on; what it raises is raised there."""
        self._armed[edge] = count, what

    def disarm(self) -> None:
        """Let nothing happen."""
        self._armed.clear()

    def cross(self, edge: Edge) -> None:
        """Come to an edge."""
        if edge in self._armed:
            count, what = self._armed.pop(edge)
            if count > 1:
                self._armed[edge] = count - 1, what
            else:
                what()

    def watch(self, engine: Engine) -> None:
        """Cross the edges of a database, where its driver is called."""
        for call in ("do_execute", "do_executemany", "do_execute_no_params"):
            event.listen(engine, call, self._statement)
        commit = engine.dialect.do_commit

        def do_commit(connection: Any) -> None:  # noqa: ANN401  # a DBAPI connection has no type
            self.cross("commit")
            commit(connection)
            self.cross("committed")

        engine.dialect.do_commit = do_commit  # type: ignore[method-assign, assignment]  # before and after the driver's own

    def _statement(self, _cursor: object, statement: str, *_: object) -> None:
        self.cross("statement")
        if statement.startswith(WRITES):
            self.cross("write")


def kill() -> None:
    """Die."""
    raise Killed


def database_fault(engine: Engine) -> None:
    """Raise what a driver raises where its database is away."""
    sqlite = engine.dialect.name == "sqlite"
    raise (sqlite3.OperationalError if sqlite else psycopg.OperationalError)("database is locked")

"""Builds with a fault planted in them, of kinds that programs of this sort have had: each must be found."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from sqlalchemy import ColumnElement, Connection

from tracker.decide import Decision
from tracker.store.polling.orders import Orders
from tracker.store.schema import orders

Build: TypeAlias = Callable[[], AbstractContextManager[object]]


@contextmanager
def swallowed() -> Iterator[None]:
    """Take every second group of answers for written."""
    apply, calls = Orders.apply, [0]

    def careless(self: Orders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        calls[0] += 1
        return apply(self, decisions, round_id) if calls[0] % 2 else decisions

    with patch.object(Orders, "apply", careless):
        yield


class _Hasty:
    """A connection that commits before a transition is written."""

    def __init__(self, connection: Connection, transition: object) -> None:
        self._connection, self._transition = connection, transition

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever a connection has
        return getattr(self._connection, name)

    def execute(self, statement: Any, *values: Any) -> Any:  # noqa: ANN401  # as a connection does
        if statement is self._transition:
            self._connection.exec_driver_sql("COMMIT")
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        return self._connection.execute(statement, *values)


@contextmanager
def split() -> Iterator[None]:
    """Write transitions in a transaction of their own (SQLite)."""
    write = Orders._write

    def hasty(self: Orders, connection: Connection, decisions: Sequence[Decision], round_id: str) -> None:
        wrapped: Any = _Hasty(connection, self._statements.write_transition)
        write(self, wrapped, decisions, round_id)

    with patch.object(Orders, "_write", hasty):
        yield


@contextmanager
def unguarded() -> Iterator[None]:
    """Write an answer whatever has become of its order since it was read."""

    def by_key(_dialect: str, row: dict[str, ColumnElement[Any]]) -> ColumnElement[bool]:
        return orders.c.id == row["key"]

    with patch("tracker.store.polling.statements._unmoved", by_key):
        yield


@contextmanager
def hurried() -> Iterator[None]:
    """Ask twice as often as is allowed."""
    with patch("tracker.panel.budget.SLACK", 0.5):
        yield


@contextmanager
def closed_early() -> Iterator[None]:
    """Close what has settled without a grace time."""

    def at_once(known: Any, due: datetime, moment: Any) -> tuple[datetime, datetime | None]:  # noqa: ANN401
        return due, moment.now if known.settled_at else None

    with patch("tracker.grace.ended", at_once):
        yield


BUILDS: Final[dict[str, Build]] = {
    build.__name__: build for build in (swallowed, split, unguarded, hurried, closed_early)
}

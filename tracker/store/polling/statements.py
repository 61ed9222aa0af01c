"""The statements of a batch of orders, built once: compiling one costs more than running it."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    select,
)
from sqlalchemy import Text as TextType

from tracker.decide import Decision
from tracker.model import Order
from tracker.store.bulk import BulkUpdate, Columns, RowSet
from tracker.store.schema import orders, progress, transitions
from tracker.store.types import Moment, Money, Stamp, Text, Whole, sqlite_money, utc_moment

LOADED: Final = (
    orders.c.id,
    orders.c.order_id,
    orders.c.state,
    orders.c.panel_status,
    orders.c.charge,
    orders.c.currency,
    orders.c.start_count,
    orders.c.remains,
    orders.c.quantity,
    orders.c.seq,
    orders.c.state_at,
    orders.c.state_remains,
    orders.c.changed_at,
    cast(orders.c.checked_at, String),
    orders.c.settled_at,
    orders.c.misses,
    orders.c.missed_at,
    # Of few only, for reading a moment costs as much as three other columns.
    case((orders.c.settled_at.is_not(None), orders.c.next_poll_at)),
)
"""The columns of `tracker.model.Order`, in its order."""

HISTORY: Final = ("charge", "currency", "start_count", "remains")

Row: TypeAlias = tuple[object, ...]

# `tuple.__new__` makes a named tuple in half the time; this is done for each order of each poll.
_new: Final = tuple.__new__

GUARD: Final[Columns] = {"key": Whole, "was_seq": Whole, "was_checked_at": Stamp}

TOUCHED: Final[Columns] = {"checked_at": Moment, "next_poll_at": Moment}
"""An order that was answered and has not changed."""

MOVED_ON: Final[Columns] = {
    "charge": Money,
    "currency": Text,
    "start_count": Whole,
    "remains": Whole,
    "changed_at": Moment,
    **TOUCHED,
}
"""An order whose figures changed within its state."""

WRITTEN: Final[Columns] = {
    "state": Text,
    "panel_status": Text,
    "charge": Money,
    "currency": Text,
    "start_count": Whole,
    "remains": Whole,
    "seq": Whole,
    "state_at": Moment,
    "state_remains": Whole,
    "or_changed_at": Moment,
    "or_checked_at": Moment,
    "next_poll_at": Moment,
    "settled_at": Moment,
    "misses": Whole,
    "missed_at": Moment,
}
"""Any other. `closed_at` is not among them: on SQLite naming it would rewrite the index of the open orders."""


def touch_rows(decisions: Sequence[Decision]) -> list[Row]:
    """Return the rows of `TOUCHED`."""
    return [
        (before.key, before.seq, before.was_checked_at, at, next_poll_at)
        for before, _, at, next_poll_at, *_ in decisions
    ]


def figures_rows(decisions: Sequence[Decision]) -> list[Row]:
    """Return the rows of `MOVED_ON`."""
    return [
        (
            before.key,
            before.seq,
            before.was_checked_at,
            after.charge,
            after.currency,
            after.start_count,
            after.remains,
            at,
            at,
            next_poll_at,
        )
        for before, after, at, next_poll_at, *_ in decisions
    ]


def head_rows(decisions: Sequence[Decision]) -> list[Row]:
    """Return the rows of `WRITTEN`."""
    return [_head_row(one.before, one.after, one) for one in decisions]


def _head_row(before: Order, after: Order, decision: Decision) -> Row:
    return (
        before.key,
        before.seq,
        before.was_checked_at,
        after.state,
        after.panel_status,
        after.charge,
        after.currency,
        after.start_count,
        after.remains,
        after.seq,
        after.state_at,
        after.state_remains,
        after.changed_at,
        decision.at if decision.answered else None,
        decision.next_poll_at,
        after.settled_at,
        after.misses,
        after.missed_at,
    )


def _order_of_sqlite(row: Any) -> Order:  # noqa: ANN401  # the columns of `LOADED`
    """Make an order of a row as the driver gives it: amounts are floats, moments are texts."""
    (
        key,
        order_id,
        state,
        panel_status,
        charge,
        currency,
        start_count,
        remains,
        quantity,
        seq,
        state_at,
        state_remains,
        changed_at,
        checked_at,
        settled_at,
        misses,
        missed_at,
        next_poll_at,
    ) = row
    return _new(
        Order,
        (
            key,
            order_id,
            state,
            panel_status,
            None if charge is None else sqlite_money(charge),
            currency,
            start_count,
            remains,
            quantity,
            seq,
            utc_moment(state_at),
            state_remains,
            None if changed_at is None else utc_moment(changed_at),
            checked_at,
            None if settled_at is None else utc_moment(settled_at),
            misses,
            None if missed_at is None else utc_moment(missed_at),
            None if next_poll_at is None else utc_moment(next_poll_at),
        ),
    )


class OrderStatements:
    """All statements of `tracker.store.polling.orders.Orders`, for one dialect."""

    def __init__(self, dialect: str) -> None:
        self.keys = RowSet(dialect, "keys", key=Whole)
        self.moved = RowSet(dialect, "moved", key=Whole, from_state=Text)
        in_batch = select(*LOADED).join_from(self.keys.table, orders, orders.c.id == self.keys.c.key)
        in_batch = in_batch.where(_is_open(dialect)).order_by(orders.c.id)
        self.load = in_batch
        self.load_locked = in_batch.with_for_update(of=orders)
        unmoved = partial(_unmoved, dialect)
        self.touch = BulkUpdate.of(dialect, orders, GUARD, TOUCHED, unmoved)
        self.write_figures = BulkUpdate.of(dialect, orders, GUARD, MOVED_ON, unmoved)
        self.write_head = BulkUpdate.of(dialect, orders, GUARD, WRITTEN, unmoved)
        plans = (func.set_config(f"enable_{plan}", "off", True) for plan in ("seqscan", "hashjoin", "mergejoin"))
        self._by_key = select(*plans) if dialect == "postgresql" else None
        self._from_row = _order_of_sqlite if dialect == "sqlite" else partial(_new, Order)
        self.close = BulkUpdate.of(
            dialect, orders, {"key": Whole}, {"closed_at": Moment}, lambda row: orders.c.id == row["key"]
        )
        self.write_transition = insert(transitions).from_select(
            ["order_key", "seq", "at", "from_state", "to_state", "panel_status", *HISTORY, "round"],
            select(
                orders.c.id,
                orders.c.seq,
                orders.c.changed_at,
                self.moved.c.from_state,
                orders.c.state,
                orders.c.panel_status,
                *(orders.c[name] for name in HISTORY),
                bindparam("round", type_=TextType()),
            ).join_from(self.moved.table, orders, orders.c.id == self.moved.c.key),
        )
        self.write_progress = insert(progress).from_select(
            ["order_key", "seq", "at", *HISTORY],
            select(
                orders.c.id, orders.c.seq, orders.c.changed_at, *(orders.c[name] for name in HISTORY)
            ).join_from(self.keys.table, orders, orders.c.id == self.keys.c.key),
        )

    def look_up_by_key(self, connection: Connection) -> None:
        """Tell Postgres, for this transaction, that a batch is looked up by key, whatever its statistics say.

        Left to itself it read the whole table for each batch until that was first analyzed: 430 instead of 30 µs
        an order at 20,000 orders.
        """
        if self._by_key is not None:
            connection.execute(self._by_key)

    def orders(self, found: CursorResult[Any]) -> list[Order]:
        """Return the orders that `load` or `load_locked` found.

        The driver's own rows are read: SQLAlchemy's took twice the time of making the orders.
        """
        rows = found.cursor.fetchall()
        found.close()
        return list(map(self._from_row, rows))


def _is_open(dialect: str) -> ColumnElement[bool]:
    """Make the condition; on Postgres so that it cannot be answered by the index: see `look_up_by_key`."""
    if dialect == "postgresql":
        return func.num_nulls(orders.c.closed_at) == 1
    return orders.c.closed_at.is_(None)


def _unmoved(dialect: str, row: dict[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """Make the guard: the order is as it was when it was read."""
    return and_(
        orders.c.id == row["key"],
        orders.c.seq == row["was_seq"],
        orders.c.checked_at.is_not_distinct_from(row["was_checked_at"]),
        _is_open(dialect),
    )

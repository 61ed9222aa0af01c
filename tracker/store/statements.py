"""The statements of a batch of orders, built once: compiling one costs more than running it."""

from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, insert, literal, select, type_coerce, update
from sqlalchemy import Text as TextType
from sqlalchemy.dialects import postgresql, sqlite

from tracker.decide import Decision
from tracker.store.bulk import BulkUpdate, Columns, RowSet
from tracker.store.schema import orders, progress, transitions
from tracker.store.types import Moment, Money, Stamp, Text, Whole

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
    type_coerce(orders.c.checked_at, Stamp),
    orders.c.settled_at,
    orders.c.misses,
    orders.c.missed_at,
)
"""The columns of `tracker.model.Order`, in its order."""

HISTORY: Final = ("charge", "currency", "start_count", "remains")

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


def guard_of(decision: Decision) -> tuple[object, ...]:
    """Return what a row starts with: the order as it was read."""
    before = decision.before
    return before.key, before.seq, before.was_checked_at


def touch_row(decision: Decision) -> tuple[object, ...]:
    """Return the row of `TOUCHED`."""
    return *guard_of(decision), decision.at, decision.next_poll_at


def figures_row(decision: Decision) -> tuple[object, ...]:
    """Return the row of `MOVED_ON`."""
    after, now = decision.after, decision.at
    return (
        *guard_of(decision),
        after.charge,
        after.currency,
        after.start_count,
        after.remains,
        now,
        now,
        decision.next_poll_at,
    )


def head_row(decision: Decision) -> tuple[object, ...]:
    """Return the row of `WRITTEN`."""
    after = decision.after
    return (
        *guard_of(decision),
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


class OrderStatements:
    """All statements of `tracker.store.orders.Orders`, for one dialect."""

    def __init__(self, dialect: str) -> None:
        self.keys = RowSet(dialect, "keys", key=Whole)
        self.moved = RowSet(dialect, "moved", key=Whole, from_state=Text)
        self.children = RowSet(dialect, "children", parent=Whole, order_id=Text)
        in_batch = select(*LOADED).join_from(self.keys.table, orders, orders.c.id == self.keys.c.key)
        in_batch = in_batch.where(orders.c.closed_at.is_(None)).order_by(orders.c.id)
        self.load = in_batch
        self.load_locked = in_batch.with_for_update(of=orders)
        self.touch = BulkUpdate.of(dialect, orders, GUARD, TOUCHED, _unmoved)
        self.write_figures = BulkUpdate.of(dialect, orders, GUARD, MOVED_ON, _unmoved)
        self.write_head = BulkUpdate.of(dialect, orders, GUARD, WRITTEN, _unmoved)
        self.close = (
            update(orders)
            .values(closed_at=bindparam("now", type_=Moment))
            .where(orders.c.id.in_(select(self.keys.c.key)))
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
        self.follow_children = self._follow_children(dialect)

    def _follow_children(self, dialect: str) -> Any:  # noqa: ANN401  # an INSERT of either dialect
        upsert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        parents = orders.alias("parents")
        rows = (
            select(parents.c.panel, self.children.c.order_id, parents.c.id)
            .join_from(self.children.table, parents, parents.c.id == self.children.c.parent)
            .where(literal(True))  # SQLite reads "… JOIN … ON CONFLICT" as a join condition without a WHERE
        )
        statement = upsert(orders).from_select(["panel", "order_id", "parent"], rows)
        return statement.on_conflict_do_nothing(index_elements=[orders.c.panel, orders.c.order_id])


def _unmoved(row: dict[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """Make the guard: the order is as it was when it was read."""
    return and_(
        orders.c.id == row["key"],
        orders.c.seq == row["was_seq"],
        type_coerce(orders.c.checked_at, Stamp).is_not_distinct_from(row["was_checked_at"]),
        orders.c.closed_at.is_(None),
    )

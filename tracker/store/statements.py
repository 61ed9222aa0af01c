"""The statements of a batch of orders, built once: compiling one costs more than running it."""

from typing import Any, Final

from sqlalchemy import Text as TextType
from sqlalchemy import and_, bindparam, insert, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from tracker.decide import Decision
from tracker.store.schema import orders, progress, transitions
from tracker.store.types import Moment, Money, RowSet, Text, Whole

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
    orders.c.checked_at,
    orders.c.settled_at,
    orders.c.misses,
    orders.c.missed_at,
)
"""The columns of `tracker.model.Order`, in its order."""

WRITTEN: Final[dict[str, TypeEngine[Any]]] = {
    "state": Text,
    "panel_status": Text,
    "charge": Money,
    "currency": Text,
    "start_count": Whole,
    "remains": Whole,
    "new_seq": Whole,
    "state_at": Moment,
    "state_remains": Whole,
    "changed_at": Moment,
    "checked_at": Moment,
    "next_poll_at": Moment,
    "settled_at": Moment,
    "closed_at": Moment,
    "misses": Whole,
    "missed_at": Moment,
}

HISTORY: Final = ("charge", "currency", "start_count", "remains")


def touch_row(decision: Decision) -> tuple[object, ...]:
    """Return the row of `OrderStatements.touches` for an order that was answered and has not changed."""
    before = decision.before
    return before.key, before.seq, before.checked_at, decision.next_poll_at


def head_row(decision: Decision) -> tuple[object, ...]:
    """Return the row of `OrderStatements.heads` for an order of which anything else is to be written."""
    before, after = decision.before, decision.after
    return (
        before.key,
        before.seq,
        before.checked_at,
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
        after.checked_at,
        decision.next_poll_at,
        after.settled_at,
        decision.closed_at,
        after.misses,
        after.missed_at,
    )


class OrderStatements:
    """All statements of `tracker.store.orders.Orders`, for one dialect."""

    def __init__(self, dialect: str) -> None:
        guard: dict[str, TypeEngine[Any]] = {"key": Whole, "seq": Whole, "was_checked_at": Moment}
        self.keys = RowSet(dialect, "keys", key=Whole)
        self.touches = RowSet(dialect, "touches", **guard, next_poll_at=Moment)
        self.heads = RowSet(dialect, "heads", **guard, **WRITTEN)
        self.moved = RowSet(dialect, "moved", key=Whole, from_state=Text)
        self.children = RowSet(dialect, "children", parent=Whole, order_id=Text)
        now: Any = bindparam("now", type_=Moment)

        in_batch = select(*LOADED).join_from(self.keys.table, orders, orders.c.id == self.keys.c.key)
        in_batch = in_batch.where(orders.c.closed_at.is_(None)).order_by(orders.c.id)
        self.load = in_batch
        self.load_locked = in_batch.with_for_update(of=orders)
        self.touch = (
            update(orders)
            .values(checked_at=now, next_poll_at=self.touches.c.next_poll_at)
            .where(self._unmoved(self.touches))
        )
        self.write_head = (
            update(orders)
            .values({("seq" if name == "new_seq" else name): self.heads.c[name] for name in WRITTEN})
            .where(self._unmoved(self.heads))
        )
        self.write_transition = insert(transitions).from_select(
            ["order_key", "seq", "at", "from_state", "to_state", "panel_status", *HISTORY, "round"],
            select(
                orders.c.id,
                orders.c.seq,
                now,
                self.moved.c.from_state,
                orders.c.state,
                orders.c.panel_status,
                *(orders.c[name] for name in HISTORY),
                bindparam("round", type_=TextType()),
            ).join_from(self.moved.table, orders, orders.c.id == self.moved.c.key),
        )
        self.write_progress = insert(progress).from_select(
            ["order_key", "seq", "at", *HISTORY],
            select(orders.c.id, orders.c.seq, now, *(orders.c[name] for name in HISTORY)).join_from(
                self.keys.table, orders, orders.c.id == self.keys.c.key
            ),
        )
        self.follow_children = self._follow_children(dialect)

    @staticmethod
    def _unmoved(rows: RowSet) -> Any:  # noqa: ANN401  # an SQL expression
        """Make the guard: the row is as it was when it was read."""
        return and_(
            orders.c.id == rows.c.key,
            orders.c.seq == rows.c.seq,
            orders.c.checked_at.is_not_distinct_from(rows.c.was_checked_at),
            orders.c.closed_at.is_(None),
        )

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

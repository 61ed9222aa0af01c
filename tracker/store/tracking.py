"""Starting to follow orders and refills, and making them due: what a person or a shop asks of tracker.

Needs no lease: it adds rows and moves `next_poll_at`, which is what any other program may do in SQL.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Table, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.store.engine import writing
from tracker.store.schema import orders, refills
from tracker.store.types import utcnow

SOME: Final = 500
"""Rows in one statement: far below SQLite's 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order to follow. A panel's status tells none of the optional fields; spend and tempo need them."""

    order_id: str
    service_id: str | None = None
    link: str | None = None
    quantity: int | None = None
    ref: str | None = None
    ordered_at: datetime | None = None


def track(engine: Engine, panel: str, new: Sequence[NewOrder]) -> list[str]:
    """Follow `new` orders of `panel`, due at once; return the ids that were not tracked before.

    For one that was, fields that are given now and were unknown are filled in; nothing known is overwritten.
    """
    insert = _insert(engine, orders)
    added: list[str] = []
    with writing(engine) as connection:
        for start in range(0, len(new), SOME):
            some = {one.order_id: one for one in new[start : start + SOME]}
            rows = [_row(panel, one) for one in some.values()]
            fresh = set(connection.execute(insert.returning(orders.c.order_id), rows).scalars())
            added += [order_id for order_id in some if order_id in fresh]
            for order_id in some.keys() - fresh:
                _complete(connection, panel, some[order_id])
    return added


def _insert(engine: Engine, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Make an INSERT that leaves out what is there already, also where another program adds it right now."""
    upsert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    return upsert(table).on_conflict_do_nothing()


def _row(panel: str, new: NewOrder) -> dict[str, Any]:
    return {
        "panel": panel,
        "order_id": new.order_id,
        "service_id": new.service_id,
        "link": new.link,
        "quantity": new.quantity,
        "ref": new.ref,
        "ordered_at": new.ordered_at,
    }


def _complete(connection: Connection, panel: str, new: NewOrder) -> None:
    for name, value in _row(panel, new).items():
        if value is not None and name not in {"panel", "order_id"}:
            connection.execute(
                update(orders)
                .where(orders.c.panel == panel, orders.c.order_id == new.order_id, orders.c[name].is_(None))
                .values({name: value})
            )


def track_refill(engine: Engine, panel: str, order_id: str, refill_id: str) -> bool:
    """Follow a refill, and its order again if that was closed; False where the refill is followed already."""
    row = {"panel": panel, "order_id": order_id, "refill_id": refill_id}
    with writing(engine) as connection:
        return connection.execute(_insert(engine, refills).values(row).returning(refills.c.id)).first() is not None


def make_due(engine: Engine, panel: str, order_ids: Sequence[str] | None = None) -> int:
    """Make open orders of `panel` due now, all of them or those named, for whoever polls it; return how many."""
    statement = (
        update(orders)
        .where(orders.c.panel == panel, orders.c.closed_at.is_(None), orders.c.next_poll_at > utcnow())
        .values(next_poll_at=utcnow())
    )
    with writing(engine) as connection:
        if order_ids is None:
            return connection.execute(statement).rowcount
        return sum(
            connection.execute(statement.where(orders.c.order_id.in_(order_ids[start : start + SOME]))).rowcount
            for start in range(0, len(order_ids), SOME)
        )

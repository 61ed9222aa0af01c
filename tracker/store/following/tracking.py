"""Starting to follow orders and refills, and making them due: what a person or a shop asks of tracker.

Needs no lease: it adds rows and moves `next_poll_at`, which is what any other program may do in SQL. Whoever has a
transaction of their own calls `follow` in it.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Case, Connection, Engine, Select, Table, and_, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.store.engine import writing
from tracker.store.following.intake import NewOrder, take_in
from tracker.store.schema import orders, refills
from tracker.store.types import utcnow

__all__ = [
    "Followed",
    "NewOrder",
    "Untracked",
    "follow",
    "follow_refill",
    "make_due",
    "track",
    "track_refill",
    "untrack",
]

SOME: Final = 500
"""Rows in one statement: far below SQLite's 32,766 parameters."""

Following: TypeAlias = Literal["new", "again", "before"]


class Followed(NamedTuple):
    """What became of an order that somebody wants followed."""

    key: int
    """`orders.id`."""
    order_id: str
    how: Following
    """`new`: from now on. `again`: it was closed. `before`: it was followed already."""


def follow(connection: Connection, panel: str, new: Sequence[NewOrder]) -> list[Followed]:
    """Follow `new` orders of `panel` in the caller's `writing` transaction, due at once; tell of each id once.

    Of one that is known, fields that are given now and were unknown are filled in; nothing known is overwritten.
    One that was closed is asked about again, and where it is settled its grace time begins anew.
    """
    wanted = {one.order_id: one for one in new}
    if not wanted:
        return []
    added = take_in(connection, panel, list(wanted.values())).added
    mine = and_(orders.c.panel == panel, orders.c.order_id.in_(list(wanted)))
    reopen = (
        update(orders)
        .where(mine, orders.c.closed_at.is_not(None))
        .values(
            closed_at=None,
            next_poll_at=utcnow(),
            settled_at=case((orders.c.settled_at.is_not(None), utcnow())),
        )
        .returning(orders.c.order_id)
    )
    again = connection.execute(reopen).scalars().all()
    keys = {row.order_id: row.id for row in connection.execute(select(orders.c.id, orders.c.order_id).where(mine))}
    how: dict[str, Following] = {**dict.fromkeys(again, "again"), **dict.fromkeys(added, "new")}
    return [Followed(keys[one], one, how.get(one, "before")) for one in wanted]


def track(engine: Engine, panel: str, new: Sequence[NewOrder]) -> list[Followed]:
    """Do `follow` in a transaction of its own."""
    with writing(engine) as connection:
        return [
            one
            for start in range(0, len(new), SOME)
            for one in follow(connection, panel, new[start : start + SOME])
        ]


class Untracked(NamedTuple):
    """What untracking an order did."""

    was_followed: bool
    refills: int
    """How many of its refills were followed until now."""
    children: int
    """How many orders that it has placed are still followed."""


def untrack(engine: Engine, panel: str, order_id: str) -> Untracked:
    """Stop following an order and its refills; their history stays, and `follow` goes on with the order.

    A decision about either that is being made right now is dropped when it comes to be written, as for any that
    was closed. The children of a subscription are orders of their own: they stay followed.
    """
    mine = and_(orders.c.panel == panel, orders.c.order_id == order_id)
    child = orders.alias("child")
    children = select(func.count()).where(
        child.c.parent.in_(select(orders.c.id).where(mine)), child.c.closed_at.is_(None)
    )
    its_refills = and_(refills.c.panel == panel, refills.c.order_id == order_id, refills.c.closed_at.is_(None))
    with writing(engine) as connection:
        closed = connection.execute(
            update(orders).where(mine, orders.c.closed_at.is_(None)).values(_closed(orders))
        )
        closed_refills = connection.execute(update(refills).where(its_refills).values(_closed(refills)))
        return Untracked(closed.rowcount == 1, closed_refills.rowcount, connection.execute(children).scalar_one())


def _closed(table: Table) -> dict[str, Case[Any]]:
    """Close now, but not before it settled: that was dated by another clock, or before this one was set back."""
    settled_at = table.c.settled_at
    return {"closed_at": case((settled_at > utcnow(), settled_at), else_=utcnow())}


def follow_refill(connection: Connection, panel: str, order_id: str, refill_id: str) -> bool:
    """Follow a refill in the caller's `writing` transaction; False where it is followed already.

    Its order is asked about again by the next round of refills, also where it was closed.
    """
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = {"panel": panel, "order_id": order_id, "refill_id": refill_id}
    # Left out where it is there already, also where another program adds it right now.
    statement = upsert(refills).values(row).on_conflict_do_nothing().returning(refills.c.id)
    return connection.execute(statement).first() is not None


def track_refill(engine: Engine, panel: str, order_id: str, refill_id: str) -> bool:
    """Do `follow_refill` in a transaction of its own."""
    with writing(engine) as connection:
        return follow_refill(connection, panel, order_id, refill_id)


def make_due(engine: Engine, panel: str, order_ids: Sequence[str] | None = None) -> int:
    """Make open orders of `panel` due now, all of them or those named, for whoever polls it; return how many."""
    wanted = select(orders.c.id).where(
        orders.c.panel == panel, orders.c.closed_at.is_(None), orders.c.next_poll_at > utcnow()
    )
    with writing(engine) as connection:
        if order_ids is None:
            return _hurry(connection, wanted)
        return sum(
            _hurry(connection, wanted.where(orders.c.order_id.in_(order_ids[start : start + SOME])))
            for start in range(0, len(order_ids), SOME)
        )


def _hurry(connection: Connection, wanted: Select[tuple[int]]) -> int:
    # What a poller has locked is being answered now; to wait for it, holding others, could be a deadlock.
    free = wanted.with_for_update(skip_locked=True)
    return connection.execute(update(orders).where(orders.c.id.in_(free)).values(next_poll_at=utcnow())).rowcount

"""A closed order with everything that belongs to it, found and forgotten as one."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, func, literal, or_, select

from tracker.store.journal.rows import UNFINISHED
from tracker.store.schema import (
    anomalies,
    intents,
    orders,
    progress,
    refill_transitions,
    refills,
    transitions,
)

LARGEST: Final = 2**63 - 1
"""No key is beyond it."""

SOME: Final = 5_000
"""Keys in one statement: far below SQLite's 32,766 parameters. Only a family of that size needs a second one."""


class Family(NamedTuple):
    """An order that nobody placed but us, and those that it has placed, and those that they have."""

    root: int
    keys: tuple[int, ...]
    """Of all of them, children before their parents."""
    ids: frozenset[tuple[str, str]]
    """(panel, order_id) of all of them."""
    rows: int
    """How many rows they and their histories are, roughly: refills and anomalies are not counted."""


def find(connection: Connection, roots: Sequence[int], cutoff: datetime) -> list[Family]:
    """Return the families of `roots` that can be forgotten, in the order of their keys.

    That is where all of it was closed before `cutoff`, no refill is followed, and no intent lacks its outcome: one
    that is `unknown` may have bought something, and stays until a person has settled it.
    """
    if not roots:
        return []
    members: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(_members(roots, cutoff)):
        members[row.root].append(row)
    found = []
    for root, rows in sorted(members.items()):
        if not any(row.held for row in rows):
            rows.sort(key=lambda row: (-row.depth, row.id))
            ids = frozenset((row.panel, row.order_id) for row in rows)
            found.append(Family(root, tuple(row.id for row in rows), ids, sum(row.rows for row in rows)))
    return found


def _members(roots: Sequence[int], cutoff: datetime) -> Select[Any]:
    family = (
        select(orders.c.id.label("root"), orders.c.id.label("key"), literal(0).label("depth"))
        .where(orders.c.id.in_(roots))
        .cte("family", recursive=True)
    )
    child = orders.alias("child")
    family = family.union_all(
        select(family.c.root, child.c.id, family.c.depth + 1).join_from(
            family, child, child.c.parent == family.c.key
        )
    )
    held = or_(
        func.coalesce(orders.c.closed_at >= cutoff, literal(value=True)),
        exists().where(
            refills.c.panel == orders.c.panel,
            refills.c.order_id == orders.c.order_id,
            refills.c.closed_at.is_(None),
        ),
        exists().where(intents.c.order_key == orders.c.id, UNFINISHED),
    )
    return select(
        family.c.root,
        family.c.depth,
        orders.c.id,
        orders.c.panel,
        orders.c.order_id,
        held.label("held"),
        (1 + _count(transitions.c.order_key) + _count(progress.c.order_key) + _count(intents.c.order_key)).label(
            "rows"
        ),
    ).join_from(family, orders, orders.c.id == family.c.key)


def _count(of: ColumnElement[int]) -> ColumnElement[int]:
    return select(func.count()).where(of == orders.c.id).correlate(orders).scalar_subquery()


def refills_of(connection: Connection, chosen: Sequence[Family]) -> list[int]:
    """Return the keys of all refills of these families.

    Reads all refills, for no index finds closed ones; so this is no part of a transaction that writes.
    """
    keys = [key for one in chosen for key in one.keys]
    same = and_(refills.c.panel == orders.c.panel, refills.c.order_id == orders.c.order_id)
    found = select(refills.c.id).join_from(refills, orders, same)
    return [
        key for some in _in_parts(keys) for key in connection.execute(found.where(orders.c.id.in_(some))).scalars()
    ]


def lock(connection: Connection, chosen: Sequence[Family], cutoff: datetime) -> list[Family]:
    """Return those of `chosen` that are as they were, and keep them so until the end of the transaction.

    Whoever writes to an order right now, to follow it again perhaps, is not waited for: it is no old one any more.
    """
    keys = sorted(key for one in chosen for key in one.keys)
    mine: set[int] = set()
    for some in _in_parts(keys):
        rows = select(orders.c.id).where(orders.c.id.in_(some)).order_by(orders.c.id)
        mine.update(connection.execute(rows.with_for_update(skip_locked=True)).scalars())
    now = {one.root: one for one in find(connection, [one.root for one in chosen], cutoff)}
    return [one for one in chosen if one == now.get(one.root) and mine.issuperset(one.keys)]


def forget(connection: Connection, locked: Sequence[Family], refill_keys: Sequence[int]) -> int:
    """Delete these families whole, with those of the refills that are theirs; return how many rows that were."""
    keys = [key for one in locked for key in one.keys]
    ids = frozenset[tuple[str, str]]().union(*(one.ids for one in locked))
    rows = _delete(connection, progress.c.order_key, keys)
    rows += _delete(connection, transitions.c.order_key, keys)
    mine = select(refills.c.id, refills.c.panel, refills.c.order_id)
    theirs = [
        row.id
        for some in _in_parts(refill_keys)
        for row in connection.execute(mine.where(refills.c.id.in_(some)))
        if (row.panel, row.order_id) in ids
    ]
    rows += _delete(connection, refill_transitions.c.refill_key, theirs)
    rows += _delete(connection, refills.c.id, theirs)
    rows += _delete(connection, intents.c.order_key, keys)
    for panel in {panel for panel, _ in ids}:
        of_panel = sorted(order_id for other, order_id in ids if other == panel)
        rows += _delete(connection, anomalies.c.order_id, of_panel, anomalies.c.panel == panel)
    return rows + _delete(connection, orders.c.id, keys)


def _delete(
    connection: Connection, column: ColumnElement[Any], values: Sequence[object], *also: ColumnElement[bool]
) -> int:
    table = column.table
    return sum(
        connection.execute(delete(table).where(column.in_(some), *also)).rowcount for some in _in_parts(values)
    )


def _in_parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), SOME):
        yield values[start : start + SOME]

"""What may tell a person whether an unknown intent happened: balances around it, orders that appeared since."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Select, exists, func, select

from tracker.model import Intent
from tracker.store.journal.rows import among
from tracker.store.schema import balance_snapshots, intents, orders

MOST: Final = 20
"""Orders that are shown; a person looks at the first few."""

Row: TypeAlias = dict[str, Any]


class Snapshot(NamedTuple):
    """A balance at a moment, as a round of the daemon saw it."""

    at: datetime
    balance: Decimal
    currency: str


class Evidence(NamedTuple):
    """What is known around an intent."""

    before: Snapshot | None
    """The last balance before it was sent."""
    after: Snapshot | None
    """The first one since nothing could be written to the panel any more, or since its request had ended."""
    others: int
    """Other adds that may have moved the balance from the intent's own one, or else from `before`, to `after`."""
    orders: list[Row]
    """At most 20 orders of the panel that are followed since then and that no intent placed, oldest first."""


def about(connection: Connection, intent: Intent) -> Evidence:
    """Collect the evidence about `intent`, in one snapshot of the database."""
    ended = min(intent.finished_at or intent.deadline_at, intent.deadline_at)
    at = balance_snapshots.c.at
    balances = select(*(balance_snapshots.c[name] for name in Snapshot._fields))
    balances = balances.where(balance_snapshots.c.panel == intent.panel)
    before = _first(connection, balances.where(at <= intent.sent_at).order_by(at.desc()))
    after = _first(connection, balances.where(at >= ended).order_by(at))
    # A balance that was asked for right before the request leaves no gap in which others could have moved it.
    gap_from = intent.sent_at if before is None or intent.balance_before is not None else before.at
    others = _others(connection, intent, gap_from, after)
    return Evidence(before, after, others, _new_orders(connection, intent))


def _first(connection: Connection, balances: Select[*tuple[Any, ...]]) -> Snapshot | None:
    row = connection.execute(balances.limit(1)).first()
    return None if row is None else Snapshot._make(row)


def _others(connection: Connection, intent: Intent, since: datetime, after: Snapshot | None) -> int:
    statement = select(func.count()).where(
        intents.c.panel == intent.panel,
        intents.c.uuid != intent.uuid,
        intents.c.action == "add",
        among("sending", "unknown", "confirmed", "resolved"),
        intents.c.sent_at >= since,
    )
    if after is not None:
        statement = statement.where(intents.c.sent_at <= after.at)
    return int(connection.execute(statement).scalar_one())


def _new_orders(connection: Connection, intent: Intent) -> list[Row]:
    if intent.action != "add":
        return []
    shown = ("order_id", "service_id", "link", "quantity", "ref", "tracked_at", "state", "charge", "currency")
    owned = exists().where(intents.c.order_key == orders.c.id, intents.c.action == "add")
    statement = (
        select(*(orders.c[name] for name in shown))
        .where(orders.c.panel == intent.panel, orders.c.tracked_at >= intent.sent_at)
        .where(orders.c.parent.is_(None), ~owned)
        .order_by(orders.c.id)
        .limit(MOST)
    )
    return [dict(row) for row in connection.execute(statement).mappings()]

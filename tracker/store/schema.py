"""The tables: an interface, for people query them (`docs/history.md` explains each column).

A row of two columns is whole and due at once: every other column of `orders` has a default in the database, so
any program may have an order followed with `INSERT INTO orders (panel, order_id) VALUES (…)`.
"""

from typing import Final

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    and_,
    or_,
    text,
)

from tracker.model import ACTIONS, INTENT_STATES, REFILL_STATES, STATES
from tracker.store.columns import NOW, ZERO, an_id, moment, one_of, utc_times
from tracker.store.types import Flag, Key, Money, Text, Whole

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

panels = Table(
    "panels",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text),
    Column("currency", Text),
    Column("bulk_status", Flag),
    Column("bulk_refill", Flag),
    moment("learned_at"),
    Column("catalog_doubt", Text),
    Column("catalog_doubts", Whole, **ZERO),
    Column("fault", Text),
    Column("fault_kind", Text),
    moment("fault_at"),
    *utc_times("learned_at", "fault_at"),
)

services = Table(
    "services",
    metadata,
    Column("panel", Text, nullable=False),
    Column("service_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("type", Text),
    Column("category", Text),
    Column("rate", Money),
    Column("min", Whole),
    Column("max", Whole),
    Column("refill", Flag),
    Column("cancel", Flag),
    moment("first_seen_at", nullable=False),
    moment("last_seen_at", nullable=False),
    moment("gone_at"),
    PrimaryKeyConstraint("panel", "service_id"),
    *utc_times("first_seen_at", "last_seen_at", "gone_at"),
)

service_changes = Table(
    "service_changes",
    metadata,
    Column("id", Key, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("service_id", Text, nullable=False),
    moment("at", nullable=False),
    Column("field", Text, nullable=False),
    Column("old", Text),
    Column("new", Text),
    *utc_times("at"),
)
Index(None, service_changes.c.panel, service_changes.c.service_id, service_changes.c.id)

orders = Table(
    "orders",
    metadata,
    Column("id", Key, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("service_id", Text),
    Column("link", Text),
    Column("quantity", Whole),
    Column("runs", Whole),
    Column("interval", Whole),
    Column("ref", Text),
    Column("parent", Key, ForeignKey("orders.id")),
    moment("ordered_at"),
    Column("state", Text, nullable=False, server_default="new"),
    Column("panel_status", Text),
    Column("charge", Money),
    Column("currency", Text),
    Column("start_count", Whole),
    Column("remains", Whole),
    Column("seq", Whole, **ZERO),
    moment("tracked_at", **NOW),
    moment("state_at", **NOW),
    Column("state_remains", Whole),
    moment("changed_at"),
    moment("checked_at"),
    moment("next_poll_at", **NOW),
    moment("settled_at"),
    moment("closed_at"),
    Column("misses", Whole, **ZERO),
    moment("missed_at"),
    UniqueConstraint("panel", "order_id"),
    an_id("order_id"),
    one_of("state", STATES),
    *utc_times("ordered_at", "tracked_at", "state_at", "changed_at", "checked_at"),
    *utc_times("next_poll_at", "settled_at", "closed_at", "missed_at"),
    # Every poll rewrites a row in place: room on its page keeps that cheap (docs/architecture.md).
    postgresql_with={"fillfactor": 70},
)
# The open orders of a panel. No index names a column that every poll rewrites (next_poll_at, checked_at).
Index(
    "ix_orders_open",
    orders.c.panel,
    sqlite_where=orders.c.closed_at.is_(None),
    postgresql_where=orders.c.closed_at.is_(None),
)
Index("ix_orders_order_id", orders.c.order_id)
Index(
    "ix_orders_parent",
    orders.c.parent,
    sqlite_where=orders.c.parent.is_not(None),
    postgresql_where=orders.c.parent.is_not(None),
)
Index(
    "ix_orders_ref",
    orders.c.panel,
    orders.c.ref,
    sqlite_where=orders.c.ref.is_not(None),
    postgresql_where=orders.c.ref.is_not(None),
)

transitions = Table(
    "transitions",
    metadata,
    Column("order_key", Key, ForeignKey("orders.id"), nullable=False),
    Column("seq", Whole, nullable=False),
    moment("at", nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("panel_status", Text),
    Column("charge", Money),
    Column("currency", Text),
    Column("start_count", Whole),
    Column("remains", Whole),
    Column("round", Text, nullable=False),
    PrimaryKeyConstraint("order_key", "seq"),
    *utc_times("at"),
    sqlite_with_rowid=False,
)
Index(None, transitions.c.at)

progress = Table(
    "progress",
    metadata,
    Column("id", Key, primary_key=True),
    Column("order_key", Key, ForeignKey("orders.id"), nullable=False),
    Column("seq", Whole, nullable=False),
    moment("at", nullable=False),
    Column("charge", Money),
    Column("currency", Text),
    Column("start_count", Whole),
    Column("remains", Whole),
    *utc_times("at"),
)
Index(None, progress.c.order_key, progress.c.id)

refills = Table(
    "refills",
    metadata,
    Column("id", Key, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("refill_id", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="requested"),
    Column("panel_status", Text),
    Column("seq", Whole, **ZERO),
    moment("tracked_at", **NOW),
    moment("state_at", **NOW),
    moment("checked_at"),
    moment("next_poll_at", **NOW),
    moment("settled_at"),
    moment("closed_at"),
    Column("misses", Whole, **ZERO),
    moment("missed_at"),
    an_id("order_id"),
    an_id("refill_id"),
    one_of("state", REFILL_STATES),
    *utc_times("tracked_at", "state_at", "checked_at", "next_poll_at", "settled_at", "closed_at", "missed_at"),
)
Index(
    "ix_refills_open",
    refills.c.panel,
    refills.c.order_id,
    refills.c.refill_id,
    unique=True,
    sqlite_where=refills.c.closed_at.is_(None),
    postgresql_where=refills.c.closed_at.is_(None),
)
Index("ix_refills_refill_id", refills.c.panel, refills.c.refill_id, refills.c.order_id)

refill_transitions = Table(
    "refill_transitions",
    metadata,
    Column("refill_key", Key, ForeignKey("refills.id"), nullable=False),
    Column("seq", Whole, nullable=False),
    moment("at", nullable=False),
    Column("from_state", Text, nullable=False),
    Column("to_state", Text, nullable=False),
    Column("panel_status", Text),
    Column("round", Text, nullable=False),
    PrimaryKeyConstraint("refill_key", "seq"),
    *utc_times("at"),
)

balance_snapshots = Table(
    "balance_snapshots",
    metadata,
    Column("id", Key, primary_key=True),
    Column("panel", Text, nullable=False),
    moment("at", nullable=False),
    Column("balance", Money, nullable=False),
    Column("currency", Text, nullable=False),
    *utc_times("at"),
)
Index(None, balance_snapshots.c.panel, balance_snapshots.c.at)

rounds = Table(
    "rounds",
    metadata,
    Column("round", Text, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("kind", Text, nullable=False),
    moment("started_at", nullable=False),
    moment("finished_at", nullable=False),
    Column("requests", Whole, **ZERO),
    Column("asked", Whole, **ZERO),
    Column("answered", Whole, **ZERO),
    Column("changed", Whole, **ZERO),
    Column("anomalies", Whole, **ZERO),
    Column("outcome", Text, nullable=False),
    Column("error", Text),
    *utc_times("started_at", "finished_at"),
)
Index(None, rounds.c.started_at)

anomalies = Table(
    "anomalies",
    metadata,
    Column("panel", Text, nullable=False),
    Column("order_id", Text, nullable=False, server_default=""),
    Column("kind", Text, nullable=False),
    Column("count", Whole, nullable=False, server_default=text("1")),
    moment("first_at", nullable=False),
    moment("last_at", nullable=False),
    Column("detail", Text),
    PrimaryKeyConstraint("panel", "order_id", "kind"),
    *utc_times("first_at", "last_at"),
)

intents = Table(
    "intents",
    metadata,
    Column("uuid", Text, primary_key=True),
    Column("panel", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("service_id", Text),
    Column("link", Text),
    Column("quantity", Whole),
    Column("order_id", Text),
    Column("refill_id", Text),
    Column("order_key", Key, ForeignKey("orders.id")),
    Column("ref", Text),
    Column("price", Money),
    Column("currency", Text),
    Column("balance_before", Money),
    Column("balance_after", Money),
    moment("sent_at", **NOW),
    moment("deadline_at", nullable=False),
    moment("finished_at"),
    Column("error", Text),
    Column("resolution", Text),
    one_of("action", ACTIONS),
    one_of("state", INTENT_STATES),
    *utc_times("sent_at", "deadline_at", "finished_at"),
)
_UNFINISHED: Final = intents.c.state.in_(("sending", "unknown"))
Index("ix_intents_unfinished", intents.c.panel, sqlite_where=_UNFINISHED, postgresql_where=_UNFINISHED)
Index(None, intents.c.order_key)
Index(None, intents.c.sent_at)
# A reference is free again once it is certain that nothing was bought under it.
_BOUGHT: Final = and_(
    intents.c.ref.is_not(None),
    or_(
        intents.c.state.in_(("sending", "unknown", "confirmed")),
        and_(intents.c.state == "resolved", intents.c.order_key.is_not(None)),
    ),
)
Index(
    "uq_intents_panel_ref",
    intents.c.panel,
    intents.c.ref,
    unique=True,
    sqlite_where=_BOUGHT,
    postgresql_where=_BOUGHT,
)

leases = Table(
    "leases",
    metadata,
    Column("panel", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", Whole, nullable=False),
    moment("expires_at", nullable=False),
    *utc_times("expires_at"),
)

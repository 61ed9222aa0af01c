"""The tables of the first release: catalog, orders and their history, refills, balance, rounds, leases, intents.

Frozen: it spells out what `tracker.store.schema` said that day. Later changes get migrations of their own; a test
holds the sum of all migrations against the declared schema, on both databases.
"""

from typing import Any, Final

from alembic import op
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)

from tracker.store.types import Flag, Key, Moment, Money, Text, Whole, utcnow

revision = "0001"
down_revision = None

STATES: Final = (
    "new",
    "pending",
    "processing",
    "in_progress",
    "paused",
    "active",
    "unknown",
    "completed",
    "partial",
    "canceled",
    "refunded",
    "failed",
    "expired",
    "missing",
)
REFILL_STATES: Final = (
    "requested",
    "pending",
    "in_progress",
    "unknown",
    "completed",
    "rejected",
    "failed",
    "canceled",
    "missing",
)

DAY_AND_TIME: Final = "[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
MICROSECONDS: Final = ".[0-9][0-9][0-9][0-9][0-9][0-9]"


def utc_times(*columns: str) -> list[CheckConstraint]:
    """Keep SQLite's time columns comparable: a text of another form would silently never be due."""
    return [
        CheckConstraint(
            f"{name} IS NULL OR {name} GLOB '{DAY_AND_TIME}{MICROSECONDS}' OR {name} GLOB '{DAY_AND_TIME}'",
            name=f"{name}_is_utc_text",
        ).ddl_if(dialect="sqlite")
        for name in columns
    ]


def an_id(column: str) -> CheckConstraint:
    """Ids travel comma separated in one form field, so they hold no comma and no space."""
    return CheckConstraint(
        f"{column} <> '' AND {column} NOT LIKE '%,%' AND {column} NOT LIKE '% %'", name=f"{column}_is_an_id"
    )


def one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    """Limit a column to our own words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=f"{column}_is_known")


def moment(name: str, **options: Any) -> Column[Any]:  # noqa: ANN401  # passed on to Column as they are
    """Make a column for a moment in UTC."""
    return Column(name, Moment, **options)


NOW: Final[dict[str, Any]] = {"nullable": False, "server_default": utcnow()}
ZERO: Final[dict[str, Any]] = {"nullable": False, "server_default": text("0")}


def _panels() -> None:
    op.create_table(
        "panels",
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


def _services() -> None:
    op.create_table(
        "services",
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


def _service_changes() -> None:
    op.create_table(
        "service_changes",
        Column("id", Key, primary_key=True),
        Column("panel", Text, nullable=False),
        Column("service_id", Text, nullable=False),
        moment("at", nullable=False),
        Column("field", Text, nullable=False),
        Column("old", Text),
        Column("new", Text),
        *utc_times("at"),
    )
    op.create_index("ix_service_changes_panel_service_id_id", "service_changes", ["panel", "service_id", "id"])


def _orders() -> None:
    op.create_table(
        "orders",
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
    op.create_index(
        "ix_orders_open",
        "orders",
        ["panel"],
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    )
    op.create_index("ix_orders_order_id", "orders", ["order_id"])
    op.create_index(
        "ix_orders_parent",
        "orders",
        ["parent"],
        sqlite_where=text("parent IS NOT NULL"),
        postgresql_where=text("parent IS NOT NULL"),
    )


def _transitions() -> None:
    op.create_table(
        "transitions",
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
    op.create_index("ix_transitions_at", "transitions", ["at"])


def _progress() -> None:
    op.create_table(
        "progress",
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
    op.create_index("ix_progress_order_key_id", "progress", ["order_key", "id"])


def _refills() -> None:
    op.create_table(
        "refills",
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
    op.create_index(
        "ix_refills_open",
        "refills",
        ["panel", "order_id", "refill_id"],
        unique=True,
        sqlite_where=text("closed_at IS NULL"),
        postgresql_where=text("closed_at IS NULL"),
    )


def _refill_transitions() -> None:
    op.create_table(
        "refill_transitions",
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


def _balance_snapshots() -> None:
    op.create_table(
        "balance_snapshots",
        Column("id", Key, primary_key=True),
        Column("panel", Text, nullable=False),
        moment("at", nullable=False),
        Column("balance", Money, nullable=False),
        Column("currency", Text, nullable=False),
        *utc_times("at"),
    )
    op.create_index("ix_balance_snapshots_panel_at", "balance_snapshots", ["panel", "at"])


def _rounds() -> None:
    op.create_table(
        "rounds",
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
    op.create_index("ix_rounds_started_at", "rounds", ["started_at"])


def _anomalies() -> None:
    op.create_table(
        "anomalies",
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


def _intents() -> None:
    op.create_table(
        "intents",
        Column("uuid", Text, primary_key=True),
        Column("panel", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("payload", Text, nullable=False),
        Column("state", Text, nullable=False),
        moment("created_at", **NOW),
        moment("sent_at"),
        moment("finished_at"),
        Column("order_key", Key, ForeignKey("orders.id")),
        Column("error", Text),
        Column("balance_before", Money),
        one_of("state", ("sending", "confirmed", "rejected", "unsent", "unknown", "resolved")),
        *utc_times("created_at", "sent_at", "finished_at"),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        Column("panel", Text, primary_key=True),
        Column("holder", Text, nullable=False),
        Column("term", Whole, nullable=False),
        moment("expires_at", nullable=False),
        *utc_times("expires_at"),
    )


def upgrade() -> None:
    """Make all tables."""
    _panels()
    _services()
    _service_changes()
    _orders()
    _transitions()
    _progress()
    _refills()
    _refill_transitions()
    _balance_snapshots()
    _rounds()
    _anomalies()
    _intents()
    _leases()


def downgrade() -> None:
    """Drop them; only for developers, a history is never thrown away by a command of tracker."""
    for table in reversed(
        (
            "panels",
            "services",
            "service_changes",
            "orders",
            "transitions",
            "progress",
            "refills",
            "refill_transitions",
            "balance_snapshots",
            "rounds",
            "anomalies",
            "intents",
            "leases",
        )
    ):
        op.drop_table(table)

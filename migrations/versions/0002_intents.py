"""The journal of intents, with what people ask of it as columns.

The table of the first release was never written to by anything, so it is made anew.
"""

from typing import Any, Final

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, text

from tracker.store.types import Key, Moment, Money, Text, Whole, utcnow

revision = "0002"
down_revision = "0001"

DAY_AND_TIME: Final = "[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
MICROSECONDS: Final = ".[0-9][0-9][0-9][0-9][0-9][0-9]"
UNFINISHED: Final = "state IN ('sending', 'unknown')"
BOUGHT: Final = (
    "ref IS NOT NULL AND (state IN ('sending', 'unknown', 'confirmed')"
    " OR state = 'resolved' AND order_key IS NOT NULL)"
)


def utc_text(name: str) -> Any:  # noqa: ANN401  # what ddl_if returns
    """Keep SQLite's time columns comparable."""
    return CheckConstraint(
        f"{name} IS NULL OR {name} GLOB '{DAY_AND_TIME}{MICROSECONDS}' OR {name} GLOB '{DAY_AND_TIME}'",
        name=f"{name}_is_utc_text",
    ).ddl_if(dialect="sqlite")


def upgrade() -> None:
    """Make the table of intents anew."""
    op.drop_table("intents")
    op.create_table(
        "intents",
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
        Column("sent_at", Moment, nullable=False, server_default=utcnow()),
        Column("deadline_at", Moment, nullable=False),
        Column("finished_at", Moment),
        Column("error", Text),
        Column("resolution", Text),
        CheckConstraint("action IN ('add', 'refill', 'cancel')", name="action_is_known"),
        CheckConstraint(
            "state IN ('sending', 'confirmed', 'rejected', 'unsent', 'unknown', 'resolved')", name="state_is_known"
        ),
        utc_text("sent_at"),
        utc_text("deadline_at"),
        utc_text("finished_at"),
    )
    for name, columns, condition in (
        ("ix_intents_unfinished", ["panel"], UNFINISHED),
        ("uq_intents_panel_ref", ["panel", "ref"], BOUGHT),
    ):
        op.create_index(
            name,
            "intents",
            columns,
            unique=name.startswith("uq"),
            sqlite_where=text(condition),
            postgresql_where=text(condition),
        )
    op.create_index("ix_intents_order_key", "intents", ["order_key"])


def downgrade() -> None:
    """Refuse: going back would lose what was bought."""
    raise NotImplementedError("There is no way back: restore the backup that was made before the upgrade.")

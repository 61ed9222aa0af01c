"""The views that people query, which env.py makes as in every version, and two indexes for the journal.

Without them each `add` with a reference read every order, and `tracker intents` every intent.
"""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

views = "dc64fa2c32075362"
"""What `tracker.store.reading.views.digest()` says of them.

A test notices a definition that changed without a version.
"""


def upgrade() -> None:
    """Make the indexes; the version alone has the views made."""
    known = text("ref IS NOT NULL")
    op.create_index("ix_orders_ref", "orders", ["panel", "ref"], sqlite_where=known, postgresql_where=known)
    op.create_index("ix_intents_sent_at", "intents", ["sent_at"])


def downgrade() -> None:
    """Refuse: a history is not worth less than the way back."""
    raise NotImplementedError("There is no way back: restore the backup that was made before the upgrade.")

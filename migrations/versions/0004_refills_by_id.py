"""An index of all refills by their own id.

Whether another order's refill has the same id was asked of every refill, closed ones included: with a hundred
thousand of them a round of refills took half a minute on SQLite.
"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_refills_refill_id", "refills", ["panel", "refill_id", "order_id"])


def downgrade() -> None:
    """Refuse: a history is not worth less than the way back."""
    raise NotImplementedError("There is no way back: restore the backup that was made before the upgrade.")

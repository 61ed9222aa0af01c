"""Alembic's entry: runs on the connection that `tracker.store.migrate` hands over, inside its transaction."""

from alembic import context

from tracker.store.engine import open_engine
from tracker.store.schema import metadata

config = context.config
connection = config.attributes.get("connection")


def run(on: object) -> None:
    """Apply the migrations on an open connection."""
    context.configure(
        connection=on,  # type: ignore[arg-type]  # a Connection; attributes are untyped
        target_metadata=metadata,
        transaction_per_migration=False,
        render_as_batch=False,
    )
    with context.begin_transaction():
        context.run_migrations()


if connection is not None:
    run(connection)
else:  # `alembic …` typed by a developer, with the URL of alembic.ini or `-x url=…`
    url = context.get_x_argument(as_dictionary=True).get("url") or config.get_main_option("sqlalchemy.url")
    with open_engine(str(url), create=True).begin() as opened:
        run(opened)

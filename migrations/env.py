"""Alembic's entry: runs on the connection that `tracker.store.migrate` hands over, inside its transaction."""

from alembic import context
from sqlalchemy import Connection

from tracker.store.engine import open_engine
from tracker.store.reading import views
from tracker.store.schema import metadata

config = context.config
connection = config.attributes.get("connection")


def run(on: Connection) -> None:
    """Apply the migrations on an open connection, with the views out of their way, and made anew after them."""
    context.configure(
        connection=on,
        target_metadata=metadata,
        transaction_per_migration=False,
        render_as_batch=False,
    )
    with context.begin_transaction():
        views.drop(on, context.get_context().get_current_revision())
        context.run_migrations()
        views.create(on)


if connection is not None:
    run(connection)
else:  # `alembic …` typed by a developer, with the URL of alembic.ini or `-x url=…`
    url = context.get_x_argument(as_dictionary=True).get("url") or config.get_main_option("sqlalchemy.url")
    with open_engine(str(url), create=True).begin() as opened:
        run(opened)

"""Trying a database out, without a trace: what it is, what its clock says, whether every table can be written."""

from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, false, func, insert, literal, select, text, update

from tracker.store.engine import reading, told
from tracker.store.schema import leases, metadata
from tracker.store.types import utc_after, utcnow

PATIENCE: Final = 5
"""Seconds that a trial waits for SQLite's other writers: each of their transactions takes milliseconds."""

TRIAL: Final = "(tracker check)"
"""The panel of the one row that is written and taken back: no panel can be called that."""


_SERVER: Final = {
    "sqlite": select(literal("SQLite ") + func.sqlite_version())
    .add_columns(text("(SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())"))
    .add_columns(utcnow(), false()),
    "postgresql": select(
        literal("PostgreSQL ") + func.split_part(func.current_setting("server_version"), " ", 1)
    ).add_columns(func.pg_database_size(func.current_database()), utcnow(), func.pg_is_in_recovery()),
}


class Server(NamedTuple):
    """What runs the database."""

    version: str
    """Such as `SQLite 3.40.1` or `PostgreSQL 15.4`."""
    bytes: int
    """What the database takes on its disk; on SQLite without its log."""
    clock: datetime
    """Its own."""
    standby: bool
    """A copy that follows another server, and can only be read."""


class Fitness:
    """Trials of one database. Every method raises as `tracker.store.engine.told`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def server(self) -> Server:
        """Connect, and return what answers."""
        with reading(self._engine) as connection:
            version, size, clock, standby = connection.execute(_SERVER[connection.dialect.name]).one()
        return Server(version, size, clock, bool(standby))

    def try_writing(self) -> None:
        """Write one row, and nothing into every other table, in a transaction that is rolled back.

        Writing nothing asks for the same rights as writing something.
        """
        with told(self._engine), self._engine.connect() as connection:
            _wait_briefly(connection)
            try:
                with connection.begin() as transaction:
                    for table in metadata.sorted_tables:
                        nothing = select(table).where(false())
                        connection.execute(insert(table).from_select(list(table.c.keys()), nothing))
                        first = next(iter(table.c))
                        connection.execute(update(table).where(false()).values({first: first}))
                    row = {"panel": TRIAL, "holder": TRIAL, "term": 0, "expires_at": utc_after(literal(0.0))}
                    connection.execute(insert(leases).values(row))
                    transaction.rollback()
            finally:
                connection.invalidate()  # it is not as impatient as the others any more


def _wait_briefly(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection  # past SQLAlchemy, which would begin first
        driver.execute(f"PRAGMA busy_timeout = {PATIENCE * 1000}")

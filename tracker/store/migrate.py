"""The schema's versions: is this database ours, is it current, and making it so under a lock."""

from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from tracker.errors import DatabaseUnfit
from tracker.store.engine import keep_wal, reading, shown, writing

ADVISORY_LOCK: Final = 0x747261636B6572
"""Postgres' lock against two upgrades at once ("tracker" in hex); it ends with the transaction."""

OURS: Final = frozenset({"orders", "transitions", "leases"})
"""Tables of every version of ours. A version's name alone proves nothing: others too call their first one 0001."""


class Schema(NamedTuple):
    """Where a database stands."""

    current: str | None
    """None: an empty database."""
    newest: str
    known: bool
    """Whether `current` is a version that this tracker knows."""

    @property
    def fits(self) -> bool:
        """Whether this tracker can work with it as it is."""
        return self.current == self.newest


def _config() -> Config:
    packaged = resources.files("tracker") / "migrations"
    folder = Path(str(packaged))
    if not folder.is_dir():  # a checkout: the folder stands beside the package
        folder = Path(__file__).resolve().parents[2] / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def inspect_schema(engine: Engine) -> Schema:
    """Return where the database stands. Raises `DatabaseUnfit` for a database that is not ours."""
    with reading(engine) as connection:
        return _inspect(connection)


def _inspect(connection: Connection) -> Schema:
    scripts = ScriptDirectory.from_config(_config())
    newest = scripts.get_current_head()
    if newest is None:
        raise DatabaseUnfit("This installation of tracker has no migrations: install it again.")
    where = shown(connection.engine.url)
    if connection.dialect.name == "postgresql":
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
        if encoding != "UTF8":
            raise DatabaseUnfit(
                f"{where} is encoded in {encoding}, which cannot keep every word that a panel may tell. "
                "Make another database with `createdb --encoding UTF8 --template template0 NAME`."
            )
    current = MigrationContext.configure(connection).get_current_revision()
    tables = set(inspect(connection).get_table_names())
    if tables and (current is None or not tables >= OURS):
        some = ", ".join(sorted(tables)[:3])
        raise DatabaseUnfit(f"{where} holds tables of something else ({some} …). Name an empty database.")
    known = current in {None, *(script.revision for script in scripts.walk_revisions())}
    return Schema(current, newest, known)


def require(engine: Engine) -> None:
    """Raise `DatabaseUnfit` with the remedy unless the schema fits this tracker."""
    schema = inspect_schema(engine)
    if not schema.fits:
        raise DatabaseUnfit(_unfit(engine, schema))


def _unfit(engine: Engine, schema: Schema) -> str:
    where = shown(engine.url)
    if schema.current is None:
        return f"{where} is empty. `tracker db upgrade` makes the tables."
    if not schema.known:
        return (
            f"{where} has schema {schema.current}, this tracker knows up to {schema.newest}: "
            "a newer tracker has been here. Install that one; nothing was touched."
        )
    return f"{where} has schema {schema.current}, this tracker needs {schema.newest}. Run `tracker db upgrade`."


def upgrade(engine: Engine) -> Schema:
    """Bring the schema to the newest version in one transaction; return where it stood before.

    Two processes that upgrade at once wait for each other: SQLite by its one writer, Postgres by an advisory lock.
    Raises `DatabaseUnfit` for a database that is not ours or newer than this tracker, which stays untouched.
    """
    before = inspect_schema(engine)  # read first: an unfit database must not even see a write transaction
    if not before.known:
        raise DatabaseUnfit(_unfit(engine, before))
    keep_wal(engine)
    if before.fits:
        return before
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        if not _inspect(connection).fits:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return before

"""Opening a database so that it behaves the same on both sides, and saying clearly why one cannot be used."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, exc, make_url, text
from sqlalchemy.engine import URL

from tracker.errors import DatabaseUnfit, DatabaseUnreachable

OLDEST_SQLITE: Final = (3, 38, 0)
"""The first with UPDATE … FROM, RETURNING and the JSON functions always built in."""

BUSY_SECONDS: Final = 30
"""How long a writer waits for another one on SQLite before the database counts as unreachable."""

PRAGMAS: Final[dict[str, str | int]] = {
    "synchronous": 1,  # NORMAL: a power cut may lose the last answers, never the database; they are asked again
    "foreign_keys": 1,
    "busy_timeout": BUSY_SECONDS * 1000,
    "journal_size_limit": 64 * 1024 * 1024,  # a long reader lets the log grow; afterwards it shrinks again
}

_REFUSED: Final = (
    "SQLite did not take PRAGMA {name} = {wanted} (it says {got}). "
    "Is the file on a network file system? Keep it on a local disk, or use Postgres."
)

_FILE: Final = "Check the owner and the mode of the file and its folder."
_DAMAGED: Final = "Restore it from a backup, or name another file."
_ROLE: Final = "Name a role that may write, on a server that is no standby."
_ALTERED: Final = (
    "Its tables are not as tracker makes them: did somebody change them? "
    "Undo that, restore it from a backup, or name another one."
)

_WAITED_FOR: Final = (exc.OperationalError, exc.InterfaceError, sqlite3.OperationalError)

_AWAY: Final = {
    "sqlite": "Another process may be writing for long, or the disk be full.",
    "postgresql": "Check that the server runs and takes connections from here.",
}

UNFIT: Final = {
    "readonly": _FILE,
    "unable to open": _FILE,
    "not a database": _DAMAGED,
    "malformed": _DAMAGED,
    "read-only transaction": _ROLE,
    "permission denied": _ROLE,
    "password authentication failed": "Put the right password into the URL, or into ~/.pgpass.",
}
"""Words of the drivers' errors that no waiting mends -> the remedy."""

SQLITE_ERROR: Final = 1
"""SQLite's code for a statement that makes no sense here: a table or column that is missing, or there already."""

POSTGRES_ERRORS: Final = "42"
"""The class of Postgres' codes for the same."""

_SILENCE: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds; the others are seconds
}
"""After 20 s a server that fell silent counts as gone: by the kernel's own settings that takes hours."""

SECRET_OPTIONS: Final = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
"""What an address of Postgres may hold behind its `?` that nobody may see."""

READ_ONLY: Final = {"tracker_read_only": True}

FULL: Final = 2
"""`PRAGMA synchronous` of a durable transaction: its commit returns when the log is on the disk."""

# Every other setting waits for the server's own disk, and an administrator may want more than that.
_TO_DISK: Final = text(
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)


def open_engine(url: str, *, create: bool = False) -> Engine:
    """Return an engine for `url` (`sqlite:///…` or `postgresql+psycopg://…`).

    A missing SQLite file is only made with `create`; opening a wrong path must not leave an empty database behind.
    Raises `DatabaseUnfit` where this can never work, and leaves connecting to the first use.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, create=create)
    return create_engine(
        parsed,
        # A transaction pooler may give every transaction another session: nothing may be prepared in one.
        connect_args={
            "prepare_threshold": None,
            "application_name": "tracker",
            "client_encoding": "utf8",
            **_SILENCE,
        },
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=20,
    )


def shown(url: URL) -> str:
    """Return an address without its password, wherever in it that stands."""
    return url.difference_update_query(SECRET_OPTIONS).render_as_string(hide_password=True)


def _sqlite(url: URL, *, create: bool) -> Engine:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise DatabaseUnfit(
            f"This Python brings SQLite {sqlite3.sqlite_version}; tracker needs {wanted} or newer. "
            "Use a newer Python, or Postgres."
        )
    if not url.database or url.database == ":memory:":
        raise DatabaseUnfit("A history in memory would be gone with the process: give a file, sqlite:///PATH.")
    path = Path(url.database)
    try:
        is_there = path.exists()
    except OSError as error:
        raise DatabaseUnfit(f"Cannot look at {path}: {error.strerror}. {_FILE}") from error
    if not is_there and not create:
        raise DatabaseUnfit(
            f"There is no database at {path}. `tracker db upgrade` makes it, and so does `tracker run`."
        )
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnfit(
                f"Cannot make the folder of {path}: {error.strerror}. Choose another place."
            ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # a DBAPI connection has no type
    connection.isolation_level = None  # BEGIN is ours: see _begin_sqlite
    for name, wanted in PRAGMAS.items():
        _set(connection, name, wanted)


def _set(connection: Any, name: str, wanted: str | int) -> None:  # noqa: ANN401  # as above
    """Set a PRAGMA and read it back. Raises `DatabaseUnfit`."""
    connection.execute(f"PRAGMA {name} = {wanted}")
    got = connection.execute(f"PRAGMA {name}").fetchone()[0]
    if got != wanted:
        raise DatabaseUnfit(_REFUSED.format(name=name, wanted=wanted, got=got))


def keep_wal(engine: Engine) -> None:
    """Switch a SQLite file of ours to a write-ahead log: readers never wait for the writer, nor it for them.

    The mode is kept in the file, so a database that is not ours must never come here. Raises `DatabaseUnfit`.
    """
    if engine.dialect.name != "sqlite":
        return
    with told(engine), engine.connect() as connection:
        cursor = connection.connection.cursor()  # past SQLAlchemy, which would begin a transaction first
        try:
            got = cursor.execute("PRAGMA journal_mode = wal").fetchone()[0]
        finally:
            cursor.close()
    if got != "wal":
        raise DatabaseUnfit(
            f"{engine.url.database}: {_REFUSED.format(name='journal_mode', wanted='wal', got=got)}"
        )


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another writer came between, whatever
    # the busy timeout; a writer therefore takes its turn when it begins.
    read_only = connection.get_execution_options().get("tracker_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent snapshot of the database, in which nothing can be written; never blocks a writer.

    Keep it short: while it lasts, SQLite's log only grows, and Postgres cannot vacuum. Raises as `told`.
    """
    with told(engine), engine.connect().execution_options(**READ_ONLY) as connection:
        if engine.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with _pragma(connection, "query_only", 1), connection.begin():
            yield connection


@contextlib.contextmanager
def writing(engine: Engine, *, durable: bool = False) -> Iterator[Connection]:
    """One transaction: all of it or nothing. Raises as `told`.

    Where it is `durable`, it is on the disk before the block has ended, whatever the power does afterwards.
    """
    with told(engine), engine.connect() as connection:
        full = _pragma(connection, "synchronous", FULL) if durable else contextlib.nullcontext()
        with full, connection.begin():
            if durable and engine.dialect.name == "postgresql":
                connection.execute(_TO_DISK)
            yield connection


@contextlib.contextmanager
def _pragma(connection: Connection, name: str, value: int) -> Iterator[None]:
    """Set a PRAGMA of SQLite for the time of a transaction; the connection goes back to the pool as it was."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.dbapi_connection  # past SQLAlchemy, which would begin a transaction first
    try:
        _set(driver, name, value)
        yield
    finally:  # whatever failed: a connection that only reads would make the next writer fail
        try:
            _set(driver, name, PRAGMAS.get(name, 0))
        except (sqlite3.Error, DatabaseUnfit):  # what was committed is safe: only this connection is not as it was
            connection.invalidate()


@contextlib.contextmanager
def told(engine: Engine) -> Iterator[None]:
    """Turn the driver's errors into ours: unreachable ones can be waited for, unfit ones cannot."""
    try:
        yield
    except (exc.DBAPIError, sqlite3.Error) as error:  # the latter where the driver is used past SQLAlchemy
        raised = error.orig if isinstance(error, exc.DBAPIError) else error
        where = shown(engine.url)
        lines = str(raised).strip().splitlines()
        reason = lines[0] if lines else type(raised).__name__
        if (remedy := _remedy(raised, reason)) is not None:
            raise DatabaseUnfit(f"{where}: {reason}. {remedy}") from error
        if isinstance(error, _WAITED_FOR) or getattr(error, "connection_invalidated", False):
            raise DatabaseUnreachable(f"{where}: {reason}. {_AWAY[engine.dialect.name]}") from error
        raise
    except exc.TimeoutError as error:  # of the pool: whoever has its connections waits for the database
        raise DatabaseUnreachable(
            f"{shown(engine.url)}: all connections are waiting. {_AWAY[engine.dialect.name]}"
        ) from error


def _remedy(raised: BaseException | None, reason: str) -> str | None:
    """Return what to do about a driver's error that no waiting mends; None for every other one."""
    for word, remedy in UNFIT.items():
        if word in reason:
            return remedy
    sqlstate = getattr(raised, "sqlstate", None) or ""
    if getattr(raised, "sqlite_errorcode", None) == SQLITE_ERROR or sqlstate.startswith(POSTGRES_ERRORS):
        return _ALTERED
    return None

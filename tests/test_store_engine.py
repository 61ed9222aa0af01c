"""Databases that fail: what each fault is called, that nothing is half written, and what is left untouched."""

import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from books import NOW, PENDING, everything, follow, loaded, poll
from simulation import PATIENCE
from sqlalchemy import text
from store_methods import ELSEWHERE, LEASE, LOST_SECONDS, OTHERS, READS, WISH, WRITES, public

from tracker.errors import DatabaseUnfit, DatabaseUnreachable
from tracker.store import engine as engine_module
from tracker.store.database import Database, opened
from tracker.store.engine import open_engine, reading, writing
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease, fenced
from tracker.store.polling.memory import Memory


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite wait for another writer 20 ms instead of 30 s."""
    monkeypatch.setitem(engine_module.PRAGMAS, "busy_timeout", 20)


def test_every_method_of_the_store_is_held_to_these_promises() -> None:
    assert {*READS, *WRITES, *OTHERS} == public() - ELSEWHERE


@pytest.mark.usefixtures("impatient")
def test_while_another_program_writes_every_write_is_unreachable_and_every_read_goes_on(
    sqlite_database: Database,
) -> None:
    database = sqlite_database
    lease = database.acquire("acme", "test", 60)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    follow(database, "1")
    follow(database, "2", state="completed", closed_at=NOW)
    database.track_refill("acme", "2", "2")
    database.intents.begin(WISH, seconds=LOST_SECONDS)
    read = loaded(memory, "1")
    before = everything(database)
    with closing(sqlite3.connect(str(database._engine.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for use in READS.values():
            use(database, memory)
        writes = [partial(use, memory, read) for use in WRITES.values()]
        for write in [*writes, *(partial(use, database) for use in OTHERS.values())]:
            with pytest.raises(DatabaseUnreachable, match=r"tracker\.db.*locked"):
                write()
        other.execute("ROLLBACK")
    assert everything(database) == before
    assert len(poll(memory, {"1": PENDING})) == 1


@pytest.mark.parametrize("secret", ["tracker:s3cret@127.0.0.1:1/tracker", "127.0.0.1:1/tracker?password=s3cret"])
def test_a_server_that_is_not_there_is_unreachable_for_every_method_and_its_password_is_not_told(
    secret: str,
) -> None:
    with opened(f"postgresql+psycopg://{secret}") as database:
        memory = database.memory(LEASE)
        uses: list[Callable[[], object]] = [
            *(partial(use, database, memory) for use in READS.values()),
            *(partial(use, memory, []) for use in WRITES.values()),
            *(partial(use, database) for use in OTHERS.values()),
            database.upgrade,
        ]
        for use in uses:
            with pytest.raises(DatabaseUnreachable) as told:
                use()
            assert "s3cret" not in str(told.value)
        assert "s3cret" not in database.shown


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_connection_that_the_server_ends_costs_one_transaction_and_the_next_one_works(
    database: Database, database_url: str, memory: Memory
) -> None:
    follow(database, "1")
    before = everything(database)

    def cut_inside() -> None:
        with fenced(database._engine, memory.lease) as connection:
            connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', 'never')"))
            with opened(database_url) as other, reading(other._engine) as killer:
                killer.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND pid <> pg_backend_pid()")
                )  # fmt: skip

    with pytest.raises(DatabaseUnreachable):
        cut_inside()
    assert everything(database) == before
    assert len(poll(memory, {"1": PENDING})) == 1


def test_connections_that_died_while_nobody_used_them_are_not_noticed(
    database: Database, database_url: str, memory: Memory, request: pytest.FixtureRequest
) -> None:
    follow(database, "1")
    if database_url.startswith("postgresql"):
        request.getfixturevalue("postgres").run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'"
        )
    assert len(poll(memory, {"1": PENDING})) == 1


def test_a_file_that_is_no_database_is_unfit_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, bread, and a hundred lines more\n" * 100)
    before = path.read_bytes()
    with opened(f"sqlite:///{path}", create=True) as database:
        for use in (database.schema, database.require, database.upgrade):
            with pytest.raises(DatabaseUnfit, match=r"notes\.txt.*not a database.*name another file"):
                use()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_file_is_unfit(sqlite_database: Database, tmp_path: Path) -> None:
    follow(sqlite_database, *(str(number) for number in range(500)))
    sqlite_database.close()
    damaged = tmp_path / "damaged.db"
    shutil.copy(str(sqlite_database._engine.url.database), damaged)
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    with (
        opened(f"sqlite:///{damaged}") as database,
        pytest.raises(DatabaseUnfit, match="Restore it from a backup"),
    ):
        database.history.orders()


def test_a_missing_file_is_unfit_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnfit, match=r"no database at .*tracker\.db.*tracker db upgrade"):
        Database(f"sqlite:///{tmp_path}/tracker.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_history_in_memory_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUnfit, match="give a file"):
        Database(url, create=True)


def test_a_folder_that_cannot_be_made_is_unfit(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnfit, match="Cannot make the folder"):
        Database(f"sqlite:///{tmp_path}/file/tracker.db", create=True)


def test_a_folder_in_place_of_the_file_is_unfit(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}") as database, pytest.raises(DatabaseUnfit, match="unable to open"):
        database.schema()


def _write_protected(path: Path) -> None:
    """Mark a SQLite file as one of a future version, which may be read but not written, even by root."""
    with path.open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")


def test_a_read_only_file_is_unfit_for_writing_untouched_and_readable(sqlite_database: Database) -> None:
    follow(sqlite_database, "1")
    sqlite_database.close()
    path = Path(str(sqlite_database._engine.url.database))
    _write_protected(path)
    before = path.read_bytes()
    with opened(f"sqlite:///{path}") as database:
        assert database.upgrade().fits
        assert [row["order_id"] for row in database.history.orders()] == ["1"]
        with pytest.raises(DatabaseUnfit, match="Check the owner and the mode"):
            database.track("acme", [NewOrder("2")])
    assert path.read_bytes() == before


def test_a_read_only_file_without_our_tables_is_unfit_and_untouched(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    with closing(sqlite3.connect(path)) as plain:
        plain.execute("PRAGMA user_version = 1")
    _write_protected(path)
    before = path.read_bytes()
    with (
        opened(f"sqlite:///{path}") as database,
        pytest.raises(DatabaseUnfit, match="Check the owner and the mode"),
    ):
        database.upgrade()
    assert path.read_bytes() == before


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("setting", ["SET default_transaction_read_only = on", "SET role = pg_read_all_data"])
def test_a_server_that_lets_us_only_read_is_unfit_for_writing(
    database_url: str, setting: str, request: pytest.FixtureRequest
) -> None:
    """A hot standby, or the account of somebody's dashboard."""
    with opened(database_url) as owner:
        owner.upgrade()
    name = database_url.partition("?")[0].rpartition("/")[2]
    request.getfixturevalue("postgres").run(f"ALTER DATABASE {name} {setting}")
    with opened(database_url) as reader, pytest.raises(DatabaseUnfit, match=r"read-only|permission denied"):
        reader.track("acme", [NewOrder("2")])


def test_sqlite_is_opened_with_what_the_promises_rest_on(sqlite_database: Database) -> None:
    with reading(sqlite_database._engine) as connection:
        told = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("foreign_keys", "journal_mode", "busy_timeout", "synchronous")
        }
    assert told == {"foreign_keys": 1, "journal_mode": "wal", "busy_timeout": 30_000, "synchronous": 1}


def test_an_old_sqlite_is_refused_with_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine_module, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(DatabaseUnfit, match=r"brings SQLite 3\..*needs 99\.0\.0"):
        open_engine(f"sqlite:///{tmp_path}/tracker.db", create=True)


def test_a_reader_sees_the_same_moment_until_it_ends(database: Database, memory: Memory) -> None:
    """P3 in every snapshot that a reader can see: it never sees a head without its tail."""
    follow(database, "1")
    count = text("SELECT (SELECT sum(seq) FROM orders), (SELECT count(*) FROM transitions)")
    with reading(database._engine) as connection:
        assert tuple(connection.execute(count).one()) == (0, 0)
        poll(memory, {"1": PENDING})
        assert tuple(connection.execute(count).one()) == (0, 0)
    with reading(database._engine) as connection:
        assert tuple(connection.execute(count).one()) == (1, 1)


def test_a_writer_takes_its_turn_when_it_begins_so_that_reading_first_never_fails(
    sqlite_database: Database,
) -> None:
    """A transaction that reads, is overtaken by another writer, and then writes would fail at once."""
    database = sqlite_database
    count = text("SELECT count(*) FROM orders")
    with ThreadPoolExecutor(1) as pool:
        with writing(database._engine) as connection:
            assert connection.execute(count).scalar_one() == 0
            overtaking = pool.submit(database.track, "acme", [NewOrder("2")])
            assert not wait([overtaking], timeout=0.2).done
            connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')"))
        assert [one.order_id for one in overtaking.result(timeout=PATIENCE)] == ["2"]
    assert len(database.history.orders()) == 2


def test_a_file_that_was_moved_away_is_noticed_before_anything_is_lost_in_silence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    with opened(url, create=True) as database:
        database.upgrade()
        lease = database.acquire("acme", "me", 60.0)
        assert isinstance(lease, Lease)
        assert database.renew(lease, 60.0)
        (tmp_path / "tracker.db").rename(tmp_path / "elsewhere.db")
        with pytest.raises(DatabaseUnfit, match="was removed while it was open"):
            database.renew(lease, 60.0)
        (tmp_path / "tracker.db").touch()
        with pytest.raises(DatabaseUnfit, match="was replaced while it was open"):
            database.renew(lease, 60.0)

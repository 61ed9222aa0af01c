"""Databases that fail under work: full, locked, cut off, damaged, of another version, changed by somebody.

What each fault is called, and that reads and writes of every method of the store bear it, is in
`test_store_engine.py` and `test_store_migrate.py`; crashes of a server in `test_daemon_postgres.py`. The long
version: `cd tests && python -m proof --long --only storage --only commits --only migrations`.
"""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from books import follow
from cli_setting import KEY, OFTEN, daemon_in_a_thread, settings_of, sql
from proof import commits, migrations, storage
from simulation import until

from tracker.errors import DatabaseUnfit, DatabaseUnreachable, LocalFault, TrackerError
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.engine import reading
from tracker.store.following.tracking import NewOrder

pytestmark = pytest.mark.once

PAGE: Final = 4096
TABLE_LEAF: Final = 13
"""The first byte of a page of SQLite that holds rows."""


@pytest.fixture
def url(migrated_file: Path, tmp_path: Path) -> str:
    """A SQLite database with the newest schema."""
    (tmp_path / "tracker.db").write_bytes(migrated_file.read_bytes())
    return f"sqlite:///{tmp_path}/tracker.db"


# What a daemon waits for


def test_a_database_that_another_process_locks_for_a_second_costs_nothing(url: str) -> None:
    storage.lock(url, 1)


def test_a_full_disk_pauses_polling_until_there_is_room_again() -> None:
    with storage.small_disk() as disk:
        if isinstance(disk, str):
            pytest.skip(disk)
        storage.fill(disk, 1)


@pytest.mark.usefixtures("database")
def test_a_reader_that_does_not_end_does_not_keep_polling_from_going_on(database_url: str) -> None:
    storage.read_on(database_url, 5)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_commit_that_is_cut_at_its_request_or_at_its_reply_loses_nothing_and_repeats_nothing(
    database_url: str,
) -> None:
    edges = commits.run(database_url, kinds=("statuses", "balance")).steps.broken
    assert {edge for edge in edges if "COMMIT" in edge} == {
        f"{kind}: {moment} COMMIT #{number}"
        for kind in ("statuses", "balance")
        for moment in ("before", "after")
        for number in (1, 2)
    }


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (sqlite3.OperationalError("disk I/O error"), DatabaseUnreachable),
        (sqlite3.DatabaseError("database disk image is malformed"), DatabaseUnfit),
    ],
    ids=["a disk that fails", "a damaged file"],
)
def test_a_fault_of_the_driver_while_rows_are_read_past_sqlalchemy_is_told_like_any_other(
    sqlite_database: Database, error: sqlite3.Error, fault: type[TrackerError]
) -> None:
    """Orders are read that way; such a fault was logged as a bug, and never as a database in trouble."""
    with pytest.raises(fault, match=str(error)), reading(sqlite_database._engine):
        raise error


# What ends a daemon


def ends(url: str) -> LocalFault:
    """Run a daemon until it ends by itself; return what it says."""
    with Simulator(key=KEY) as panel, opened(url) as database:
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], OFTEN) as (_, ended):
            until(lambda: ended.error is not None, "it to end")
        assert isinstance(ended.error, LocalFault)
        assert panel.counts.total() < 5, "it does not go on asking"
        return ended.error


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def no_database(url: str) -> None:
    path_of(url).write_text("milk, bread, and a hundred lines more\n" * 100)


def write_protected(url: str) -> None:
    """Mark the file as one of a future version of SQLite: it may be read but not written, even by root."""
    with closing(sqlite3.connect(path_of(url))) as plain:
        plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path_of(url).open("r+b") as file:
        file.seek(18)
        file.write(b"\x03")


def corrupt_page(url: str) -> None:
    """Spoil the page of the table that holds one of many orders: it is met in the middle of reading."""
    with opened(url) as database:
        follow(database, *(f"order-{number:04}" for number in range(2000)))
    whole = bytearray(path_of(url).read_bytes())
    pages = [found.start() // PAGE * PAGE for found in re.finditer(b"order-1234", bytes(whole))]
    [page] = [page for page in pages if whole[page] == TABLE_LEAF]
    whole[page : page + 12] = b"\xff" * 12
    path_of(url).write_bytes(whole)


UNFIT: dict[str, tuple[Callable[[str], None], str]] = {
    "no database": (no_database, r"not a database.*name another file"),
    "write-protected": (write_protected, r"readonly.*Check the owner and the mode"),
    "a corrupt page": (corrupt_page, r"malformed.*Restore it from a backup"),
}


@pytest.mark.parametrize(("spoil", "said"), UNFIT.values(), ids=UNFIT.keys())
def test_a_file_that_no_waiting_mends_ends_the_daemon_with_the_remedy(
    url: str, spoil: Callable[[str], None], said: str
) -> None:
    spoil(url)
    error = ends(url)
    assert isinstance(error, DatabaseUnfit)
    assert error.exit_code == 10
    assert re.search(said, str(error))


ALTERED = {
    "a table is missing": "ALTER TABLE balance_snapshots RENAME TO theirs",
    "a column is missing": "ALTER TABLE rounds RENAME COLUMN outcome TO theirs",
}


@pytest.mark.parametrize("statement", ALTERED.values(), ids=ALTERED.keys())
def test_tables_that_somebody_changed_end_the_daemon_with_the_words_of_the_database(
    database_url: str, statement: str
) -> None:
    """On SQLite it was tried again for ever, on Postgres each round crashed for ever."""
    with opened(database_url) as database:
        database.upgrade()
    for view in ("balance_daily", "daily_spend"):  # those would stand in the way
        sql(database_url, f"DROP VIEW {view}")
    sql(database_url, statement)
    error = ends(database_url)
    assert error.exit_code == 10
    assert "theirs" not in str(error)
    assert "tables are not as tracker makes them" in str(error)


def test_an_index_of_somebody_else_in_the_way_of_an_upgrade_is_unfit_and_nothing_is_touched(
    database_url: str,
) -> None:
    migrations.make(database_url, "0002")
    sql(database_url, "CREATE INDEX ix_orders_ref ON orders (ref)")
    before = migrations.shape(database_url)
    with opened(database_url) as database, pytest.raises(DatabaseUnfit, match=r"ix_orders_ref.*already exists"):
        database.upgrade()
    assert migrations.shape(database_url) == before


# Versions


def test_an_older_schema_is_refused_with_the_remedy_until_it_is_upgraded(database_url: str) -> None:
    migrations.make(database_url, "0001")
    before = migrations.shape(database_url)
    with opened(database_url) as database:
        with pytest.raises(DatabaseUnfit, match=r"has schema 0001, .* needs \d+\. Run `tracker db upgrade`"):
            database.require()
        assert migrations.shape(database_url) == before
        assert database.upgrade().current == "0001"
        database.require()
        assert len(database.history.orders(limit=None)) == migrations.ORDERS
        assert database.track("acme", [NewOrder("new")])


@pytest.mark.parametrize(("start", "stride"), [("empty", 50), ("0002", 23)])
def test_an_upgrade_killed_at_any_statement_leaves_the_old_schema_and_the_next_one_succeeds(
    database_url: str, start: str, stride: int
) -> None:
    edges = migrations.run(database_url, start, stride)
    assert len(edges) > 2
    assert edges[-1] == "end"

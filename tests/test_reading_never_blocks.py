"""Reading never blocks polling: readers write nothing and hold nothing, and the daemon keeps its pace."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

import pytest
from books import NOW, execute, follow
from cli_setting import KEY, daemon_in_a_thread, settings_of, sql
from simulation import until
from sqlalchemy import text
from warm import Warm

from tracker.errors import DatabaseUnfit
from tracker.settings import Every
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.engine import reading
from tracker.store.following.tracking import NewOrder
from tracker.store.reading import relations

MIB = 1024 * 1024
QUARTER = Every(statuses=0.25, refills=0.25, balance=0.25, catalog=0.25)


def long_history(database: Database, rows: int) -> None:
    """Give one order of another panel so many transitions."""
    [key] = follow(database, "1", panel="other", state="completed", closed_at=NOW)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
    insert = (
        "INSERT INTO transitions (order_key, seq, at, from_state, to_state, panel_status, round) "
        f"{numbers} SELECT {key}, i, '2026-03-01 12:00:00', 'pending', 'active', CAST(i AS TEXT), 'r' FROM n"
    )
    execute(database, text(insert))


def test_a_read_transaction_refuses_to_write_and_the_next_writer_can(database: Database) -> None:
    with (
        pytest.raises(DatabaseUnfit, match=r"readonly|read-only"),
        reading(database._engine) as connection,
    ):
        connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')"))
    for _ in range(20):  # whichever connection of the pool they get
        with reading(database._engine) as connection:
            assert connection.execute(text("SELECT count(*) FROM orders")).scalar_one() == 0
    assert database.track("acme", [NewOrder("1")])


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relations, "ROWS_A_STEP", 500)


@pytest.mark.usefixtures("small_steps")
def test_the_log_of_sqlite_is_folded_back_while_an_export_runs(sqlite_database: Database) -> None:
    path = Path(str(sqlite_database._engine.url.database))
    log = path.with_name(f"{path.name}-wal")
    long_history(sqlite_database, 15_000)

    with closing(sqlite3.connect(path)) as writer:

        def write() -> int:
            with writer:
                writer.execute(
                    "INSERT OR REPLACE INTO anomalies (panel, kind, first_at, last_at, detail) "
                    "VALUES ('acme', 'x', '2026-03-01 12:00:00', '2026-03-01 12:00:00', hex(randomblob(500000)))"
                )
            return log.stat().st_size

        steps = [(len(step.rows()), write()) for step in sqlite_database.export("transitions").steps()]
        assert [count for count, _ in steps] == [500] * 30
        assert max(size for _, size in steps) < 8 * MIB

        with closing(sqlite3.connect(path)) as reader:  # what an export in one go would do
            open_query = reader.execute("SELECT * FROM transitions")
            assert open_query.fetchone()
            assert max(write() for _ in steps) > 25 * MIB


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_between_the_steps_of_an_export_postgres_has_no_transaction_open(
    database: Database, database_url: str
) -> None:
    long_history(database, 3_000)
    # Asked in a transaction of its own each time: within one, Postgres shows the same activity again and again.
    held = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL OR state LIKE 'idle in transaction%')"
    )
    for step in database.export("transitions").steps():
        assert step.spelled() is not None
        assert len(step.rows()) == 500
        assert sql(database_url, held) == [(0,)]


@contextmanager
def readers(url: str, *commands: str) -> Iterator[list[tuple[datetime, datetime, int]]]:
    """Type commands again and again, each a process; give the begin, end and exit code of each so far."""
    ran: list[tuple[datetime, datetime, int]] = []
    enough = threading.Event()

    def run() -> None:
        for command in cycle(commands):
            if enough.is_set():
                return
            began = datetime.now(UTC)
            with Warm(command.split(), env={"TRACKER_DATABASE_URL": url}) as process:
                code = process.wait()
            ran.append((began, datetime.now(UTC), code))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ran
    finally:
        enough.set()
        thread.join()


EXPORTS = ("export transitions -", "export orders -", "export order_timeline -")


@pytest.mark.parametrize("commands", [EXPORTS, ("verify",)], ids=["export", "verify"])
def test_the_daemon_polls_on_beside(tmp_path: Path, commands: tuple[str, ...]) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        long_history(database, 200_000)  # of which `verify` finds that it is none
        placed = [one.order_id for one in panel.world.spawn(300)]
        database.track("acme", [NewOrder(order_id) for order_id in placed])

        settings = [settings_of(panel, "acme")]
        with daemon_in_a_thread(database, settings, QUARTER) as (_, ended), readers(url, *commands) as ran:

            def beside() -> int:
                """Count the rounds that began and ended while one and the same command ran."""
                rows = database.history.rounds("acme", limit=None)
                return sum(
                    row["kind"] == "balance" and began < row["started_at"] < row["finished_at"] < end
                    for row in rows
                    for began, end, _ in list(ran)
                )

            until(lambda: beside() >= 8, "rounds beside them")
        assert ended.error is None
        outcomes = {row["outcome"] for row in database.history.rounds("acme", limit=None)}
        assert outcomes <= {"ok", "stopped"}  # the end of the daemon may come in the midst of one
        assert {row["state"] for row in database.history.orders(limit=None)}.isdisjoint({"new"})
    assert {code for _, _, code in ran} == {int(commands == ("verify",))}

"""The tables as an interface for other programs: two columns are enough, and what makes no sense is refused."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from books import order_row
from sqlalchemy import make_url

from tracker.store.database import Database
from tracker.store.polling.memory import Memory

pytestmark = pytest.mark.once

Run = Callable[..., Any]
REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError, psycopg.DataError)


@pytest.fixture
def sql(database: Database, database_url: str) -> Iterator[Run]:
    """Run plain SQL with plain drivers, as another program would; return the rows."""
    assert database.schema().fits
    url = make_url(database_url)
    plain: Any
    if url.get_backend_name() == "sqlite":
        plain = sqlite3.connect(Path(str(url.database)), isolation_level=None)
    else:
        plain = psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True)
    with closing(plain):
        yield lambda statement, *values: _rows(plain, statement, values)


def _rows(plain: Any, statement: str, values: tuple[object, ...]) -> list[Any]:  # noqa: ANN401 - of either driver
    if isinstance(plain, psycopg.Connection):
        statement = statement.replace("?", "%s")
    cursor = plain.execute(statement, values)
    return list(cursor.fetchall()) if cursor.description else []


def test_a_row_of_two_columns_is_whole_and_due_at_once(sql: Run, database: Database, memory: Memory) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '23501')")
    now = datetime.now(UTC)
    [key] = memory.orders.plan(now, 1, 100).keys
    [order] = memory.orders.load([key])
    assert (order.order_id, order.state, order.seq, order.misses) == ("23501", "new", 0, 0)
    row = order_row(database, "23501")
    assert abs((row["tracked_at"] - now).total_seconds()) < 5
    assert row["next_poll_at"] <= now
    assert row["state_at"] <= now


def test_a_refill_of_three_columns_is_whole_and_due_at_once(sql: Run, memory: Memory) -> None:
    sql("INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '23501', '1')")
    [refill] = memory.refills.plan(datetime.now(UTC), 1).refills
    assert (refill.order_id, refill.refill_id, refill.state, refill.seq) == ("23501", "1", "requested", 0)


def test_the_same_order_twice_is_refused(sql: Run) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1'), ('other', '1')")
    with pytest.raises(REFUSED, match=r"uq_orders_panel_order_id|orders\.panel, orders\.order_id"):
        sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")


def test_the_same_refill_twice_is_refused_only_while_it_is_open(sql: Run) -> None:
    insert = "INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '1', '1')"
    sql(insert)
    with pytest.raises(REFUSED):
        sql(insert)
    sql("UPDATE refills SET closed_at = '2026-03-01 12:00:00'")
    sql(insert)
    assert sql("SELECT count(*) FROM refills") == [(2,)]


@pytest.mark.parametrize(
    "insert",
    [
        "INSERT INTO orders (panel, order_id) VALUES ('acme', ?)",
        "INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', ?, '1')",
        "INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '1', ?)",
    ],
)
def test_an_id_that_would_spoil_a_batch_is_refused(sql: Run, insert: str) -> None:
    for bad in ("", "1,2", "1 2", ",", " "):
        with pytest.raises(REFUSED, match="is_an_id"):
            sql(insert, bad)


def test_any_other_text_is_an_id(sql: Run, memory: Memory) -> None:
    good = ["23501", "507f1f77bcf86cd799439011", "ord_01HG9X7K", "заказ-7", "-1"]
    for one in good:
        sql("INSERT INTO orders (panel, order_id) VALUES ('acme', ?)", one)
    assert [order.order_id for order in memory.orders.load(memory.orders.find(good))] == good


def test_a_state_that_is_not_ours_is_refused(sql: Run) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")
    sql("INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '1', '1')")
    for table, bad in {"orders": ("Completed", "done", "requested"), "refills": ("new", "active")}.items():
        for state in bad:
            with pytest.raises(REFUSED, match="state_is_known"):
                sql(f"UPDATE {table} SET state = ?", state)


def test_an_order_without_a_panel_or_an_id_is_refused(sql: Run) -> None:
    for missing, panel, order_id in (("panel", None, "1"), ("order_id", "acme", None)):
        with pytest.raises(REFUSED, match=missing):
            sql("INSERT INTO orders (panel, order_id) VALUES (?, ?)", panel, order_id)


TIMES = ["ordered_at", "tracked_at", "state_at", "changed_at", "checked_at", "next_poll_at", "settled_at",
         "closed_at", "missed_at"]  # fmt: skip


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "bad",
    [
        "2026-03-01T09:00:00Z",  # never due: "T" sorts after the space
        "2026-03-01 09:00",
        "2026-03-01 09:00:00+00:00",
        "2026-03-01 09:00:00.123",  # three digits sort wrongly beside six
        "2026-3-1 9:00:00",
        "2026-03-01",
        "now",
        "",
        1772355600,
        2461101.875,
    ],
)
def test_a_time_of_another_form_is_refused_on_sqlite(sql: Run, bad: object) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")
    for column in TIMES:
        with pytest.raises(sqlite3.IntegrityError, match=f"{column}_is_utc_text"):
            sql(f"UPDATE orders SET {column} = ?", bad)


@pytest.mark.parametrize("text", ["2026-03-01 09:00:00", "2026-03-01 09:00:00.123456"])
def test_a_utc_time_with_or_without_its_fraction_is_taken(sql: Run, database: Database, text: str) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")
    for column in TIMES:
        sql(f"UPDATE orders SET {column} = ?", text if "sqlite" in database.shown else f"{text}+00")
    row = order_row(database, "1")
    assert {row[column] for column in TIMES} == {datetime.fromisoformat(f"{text}+00:00")}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_every_time_column_on_sqlite_is_guarded(sql: Run) -> None:
    """A column added later must not forget its check."""
    tables = sql("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name <> 'alembic_version'")
    columns = [
        (table, column, definition)
        for table, definition in tables
        for _, column, kind, *_ in sql(f"PRAGMA table_info({table})")
        if kind == "TIMESTAMP"
    ]
    assert len(columns) > 30
    assert [(table, column) for table, column, text in columns if f"{column}_is_utc_text CHECK" not in text] == []


def test_an_order_with_a_history_cannot_be_deleted(sql: Run, database: Database) -> None:
    sql("INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")
    sql("INSERT INTO progress (order_key, seq, at) SELECT id, 0, '2026-03-01 09:00:00' FROM orders")
    if "sqlite" in database.shown:
        sql("PRAGMA foreign_keys = ON")  # SQLite wants every program to say so
    with pytest.raises(REFUSED):
        sql("DELETE FROM orders")


def test_an_index_names_no_column_that_every_poll_rewrites(sql: Run, database: Database) -> None:
    """Such an index grew one table from 7 to 157 MiB in 60 rounds; one whose predicate names it counts as well."""
    listed = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'orders' AND sql IS NOT NULL"
    if "postgresql" in database.shown:
        listed = "SELECT indexdef FROM pg_indexes WHERE tablename = 'orders'"
    indexes = [row[0] for row in sql(listed)]
    assert len(indexes) >= 3
    rewritten = ("next_poll_at", "checked_at", "changed_at", "charge", "remains", "misses")
    assert not [one for one in indexes if any(column in one for column in rewritten)]

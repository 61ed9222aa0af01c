"""`tracker db status`: sizes, growth, what is to be pruned, and when the disk will be full."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from books import everything, execute, follow
from cli_setting import configure, sql, typist
from sqlalchemy import insert

from tracker.store.database import Database
from tracker.store.schema import metadata, rounds, transitions
from tracker.store.upkeep import sizes
from tracker.store.upkeep.sizes import Sizes, TableSize

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


def add_rounds(database: Database, count: int, days: float) -> None:
    """Add rounds, evenly over the last `days`."""
    moments = [NOW - timedelta(days=days * (number + 0.5) / count) for number in range(count)]
    rows = [
        {"round": f"r{number}", "panel": "acme", "kind": "statuses", "outcome": "ok"}
        | {"started_at": at, "finished_at": at}
        for number, at in enumerate(moments)
    ]
    execute(database, insert(rounds), rows)


def add_transitions(database: Database, count: int) -> None:
    """Add orders with three transitions each."""
    keys = follow(database, *map(str, range(count)))
    rows = [
        {"order_key": key, "seq": seq, "at": NOW, "from_state": "new", "to_state": "pending", "round": "r"}
        for key in keys
        for seq in (1, 2, 3)
    ]
    execute(database, insert(transitions), rows)


def of(found: Sizes, name: str) -> TableSize:
    return next(one for one in found.tables if one.table == name)


def test_small_tables_are_counted_exactly_and_measured(database: Database) -> None:
    add_rounds(database, 70, 7)
    add_transitions(database, 200)
    found = database.sizes(NOW)
    rows = {name: len(rows) for name, rows in everything(database).items()}
    assert {one.table: one.rows for one in found.tables} == rows
    assert all(one.exact for one in found.tables)
    assert {one.table for one in found.tables} == set(metadata.tables)
    assert of(found, "transitions").bytes > of(found, "panels").bytes > 0
    assert 0 < sum(one.bytes for one in found.tables) <= found.bytes


def test_growth_is_what_came_within_the_last_week(database: Database) -> None:
    add_rounds(database, 1400, 140)
    found = database.sizes(NOW)
    assert of(found, "rounds").rows_a_day == 10
    assert of(found, "transitions").rows_a_day is None
    assert of(found, "leases").rows_a_day is None
    assert found.bytes_a_day == of(found, "rounds").bytes_a_day
    assert 1000 < (found.bytes_a_day or 0) < 10_000


def test_growth_of_a_young_history_is_by_its_age_and_of_a_busy_one_by_its_last_day(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rounds(database, 100, 2)
    assert of(database.sizes(NOW), "rounds").rows_a_day == pytest.approx(50, rel=0.02)
    monkeypatch.setattr(sizes, "EXACT", 60)
    assert of(database.sizes(NOW), "rounds").rows_a_day == 50


def test_large_tables_are_estimated_unless_all_is_to_be_counted(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_transitions(database, 3000)
    add_rounds(database, 3000, 7)
    sql(database_url, "DELETE FROM rounds WHERE round LIKE '%7'")
    for name, value in (("EXACT", 100), ("STRETCHES", 8), ("STRETCH", 20), ("MEASURED", 0)):
        monkeypatch.setattr(sizes, name, value)
    sql(database_url, "ANALYZE")
    found = database.sizes(NOW)
    for name, rows in (("transitions", 9000), ("orders", 3000), ("rounds", 2700)):
        one = of(found, name)
        assert not one.exact
        assert one.rows == pytest.approx(rows, rel=0.1)
        assert one.measured == database_url.startswith("postgresql")
    assert 0 < sum(one.bytes for one in found.tables) <= found.bytes
    assert of(found, "transitions").bytes > of(found, "rounds").bytes > of(found, "panels").bytes
    counted = database.sizes(NOW, exact=True)
    assert [of(counted, name).rows for name in ("transitions", "orders", "rounds")] == [9000, 3000, 2700]
    assert all(one.exact and one.measured for one in counted.tables)


def test_when_the_disk_is_full_follows_from_growth_and_what_is_left() -> None:
    table = TableSize("rounds", 100, exact=True, bytes=1000, measured=True, rows_a_day=5.0)
    found = Sizes("SQLite", 2000, 0, 100, 400, [table])
    assert found.bytes_a_day == 50
    assert found.full_in == timedelta(days=10)
    assert found._replace(free_bytes=None).full_in is None
    assert found._replace(free_bytes=10**9).full_in is None


def test_the_command_tells_people_and_programs(
    database: Database, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(tmp_path, {}, database_url, more='[keep]\nrounds = "14d"')
    add_rounds(database, 40, 20)
    type_one = typist(capsys)

    def told(arguments: str = "") -> str:
        code, out, err = type_one(f"db status {arguments} --config {config}")
        assert (code, err) == (0, "")
        return out

    for_people = told()
    assert "fits" in for_people
    assert "12 rounds" in for_people
    assert "rounds 14d, anomalies forever" in for_people
    found: dict[str, Any] = json.loads(told("--json"))
    assert found["fits"]
    assert found["version"].startswith(("SQLite 3.", "PostgreSQL "))
    assert found["to_prune"] == {"rounds": 12, "anomalies": 0, "progress": 0, "closed_orders": 0}
    assert found["to_prune_is_all"]
    assert found["keep_seconds"]["rounds"] == 14 * 86400
    assert (found["free_bytes"] is None) == database_url.startswith("postgresql")
    [one] = [row for row in found["tables"] if row["table"] == "rounds"]
    assert (one["rows"], one["exact"], one["rows_a_day"]) == (40, True, 2)
    rows = list(csv.DictReader(io.StringIO(told("--format csv"))))
    assert {row["table"] for row in rows} == set(metadata.tables)

"""Exports: every table and view, in every format, says what is in the database, spelled as everywhere."""

import csv
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
from bench.common import apart
from bench.export import fill
from books import NOW, execute, table
from drawn_histories import Rows, histories
from export_setting import add_orders, exported
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from sqlalchemy import insert, select

from tracker.cli.asking import export_files
from tracker.cli.asking.export import RELATIONS
from tracker.cli.asking.export_run import run
from tracker.cli.columns import Column, Format
from tracker.cli.render import render
from tracker.store.database import Database
from tracker.store.engine import reading
from tracker.store.reading import relations
from tracker.store.schema import (
    metadata,
    orders,
    refills,
    rounds,
)

OWNERS = {
    "transitions": ("order_key", orders, ("panel", "order_id")),
    "progress": ("order_key", orders, ("panel", "order_id")),
    "refill_transitions": ("refill_key", refills, ("panel", "order_id", "refill_id")),
}
FORMS: Final[tuple[Format, ...]] = ("csv", "jsonl")
STEADY = sorted(set(RELATIONS) - {"open_orders", "stuck_orders"})
"""Those two tell seconds until now."""


def expected(database: Database, name: str) -> list[dict[str, Any]]:
    """Return all rows of a table or view as they must stand in its file, read in the plainest way there is."""
    found = relations.RELATIONS[name]
    key = [rounds.c.started_at, rounds.c.round] if name == "rounds" else list(found.primary_key)
    with reading(database._engine) as connection:
        rows = [dict(row) for row in connection.execute(select(found).order_by(*key)).mappings()]
    if name in OWNERS:
        key_name, owner, columns = OWNERS[name]
        told = {row["id"]: {column: row[column] for column in columns} for row in table(database, owner)}
        rows = [told[row[key_name]] | row for row in rows]
    return rows


def rendered(rows: list[dict[str, Any]], names: list[str], form: Format) -> list[str]:
    """Return the lines that our renderer makes of rows."""
    stream = io.StringIO()
    columns = [Column(name) for name in names]
    render(rows, columns, format=form, stream=stream, now=NOW, empty="")
    return stream.getvalue().splitlines()


@pytest.fixture
def small_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relations, "ROWS_A_STEP", 3)
        patch.setattr(relations, "ORDERS_A_STEP", 2)
        yield


@pytest.mark.usefixtures("small_steps")
@settings(max_examples=5, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(histories(), min_size=1, max_size=4))
def test_every_file_says_what_our_renderer_says_of_the_plainest_read(
    database: Database, tmp_path: Path, drawn: list[Rows]
) -> None:
    for history in drawn:
        for one, rows in history.items():
            if rows:
                execute(database, insert(one), rows)
    for name in STEADY:
        wanted = expected(database, name)
        fields = [field.name for field in database.export(name).fields]
        order: Callable[[list[str]], list[str]] = list if name in metadata.tables else sorted
        for form in FORMS:
            lines = exported(database, name, form, tmp_path / form).decode().split("\n")[:-1]
            assert order(lines) == order(rendered(wanted, fields, form)), name


@pytest.mark.parametrize("name", RELATIONS)
def test_a_table_or_view_without_rows_is_a_file_with_its_columns(
    database: Database, tmp_path: Path, name: str
) -> None:
    fields = [field.name for field in database.export(name).fields]
    assert exported(database, name, "csv", tmp_path / "x").decode() == ",".join(fields) + "\n"
    assert exported(database, name, "jsonl", tmp_path / "x") == b""
    exported(database, name, "parquet", tmp_path / "x")
    assert parquet.read_table(tmp_path / "x").column_names == fields
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".part"] == []


def test_the_command_knows_every_table_and_view() -> None:
    assert set(RELATIONS) == set(relations.RELATIONS)
    assert len(RELATIONS) == len(set(RELATIONS))


@pytest.mark.parametrize(
    ("columns", "fast"),
    [
        ({"remains": -5, "link": "https://x.example/?a=1&b=-2"}, True),
        ({"charge": Decimal("-0.5"), "ref": "заказ"}, True),
        ({"ref": "-5"}, False),
        ({"link": "@name"}, False),
        ({"link": "\uff1d1+1"}, False),
        ({"link": "a,b"}, False),
        ({"link": 'a"b'}, False),
        ({"link": "a\nb"}, False),
        ({"link": 'за"каз'}, False),
        ({"ref": "\x1b"}, False),
    ],
)
def test_only_rows_with_something_to_change_leave_the_fast_way(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, object], *, fast: bool
) -> None:
    add_orders(database, "1", "2", **columns)
    spelled: list[object] = []
    slow = export_files.CsvFile._spelled

    def spy(rows: Any) -> bytes:  # noqa: ANN401  # passed on
        spelled.append(rows)
        return slow(rows)

    monkeypatch.setattr(export_files.CsvFile, "_spelled", staticmethod(spy))
    lines = exported(database, "orders", "csv", tmp_path / "x").decode().splitlines()
    assert lines == rendered(
        expected(database, "orders"), [field.name for field in database.export("orders").fields], "csv"
    )
    assert (len(spelled) == 1) == fast, "the heading is spelled in any case"


@pytest.mark.parametrize("amount", ["0.00000001", "-0.00005", "99999999999999.5", "0.3", "-12.5", "1000000"])
def test_an_amount_that_sqlite_would_spell_with_an_exponent_is_exact(
    database: Database, tmp_path: Path, amount: str
) -> None:
    add_orders(database, "1", charge=Decimal(amount))
    assert exported(database, "orders", "csv", tmp_path / "x", columns=["order_id", "charge"]) == (
        f"order_id,charge\n1,{amount}\n".encode()
    )


def test_parquet_keeps_the_types(database: Database, tmp_path: Path) -> None:
    add_orders(database, "1", charge=Decimal("0.00000001"), remains=7, changed_at=NOW + timedelta(microseconds=1))
    add_orders(database, "2")
    exported(database, "orders", "parquet", tmp_path / "x")
    found = parquet.read_table(tmp_path / "x")
    types = {field.name: str(field.type) for field in found.schema}
    assert (types["charge"], types["changed_at"], types["remains"], types["order_id"]) == (
        "decimal128(38, 12)",
        "timestamp[us, tz=UTC]",
        "int64",
        "string",
    )
    assert found.to_pylist() == expected(database, "orders")


def test_what_parquet_cannot_hold_is_said_with_the_column(database: Database, tmp_path: Path) -> None:
    add_orders(database, "1", charge=Decimal("0.0000000000001"))
    done = run(database.export("orders"), "orders", f"{tmp_path}/x", "parquet", after=None, append=False)
    assert "Column charge" in str(done.fault)
    assert "export as CSV" in str(done.fault)


def test_panel_columns_and_time_narrow_it(database: Database, tmp_path: Path) -> None:
    for number in range(4):
        add_orders(database, str(number), changed_at=NOW + timedelta(hours=number) if number else None)
    add_orders(database, "9", panel="beta", changed_at=NOW + timedelta(hours=2))

    def ids_of(**narrowed: Any) -> list[str]:  # noqa: ANN401  # whatever there is
        return (
            exported(database, "orders", "csv", tmp_path / "x", columns=["order_id"], **narrowed)
            .decode()
            .split()[1:]
        )

    assert ids_of() == ["0", "1", "2", "3", "9"]
    assert ids_of(panel="acme") == ["0", "1", "2", "3"]
    assert ids_of(since=NOW + timedelta(hours=2)) == ["2", "3", "9"]
    assert ids_of(panel="acme", since=NOW, until=NOW + timedelta(hours=2)) == ["0", "1"]
    assert ids_of(panel="nobody") == []
    day = exported(database, "daily_spend", "csv", tmp_path / "x", since=NOW + timedelta(days=1))
    assert day.count(b"\n") == 1


def test_a_long_history_is_exported_in_little_memory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    fill(url, "sqlite", 60_000)
    figures = apart("export", "csv", url, str(tmp_path))
    assert figures["peak_mib"] < 100
    with (tmp_path / "out.csv").open(newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 60_001

"""How large each table is, how fast it grows, and when the disk will be full; quick on large databases too.

Up to `EXACT` rows of a table are counted; beyond, SQLite is asked for some stretches of its keys and Postgres for
its own estimate. Growth is what came within the last week, or day, or hour: the longest with few enough rows.
"""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Engine, Select, Table, func, literal_column, select, text
from sqlalchemy.exc import OperationalError

from tracker.store.engine import reading
from tracker.store.reading.vitals import measure
from tracker.store.schema import (
    balance_snapshots,
    metadata,
    orders,
    progress,
    refills,
    rounds,
    service_changes,
    transitions,
)

EXACT: Final = 200_000
"""Rows that are counted one by one: 10 to 50 ms."""

MEASURED: Final = 512 << 20
"""Bytes of a SQLite file up to which each page is looked at for the bytes of each table: about half a second."""

TYPICAL: Final = {"orders": 440, "transitions": 130, "progress": 80}
OTHERWISE: Final = 250
"""Bytes of a row with its share of the indexes, in a history of 150,000 orders: a larger file is shared out so."""

STRETCHES: Final = 32
STRETCH: Final = 2_000
"""Keys in each of them: 64,000 keys tell the rows of a table within some per cent."""

SPANS: Final = (timedelta(days=7), timedelta(days=1), timedelta(hours=1))

YOUNG: Final = timedelta(minutes=10)
"""A table whose first row came so lately has no growth a day yet."""

GROWING: Final[dict[str, tuple[ColumnElement[Any], ColumnElement[Any]]]] = {
    one.name: (one.c[time], one.c[key])
    for one, time, key in (
        (orders, "tracked_at", "id"),
        (transitions, "at", "at"),
        (progress, "at", "id"),
        (refills, "tracked_at", "id"),
        (balance_snapshots, "at", "id"),
        (service_changes, "at", "id"),
        (rounds, "started_at", "started_at"),
    )
}
"""Tables that grow with time: when a row came, and the indexed column along which rows come."""


class TableSize(NamedTuple):
    """One table with its indexes."""

    table: str
    rows: int
    exact: bool
    """False: `rows` is an estimate."""
    bytes: int
    measured: bool
    """False: `bytes` is an estimate."""
    rows_a_day: float | None
    """None: not known (yet), or it does not grow with time."""

    @property
    def bytes_a_day(self) -> float | None:
        """Return how much larger it gets each day."""
        if self.rows_a_day is None or not self.rows:
            return None
        return self.rows_a_day * self.bytes / self.rows


class Sizes(NamedTuple):
    """A whole database."""

    version: str
    bytes: int
    """On the disk, SQLite's log included."""
    log_bytes: int | None
    """Of them SQLite's write-ahead log."""
    unused_bytes: int | None
    """Of them pages of SQLite's file that are free for new rows: after pruning, the file stays as large."""
    free_bytes: int | None
    """Left on the disk; None for a server's, which only the server sees."""
    tables: Sequence[TableSize]

    @property
    def bytes_a_day(self) -> float | None:
        """Return how much larger it gets each day; None where no table tells."""
        told = [one.bytes_a_day for one in self.tables if one.bytes_a_day is not None]
        return sum(told) if told else None

    @property
    def full_in(self) -> timedelta | None:
        """Return when the disk will be full at this growth; None where that is not known, or beyond ten years."""
        growth = self.bytes_a_day
        if not growth or self.free_bytes is None:
            return None
        days = ((self.unused_bytes or 0) + self.free_bytes) / growth
        return timedelta(days=days) if days < 3650 else None


def look(engine: Engine, now: datetime, *, exact: bool = False) -> Sizes:
    """Return how large everything is; with `exact` all is counted and measured, however long that takes."""
    with reading(engine) as connection:
        used = measure(engine)
        ask = _Sqlite if engine.dialect.name == "sqlite" else _Postgres
        asked = ask(connection, exact=exact)
        tables = [_table(connection, one, asked, now, exact=exact) for one in metadata.sorted_tables]
        if not all(one.measured for one in tables):
            tables = _shared_out(tables, used.used - (asked.unused or 0) - (asked.log or 0))
        tables.sort(key=lambda one: (-one.bytes, -one.rows, one.table))
        return Sizes(asked.version, used.used, asked.log, asked.unused, used.free, tables)


def _table(
    connection: Connection, one: Table, asked: "_Sqlite | _Postgres", now: datetime, *, exact: bool
) -> TableSize:
    some: Select[Any] = select(literal_column("1").label("one")).select_from(one)
    counted = select(func.count()).select_from((some if exact else some.limit(EXACT + 1)).subquery())
    rows = connection.execute(counted).scalar_one()
    whole = exact or rows <= EXACT
    if not whole:
        rows = asked.estimate(one)
    size = asked.bytes_of(one.name)
    return TableSize(one.name, rows, whole, size or 0, size is not None, _growth(connection, one, now))


def _shared_out(tables: Sequence[TableSize], size: int) -> list[TableSize]:
    """Return the tables with the bytes of the whole file shared out among their rows."""
    weights = [one.rows * TYPICAL.get(one.table, OTHERWISE) for one in tables]
    whole = max(sum(weights), 1)
    return [one._replace(bytes=size * weight // whole) for one, weight in zip(tables, weights, strict=True)]


def _growth(connection: Connection, one: Table, now: datetime) -> float | None:
    """Return how many rows a day came lately."""
    if one.name not in GROWING:
        return None
    time, key = GROWING[one.name]
    # What came lately stands at the end of the key, and not more of it is read.
    latest = select(time.label("at")).order_by(key.desc()).limit(EXACT).subquery()
    first = connection.execute(select(time).order_by(key).limit(1)).scalar()
    if first is None or now - first < YOUNG:
        return None
    for span in SPANS:
        count = connection.execute(select(func.count()).where(latest.c.at >= now - span)).scalar_one()
        if count < EXACT:
            break
    return float(count * timedelta(days=1) / min(span, now - first))


def _log_of(engine: Engine) -> int:
    path = Path(f"{engine.url.database}-wal")
    return path.stat().st_size if path.exists() else 0


class _Sqlite:
    def __init__(self, connection: Connection, *, exact: bool) -> None:
        self._connection = connection
        page, pages, free = (
            int(connection.execute(text(f"PRAGMA {name}")).scalar_one())
            for name in ("page_size", "page_count", "freelist_count")
        )
        self.version = f"SQLite {connection.execute(select(func.sqlite_version())).scalar_one()}"
        self.unused: int | None = free * page
        self._file = pages * page
        self._bytes = self._measured() if exact or self._file <= MEASURED else {}

        self.log: int | None = _log_of(connection.engine)

    def bytes_of(self, name: str) -> int | None:
        return self._bytes.get(name)

    def _measured(self) -> dict[str, int]:
        """Return the bytes of each table with its indexes; nothing where this SQLite cannot tell."""
        told = text(
            "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat('main', 1) AS d"
            " JOIN sqlite_schema AS s ON s.name = d.name GROUP BY s.tbl_name"
        )
        try:
            return {name: int(size) for name, size in self._connection.execute(told)}
        except OperationalError:  # built without dbstat
            return {}

    def estimate(self, one: Table) -> int:
        """Return about how many rows there are: those in some stretches of the keys stand for all."""
        key: ColumnElement[int] = one.c.order_key if one is transitions else literal_column("rowid")
        # Each by itself, or SQLite would read the whole table for them.
        ends = (select(end(key)).select_from(one).scalar_subquery() for end in (func.min, func.max))
        low, high = self._connection.execute(select(*ends)).one()
        if high - low <= STRETCHES * STRETCH:
            return int(self._connection.execute(select(func.count()).select_from(one)).scalar_one())
        part = (high - low) // STRETCHES
        chosen = random.Random(high)  # noqa: S311  # nobody must not guess it
        starts = [low + part * number + chosen.randrange(max(part - STRETCH, 1)) for number in range(STRETCHES)]
        inside = select(func.count()).select_from(one)
        found = 0
        for start in starts:
            found += self._connection.execute(inside.where(key >= start, key < start + STRETCH)).scalar_one()
        return int(found * (high - low) / (STRETCHES * STRETCH))


class _Postgres:
    unused: int | None = None
    log: int | None = None

    def __init__(self, connection: Connection, *, exact: bool) -> None:
        del exact  # what takes long elsewhere is known here
        self.version = f"PostgreSQL {connection.execute(text('SHOW server_version')).scalar_one()}"
        names = [one.name for one in metadata.sorted_tables]
        told = text(
            "SELECT relname, pg_total_relation_size(oid), reltuples FROM pg_class"
            " WHERE oid = ANY (SELECT to_regclass(name)::oid FROM unnest(CAST(:names AS text[])) AS name)"
        )
        self._told = {
            name: (int(size), int(rows)) for name, size, rows in connection.execute(told, {"names": names})
        }

    def bytes_of(self, name: str) -> int | None:
        return self._told[name][0]

    def estimate(self, one: Table) -> int:
        """Return what the server believes since it last looked at the table, which it does by itself."""
        return max(self._told[one.name][1], EXACT + 1)

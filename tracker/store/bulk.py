"""Handing many rows to a few statements, each database in the form that was measured to be its fastest.

A statement that reads rows of ours (`RowSet`) takes them as one JSON text on SQLite (`json_each`), on Postgres
as one array a column (`unnest`), which we spell ourselves, for the driver took 3 µs a value. An update of many
rows (`BulkUpdate`) is a loop inside the driver on SQLite, which is a library, and one statement on Postgres,
where each one travels.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from typing import cast as cast_to

from sqlalchemy import ARRAY, Connection, String, Table, Update, bindparam, cast, func, select, type_coerce, update
from sqlalchemy import column as column_of
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.expression import ColumnElement, FromClause
from sqlalchemy.types import TypeEngine

from tracker.store.types import Moment, Money, Stamp, Text, money_text, utc_text

Columns = dict[str, TypeEngine[Any]]


class RowSet:
    """Rows of ours as a table that statements join with: `table` and its columns `c`."""

    def __init__(self, dialect: str, name: str, **columns: TypeEngine[Any]) -> None:
        self._name = name
        self._columns = columns
        self._sqlite = dialect == "sqlite"
        self.table: FromClause = self._json() if self._sqlite else self._arrays()
        self.c = self.table.c

    def _json(self) -> FromClause:
        parameter = bindparam(self._name, type_=String())
        each = func.json_each(parameter).table_valued("value", name=f"{self._name}_json")
        if len(self._columns) == 1:
            [(only, kind)] = self._columns.items()
            return select(type_coerce(each.c.value, kind).label(only)).subquery(self._name)
        fields = [
            type_coerce(func.json_extract(each.c.value, f"$[{place}]"), kind).label(name)
            for place, (name, kind) in enumerate(self._columns.items())
        ]
        return select(*fields).subquery(self._name)

    def _arrays(self) -> FromClause:
        arrays = [
            cast(bindparam(f"{self._name}_{name}", type_=String()), ARRAY(kind))
            for name, kind in self._columns.items()
        ]
        fields = [column_of(name, kind) for name, kind in self._columns.items()]
        return func.unnest(*arrays).table_valued(*fields, name=self._name).render_derived()

    def parameters(self, rows: Sequence[Sequence[object]]) -> dict[str, object]:
        """Return the parameters that carry `rows` (at least one), each in the order of the columns."""
        if self._sqlite:
            plain: Sequence[object] = [row[0] for row in rows] if len(self._columns) == 1 else rows
            return {self._name: json.dumps(plain, default=_spelled)}
        columns = zip(self._columns.items(), zip(*rows, strict=True), strict=True)
        return {f"{self._name}_{name}": _array(values, kind) for (name, kind), values in columns}


Row = dict[str, ColumnElement[Any]]
Where = Callable[[Row], ColumnElement[bool]]


class BulkUpdate(ABC):
    """`UPDATE table SET … WHERE …` for many rows; every row tells the columns of `match`, then those of `set_`.

    `where` makes the condition from the columns of the row, by name. A column of `set_` whose name begins with
    `or_` keeps the table's value where the row has None.
    """

    @staticmethod
    def of(dialect: str, table: Table, match: Columns, set_: Columns, where: Where) -> "BulkUpdate":
        """Return the update in the form that is fastest on `dialect`."""
        return (_DriverLoop if dialect == "sqlite" else _OneStatement)(table, match, set_, where)

    def run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> int:
        """Update one row of the table for each of `rows`; return how many met their condition."""
        return self._run(connection, rows) if rows else 0

    @abstractmethod
    def _run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> int: ...


class _OneStatement(BulkUpdate):
    def __init__(self, table: Table, match: Columns, set_: Columns, where: Where) -> None:
        self._rows = RowSet("postgresql", "rows", **match, **set_)
        self._statement = _update(table, set_, {name: self._rows.c[name] for name in match | set_}, where)

    def _run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> int:
        return connection.execute(self._statement, self._rows.parameters(rows)).rowcount


class _DriverLoop(BulkUpdate):
    def __init__(self, table: Table, match: Columns, set_: Columns, where: Where) -> None:
        columns = match | set_
        row: Row = {name: bindparam(f"row_{name}", type_=kind) for name, kind in columns.items()}
        compiled = _update(table, set_, row, where).compile(dialect=sqlite.dialect())
        self._sql = str(compiled)
        # A name may stand in the statement more than once; its places tell which value goes where.
        names = [f"row_{name}" for name in columns]
        self._places = [names.index(name) for name in cast_to("list[str]", compiled.positiontup)]
        self._spellings = [_SPELLINGS.get(kind) for kind in columns.values()]

    def _run(self, connection: Connection, rows: Sequence[Sequence[object]]) -> int:
        columns: list[Iterable[object]] = list(zip(*rows, strict=True))
        for place, spell in enumerate(self._spellings):
            if spell is not None:
                columns[place] = list(_spelled_all(columns[place], spell))
        # Past SQLAlchemy's processing of parameters, which cost more than the statement: the values are plain now.
        ordered = list(zip(*(columns[place] for place in self._places), strict=True))
        return connection.exec_driver_sql(self._sql, ordered).rowcount


def _update(table: Table, set_: Columns, row: Row, where: Where) -> Update:
    values: Row = {}
    for name in set_:
        kept = name.removeprefix("or_")
        values[kept] = row[name] if kept == name else func.coalesce(row[name], table.c[kept])
    return update(table).values(values).where(where(row))


_SPELLINGS: dict[TypeEngine[Any], Callable[[Any], str]] = {Moment: utc_text, Money: money_text}


@lru_cache(maxsize=1024)
def _quoted(text: str) -> str:
    """Spell a text as an element of an array."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ELEMENTS: dict[TypeEngine[Any], Callable[[Any], str]] = {
    **_SPELLINGS,
    Moment: lambda moment: utc_text(moment) + "+00",
    Stamp: '"{}"'.format,
    Text: _quoted,
}


def _array(values: Iterable[object], kind: TypeEngine[Any]) -> str:
    """Spell an array as Postgres reads it."""
    elements = _spelled_all(values, _ELEMENTS.get(kind, str))
    return "{" + ",".join(["NULL" if element is None else element for element in elements]) + "}"


def _spelled_all(values: Iterable[object], spell: Callable[[Any], str]) -> Iterator[str | None]:
    """Spell values that are often the very same object: the moment of a batch is that of all its orders."""
    last: object = None
    text: str | None = None
    for value in values:
        if value is not last:
            last, text = value, None if value is None else spell(value)
        yield text


def _spelled(value: object) -> str:
    """Spell what JSON has no form for as SQLite stores it."""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, Decimal):
        return money_text(value)
    raise TypeError(type(value).__name__)

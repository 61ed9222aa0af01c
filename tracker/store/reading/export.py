"""Reading a whole table or view for a file, with flat memory, and without anything that polling would wait for.

It is cut into steps along its key. A step reads in a transaction of its own, and no transaction is open while its
rows are written: SQLite can fold its write-ahead log back, Postgres can vacuum. So an export is no snapshot of one
moment; each row is what it was when its step came, whole, and at most once, for keys never change. Only a view of
sums has no key: it is one query and one snapshot.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from sqlalchemy import ColumnElement, Engine, Row, Select, func, literal, select, tuple_

from tracker.errors import UsageFault
from tracker.store.engine import reading
from tracker.store.reading.relations import RELATIONS, Kind, Relation, kind_of, panel_of, relation
from tracker.store.reading.spelling import joined, line_of
from tracker.store.reading.views import VIEWS

_ALONG_THE_INDEX: Final = select(
    *(
        func.set_config(setting, value, True)  # for this transaction only
        for setting, value in {
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            "enable_seqscan": "off",
            "max_parallel_workers_per_gather": "0",
        }.items()
    )
)
"""Postgres takes a step for a third of the table, and would read all orders for each: 160 ms instead of 20."""

Rows: TypeAlias = Sequence[Sequence[Any]]
Key: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = Select[*tuple[Any, ...]]


class Field(NamedTuple):
    """One column of an export."""

    name: str
    kind: Kind


class Span(NamedTuple):
    """From when until when; what is None does not narrow."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Some rows that follow each other. Each call reads them anew; both may raise `DatabaseUnreachable`."""

    cursor: str | None
    """What the next step comes after; None for a view of sums."""
    share: float | None
    """Which part of the way along the key is done, from 0 to 1, where that can be told."""
    rows: Callable[[], Rows]
    """Give the rows with their values as everywhere: `datetime`, `Decimal`, `int`, `bool`, text, None."""
    spelled: Callable[[], tuple[int, str] | None]
    """Give how many rows there are, and them as `tracker.store.reading.spelling` does; None where it cannot."""


class Export:
    """One table or view, narrowed. Raises `UsageFault` for what is not there."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        columns: Sequence[str] = (),
        panel: str | None = None,
        span: Span = Span(),  # noqa: B008  # immutable
    ) -> None:
        self._engine = engine
        self._name = name
        if name not in RELATIONS:
            raise UsageFault(f"There is no table or view {name}. There are: {', '.join(RELATIONS)}.")
        self._relation: Relation = relation(name)
        there = self._relation.columns
        if missing := [column for column in columns if column not in there]:
            raise UsageFault(f"{name} has no column {missing[0]}. It has: {', '.join(there)}.")
        self._columns = {column: there[column] for column in columns or there}
        self._where = [] if panel is None else [panel_of(self._relation) == panel]
        self._where += self._within(span)
        self.fields = [Field(column, kind_of(found)) for column, found in self._columns.items()]

    @property
    def has_key(self) -> bool:
        """Whether it can be gone on with after a cursor."""
        return bool(self._relation.key)

    @property
    def key(self) -> str:
        """The names of what a cursor is made of: `order_key,seq`."""
        return ",".join(column.name for column in self._relation.key)

    @property
    def tells_news(self) -> bool:
        """Whether what is new since a moment is a part of it: not so where rows go away, or are sums."""
        return self._relation.time is not None and (self._name not in VIEWS or "at" in self._relation.columns)

    def _within(self, span: Span) -> list[ColumnElement[bool]]:
        time = self._relation.time
        if time is None:
            if span != Span():
                raise UsageFault(f"{self._name} has no column of time that --since and --until could choose by.")
            return []
        bounds = [
            bound if bound is None or kind_of(time) == "moment" else bound.astimezone(UTC).date().isoformat()
            for bound in span
        ]
        since, until = bounds
        return ([] if since is None else [time >= since]) + ([] if until is None else [time < until])

    def steps(self, after: str | None = None) -> Iterator[Step]:
        """Return the steps in turn, from the first key, or from the first one after a cursor.

        Raises `UsageFault` for a cursor of something else, at once; the steps may raise `DatabaseUnreachable`.
        """
        if self.has_key:
            return self._walk(None if after is None else self._parsed(after))
        if after is not None:
            raise UsageFault(f"{self._name} is computed as a whole: export all of it again, without --after.")
        return self._whole()

    def _walk(self, low: Key | None) -> Iterator[Step]:
        ends = self._ends()
        while (high := self._next(low)) is not None:
            reads = functools.partial(self._rows, low, high), functools.partial(self._spelled, low, high)
            yield Step(_cursor(high), _share(high, ends), *reads)
            low = high

    def _whole(self) -> Iterator[Step]:
        statement = select(*self._columns.values()).where(*self._where).order_by(*self._relation.order_by)
        statement = statement.select_from(self._relation.source).execution_options(yield_per=self._relation.step)
        with reading(self._engine) as connection:
            for rows in connection.execute(statement).partitions():
                yield Step(None, None, functools.partial(_same, rows), _none)

    def _next(self, low: Key | None) -> Key | None:
        """Return the key at the end of the step after `low`; None where there is none."""
        key = self._relation.paced_by
        walk = select(*key).where(*_between(key, low, None)).limit(1)
        with reading(self._engine) as connection:
            found = connection.execute(walk.order_by(*key).offset(self._relation.step - 1)).first()
            found = found or connection.execute(walk.order_by(*(each.desc() for each in key))).first()
        return None if found is None else tuple(found)

    def _select(self, what: Sequence[ColumnElement[Any]], low: Key | None, high: Key) -> Statement:
        between = _between(self._relation.key, low, high)
        statement: Statement = select(*what).select_from(self._relation.source).where(*between, *self._where)
        return statement.order_by(*self._relation.order_by)

    def _read(self, statement: Statement) -> Sequence[Row[Any]]:
        with reading(self._engine) as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(_ALONG_THE_INDEX)
            return connection.execute(statement).all()

    def _rows(self, low: Key | None, high: Key) -> Rows:
        return self._read(self._select(list(self._columns.values()), low, high))

    def _spelled(self, low: Key | None, high: Key) -> tuple[int, str] | None:
        line = line_of(list(self._columns.values()), self._engine.dialect.name)
        if line is None:
            return None
        [(count, text)] = map(tuple, self._read(joined(self._select([line.label("line")], low, high))))
        return count, text or ""

    def _ends(self) -> tuple[int, int] | None:
        """Return the first and the last of a key of numbers."""
        first = self._relation.paced_by[0]
        if kind_of(first) != "whole":
            return None
        with reading(self._engine) as connection:
            low, high = connection.execute(select(func.min(first), func.max(first))).one()
        return None if low is None else (low, high)

    def _parsed(self, after: str) -> Key:
        key = self._relation.key
        parts = after.split(",")
        try:
            return tuple(_PARSE[kind_of(column)](part) for column, part in zip(key, parts, strict=True))
        except ValueError:
            raise UsageFault(
                f"--after {after}: no cursor of {self._name}. Give {self.key} as an export of it "
                "told where it ended."
            ) from None


LARGEST: Final = 2**63 - 1
"""Of the databases' whole numbers."""


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > LARGEST:
        raise ValueError(text)
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


def _text(text: str) -> str:
    unquoted = unquote(text, errors="strict")
    if "\0" in unquoted:
        raise ValueError(text)
    return unquoted


_PARSE: Final[dict[Kind, Callable[[str], Any]]] = {"whole": _whole, "moment": _moment, "text": _text}


def _between(key: Sequence[ColumnElement[Any]], low: Key | None, high: Key | None) -> list[ColumnElement[bool]]:
    """Return what keeps a key above `low` and at most at `high`."""
    columns = tuple_(*key)

    def values(bound: Key) -> ColumnElement[Any]:
        return tuple_(*(literal(value, column.type) for value, column in zip(bound, key, strict=True)))

    above = [] if low is None else [columns > values(low)]
    return above if high is None else [*above, columns <= values(high)]


def _cursor(key: Key) -> str:
    """Return a key as one word for the command line."""
    texts = [part.isoformat() if isinstance(part, datetime) else str(part) for part in key]
    return ",".join(quote(text, safe=":+/@!") for text in texts)


def _share(key: Key, ends: tuple[int, int] | None) -> float | None:
    if ends is None:
        return None
    (first, last), at = ends, int(key[0])
    return min(1.0, (at - first + 1) / (last - first + 1))


def _same(rows: Rows) -> Rows:
    return rows


def _none() -> None:
    return None

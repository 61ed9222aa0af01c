"""Pieces of SQL that each database spells differently, and arithmetic that means the same on both."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Double, cast, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from tracker.store.types import Moment, Money, Text, Whole

DAY: Final = 86_400


class seconds_of(FunctionElement[int]):  # noqa: N801  # reads like the SQL function that it is
    """A moment as whole seconds since 1970: the fraction is cut off, so both databases count alike."""

    type = Whole
    inherit_cache = True


@compiles(seconds_of, "sqlite")
def _seconds_sqlite(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    moment = compiler.process(element.clauses, **options)
    # Some versions of SQLite round a fraction up to the next second, so it never sees one.
    return f"CAST(strftime('%s', substr({moment}, 1, 19)) AS INTEGER)"


@compiles(seconds_of, "postgresql")
def _seconds_postgresql(element: seconds_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    moment = compiler.process(element.clauses, **options)
    return f"CAST(floor(EXTRACT(epoch FROM {moment})) AS BIGINT)"


class ago(FunctionElement[datetime]):  # noqa: N801  # as above
    """The moment so many whole seconds before the query began; unlike the clock itself, constant within it."""

    type = Moment
    inherit_cache = True

    def __init__(self, seconds: int) -> None:
        super().__init__(literal_column(str(seconds)))


@compiles(ago, "sqlite")
def _ago_sqlite(element: ago, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    seconds = compiler.process(element.clauses, **options)
    # A subquery is computed once; in the condition of a LEFT JOIN the bare function was, for each row.
    return f"(SELECT strftime('%Y-%m-%d %H:%M:%S', 'now', '-{seconds} seconds'))"


@compiles(ago, "postgresql")
def _ago_postgresql(element: ago, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    seconds = compiler.process(element.clauses, **options)
    return f"(now() - interval '{seconds} seconds')"


class day_of(FunctionElement[str]):  # noqa: N801  # as above
    """The day of a moment in UTC, as text `YYYY-MM-DD` on both databases: `substr(day, 1, 7)` is its month."""

    type = Text
    inherit_cache = True


@compiles(day_of, "sqlite")
def _day_sqlite(element: day_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


@compiles(day_of, "postgresql")
def _day_postgresql(element: day_of, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


def between(start: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the whole seconds from one moment to another."""
    return seconds_of(end) - seconds_of(start)


def since(start: ColumnElement[Any]) -> ColumnElement[int]:
    """Return the whole seconds from a moment until now."""
    return between(start, ago(0))


def quotient(part: ColumnElement[Any], whole: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return part ÷ whole, not rounded; NULL where the whole is 0 or unknown."""
    return part * literal_column("1.0") / func.nullif(whole, 0)  # 1.0, or whole numbers would be divided as such


def rounded(number: ColumnElement[Any], digits: int = 4) -> ColumnElement[float]:
    """Return a number that is no money, rounded half up."""
    return cast(func.round(number, literal_column(str(digits))), Double)


class short(FunctionElement[Any]):  # noqa: N801  # as above
    """An amount without zeros at its end, of which Postgres keeps as many as it was rounded to."""

    type = Money
    inherit_cache = True


@compiles(short, "sqlite")
def _short_sqlite(element: short, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    return compiler.process(element.clauses, **options)


@compiles(short, "postgresql")
def _short_postgresql(element: short, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    return f"trim_scale({compiler.process(element.clauses, **options)})"


def total(amount: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a sum of money, rounded: on SQLite the sum of ten 0.1 is not 1."""
    return short(func.round(func.sum(amount), literal_column("6")))

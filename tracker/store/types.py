"""Column types that mean the same on SQLite and on Postgres, and the database's own clock."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, Numeric, String
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType

# Two digits from a table cost a third of `isoformat`: 0.5 instead of 1.5 µs for each order of each poll.
_TWO: Final = tuple(f"{number:02}" for number in range(60))


def utc_text(moment: datetime) -> str:
    """Return `moment` as SQLite keeps it: UTC, microseconds always written, so that text order is time order."""
    m = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    day = f"{m.year:04}-{_TWO[m.month]}-{_TWO[m.day]}"
    return f"{day} {_TWO[m.hour]}:{_TWO[m.minute]}:{_TWO[m.second]}.{str(m.microsecond).zfill(6)}"


_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


# The orders of a batch were mostly written together, so they share their moments.
@lru_cache(maxsize=1024)
def utc_moment(text: str) -> datetime:
    """Return the aware UTC moment of a text in SQLite; the fraction may be missing."""
    try:
        return datetime.fromisoformat(text + "+00:00")
    except ValueError:
        return _carried(text)


def _carried(text: str) -> datetime:
    """Return what a day or hour that no calendar has is taken for: 30 February for 2 March, 24:00 for 0:00.

    The constraints of the tables know digits, no calendar, and a row of somebody else must not stop the others.
    """
    year, month, day, hour, *smaller = map(int, re.split("[-: .]", text))
    years, months = divmod(12 * year + month - 1, 12)
    minutes, seconds, microseconds = (*smaller, 0)[:3]
    since = timedelta(days=day - 1, hours=hour, minutes=minutes, seconds=seconds, microseconds=microseconds)
    try:
        return datetime(years, months + 1, 1, tzinfo=UTC) + since
    except (ValueError, OverflowError):  # before the year 1, or after 9999
        return _LAST if years else _FIRST


class _SqliteMoment(UserDefinedType[datetime]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "TIMESTAMP"

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else utc_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], datetime | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda text: None if text is None else utc_moment(text)


class _SqliteMoney(UserDefinedType[Decimal]):
    """NUMERIC bound with text and read back with 15 significant digits: exact for every amount of that size."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "NUMERIC"

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], str | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else money_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[float | None], Decimal | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else sqlite_money(value)


def money_text(amount: Decimal) -> str:
    """Return `amount` as text without an exponent, as SQLite's NUMERIC takes it exactly."""
    return format(amount, "f")


@lru_cache(maxsize=4096)
def sqlite_money(value: float | str) -> Decimal:
    """Return the amount behind what a NUMERIC column of SQLite gives back: an int, a float, or a text it kept."""
    return Decimal(format(value, ".15g")) if isinstance(value, float) else Decimal(value)


Moment: Final[TypeEngine[Any]] = DateTime(timezone=True).with_variant(_SqliteMoment(), "sqlite")
Money: Final[TypeEngine[Any]] = Numeric().with_variant(_SqliteMoney(), "sqlite")
Stamp: Final[TypeEngine[Any]] = DateTime(timezone=True).with_variant(String(), "sqlite")
"""A moment that is only read, as text, to be compared later: as the database spells it, which costs nothing."""
Text: Final[TypeEngine[Any]] = String()
Flag: Final[TypeEngine[Any]] = Boolean()
Whole: Final[TypeEngine[Any]] = BigInteger()
Key: Final[TypeEngine[Any]] = BigInteger().with_variant(Integer(), "sqlite")
"""Integer primary keys: on SQLite only a column called INTEGER is the row's own number."""


class utcnow(FunctionElement[datetime]):  # noqa: N801  # reads like the SQL function that it is
    """The database's own clock, now."""

    type = Moment
    inherit_cache = True


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(_element: utcnow, _compiler: SQLCompiler, **_: object) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"


@compiles(utcnow, "postgresql")
def _utcnow_postgresql(_element: utcnow, _compiler: SQLCompiler, **_: object) -> str:
    return "clock_timestamp()"


class utc_after(FunctionElement[datetime]):  # noqa: N801  # as utcnow
    """The database's own clock, as it will stand after the given number of seconds."""

    type = Moment
    inherit_cache = True


@compiles(utc_after, "sqlite")
def _utc_after_sqlite(element: utc_after, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    seconds = compiler.process(element.clauses, **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {seconds} || ' seconds')"


@compiles(utc_after, "postgresql")
def _utc_after_postgresql(element: utc_after, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  # as SQLAlchemy calls it
    seconds = compiler.process(element.clauses, **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"

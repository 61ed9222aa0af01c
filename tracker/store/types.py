"""Column types that mean the same on both databases, and one way to hand a batch of rows to a statement."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    DateTime,
    Integer,
    Numeric,
    Select,
    String,
    bindparam,
    cast,
    func,
    select,
    type_coerce,
)
from sqlalchemy import column as column_of
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FromClause, FunctionElement
from sqlalchemy.types import TypeEngine, UserDefinedType


def utc_text(moment: datetime) -> str:
    """Return `moment` as SQLite keeps it: UTC, microseconds always written, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(" ", "microseconds")[:26]


def utc_moment(text: str) -> datetime:
    """Return the aware UTC moment of a text in SQLite; the fraction may be missing."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class _SqliteMoment(UserDefinedType[datetime]):
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "TIMESTAMP"

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], str | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else utc_text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], datetime | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else utc_moment(value)


class _SqliteMoney(UserDefinedType[Decimal]):
    """NUMERIC bound with text and read back with 15 significant digits: exact for every amount of that size."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "NUMERIC"

    def bind_processor(self, dialect: Dialect) -> Callable[[Decimal | None], str | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else format(value, "f")

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[float | None], Decimal | None]:  # noqa: ARG002  # SQLAlchemy's signature
        return lambda value: None if value is None else sqlite_money(value)


def sqlite_money(value: float | str) -> Decimal:
    """Return the amount behind what a NUMERIC column of SQLite gives back: an int, a float, or a text it kept."""
    return Decimal(format(value, ".15g")) if isinstance(value, float) else Decimal(value)


Moment: Final[TypeEngine[Any]] = DateTime(timezone=True).with_variant(_SqliteMoment(), "sqlite")
Money: Final[TypeEngine[Any]] = Numeric().with_variant(_SqliteMoney(), "sqlite")
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


class RowSet:
    """A batch of rows as parameters of one set-based statement, on both databases.

    SQLite takes one JSON text (`json_each`), Postgres one array per column (`unnest`): the fastest of the forms
    measured for each. `name` names the parameter and the table that statements join with.
    """

    def __init__(self, dialect: str, name: str, **columns: TypeEngine[Any]) -> None:
        self._name = name
        self._columns = columns
        self._sqlite = dialect == "sqlite"
        self.table: FromClause = self._sqlite_table() if self._sqlite else self._postgres_table()
        self.c = self.table.c

    def _sqlite_table(self) -> FromClause:
        rows = func.json_each(bindparam(self._name, type_=String())).table_valued(
            "value", name=f"{self._name}_json"
        )
        fields = [
            type_coerce(func.json_extract(rows.c.value, f"$[{place}]"), kind).label(name)
            for place, (name, kind) in enumerate(self._columns.items())
        ]
        statement: Select[Any] = select(*fields)
        return statement.subquery(self._name)

    def _postgres_table(self) -> FromClause:
        arrays = [
            cast(bindparam(f"{self._name}_{name}", type_=ARRAY(kind)), ARRAY(kind))
            for name, kind in self._columns.items()
        ]
        fields = [column_of(name, kind) for name, kind in self._columns.items()]
        return func.unnest(*arrays).table_valued(*fields, name=self._name).render_derived()

    def parameters(self, rows: Sequence[Iterable[object]]) -> dict[str, object]:
        """Return the parameters that carry `rows`, each in the order of the columns."""
        if self._sqlite:
            return {self._name: json.dumps(rows, default=_plain, separators=(",", ":"))}
        columns = zip(*rows, strict=True) if rows else [()] * len(self._columns)
        return {f"{self._name}_{name}": list(values) for name, values in zip(self._columns, columns, strict=True)}


def _plain(value: object) -> str:
    """Turn what JSON has no form for into the text that SQLite stores."""
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(type(value).__name__)


Text: Final[TypeEngine[Any]] = String()
Flag: Final[TypeEngine[Any]] = Boolean()
Whole: Final[TypeEngine[Any]] = BigInteger()

"""Rows as one text, spelled by the database: for files of many millions of rows.

To make objects of each cell and text of them again takes Python 10 µs a row, the database 3. The spelling is that
of everything we print (`tracker.cli.render`): moments in ISO UTC, money exact without an exponent, true, false.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, case, func, literal, not_, select, type_coerce

from tracker.store.reading.relations import Kind, kind_of

ODD: Final = '"'
"""Stands before an amount that the database cannot be trusted to spell: the line must be read another way."""

Cell = Callable[[ColumnElement[Any]], ColumnElement[Any]]


def line_of(columns: Sequence[ColumnElement[Any]], dialect: str) -> ColumnElement[str] | None:
    """Return the cells of a row with commas between, None as nothing; None where a column has no such spelling.

    Nothing is quoted or escaped: what is in a text is the reader's to look at.
    """
    cells = _SQLITE if dialect == "sqlite" else _POSTGRESQL
    kinds = [kind_of(column) for column in columns]
    if not cells.keys() >= set(kinds):
        return None
    spelled = [cells[kind](column) for kind, column in zip(kinds, columns, strict=True)]
    return func.format(",".join(["%s"] * len(spelled)), *spelled, type_=String())


def joined(lines: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    r"""Return a statement that gives the number of lines, and all of them in their order with `\n` between.

    Both databases take the rows of an ordered subquery in its order (Postgres' manual, 9.21; SQLite keeps an
    ORDER BY there for exactly this).
    """
    each = lines.subquery("lines")
    return select(func.count(), func.aggregate_strings(each.c.line, "\n"))


def _as_it_is(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return column


def _flag(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((column, "true"), (not_(column), "false"))


def _sqlite_moment(column: ColumnElement[Any]) -> ColumnElement[Any]:
    text = func.replace(func.replace(type_coerce(column, String()), " ", "T"), ".000000", "", type_=String())
    return text.concat("Z")


def _sqlite_money(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Spell whole amounts as they are stored, others with the 15 digits that are exact (`types.sqlite_money`)."""
    digits: ColumnElement[str] = func.format("%.15g", column, type_=String())
    size = func.abs(type_coerce(column, String()))
    return case(
        (func.typeof(column) != "real", type_coerce(column, String())),
        (size.between(literal(0.0001), literal(1e14)), digits),  # beyond, there would be an exponent
        else_=literal(ODD).concat(digits),
    )


def _postgresql_moment(column: ColumnElement[Any]) -> ColumnElement[Any]:
    text = func.to_char(func.timezone("UTC", column), 'YYYY-MM-DD"T"HH24:MI:SS.US')
    return func.replace(text, ".000000", "", type_=String()).concat("Z")


_SQLITE: Final[dict[Kind, Cell]] = {
    "text": _as_it_is,
    "whole": _as_it_is,
    "flag": _flag,
    "moment": _sqlite_moment,
    "money": _sqlite_money,
}
_POSTGRESQL: Final[dict[Kind, Cell]] = {
    "text": _as_it_is,
    "whole": _as_it_is,
    "flag": _flag,
    "moment": _postgresql_moment,
    "money": _as_it_is,
}

"""How every read of the history is run, narrowed and sorted."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Engine, Select
from sqlalchemy.sql.elements import UnaryExpression

from tracker.errors import UsageFault
from tracker.store.engine import reading

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = Select[*tuple[Any, ...]]
Order: TypeAlias = ColumnElement[Any] | UnaryExpression[Any]


class Reader:
    """Reads over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _rows(self, statement: Rows) -> list[Row]:
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def _list(self, statement: Rows, usual: Sequence[Order], sort: str | None, limit: int | None) -> list[Row]:
        """Return at most `limit` rows in their usual order, or by the column that `sort` names.

        Raises `UsageFault`, which tells the columns that there are.
        """
        return self._rows(statement.order_by(*sorting(statement, sort), *usual).limit(limit))


def sorting(statement: Rows, sort: str | None) -> list[Order]:
    """Return the order by the column of `statement` that `sort` names; nothing without one."""
    if not sort:
        return []
    columns = statement.selected_columns
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        names = ", ".join(one.name for one in columns)
        raise UsageFault(f"There is no column {sort.removeprefix('-')} to sort by. There are: {names}.")
    # What is not known is neither the most nor the least: it comes last both ways, on both databases.
    return [(column.desc() if sort.startswith("-") else column.asc()).nulls_last()]


def within(
    column: ColumnElement[Any], since: datetime | None, until: datetime | None
) -> list[ColumnElement[bool]]:
    """Return the conditions that keep moments of `column` from `since` on and before `until`."""
    later = [] if since is None else [column >= since]
    return later if until is None else [*later, column < until]


def equal(column: ColumnElement[Any], wanted: str | None) -> list[ColumnElement[bool]]:
    """Return the condition that `column` is what is wanted; none where nothing is."""
    return [] if wanted is None else [column == wanted]

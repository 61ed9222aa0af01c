"""What can be exported: every table and view, what its columns hold, and the key along which it is read."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from sqlalchemy import Boolean, Column, ColumnElement, DateTime, Float, FromClause, Integer, Numeric, Table, func

from tracker.store.reading.views import VIEWS
from tracker.store.schema import metadata, orders

Kind: TypeAlias = Literal["text", "moment", "money", "whole", "flag", "number"]

RELATIONS: Final[dict[str, Table]] = {**metadata.tables, **VIEWS}
"""Every table and view by its name."""

ROWS_A_STEP: Final = 10_000
"""Rows of one step: 20 to 40 ms of reading, and a few MiB. Half as many took a tenth longer each."""

ORDERS_A_STEP: Final = 1_000
"""Orders of one step of a view that has rows for orders, a dozen each perhaps."""

_OWNERS: Final = {"orders": ("panel", "order_id"), "refills": ("panel", "order_id", "refill_id")}
"""What the rows of a history belong to, and the columns of it that make them useful alone."""

_KEYS: Final = {"rounds": ("started_at", "round")}
"""Keys other than the primary key: these rows are read in the order of time, along an index."""

_TIMES: Final = ("at", "started_at", "sent_at", "last_at", "state_at", "last_seen_at", "day")
"""Columns that `since` and `until` compare, the first that there is; orders go by their last change."""


class Relation(NamedTuple):
    """How one table or view is read."""

    columns: Mapping[str, ColumnElement[Any]]
    source: FromClause
    key: tuple[ColumnElement[Any], ...]
    """What a step is bounded by; () for a view of sums, which can only be read as a whole."""
    paced_by: tuple[Column[Any], ...]
    """The same key where it is cheap to walk along: of the table itself, or of the orders that a view tells of."""
    step: int
    """How many keys a step takes."""
    order_by: tuple[ColumnElement[Any], ...]
    time: ColumnElement[Any] | None
    """A moment, or a day as text."""


def relation(name: str) -> Relation:
    """Return how the table or view `name` (one of `RELATIONS`) is read."""
    table = RELATIONS[name]
    return _view(table) if name in VIEWS else _table(table)


def _table(table: Table) -> Relation:
    columns: dict[str, ColumnElement[Any]] = {}
    source: FromClause = table
    if "panel" not in table.c:
        for foreign_key in table.foreign_keys:
            owner = foreign_key.column.table
            columns |= {column: owner.c[column] for column in _OWNERS[owner.name]}
            source = source.join(owner, foreign_key.parent == foreign_key.column)
    names = _KEYS.get(table.name) or tuple(column.name for column in table.primary_key)
    key = tuple(table.c[column] for column in names)
    return Relation(columns | dict(table.c), source, key, key, ROWS_A_STEP, key, _time(table))


def _view(view: Table) -> Relation:
    columns = dict(view.c)
    if "order_key" not in columns:
        by_name = tuple(
            columns[name] for name in ("panel", "day", "service_id", "at", "currency") if name in columns
        )
        return Relation(columns, view, (), (), ROWS_A_STEP, by_name, _time(view))
    order_by = tuple(columns[name] for name in ("order_key", "seq", "step") if name in columns)
    key = (columns["order_key"],)
    return Relation(columns, view, key, (orders.c.id,), ORDERS_A_STEP, order_by, _time(view))


def _time(table: Table) -> ColumnElement[datetime] | None:
    if "changed_at" in table.c:
        return func.coalesce(table.c.changed_at, table.c.tracked_at)
    return next((table.c[name] for name in _TIMES if name in table.c), None)


def panel_of(found: Relation) -> ColumnElement[str]:
    """Return the column that holds the panel's name: each relation has one."""
    return found.columns["panel" if "panel" in found.columns else "name"]


def kind_of(column: ColumnElement[Any]) -> Kind:
    """Return what a column holds; a `number` has a fraction and is no money."""
    for types, kind in _KINDS:
        if isinstance(column.type, types):
            return kind
    return "text"


_KINDS: Final[tuple[tuple[type[Any], Kind], ...]] = (
    (DateTime, "moment"),
    (Boolean, "flag"),
    (Integer, "whole"),
    (Float, "number"),  # before Numeric, of which it is one
    (Numeric, "money"),
)

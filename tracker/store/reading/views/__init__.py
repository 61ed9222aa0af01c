"""The views: the questions that people ask most, ready to be queried on both databases (docs/history.md).

Views are code, not data: each upgrade of the schema drops them first and makes those of this code at its end, in
the same transaction (migrations/env.py). So a change of a table never meets a view that depends on it, and a view
never lags behind the code. A changed definition needs a new migration, which records `digest()`.
"""

import hashlib
import re
from typing import Final

from sqlalchemy import Connection, MetaData, Table, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateView
from sqlalchemy.sql.expression import SelectBase

from tracker.errors import DatabaseUnfit
from tracker.store.engine import shown
from tracker.store.reading.views.money import balance_daily, daily_spend, price_changes
from tracker.store.reading.views.orders import open_orders, order_timeline, stuck_orders
from tracker.store.reading.views.tempo import service_tempo

SELECTS: Final[dict[str, SelectBase]] = {
    "open_orders": open_orders(),
    "order_timeline": order_timeline(),
    "stuck_orders": stuck_orders(),
    "daily_spend": daily_spend(),
    "balance_daily": balance_daily(),
    "service_tempo": service_tempo(),
    "price_changes": price_changes(),
}

_CREATE: Final = {name: CreateView(select, name, metadata=MetaData()) for name, select in SELECTS.items()}

VIEWS: Final[dict[str, Table]] = {name: create.table for name, create in _CREATE.items()}
"""Every view as a table to select from: its name, and columns with their types."""

RETIRED: Final[tuple[str, ...]] = ()
"""Names of views that earlier versions made and this one does not."""

BEFORE_VIEWS: Final = frozenset({None, "0001", "0002"})
"""Versions without views: whatever has a name of ours there is not ours."""

DEPENDENT_OBJECTS: Final = "2BP01"
"""Postgres' code for "other objects depend on it"."""


def digest() -> str:
    """Return what changes whenever a definition does, on either database."""
    spelled = " ".join(
        str(create.compile(dialect=make_url(f"{name}://").get_dialect()()))
        for create in _CREATE.values()
        for name in ("sqlite", "postgresql+psycopg")
    )
    return hashlib.sha256(re.sub(r"\s+", " ", spelled).encode()).hexdigest()[:16]


def create(connection: Connection) -> None:
    """Make every view, inside the transaction of `connection`."""
    for statement in _CREATE.values():
        connection.execute(statement)


def drop(connection: Connection, version: str | None) -> None:
    """Remove every view of ours that a database of `version` has, inside the transaction of `connection`.

    Raises `DatabaseUnfit` where an object of somebody else has a name of ours, or depends on a view of ours.
    """
    where = shown(connection.engine.url)
    known = inspect(connection)
    present, theirs = set(known.get_view_names()), set(known.get_table_names())
    if version in BEFORE_VIEWS:
        theirs |= present
    taken = sorted(theirs & SELECTS.keys())
    if taken:
        raise DatabaseUnfit(
            f"{where} has {', '.join(taken)} already, and this version makes views of that name. "
            "Rename yours, then run `tracker db upgrade` again; nothing was touched."
        )
    ours = [name for name in (*SELECTS, *RETIRED) if name in present]
    if not ours:
        return
    # Postgres tells everything that depends on them when all are dropped at once; SQLite takes one at a time.
    groups = [ours] if connection.dialect.name == "postgresql" else [[name] for name in ours]
    for names in groups:
        try:
            connection.execute(text(f"DROP VIEW {', '.join(names)}"))
        except DBAPIError as error:
            diagnosis = getattr(error.orig, "diag", None)
            if diagnosis is None or diagnosis.sqlstate != DEPENDENT_OBJECTS:
                raise
            depends = (diagnosis.message_detail or str(error.orig)).replace("\n", "; ")
            raise DatabaseUnfit(
                f"{where}: the views cannot be made anew, for others stand on them: {depends}. "
                "Drop those, run `tracker db upgrade`, and make them again; nothing was touched."
            ) from error

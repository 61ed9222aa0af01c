"""Views of money: what was spent, what the account held, and how prices moved."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, cast, func, literal_column, or_, select

from tracker.model import NO_CURRENCY
from tracker.store.reading.elements import day_of, quotient, rounded, total
from tracker.store.reading.filters import begun_at
from tracker.store.schema import balance_snapshots, orders, panels, service_changes, services
from tracker.store.types import Money

_parents: Final = orders.alias("parents")


CURRENCY: Final = func.coalesce(orders.c.currency, panels.c.currency, literal_column(f"'{NO_CURRENCY}'"))
"""The currency of an order's charge: else that of its panel's balance, else `XXX`."""


def counts_once() -> ColumnElement[bool]:
    """Return whether an order's charge is its own: a child's is part of its parent's, where the parent has one."""
    priced = select(_parents.c.id).where(_parents.c.id == orders.c.parent, _parents.c.charge > 0)
    return or_(orders.c.parent.is_(None), ~priced.correlate(orders).exists())


def daily_spend(*where: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Select what orders cost, by the day they were bought, service and currency; `where` narrows the orders."""
    day = day_of(begun_at())
    spent = (
        select(
            orders.c.panel,
            day.label("day"),
            orders.c.service_id,
            CURRENCY.label("currency"),
            func.count().label("orders"),
            total(orders.c.charge).label("charge"),
            (func.count() - func.count(orders.c.charge)).label("unpriced"),
        )
        .join_from(orders, panels, panels.c.name == orders.c.panel, isouter=True)
        .where(counts_once(), *where)
        .group_by(orders.c.panel, day, orders.c.service_id, CURRENCY)
        .subquery("spent")
    )
    s = spent.c
    return select(
        s.panel, s.day, s.service_id, services.c.name, s.currency, s.orders, s.charge, s.unpriced
    ).join_from(spent, services, _same_service(s), isouter=True)


def _ever(_at: ColumnElement[datetime]) -> list[ColumnElement[bool]]:
    return []


def balance_daily(
    *whose: ColumnElement[bool], span: Callable[[ColumnElement[datetime]], list[ColumnElement[bool]]] = _ever
) -> Select[*tuple[Any, ...]]:
    """Select the account by day: first and last balance, the extremes, and what went out and came in.

    `whose` narrows the snapshots that are looked at, `span` those that are told: what moved until the first of
    these is known from the one before.
    """
    b = balance_snapshots.c
    before = func.lag(b.balance).over(partition_by=(b.panel, b.currency), order_by=(b.at, b.id))
    moves = select(b.panel, b.currency, b.at, b.id, b.balance, (b.balance - before).label("moved")).where(*whose)
    m = moves.subquery("moves").c
    of_a_day = (m.panel, m.currency, day_of(m.at))
    oldest = func.row_number().over(partition_by=of_a_day, order_by=(m.at, m.id))
    newest = func.row_number().over(partition_by=of_a_day, order_by=(m.at.desc(), m.id.desc()))
    told = select(m.panel, m.currency, day_of(m.at).label("day"), m.balance, m.moved).where(*span(m.at))
    steps = told.add_columns(oldest.label("oldest"), newest.label("newest")).subquery("steps")
    s = steps.c

    def only(condition: ColumnElement[bool], value: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.max(case((condition, value)), type_=Money)

    return select(
        s.panel,
        s.day,
        s.currency,
        only(s.oldest == 1, s.balance).label("opening"),
        only(s.newest == 1, s.balance).label("closing"),
        func.min(s.balance, type_=Money).label("lowest"),
        func.max(s.balance, type_=Money).label("highest"),
        total(case((s.moved < 0, -s.moved), else_=0)).label("spent"),
        total(case((s.moved > 0, s.moved), else_=0)).label("added"),
        func.count().label("snapshots"),
    ).group_by(s.panel, s.day, s.currency)


def price_changes() -> Select[*tuple[Any, ...]]:
    """Select each change of a service's price, with both prices of 1000 as numbers."""
    c = service_changes.c
    is_price = c.field == literal_column("'rate'")
    # Other fields hold other texts: without the CASE, a condition on a price could meet one of those first.
    old, new = (cast(case((is_price, text)), Money) for text in (c.old, c.new))
    return (
        select(
            c.panel,
            c.service_id,
            services.c.name,
            c.at,
            old.label("old_rate"),
            new.label("new_rate"),
            rounded(quotient(new, old) - 1).label("change_share"),
            func.coalesce(panels.c.currency, literal_column(f"'{NO_CURRENCY}'")).label("currency"),
        )
        .join_from(service_changes, services, _same_service(c), isouter=True)
        .join(panels, panels.c.name == c.panel, isouter=True)
        .where(is_price)
    )


def _same_service(row: Any) -> ColumnElement[bool]:  # noqa: ANN401  # columns of any table that has these two
    return and_(services.c.panel == row.panel, services.c.service_id == row.service_id)

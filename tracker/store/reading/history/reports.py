"""Answers that are computed: what was spent and given back, how long services take, how prices moved."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, literal, select, union_all

from tracker.store.reading.elements import quotient, total
from tracker.store.reading.filters import begun_at
from tracker.store.reading.history.rows import Reader, Row, equal, within
from tracker.store.reading.views import VIEWS
from tracker.store.reading.views.money import CURRENCY, balance_daily, counts_once, daily_spend
from tracker.store.reading.views.tempo import service_tempo
from tracker.store.schema import balance_snapshots, orders, panels, progress, transitions
from tracker.store.types import Moment


class Reports(Reader):
    """What was spent, how long it takes, how prices moved."""

    def tempo(
        self,
        panel: str | None = None,
        service: str | None = None,
        *,
        since: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return how long each service takes and how its orders end, those with the most orders first.

        The columns of the view `service_tempo`, over the orders bought from `since` (30 days ago) on.
        """
        where = [*equal(orders.c.panel, panel), *equal(orders.c.service_id, service)]
        after = None if since is None else literal(since, Moment)
        rows = service_tempo(after, *where).subquery("rows")
        r = rows.c
        return self._list(select(rows), [r.orders.desc(), r.panel, r.service_id.nulls_last()], sort, limit)

    def spend(
        self,
        panel: str | None = None,
        service: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return what orders bought in the span cost, newest day first; the columns of the view `daily_spend`."""
        where = [*equal(orders.c.panel, panel), *equal(orders.c.service_id, service)]
        rows = daily_spend(*where, *within(begun_at(), since, until)).subquery("rows")
        r = rows.c
        usual = [r.day.desc(), r.panel, r.currency, r.charge.desc().nulls_last(), r.service_id.nulls_last()]
        return self._list(select(rows), usual, sort, limit)

    def refunds(
        self,
        panel: str | None = None,
        service: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return what came back for orders that ended in the span as partial, canceled or refunded.

        One row for each panel, service, state and currency: `orders`; `charged`, the sum of the highest charges
        that the panel ever told of them; `charge`, what it says now; `refunded`, the difference; `undelivered`,
        the part of `charged` that paid for what never came, where that is known: what should have been refunded.
        """
        paid = _paid().subquery("paid")
        p = paid.c
        worth = p.paid * case((p.state == "partial", quotient(p.remains, p.quantity)), else_=1)
        statement = (
            select(
                p.panel,
                p.service_id,
                p.state,
                p.currency,
                func.count().label("orders"),
                total(p.paid).label("charged"),
                total(p.charge).label("charge"),
                total(p.paid - p.charge).label("refunded"),
                total(worth).label("undelivered"),
            )
            .where(*equal(p.panel, panel), *equal(p.service_id, service), *within(p.state_at, since, until))
            .group_by(p.panel, p.service_id, p.state, p.currency)
        )
        rows = statement.subquery("rows")
        r = rows.c
        usual = [r.panel, r.currency, r.charged.desc().nulls_last(), r.service_id.nulls_last(), r.state]
        return self._list(select(rows), usual, sort, limit)

    def price_changes(
        self,
        panel: str | None = None,
        service: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return how prices of 1000 moved, newest first; the columns of the view `price_changes`."""
        view = VIEWS["price_changes"]
        v = view.c
        statement = select(view).where(
            *equal(v.panel, panel), *equal(v.service_id, service), *within(v.at, since, until)
        )
        return self._list(statement, [v.at.desc(), v.panel, v.service_id], sort, limit)

    def balance_daily(
        self,
        panel: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return the account by day, newest first; the columns of the view `balance_daily`."""
        whose = equal(balance_snapshots.c.panel, panel)
        rows = balance_daily(*whose, span=lambda at: within(at, since, until)).subquery("rows")
        r = rows.c
        return self._list(select(rows), [r.day.desc(), r.panel, r.currency], sort, limit)


def _paid() -> Select[*tuple[Any, ...]]:
    """Select the orders that ended early, each with the highest charge that its history tells."""
    told = union_all(
        *(
            select(history.c.charge).where(history.c.order_key == orders.c.id).correlate(orders)
            for history in (transitions, progress)
        )
    ).subquery("told")
    highest: ColumnElement[Any] = select(func.max(told.c.charge)).correlate(orders).scalar_subquery()
    return (
        select(
            orders.c.panel,
            orders.c.service_id,
            orders.c.state,
            orders.c.state_at,
            CURRENCY.label("currency"),
            orders.c.charge,
            orders.c.remains,
            orders.c.quantity,
            highest.label("paid"),
        )
        .join_from(orders, panels, panels.c.name == orders.c.panel, isouter=True)
        .where(orders.c.state.in_(("partial", "canceled", "refunded")), counts_once())
    )

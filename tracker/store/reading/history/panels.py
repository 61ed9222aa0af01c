"""Reads of what panels told beside orders: catalogs, balances, refills; and of the rounds that asked them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select

from tracker.store.polling.refills import shared_id
from tracker.store.reading.history.rows import Reader, Row, equal, within
from tracker.store.reading.panel_glance import AHEAD
from tracker.store.schema import (
    anomalies,
    balance_snapshots,
    orders,
    panels,
    refills,
    rounds,
    service_changes,
    services,
)


class PanelReads(Reader):
    """Reads of panels, catalogs, balances, refills, rounds and anomalies."""

    def panels(self) -> list[Row]:
        """Return every panel that was ever polled, with its last fault."""
        return self._rows(select(panels).order_by(panels.c.name))

    def services(
        self, panel: str | None = None, *, sort: str | None = None, limit: int | None = None
    ) -> list[Row]:
        """Return the catalog as last seen, those that are gone last."""
        s = services.c
        usual = (s.panel, s.gone_at.is_not(None), s.category.nulls_first(), s.service_id)
        return self._list(select(services).where(*equal(s.panel, panel)), usual, sort, limit)

    def service(self, panel: str, service_id: str) -> Row | None:
        """Return one service as last seen, with `gone_at` where the catalog has lost it; None for no such one."""
        s = services.c
        found = self._rows(select(services).where(s.panel == panel, s.service_id == service_id))
        return found[0] if found else None

    def service_changes(
        self,
        panel: str | None = None,
        *,
        service: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return what changed in catalogs, newest first."""
        c = service_changes.c
        name = select(services.c.name).where(services.c.panel == c.panel, services.c.service_id == c.service_id)
        statement = select(
            c.at, c.panel, c.service_id, name.scalar_subquery().label("name"), c.field, c.old, c.new
        ).where(*equal(c.panel, panel), *equal(c.service_id, service), *within(c.at, since, until))
        return self._list(statement, [c.id.desc()], sort, limit)

    def balances(
        self,
        panel: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return balance snapshots, newest first."""
        b = balance_snapshots.c
        statement = select(b.at, b.panel, b.balance, b.currency)
        statement = statement.where(*equal(b.panel, panel), *within(b.at, since, until))
        return self._list(statement, [b.at.desc(), b.id.desc()], sort, limit)

    def refills(
        self,
        panel: str | None = None,
        *,
        service: str | None = None,
        order_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return refills whose state moved (or that were first tracked) in the span, newest first.

        `service_id` is that of the order, where it is followed; `shared_id` says why one is not asked about.
        """
        r = refills.c
        columns = [column for column in r if column.name not in {"id", "misses", "missed_at"}]
        statement = (
            select(*columns, orders.c.service_id, r.id.in_(shared_id()).label("shared_id"))
            .join_from(
                refills, orders, and_(orders.c.panel == r.panel, orders.c.order_id == r.order_id), isouter=True
            )
            .where(*equal(r.panel, panel), *equal(r.order_id, order_id), *equal(orders.c.service_id, service))
            .where(*within(r.state_at, since, until))
        )
        return self._list(statement, [r.id.desc()], sort, limit)

    def rounds(
        self,
        panel: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return rounds that started in the span, newest first."""
        r = rounds.c
        statement = select(rounds).where(*equal(r.panel, panel), *within(r.started_at, since, until))
        return self._list(statement, [r.started_at.desc(), r.round], sort, limit)

    def last_success(self, panel: str, kind: str, now: datetime) -> datetime | None:
        """Return when a round of `kind` last ended well; None where none did."""
        r = rounds.c
        statement = select(func.max(r.finished_at).label("at")).where(
            r.panel == panel, r.kind == kind, r.outcome == "ok", r.finished_at <= now + AHEAD
        )
        last: datetime | None = self._rows(statement)[0]["at"]
        return last

    def anomalies(
        self,
        panel: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return replies that were not believed, of kinds that were seen within the span; the last seen first."""
        a = anomalies.c
        seen: list[ColumnElement[Any]] = [*within(a.last_at, since, None), *within(a.first_at, None, until)]
        statement = select(anomalies).where(*equal(a.panel, panel), *seen)
        return self._list(statement, [a.last_at.desc(), a.order_id, a.kind], sort, limit)

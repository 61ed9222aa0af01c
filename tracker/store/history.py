"""What is known, for people: rows as mappings, newest first where time matters, never blocking a writer."""

from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Engine, Select, func, literal, null, select, union_all

from tracker.model import OrderFilter
from tracker.store.engine import reading
from tracker.store.filters import conditions, last_change
from tracker.store.refills import shared_id
from tracker.store.schema import (
    anomalies,
    balance_snapshots,
    orders,
    panels,
    progress,
    refills,
    rounds,
    service_changes,
    services,
    transitions,
)

HIDDEN: Final = frozenset({"state_remains", "parent", "misses", "missed_at"})
"""Columns of `orders` that only polling needs."""

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = Select[*tuple[Any, ...]]


class History:
    """Reads over one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _rows(self, statement: Rows) -> list[Row]:
        with reading(self._engine) as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def orders(self, wanted: OrderFilter = OrderFilter(), *, limit: int | None = 50) -> list[Row]:  # noqa: B008  # immutable
        """Return orders, those that changed last first."""
        statement = (
            select(*(column for column in orders.c if column.name not in HIDDEN))
            .where(*conditions(wanted))
            .order_by(last_change().desc(), orders.c.id.desc())
        )
        return self._rows(statement.limit(limit))

    def find(self, order_id: str, panel: str | None = None) -> list[Row]:
        """Return every order that a panel (any, or the one given) calls `order_id`, as its whole row."""
        statement = select(orders).where(orders.c.order_id == order_id).order_by(orders.c.panel)
        return self._rows(statement if panel is None else statement.where(orders.c.panel == panel))

    def timeline(self, key: int) -> list[Row]:
        """Return the history of one order, oldest first: its transitions with the progress within each state."""
        figures = ("charge", "currency", "start_count", "remains")
        moved = select(
            transitions.c.seq,
            literal(0).label("step"),
            transitions.c.at,
            transitions.c.from_state,
            transitions.c.to_state,
            transitions.c.panel_status,
            *(transitions.c[name] for name in figures),
        ).where(transitions.c.order_key == key)
        went_on = select(
            progress.c.seq,
            progress.c.id.label("step"),
            progress.c.at,
            null().label("from_state"),
            null().label("to_state"),
            null().label("panel_status"),
            *(progress.c[name] for name in figures),
        ).where(progress.c.order_key == key)
        both = union_all(moved, went_on).subquery("timeline")
        return self._rows(select(both).order_by(both.c.seq, both.c.step))

    def newest_transitions(self, limit: int) -> list[Row]:
        """Return the newest transitions of all orders, newest first."""
        statement = (
            select(
                transitions.c.at,
                orders.c.panel,
                orders.c.order_id,
                transitions.c.from_state,
                transitions.c.to_state,
                transitions.c.panel_status,
                transitions.c.charge,
                transitions.c.currency,
                transitions.c.remains,
            )
            .join_from(transitions, orders, orders.c.id == transitions.c.order_key)
            .order_by(transitions.c.at.desc(), transitions.c.order_key.desc())
            .limit(limit)
        )
        return self._rows(statement)

    def services(self, panel: str | None = None, *, limit: int | None = None) -> list[Row]:
        """Return the catalog as last seen, those that are gone last."""
        statement = select(services).order_by(
            services.c.panel, services.c.gone_at.is_not(None), services.c.category, services.c.service_id
        )
        return self._rows(
            (statement if panel is None else statement.where(services.c.panel == panel)).limit(limit)
        )

    def service_changes(self, panel: str | None = None, *, limit: int | None = 50) -> list[Row]:
        """Return what changed in catalogs, newest first."""
        table = service_changes
        name = select(services.c.name).where(
            services.c.panel == table.c.panel, services.c.service_id == table.c.service_id
        )
        statement = select(
            table.c.at,
            table.c.panel,
            table.c.service_id,
            name.scalar_subquery().label("name"),
            table.c.field,
            table.c.old,
            table.c.new,
        ).order_by(table.c.id.desc())
        return self._rows(_of(statement, table.c.panel, panel).limit(limit))

    def balances(self, panel: str | None = None, *, limit: int | None = 50) -> list[Row]:
        """Return balance snapshots, newest first."""
        table = balance_snapshots
        statement = select(table.c.at, table.c.panel, table.c.balance, table.c.currency)
        statement = statement.order_by(table.c.at.desc(), table.c.id.desc())
        return self._rows(_of(statement, table.c.panel, panel).limit(limit))

    def refills(self, panel: str | None = None, *, limit: int | None = 50) -> list[Row]:
        """Return refills, newest first, and why one is not asked about."""
        why = refills.c.id.in_(shared_id()).label("shared_id")
        columns = [column for column in refills.c if column.name not in {"id", "misses", "missed_at"}]
        statement = select(*columns, why).order_by(refills.c.id.desc())
        return self._rows(_of(statement, refills.c.panel, panel).limit(limit))

    def rounds(self, panel: str | None = None, *, limit: int | None = 50) -> list[Row]:
        """Return rounds, newest first."""
        statement = select(rounds).order_by(rounds.c.started_at.desc(), rounds.c.round)
        return self._rows(_of(statement, rounds.c.panel, panel).limit(limit))

    def last_success(self, panel: str, kind: str) -> datetime | None:
        """Return when a round of `kind` last ended well; None where none did."""
        statement = select(func.max(rounds.c.finished_at)).where(
            rounds.c.panel == panel, rounds.c.kind == kind, rounds.c.outcome == "ok"
        )
        with reading(self._engine) as connection:
            last: datetime | None = connection.execute(statement).scalar_one()
        return last

    def anomalies(self, panel: str | None = None, *, limit: int | None = 50) -> list[Row]:
        """Return replies that were not believed, the last seen first."""
        statement = select(anomalies).order_by(anomalies.c.last_at.desc(), anomalies.c.order_id)
        return self._rows(
            (statement if panel is None else statement.where(anomalies.c.panel == panel)).limit(limit)
        )

    def panels(self) -> list[Row]:
        """Return every panel that was ever polled, with its last fault."""
        return self._rows(select(panels).order_by(panels.c.name))

    def counts(self) -> list[Row]:
        """Return the number of orders by panel and state, and how many of them are not closed."""
        statement = (
            select(
                orders.c.panel,
                orders.c.state,
                func.count().label("orders"),
                func.count().filter(orders.c.closed_at.is_(None)).label("open"),
            )
            .group_by(orders.c.panel, orders.c.state)
            .order_by(orders.c.panel, orders.c.state)
        )
        return self._rows(statement)

    def overdue(self, now: datetime) -> Row:
        """Return how many orders are due at `now`, and since when the longest waiting one is."""
        statement = select(func.count().label("due"), func.min(orders.c.next_poll_at).label("since")).where(
            orders.c.closed_at.is_(None), orders.c.next_poll_at <= now
        )
        return self._rows(statement)[0]


def _of(statement: Rows, column: ColumnElement[str], panel: str | None) -> Select[*tuple[Any, ...]]:
    return statement if panel is None else statement.where(column == panel)

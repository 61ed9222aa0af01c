"""Orders: which are due, as they are known, and what is written about them.

Everything is set-based: one statement per batch and purpose, never one per row. The history is copied from the
head inside the same transaction (`INSERT … SELECT FROM orders`), so head and tail cannot differ (promise P3).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from tracker.decide import Decision
from tracker.model import Order, Plan
from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.polling import due
from tracker.store.polling.anomalies import Anomalies
from tracker.store.polling.children import Children
from tracker.store.polling.statements import OrderStatements, figures_rows, head_rows, touch_rows
from tracker.store.schema import orders


class _Stale(Exception):  # never leaves this module
    pass


class Orders:
    """The orders of one panel, written under its lease."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._anomalies = Anomalies(engine.dialect.name, lease.panel)
        self._children = Children(engine.dialect.name)
        self._statements = OrderStatements(engine.dialect.name)

    def plan(self, now: datetime, requests: int, per_request: int, *, force: bool = False) -> Plan:
        """Return the orders for a round of at most `requests` requests of up to `per_request` ids.

        Suspected ones first, singly (at most a quarter of the requests); then newcomers (at most half), then the
        earliest due, topped up to whole batches with the soonest due, for a request costs the same with 1 id as
        with 100; then more suspected ones. `force` takes what is not due as well. A plan is empty where nothing
        is due.
        """
        with reading(self._engine) as connection:
            return due.plan(connection, self._lease.panel, now, requests, per_request, force=force)

    def load(self, keys: Sequence[int]) -> list[Order]:
        """Return the open orders among `keys`, as they are now, sorted by key."""
        sql = self._statements
        with reading(self._engine) as connection:
            sql.look_up_by_key(connection)
            return sql.orders(connection.execute(sql.load, sql.keys.parameters([(key,) for key in keys])))

    def count(self) -> int:
        """Return how many orders are not closed."""
        statement = select(func.count()).where(orders.c.panel == self._lease.panel, orders.c.closed_at.is_(None))
        with reading(self._engine) as connection:
            return connection.execute(statement).scalar_one()

    def find(self, order_ids: Sequence[str]) -> list[int]:
        """Return the keys of the open orders that the panel calls `order_ids`."""
        statement = select(orders.c.id).where(
            orders.c.panel == self._lease.panel, orders.c.closed_at.is_(None), orders.c.order_id.in_(order_ids)
        )
        with reading(self._engine) as connection:
            return list(connection.execute(statement).scalars())

    def apply(self, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        """Write `decisions` in one transaction; return those that were written.

        Raises `LeaseLost` or `DatabaseUnreachable`, having written nothing.

        A decision whose row has moved on since it was read (seq, checked_at, closed) is dropped: whoever moved it
        knew more. A crash before the commit leaves the rows as they were, still due, so they are asked again.
        """
        try:
            with fenced(self._engine, self._lease) as connection:
                self._write(connection, decisions, round_id)
        except _Stale:
            with fenced(self._engine, self._lease) as connection:
                fresh = self._unmoved(connection, decisions)
                self._write(connection, fresh, round_id)
            return fresh
        return decisions

    def _write(self, connection: Connection, decisions: Sequence[Decision], round_id: str) -> None:
        sql = self._statements
        sql.look_up_by_key(connection)
        touched: list[Decision] = []
        figures: list[Decision] = []
        headed: list[Decision] = []
        for one in decisions:
            (headed if not _is_plain(one) else figures if one.progress else touched).append(one)
        if (
            sql.touch.run(connection, touch_rows(touched)) != len(touched)
            or sql.write_figures.run(connection, figures_rows(figures)) != len(figures)
            or sql.write_head.run(connection, head_rows(headed)) != len(headed)
        ):
            raise _Stale
        if moved := [(one.before.key, one.before.state) for one in headed if one.transition]:
            connection.execute(sql.write_transition, {**sql.moved.parameters(moved), "round": round_id})
        if progressed := [(one.before.key,) for one in decisions if one.progress]:
            connection.execute(sql.write_progress, sql.keys.parameters(progressed))
        self._write_rare(connection, headed)

    def _write_rare(self, connection: Connection, headed: Sequence[Decision]) -> None:
        sql = self._statements
        self._anomalies.add(connection, [(one.anomaly, one.at) for one in headed if one.anomaly])
        self._children.write(connection, [(one.before.key, child) for one in headed for child in one.children])
        sql.close.run(connection, [(one.before.key, one.closed_at) for one in headed if one.closed_at])

    def _unmoved(self, connection: Connection, decisions: Sequence[Decision]) -> list[Decision]:
        sql = self._statements
        sql.look_up_by_key(connection)
        keys = sql.keys.parameters([(one.before.key,) for one in decisions])
        now = {order.key: order for order in sql.orders(connection.execute(sql.load_locked, keys))}
        return [one for one in decisions if _guard(now.get(one.before.key)) == _guard(one.before)]


def _is_plain(decision: Decision) -> bool:
    """Whether all there is to write is that the order was answered, when to ask next, and new figures."""
    before, after = decision.before, decision.after
    return not (
        decision.transition
        or decision.anomaly
        or decision.closed_at
        or decision.children
        or before.misses
        or after.settled_at is not before.settled_at
        or after.state_remains is not before.state_remains
    )


def _guard(order: Order | None) -> tuple[object, ...] | None:
    return None if order is None else (order.seq, order.was_checked_at)

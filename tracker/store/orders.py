"""Orders: which are due, as they are known, and what is written about them.

Everything is set-based: one statement per batch and purpose, never one per row. The history is copied from the
head inside the same transaction (`INSERT … SELECT FROM orders`), so head and tail cannot differ (promise P3).
"""

from array import array
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from tracker.decide import Decision
from tracker.model import Order, Plan
from tracker.store.anomalies import Anomalies
from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.schema import orders
from tracker.store.statements import OrderStatements, figures_row, head_row, touch_row

SINGLES: Final = 4
"""At most one in so many requests of a round asks about a single suspected order; the others ride in batches."""


class _Stale(Exception):  # never leaves this module
    pass


class Orders:
    """The orders of one panel, written under its lease."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._anomalies = Anomalies(engine.dialect.name, lease.panel)
        self._statements = OrderStatements(engine.dialect.name)

    def plan(self, now: datetime, requests: int, per_request: int, *, force: bool = False) -> Plan:
        """Return the orders for a round of at most `requests` requests of up to `per_request` ids.

        Suspected ones first, singly (at most a quarter of the requests); then newcomers (at most half), then the
        earliest due, topped up to whole batches with the soonest due, for a request costs the same with 1 id as
        with 100. `force` takes what is not due as well. A plan is empty where nothing is due.
        """
        open_orders = select(orders.c.id, orders.c.next_poll_at <= now, orders.c.next_poll_at).where(
            orders.c.panel == self._lease.panel, orders.c.closed_at.is_(None)
        )
        due = open_orders.where(orders.c.next_poll_at <= now)
        first = due.order_by(orders.c.next_poll_at, orders.c.id)
        with reading(self._engine) as connection:
            suspected = first.where(orders.c.misses > 0).limit(max(requests // SINGLES, 1))
            singles = [row[0] for row in connection.execute(suspected)]
            room = max(requests - len(singles), 0) * per_request
            newcomers = first.where(orders.c.checked_at.is_(None), orders.c.misses == 0).limit(room // 2)
            keys = array("q", (row[0] for row in connection.execute(newcomers)))
            chosen = {*singles, *keys}
            soonest = open_orders.order_by(orders.c.next_poll_at, orders.c.id).limit(room + len(singles))
            rows = connection.execute(soonest, execution_options={"stream_results": True, "yield_per": 5000})
            for key, is_due, _ in rows:
                if key in chosen:
                    continue
                wanted = is_due or force or len(keys) % per_request
                if len(keys) >= room or not wanted:
                    break
                keys.append(key)
        return Plan(array("q", sorted(keys)), sorted(singles))

    def load(self, keys: Sequence[int]) -> list[Order]:
        """Return the open orders among `keys`, as they are now, sorted by key."""
        statement = self._statements
        with reading(self._engine) as connection:
            rows = connection.execute(statement.load, statement.keys.parameters([(key,) for key in keys]))
            return [Order._make(row) for row in rows]

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
        touched: list[Decision] = []
        figures: list[Decision] = []
        headed: list[Decision] = []
        for one in decisions:
            (touched if is_touch(one) else figures if is_figures(one) else headed).append(one)
        if (
            sql.touch.run(connection, [touch_row(one) for one in touched]) != len(touched)
            or sql.write_figures.run(connection, [figures_row(one) for one in figures]) != len(figures)
            or sql.write_head.run(connection, [head_row(one) for one in headed]) != len(headed)
        ):
            raise _Stale
        if moved := [(one.before.key, one.before.state) for one in headed if one.transition]:
            connection.execute(sql.write_transition, {**sql.moved.parameters(moved), "round": round_id})
        if progressed := [(one.before.key,) for one in decisions if one.progress]:
            connection.execute(sql.write_progress, sql.keys.parameters(progressed))
        self._write_rare(connection, headed)

    def _write_rare(self, connection: Connection, headed: Sequence[Decision]) -> None:
        sql = self._statements
        for one in headed:
            if one.anomaly is not None:
                self._anomalies.add(connection, [one.anomaly], one.at)
        if children := [(one.before.key, child) for one in headed for child in one.children]:
            connection.execute(sql.follow_children, sql.children.parameters(children))
        closed = [one for one in headed if one.closed_at]
        if closed:
            keys = sql.keys.parameters([(one.before.key,) for one in closed])
            connection.execute(sql.close, {**keys, "now": closed[0].at})

    def _unmoved(self, connection: Connection, decisions: Sequence[Decision]) -> list[Decision]:
        sql = self._statements
        keys = sql.keys.parameters([(one.before.key,) for one in decisions])
        rows = {row[0]: Order._make(row) for row in connection.execute(sql.load_locked, keys)}
        return [one for one in decisions if _guard(rows.get(one.before.key)) == _guard(one.before)]


def is_touch(decision: Decision) -> bool:
    """Whether all there is to write is that the order was answered, and when to ask next."""
    return not (decision.transition or decision.progress) and _is_plain(decision)


def is_figures(decision: Decision) -> bool:
    """Whether all there is to write beyond that is new figures."""
    return (
        decision.progress and decision.after.state_remains == decision.before.state_remains and _is_plain(decision)
    )


def _is_plain(decision: Decision) -> bool:
    return not (
        decision.anomaly
        or decision.closed_at
        or decision.children
        or decision.before.misses
        or decision.after.settled_at is not decision.before.settled_at
    )


def _guard(order: Order | None) -> tuple[object, ...] | None:
    return None if order is None else (order.seq, order.was_checked_at)

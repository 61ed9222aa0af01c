"""Refills: the same as orders, in small: they are few, have no figures, and are known by their own id."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, Select, and_, bindparam, case, exists, func, insert, or_, select, update

from tracker.decide import RefillDecision
from tracker.model import Refill, RefillPlan
from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.polling.anomalies import Anomalies
from tracker.store.schema import orders, refill_transitions, refills

COLUMNS: Final = tuple(refills.c[name] for name in Refill._fields if name != "key")


def shared_id() -> Select[tuple[int]]:
    """Select the keys of open refills whose id another order's refill has too.

    Some panels answer a mere yes (`1`) to every refill: an answer about such an id would tell nothing about this
    refill, so it is never asked about and stays `requested`.
    """
    other = refills.alias("other")
    twin = exists().where(
        other.c.panel == refills.c.panel,
        other.c.refill_id == refills.c.refill_id,
        other.c.order_id != refills.c.order_id,
    )
    return select(refills.c.id).where(refills.c.closed_at.is_(None), twin)


class Refills:
    """The refills of one panel, written under its lease."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._anomalies = Anomalies(engine.dialect.name, lease.panel)

    def plan(self, now: datetime, limit: int, *, force: bool = False) -> RefillPlan:
        """Return at most `limit` due refills, the earliest due first; `force` takes what is not due as well."""
        statement = (
            select(refills.c.id, *COLUMNS)
            .where(
                refills.c.panel == self._lease.panel,
                refills.c.closed_at.is_(None),
                refills.c.id.not_in(shared_id()),
            )
            .order_by(refills.c.next_poll_at, refills.c.id)
            .limit(limit)
        )
        if not force:
            statement = statement.where(refills.c.next_poll_at <= now)
        with reading(self._engine) as connection:
            due = [Refill._make(row) for row in connection.execute(statement)]
        return RefillPlan([one for one in due if not one.misses], [one for one in due if one.misses])

    def reopen_orders(self, now: datetime) -> int:
        """Ask about the settled orders of new refills now, closed ones too, and begin their grace time anew.

        A refill moves its order. Return how many there were.
        """
        new = exists().where(
            refills.c.panel == orders.c.panel,
            refills.c.order_id == orders.c.order_id,
            refills.c.closed_at.is_(None),
            refills.c.tracked_at > func.coalesce(orders.c.closed_at, orders.c.settled_at),
            refills.c.tracked_at <= now,  # or one tracked by a clock that stood ahead would do so each time
        )
        ended = or_(orders.c.closed_at.is_not(None), orders.c.settled_at.is_not(None))
        moved = and_(orders.c.panel == self._lease.panel, ended, new)
        with reading(self._engine) as connection:
            if connection.execute(select(orders.c.id).where(moved).limit(1)).first() is None:
                return 0
        began_anew = case((orders.c.settled_at.is_not(None), now))  # one that was untracked may not have settled
        statement = update(orders).where(moved).values(closed_at=None, next_poll_at=now, settled_at=began_anew)
        with fenced(self._engine, self._lease) as connection:
            return connection.execute(statement).rowcount

    def apply(self, decisions: Sequence[RefillDecision], now: datetime, round_id: str) -> list[RefillDecision]:
        """Write `decisions` in one transaction; return those whose row had not moved on since it was read."""
        with fenced(self._engine, self._lease) as connection:
            written = [one for one in decisions if self._write(connection, one)]
            moved = [one for one in written if one.transition]
            if moved:
                connection.execute(insert(refill_transitions), [_transition(one, now, round_id) for one in moved])
            self._anomalies.add(connection, [(one.anomaly, now) for one in written if one.anomaly])
        return written

    @staticmethod
    def _write(connection: Connection, decision: RefillDecision) -> bool:
        before, after = decision.before, decision.after
        statement = (
            update(refills)
            .where(
                refills.c.id == before.key,
                refills.c.seq == before.seq,
                refills.c.checked_at.is_not_distinct_from(bindparam("was", before.checked_at)),
                refills.c.closed_at.is_(None),
            )
            .values(
                state=after.state,
                panel_status=after.panel_status,
                seq=after.seq,
                state_at=after.state_at,
                checked_at=after.checked_at,
                next_poll_at=decision.next_poll_at,
                settled_at=after.settled_at,
                closed_at=decision.closed_at,
                misses=after.misses,
                missed_at=after.missed_at,
            )
        )
        return connection.execute(statement).rowcount == 1


def _transition(decision: RefillDecision, now: datetime, round_id: str) -> dict[str, object]:
    return {
        "refill_key": decision.before.key,
        "seq": decision.after.seq,
        "at": now,
        "from_state": decision.before.state,
        "to_state": decision.after.state,
        "panel_status": decision.after.panel_status,
        "round": round_id,
    }

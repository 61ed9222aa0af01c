"""What a wall clock that stood ahead dealt: left alone, it would not be due before that clock's time has come."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Engine, Table, and_, or_, select, update

from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.schema import orders, refills


def unpark(engine: Engine, lease: Lease, now: datetime, grace: timedelta) -> int:
    """Make due the open orders and refills of a panel that were touched later than `now`; return how many.

    A settled one is due after `grace` at the latest, not at once: where the clock leapt before it was set back,
    that ask would end a grace time that has not passed. All are read once; it writes only where there are any.
    """
    parked = [
        (table, due, _is_parked(table, lease.panel, now, due) & settled)
        for table in (orders, refills)
        for due, settled in ((now, table.c.settled_at.is_(None)), (now + grace, table.c.settled_at.is_not(None)))
    ]
    parked = [(table, due, condition) for table, due, condition in parked if _any(engine, table, condition)]
    if not parked:
        return 0
    with fenced(engine, lease) as connection:
        return sum(
            connection.execute(update(table).where(condition).values(next_poll_at=due)).rowcount
            for table, due, condition in parked
        )


def _any(engine: Engine, table: Table, condition: ColumnElement[bool]) -> bool:
    with reading(engine) as connection:
        return connection.execute(select(table.c.id).where(condition).limit(1)).first() is not None


def _is_parked(table: Table, panel: str, now: datetime, due: datetime) -> ColumnElement[bool]:
    c = table.c
    later = or_(c.tracked_at > now, c.checked_at > now, c.missed_at > now)
    return and_(c.panel == panel, c.closed_at.is_(None), c.next_poll_at > due, later)

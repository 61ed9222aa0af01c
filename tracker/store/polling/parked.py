"""What a wall clock that stood ahead dealt: left alone, it would not be due before that clock's time has come."""

from datetime import datetime

from sqlalchemy import ColumnElement, Engine, Table, and_, or_, select, update

from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.schema import orders, refills


def unpark(engine: Engine, lease: Lease, now: datetime) -> int:
    """Make due the open orders and refills of a panel that were touched later than `now`; return how many.

    It reads all of them once, and writes only where there are any.
    """
    tables = [table for table in (orders, refills) if _any(engine, table, _is_parked(table, lease.panel, now))]
    if not tables:
        return 0
    with fenced(engine, lease) as connection:
        return sum(
            connection.execute(
                update(table).where(_is_parked(table, lease.panel, now)).values(next_poll_at=now)
            ).rowcount
            for table in tables
        )


def _any(engine: Engine, table: Table, condition: ColumnElement[bool]) -> bool:
    with reading(engine) as connection:
        return connection.execute(select(table.c.id).where(condition).limit(1)).first() is not None


def _is_parked(table: Table, panel: str, now: datetime) -> ColumnElement[bool]:
    c = table.c
    later = or_(c.tracked_at > now, c.checked_at > now, c.missed_at > now)
    return and_(c.panel == panel, c.closed_at.is_(None), c.next_poll_at > now, later)

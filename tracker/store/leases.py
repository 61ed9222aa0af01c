"""The right to poll a panel: one holder at a time, on the database's clock, checked in every write.

A lease has a *term*, a number that grows with each new holder. Checking it before a write would not be enough, for
a process can be paused between the check and its COMMIT; so each write transaction reads the lease row under a
lock, and a takeover waits for that transaction to end.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    bindparam,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tracker.errors import LeaseLost
from tracker.store.engine import reading, writing
from tracker.store.schema import leases
from tracker.store.types import utc_after, utcnow

PAUSE_LIMIT: Final = "3s"
"""How long a paused holder may sit inside a Postgres transaction before the server ends it."""


BEYOND: Final = 3600.0
"""Seconds: no lease is so long (ours last 20). One that ends later was dealt by a clock that stood wrong."""


class Lease(NamedTuple):
    """Our right to poll `panel`, for one term."""

    panel: str
    holder: str
    term: int


class Held(NamedTuple):
    """Somebody else's right."""

    holder: str
    expires_at: datetime
    expired: bool


def acquire(engine: Engine, panel: str, holder: str, seconds: float) -> Lease | Held:
    """Take the lease of `panel` for `seconds`, at most `BEYOND`, if free, over or ours; or return who holds it."""
    upsert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    take = upsert(leases).values(panel=panel, holder=holder, term=1, expires_at=utc_after(literal(seconds)))
    take = take.on_conflict_do_update(
        index_elements=[leases.c.panel],
        set_={"holder": holder, "term": leases.c.term + 1, "expires_at": utc_after(literal(seconds))},
        where=or_(_is_over(), leases.c.holder == holder),
    )
    with writing(engine) as connection:
        connection.execute(take)
        row = connection.execute(select(leases).where(leases.c.panel == panel)).one()
    if row.holder == holder:
        return Lease(panel, holder, row.term)
    return Held(row.holder, row.expires_at, expired=False)


def renew(engine: Engine, lease: Lease, seconds: float) -> bool:
    """Push the end of `lease` to `seconds` from now; False where it is no longer ours."""
    statement = update(leases).where(_is(lease)).values(expires_at=utc_after(literal(seconds)))
    with writing(engine) as connection:
        return connection.execute(statement).rowcount == 1


def release(engine: Engine, lease: Lease) -> None:
    """End `lease` now, so that the next holder need not wait; the row stays, for its term must keep growing."""
    with writing(engine) as connection:
        connection.execute(update(leases).where(_is(lease)).values(expires_at=utcnow()))


def holder_of(engine: Engine, panel: str) -> Held | None:
    """Return who holds the lease of `panel`, or held it last; None where nobody ever did."""
    return holders(engine).get(panel)


def holders(engine: Engine) -> dict[str, Held]:
    """Return who holds the lease of each panel, or held it last; locks nothing."""
    statement = select(leases.c.panel, leases.c.holder, leases.c.expires_at, _is_over().label("expired"))
    with reading(engine) as connection:
        rows = connection.execute(statement).all()
    return {row.panel: Held(row.holder, row.expires_at, bool(row.expired)) for row in rows}


@contextlib.contextmanager
def fenced(engine: Engine, lease: Lease) -> Iterator[Connection]:
    """One write transaction under `lease`. Raises `LeaseLost`, having written nothing, once the term has ended."""
    with writing(engine) as connection:
        if connection.execute(_MINE[engine.dialect.name], lease._asdict()).first() is None:
            raise LeaseLost(
                f"Panel {lease.panel}: the lease of {lease.holder} (term {lease.term}) has been taken over. "
                "Nothing was written; its new holder polls on."
            )
        yield connection


def _is_over() -> ColumnElement[bool]:
    return or_(leases.c.expires_at <= utcnow(), leases.c.expires_at > utc_after(literal(BEYOND)))


def _is(lease: Lease) -> ColumnElement[bool]:
    return and_(leases.c.panel == lease.panel, leases.c.holder == lease.holder, leases.c.term == lease.term)


def _checks() -> dict[str, Select[Any]]:
    """Make the check of `fenced` for each dialect; built anew each time, it cost half of a transaction."""
    mine = select(leases.c.term).where(*(leases.c[name] == bindparam(name) for name in Lease._fields))
    # The limit travels with the check: one round trip, and nothing outlives the transaction.
    limit = func.set_config("idle_in_transaction_session_timeout", PAUSE_LIMIT, True)
    return {"sqlite": mine, "postgresql": mine.add_columns(limit).with_for_update(read=True)}


_MINE: Final = _checks()

"""What the journal of intents is written with: its rows as records, and the turn of a panel."""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, ScalarSelect, bindparam, func, select

from tracker.errors import UsageFault
from tracker.model import Intent
from tracker.store.engine import writing
from tracker.store.leases import PAUSE_LIMIT
from tracker.store.schema import intents, orders
from tracker.store.types import utcnow

COLUMNS: Final = tuple(intents.c[name] for name in Intent._fields)
"""The columns of `tracker.model.Intent`, in its order."""


def among(*states: str) -> ColumnElement[bool]:
    """Make a condition on the state with the words spelled out, or no partial index would be used for it."""
    if len(states) == 1:
        return intents.c.state == bindparam("state", states[0], literal_execute=True, unique=True)
    return intents.c.state.in_(bindparam("states", states, expanding=True, literal_execute=True, unique=True))


UNFINISHED: Final = among("sending", "unknown")
LOST: Final = among("sending") & (intents.c.deadline_at <= utcnow())
"""Given up: whoever sent it has long been unable to write to the panel."""


@contextlib.contextmanager
def turn(engine: Engine, panel: str) -> Iterator[Connection]:
    """One durable transaction in which nobody else writes the journal of `panel`.

    A writer on SQLite is alone anyhow. On Postgres the turn is a lock that ends with the transaction, for one of
    the session would break behind a pooler; and a process that is paused in its turn loses it.
    """
    with writing(engine, durable=True) as connection:
        if engine.dialect.name == "postgresql":
            limit = func.set_config("idle_in_transaction_session_timeout", PAUSE_LIMIT, True)
            connection.execute(select(limit, func.pg_advisory_xact_lock(_lock(panel))))
        yield connection


def _lock(panel: str) -> int:
    """Return the number of the panel's lock: 64 bits, the same in every process and version."""
    return int.from_bytes(hashlib.sha256(f"tracker intents {panel}".encode()).digest()[:8], signed=True)


def packed(payload: Mapping[str, str]) -> str:
    """Return a payload as one text, the same for the same fields in any order."""
    return json.dumps(dict(payload), ensure_ascii=False, sort_keys=True)


def key_of(panel: str, order_id: str | None) -> ScalarSelect[int]:
    """Select the key of an order; NULL where it is not followed."""
    here = select(orders.c.id).where(orders.c.panel == panel, orders.c.order_id == order_id)
    return here.scalar_subquery()


def as_intent(row: Any) -> Intent:  # noqa: ANN401  # the columns of `COLUMNS`
    """Return the record of a row."""
    intent = Intent._make(row)
    return intent._replace(payload=json.loads(str(intent.payload)))


def load(connection: Connection, uuid: str) -> Intent:
    """Return one intent. Raises `UsageFault` where there is none."""
    row = connection.execute(select(*COLUMNS).where(intents.c.uuid == uuid)).one_or_none()
    if row is None:
        raise UsageFault(f"There is no intent {uuid} in this database. `tracker intents` lists them.")
    return as_intent(row)

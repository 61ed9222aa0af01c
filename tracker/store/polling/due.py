"""Which orders a round asks about.

`next_poll_at` has no index, for every poll rewrites it and would rewrite that as well: each question here reads
all open orders of the panel, a million of them in 0.3 s.
"""

from array import array
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, case, func, select

from tracker.model import Plan
from tracker.store.schema import orders
from tracker.store.types import Moment, Text, Whole

SINGLES: Final = 4
"""At most one in so many requests of a round asks about a single suspected order; the others ride in batches."""

BEYOND: Final = timedelta(days=30)
"""No interval is so long: what is due later was dealt by a clock that stood wrong, and is due now."""

_FIRST: Final = itemgetter(0)

_STREAMED: Final = {"stream_results": True, "yield_per": 5000}
"""A million rows are never in memory at once, only their keys: 8 MB."""

_IS_OPEN: Final = (orders.c.panel == bindparam("panel", type_=Text), orders.c.closed_at.is_(None))
_NOW: Final = bindparam("now", type_=Moment)
_DUE_AT: Final = case(
    (orders.c.next_poll_at > bindparam("beyond", type_=Moment), _NOW), else_=orders.c.next_poll_at
)
_IS_DUE: Final = _DUE_AT <= _NOW
_IS_SUSPECTED: Final = orders.c.misses > 0
_IS_NEW: Final = orders.c.checked_at.is_(None) & (orders.c.misses == 0)

_RESTS: Final = _IS_SUSPECTED & ~_IS_DUE
"""Never asked as a filler: it may be what the panel refuses whole batches for."""

_COUNTS: Final = select(
    func.count().label("open"),
    func.count().filter(_RESTS).label("resting"),
    func.count().filter(_IS_DUE).label("due"),
    func.count().filter(_IS_DUE, _IS_SUSPECTED).label("suspected"),
    func.count().filter(_IS_DUE, _IS_NEW).label("newcomers"),
).where(*_IS_OPEN)


def _earliest(*where: Any) -> Select[tuple[int]]:  # noqa: ANN401  # conditions, as SQLAlchemy takes them
    first = select(orders.c.id).where(*_IS_OPEN, *where).order_by(_DUE_AT, orders.c.id)
    return first.limit(bindparam("most", type_=Whole))


_SUSPECTED: Final = _earliest(_IS_DUE, _IS_SUSPECTED)
_NEWCOMERS: Final = _earliest(_IS_DUE, _IS_NEW)
_SOONEST: Final = _earliest(~_RESTS)
_ALL: Final = select(orders.c.id).where(*_IS_OPEN).order_by(orders.c.id)
_ALL_BUT_RESTING: Final = _ALL.where(~_RESTS)


def plan(
    connection: Connection, panel: str, now: datetime, requests: int, per_request: int, *, force: bool
) -> Plan:
    """Return the orders for one round of `panel`: see `tracker.store.polling.orders.Orders.plan`."""
    at: dict[str, Any] = {"panel": panel, "now": now, "beyond": now + BEYOND}
    found = connection.execute(_COUNTS, at).one()
    # Where that is none, a suspected one is asked alone once nothing else is due.
    most = requests // SINGLES or (found.due == found.suspected)
    singles = _keys(connection, _SUSPECTED, {**at, "most": int(most)}) if found.suspected and most else ()
    others = found.open - len(singles) - (0 if force else found.resting)
    room = max(requests - len(singles), 0) * per_request
    # A request costs the same with 1 id as with 100, so the last batch is filled with the soonest due.
    wanted = others if force else -(-(found.due - len(singles)) // per_request) * per_request
    wanted = min(wanted, room, others)
    chosen = set(singles)
    if wanted == others:
        keys = _keys(connection, _ALL if force else _ALL_BUT_RESTING, at)
        if chosen:
            keys = array("q", (key for key in keys if key not in chosen))
        return Plan(keys, sorted(chosen))
    keys = array("q")
    if found.newcomers and found.due > wanted:
        keys = _keys(connection, _NEWCOMERS, {**at, "most": min(room // 2, wanted)})
        chosen.update(keys)
    soonest = _keys(connection, _SOONEST, {**at, "most": wanted + len(singles)})
    keys.extend([key for key in soonest if key not in chosen][: wanted - len(keys)])
    return Plan(array("q", sorted(keys)), sorted(singles))


def _keys(connection: Connection, statement: Select[tuple[int]], values: dict[str, Any]) -> "array[int]":
    keys = array("q")
    for some in connection.execute(statement, values, execution_options=_STREAMED).partitions():
        keys.extend(map(_FIRST, some))  # `scalars` would cost as much again as all the rest
    return keys

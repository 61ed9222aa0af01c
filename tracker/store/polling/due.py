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
"""At most one in so many requests of a round asks about a single suspected order.

The others ride in batches of their own, where there is room: a panel that comes back clears them all at once.
Not with healthy ones: one among them may be what the panel refuses whole batches for.
"""

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

_COUNTS: Final = select(
    func.count().label("open"),
    func.count().filter(_IS_SUSPECTED).label("suspected"),
    func.count().filter(_IS_DUE).label("due"),
    func.count().filter(_IS_DUE, _IS_SUSPECTED).label("due_suspected"),
    func.count().filter(_IS_DUE, _IS_NEW).label("newcomers"),
).where(*_IS_OPEN)


def _earliest(*where: Any) -> Select[tuple[int]]:  # noqa: ANN401  # conditions, as SQLAlchemy takes them
    first = select(orders.c.id).where(*_IS_OPEN, *where).order_by(_DUE_AT, orders.c.id)
    return first.limit(bindparam("most", type_=Whole))


_DUE_SUSPECTED: Final = _earliest(_IS_DUE, _IS_SUSPECTED)
_SUSPECTED: Final = _earliest(_IS_SUSPECTED)
_NEWCOMERS: Final = _earliest(_IS_DUE, _IS_NEW)
_SOONEST: Final = _earliest(~_IS_SUSPECTED)
_HEALTHY: Final = select(orders.c.id).where(*_IS_OPEN, ~_IS_SUSPECTED).order_by(orders.c.id)


def plan(
    connection: Connection, panel: str, now: datetime, requests: int, per_request: int, *, force: bool
) -> Plan:
    """Return the orders for one round of `panel`: see `tracker.store.polling.orders.Orders.plan`."""
    at: dict[str, Any] = {"panel": panel, "now": now, "beyond": now + BEYOND}
    found = connection.execute(_COUNTS, at).one()
    healthy, due = found.open - found.suspected, found.due - found.due_suspected
    # Where that is none, a suspected one is asked alone once nothing else is due.
    singles = min(requests // SINGLES or int(due == 0), found.due_suspected)
    room = max(requests - singles, 0) * per_request
    # A request costs the same with 1 id as with 100, so the last batch is filled with the soonest due.
    wanted = min(healthy if force else _whole(due, per_request), room, healthy)
    riding = room - _whole(wanted, per_request)
    suspected = array("q")
    if found.suspected if force else found.due_suspected:
        statement = _SUSPECTED if force else _DUE_SUSPECTED
        suspected = _keys(connection, statement, {**at, "most": singles + max(riding, 0)})
    rest = {"singles": sorted(suspected[:singles]), "doubted": sorted(suspected[singles:])}
    if wanted == healthy:
        return Plan(_keys(connection, _HEALTHY, at), **rest)
    keys = array("q")
    if found.newcomers and due > wanted:
        keys = _keys(connection, _NEWCOMERS, {**at, "most": min(room // 2, wanted)})
    chosen = set(keys)
    soonest = _keys(connection, _SOONEST, {**at, "most": wanted})
    keys.extend([key for key in soonest if key not in chosen][: wanted - len(keys)])
    return Plan(array("q", sorted(keys)), **rest)


def _whole(count: int, per_request: int) -> int:
    """Return how many fit into the requests that so many take."""
    return -(-count // per_request) * per_request


def _keys(connection: Connection, statement: Select[tuple[int]], values: dict[str, Any]) -> "array[int]":
    keys = array("q")
    for some in connection.execute(statement, values, execution_options=_STREAMED).partitions():
        keys.extend(map(_FIRST, some))  # `scalars` would cost as much again as all the rest
    return keys

"""Taking orders in: what is new is inserted, what was unknown is filled in, and nothing known is overwritten.

`take_in` works inside of a transaction of the caller's, in a few statements for however many orders; following
some (`tracking.py`) goes through it, and `take_in_patiently`, of which an import makes many.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    String,
    and_,
    any_,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from tracker.errors import DatabaseUnreachable
from tracker.store.bulk import BulkUpdate, Columns, RowSet
from tracker.store.engine import reading, writing
from tracker.store.schema import orders
from tracker.store.types import Moment, Text, Whole, utc_text, utcnow


class NewOrder(NamedTuple):
    """An order to follow. A panel's status tells none of the optional fields; spend and tempo need them."""

    order_id: str
    service_id: str | None = None
    link: str | None = None
    quantity: int | None = None
    runs: int | None = None
    interval: int | None = None
    """Minutes between two runs."""
    ref: str | None = None
    ordered_at: datetime | None = None


OPTIONAL: Final = NewOrder._fields[1:]
_BEGINNINGS: Final = ("tracked_at", "state_at", "next_poll_at")
"""The moment at which an order is inserted."""

_KINDS: Final[Columns] = {
    "service_id": Text,
    "link": Text,
    "quantity": Whole,
    "runs": Whole,
    "interval": Whole,
    "ref": Text,
    "ordered_at": Moment,
}


class Difference(NamedTuple):
    """A field that is known and was given otherwise; what is known stays."""

    order_id: str
    field: str
    known: object
    given: object


class Intake(NamedTuple):
    """What became of the orders that were given, by id."""

    added: list[str]
    filled: list[str]
    """Known before, and more is known of them now."""
    known: list[str]
    """Known before, and nothing was to be filled in."""
    differing: list[Difference]
    closed: list[str]
    """Known before, and not followed any more: that is not for an import to change."""


class _Known(NamedTuple):
    key: int
    is_closed: bool
    optional: tuple[object, ...]


GIVE_WAY: Final = "300ms"
"""How long an intake waits on Postgres for a row that polling has locked; it looks for deadlocks after 1 s."""

PATIENCE: Final = 20
"""How often it then begins anew."""

_WAITED: Final = frozenset({"55P03", "40P01"})
"""What Postgres says of it: lock not available, deadlock detected."""

_GIVE_WAY: Final = select(func.set_config("lock_timeout", GIVE_WAY, True))


def take_in_patiently(engine: Engine, panel: str, new: Sequence[NewOrder], *, write: bool = True) -> Intake:
    """Do `take_in` in a transaction of its own, which waits for polling, and polling never long for it.

    Both lock many rows, in orders of their own. Of two that wait for each other, Postgres would end the one that
    finds out, which may be the poller.
    """
    if not write:
        with reading(engine) as connection:
            return take_in(connection, panel, new, write=False)
    for left in reversed(range(PATIENCE)):
        try:
            with writing(engine) as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(_GIVE_WAY)
                return take_in(connection, panel, new)
        except DatabaseUnreachable as error:
            driver_error = getattr(error.__cause__, "orig", None)
            if not left or getattr(driver_error, "sqlstate", None) not in _WAITED:
                raise
    raise AssertionError


def take_in(connection: Connection, panel: str, new: Sequence[NewOrder], *, write: bool = True) -> Intake:
    """Take `new` orders of `panel` in, each id once; `write=False` only says what would become of them.

    In a `writing` transaction of at most a few thousand rows: it goes in as a whole or not at all.
    """
    sql = _statements(connection.dialect.name)
    intake = Intake([], [], [], [], [])
    # By id, so that two who take the same orders in at once wait for each other, and not in a circle.
    pending: Sequence[NewOrder] = sorted(new, key=itemgetter(0))
    while pending:
        found = sql.find(connection, panel, pending)
        fills = list(_compare(found, pending, intake))
        if write:
            sql.fill.run(connection, fills)
        absent = [one for one in pending if one.order_id not in found]
        added = sql.insert(connection, panel, absent) if write and absent else {one.order_id for one in absent}
        intake.added.extend(one.order_id for one in absent if one.order_id in added)
        # Somebody else has just added these: they are known from the next look on.
        pending = [one for one in absent if one.order_id not in added]
    return intake


def _compare(
    found: Mapping[str, _Known], given: Sequence[NewOrder], intake: Intake
) -> Iterator[tuple[object, ...]]:
    """Sort the orders that are known into `intake`; yield a row for each that has something to fill in."""
    for one in given:
        known = found.get(one.order_id)
        if known is None:
            continue
        if known.is_closed:
            intake.closed.append(one.order_id)
        if known.optional == one[1:]:
            intake.known.append(one.order_id)
            continue
        fill: list[object] = []
        for name, has, gives in zip(OPTIONAL, known.optional, one[1:], strict=True):
            fill.append(gives if has is None else None)
            if has is not None and gives is not None and has != gives:
                intake.differing.append(Difference(one.order_id, name, has, gives))
        if any(value is not None for value in fill):
            intake.filled.append(one.order_id)
            yield (known.key, *fill)
        else:
            intake.known.append(one.order_id)


class _Statements:
    """The statements of an intake, built once for each dialect."""

    def __init__(self, dialect: str) -> None:
        self._sqlite = dialect == "sqlite"
        self._ids = RowSet(dialect, "ids", order_id=Text)
        is_closed = orders.c.closed_at.is_not(None)
        columns = (orders.c.id, orders.c.order_id, is_closed, *(orders.c[name] for name in OPTIONAL))
        self._known = select(*columns).where(
            orders.c.panel == bindparam("panel", type_=Text),
            # Postgres joins with rows of ours as if the panel had few orders: it read all of them for each look.
            orders.c.order_id.in_(select(self._ids.c.order_id))
            if self._sqlite
            else orders.c.order_id == any_(cast(bindparam("ids_order_id", type_=String()), ARRAY(Text))),
        )
        self.fill = BulkUpdate.of(
            dialect, orders, {"key": Whole}, {f"or_{name}": kind for name, kind in _KINDS.items()}, _is_to_fill
        )
        self._rows = RowSet(dialect, "new", order_id=Text, **_KINDS)
        named = ["panel", "order_id", *OPTIONAL]
        rows = select(bindparam("panel", type_=Text), *(self._rows.c[name] for name in named[1:]))
        self._insert = (
            postgresql.insert(orders)
            .from_select(named, rows.select_from(self._rows.table))
            .on_conflict_do_nothing(index_elements=[orders.c.panel, orders.c.order_id])
            .returning(orders.c.order_id)
        )
        # One look at the clock for all: the defaults would look three times for each row.
        on_sqlite = insert(orders).values({name: bindparam(name, type_=Text) for name in [*named, *_BEGINNINGS]})
        self._insert_on_sqlite = str(on_sqlite.compile(dialect=sqlite.dialect()))

    def find(self, connection: Connection, panel: str, given: Sequence[NewOrder]) -> dict[str, _Known]:
        """Return what is known of those of the `given` orders that are, by id."""
        parameters = self._ids.parameters([(one.order_id,) for one in given])
        found = connection.execute(self._known, {"panel": panel, **parameters})
        return {row[1]: _Known(row[0], row[2], tuple(row[3:])) for row in found}

    def insert(self, connection: Connection, panel: str, new: Sequence[NewOrder]) -> Container[str]:
        """Insert orders that were not there a moment ago; return the ids of those that still were not."""
        if not self._sqlite:
            parameters = {"panel": panel, **self._rows.parameters(new)}
            return set(connection.execute(self._insert, parameters).scalars())
        # One writer at a time, and we are that: what was not there still is not. In the driver's own loop.
        now = utc_text(connection.execute(select(utcnow())).scalar_one())
        rows = [
            (panel, *one[:-1], None if one.ordered_at is None else utc_text(one.ordered_at), now, now, now)
            for one in new
        ]
        connection.exec_driver_sql(self._insert_on_sqlite, rows)
        return {one.order_id for one in new}


_statements = cache(_Statements)


def _is_to_fill(row: Mapping[str, ColumnElement[Any]]) -> ColumnElement[bool]:
    """Make the guard: the order still has nothing where it is to be given something."""
    empty = (or_(orders.c[name].is_(None), row[f"or_{name}"].is_(None)) for name in OPTIONAL)
    return and_(orders.c.id == row["key"], *empty)

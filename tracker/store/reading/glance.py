"""What a live screen shows, read again and again beside a daemon that writes.

All questions are asked in one short transaction that may not write. One that took long (a million orders are
counted in half a second) is asked again only after twenty times as long; until then its last answer stands, so
that a screen never keeps the database busy.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Select, func, literal, or_, select

from tracker.errors import DatabaseUnreachable
from tracker.model import SETTLED_STATES, OrderFilter
from tracker.store.engine import reading
from tracker.store.reading.filters import conditions, last_change
from tracker.store.reading.panel_glance import PanelGlance, Rounds, count_anomalies, count_requests, look_at_panels
from tracker.store.schema import orders, transitions
from tracker.store.types import utc_after

REST: Final = 20
"""A question rests so many times as long as its last answer took."""

RECENT: Final = 2000
"""Transitions that a filter looks through, the newest ones: a rare state must not make it read all of them."""

LISTED: Final = 200
"""Rows of a list, unless more are asked for."""

T = TypeVar("T")
Row: TypeAlias = dict[str, Any]
ListName: TypeAlias = Literal["changes", "stuck"]


class Scope(NamedTuple):
    """What a list is narrowed to; None and an empty text do not narrow."""

    panel: str | None = None
    state: str | None = None
    text: str = ""
    """Part of an order's id, service, link or reference, in any case."""


class Tally(NamedTuple):
    """The orders of one panel in one state."""

    panel: str
    state: str
    orders: int
    due: int = 0
    due_since: datetime | None = None
    """Since when the one is due that waits longest."""
    stuck: int = 0
    """Open ones without any change for the time given to `Glance`."""


class Snapshot(NamedTuple):
    """What there is to see."""

    tallies: list[Tally]
    panels: list[PanelGlance]
    """By name; also those that orders wait for and nobody has polled yet."""
    rows: list[Row]
    """The list that was asked for."""


class _Question(Generic[T]):
    """A question whose last answer stands while it rests, unless it is asked about something else."""

    def __init__(self) -> None:
        self._about: object = None
        self._rests_until = 0.0
        self._answer: T | None = None

    def answer(self, about: object, ask: Callable[[], T]) -> T:
        """Return what `ask` answers now, or has answered about the same a short while ago."""
        if self._answer is None or about != self._about or time.monotonic() >= self._rests_until:
            began = time.monotonic()
            self._answer = ask()
            self._about, ended = about, time.monotonic()
            self._rests_until = ended + REST * (ended - began)
        return self._answer


class Glance:
    """Looks at one database for one screen; `stuck` says after how much silence an order counts as stuck."""

    def __init__(self, engine: Engine, stuck: timedelta = timedelta(hours=24)) -> None:
        self._engine = engine
        self._stuck = stuck
        self._file: tuple[int, int] | None = None
        self._forget()

    def _forget(self) -> None:
        self._open: _Question[list[Tally]] = _Question()
        self._closed: _Question[list[Tally]] = _Question()
        self._anomalies: _Question[dict[str, int]] = _Question()
        self._listed: _Question[list[Row]] = _Question()
        self._rounds = Rounds()

    def look(self, now: datetime, name: ListName, scope: Scope = Scope(), limit: int = LISTED) -> Snapshot:  # noqa: B008  # immutable
        """Return what there is to see, with one list: the newest `changes`, or the orders longest `stuck`.

        Raises `DatabaseUnreachable`, also where a SQLite file is gone for the moment, and `DatabaseUnfit`.
        """
        self._find_file()
        with reading(self._engine) as connection:
            tallies = self._open.answer(None, lambda: self._count_open(connection, now))
            closed = self._closed.answer(None, lambda: _count_closed(connection))
            listed = self._changes if name == "changes" else self._silent
            rows = self._listed.answer((name, scope, limit), lambda: listed(connection, scope, limit))
            seen = self._panels(connection, now)
        known = {one.name for one in seen}
        waiting = sorted({one.panel for one in tallies} - known)
        found = sorted([*seen, *map(PanelGlance, waiting)], key=attrgetter("name"))
        return Snapshot(tallies + closed, found, rows)

    def _find_file(self) -> None:
        """Follow a SQLite file that was replaced; to connect to one that is gone would make it again, empty."""
        if self._engine.dialect.name != "sqlite":
            return
        try:
            found = Path(str(self._engine.url.database)).stat()
        except OSError as error:
            raise DatabaseUnreachable(f"{self._engine.url.database} cannot be read: {error.strerror}.") from None
        file = (found.st_dev, found.st_ino)
        if self._file not in {None, file}:
            self._engine.dispose()
            self._forget()
        self._file = file

    def _count_open(self, connection: Connection, now: datetime) -> list[Tally]:
        is_due = orders.c.next_poll_at <= now
        is_stuck = orders.c.state.not_in(SETTLED_STATES) & (last_change() <= _before_now(self._stuck))
        statement = (
            select(
                orders.c.panel,
                orders.c.state,
                func.count(),
                func.count().filter(is_due),
                func.min(orders.c.next_poll_at).filter(is_due),
                func.count().filter(is_stuck),
            )
            .where(orders.c.closed_at.is_(None))
            .group_by(orders.c.panel, orders.c.state)
        )
        return [Tally(*row) for row in connection.execute(statement)]

    def _changes(self, connection: Connection, scope: Scope, limit: int) -> list[Row]:
        wanted = _told_by(scope)
        if scope.state is not None:
            wanted.append(transitions.c.to_state == scope.state)
        newest = select(transitions.c.order_key, transitions.c.seq)
        newest = newest.order_by(transitions.c.at.desc(), transitions.c.order_key.desc())
        some = newest.limit(RECENT if wanted else limit).subquery("newest")
        told = transitions.c
        statement = (
            select(orders.c.panel, orders.c.order_id, orders.c.service_id, orders.c.ref, orders.c.link)
            .add_columns(told.seq, told.at, told.from_state, told.to_state, told.panel_status)
            .add_columns(told.charge, told.currency, told.remains)
            .join_from(some, transitions, (told.order_key == some.c.order_key) & (told.seq == some.c.seq))
            .join(orders, orders.c.id == told.order_key)
            .where(*wanted)
            .order_by(told.at.desc(), told.order_key.desc())
        )
        return _rows(connection, statement.limit(limit))

    def _silent(self, connection: Connection, scope: Scope, limit: int) -> list[Row]:
        states = () if scope.state is None else (scope.state,)
        since = last_change().label("since")
        statement = (
            select(orders.c.panel, orders.c.order_id, orders.c.service_id, orders.c.ref, orders.c.link)
            .add_columns(since, orders.c.state, orders.c.panel_status, orders.c.quantity, orders.c.remains)
            .add_columns(orders.c.charge, orders.c.currency, orders.c.checked_at)
            .where(*conditions(OrderFilter(states=states, silent=self._stuck)), *_told_by(scope))
            .order_by(since, orders.c.id)
        )
        return _rows(connection, statement.limit(limit))

    def _panels(self, connection: Connection, now: datetime) -> list[PanelGlance]:
        ended = self._rounds.look(connection, now)
        doubted = self._anomalies.answer(None, lambda: count_anomalies(connection))
        asked = count_requests(connection, now)
        return [
            one._replace(
                rounds=ended.get(one.name, {}),
                requests=asked.get(one.name, 0),
                anomalies=doubted.get(one.name, 0),
            )
            for one in look_at_panels(connection, now)
        ]


def _rows(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[Row]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _before_now(span: timedelta) -> ColumnElement[datetime]:
    return utc_after(literal(-span.total_seconds()))


def _told_by(scope: Scope) -> list[ColumnElement[bool]]:
    """Return what an order must be like to be within `scope`, its state aside."""
    wanted: list[ColumnElement[bool]] = [] if scope.panel is None else [orders.c.panel == scope.panel]
    if scope.text:
        columns = (orders.c.order_id, orders.c.service_id, orders.c.link, orders.c.ref)
        wanted.append(or_(*(column.icontains(scope.text, autoescape=True) for column in columns)))
    return wanted


def _count_closed(connection: Connection) -> list[Tally]:
    statement = select(orders.c.panel, orders.c.state, func.count()).where(orders.c.closed_at.is_not(None))
    return [Tally(*row) for row in connection.execute(statement.group_by(orders.c.panel, orders.c.state))]

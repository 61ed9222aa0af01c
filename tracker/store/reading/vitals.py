"""How the work stands, from the database alone: who polls, what was answered when, and what waits too long.

All of it is read in one short snapshot. A million open orders take about half a second, so whoever asks often
must rest in between; `tally` reads every order there ever was.
"""

import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, get_args

from sqlalchemy import Connection, Engine, and_, func, or_, select, type_coerce

from tracker.errors import DatabaseUnreachable
from tracker.model import Kind
from tracker.store.engine import reading
from tracker.store.reading.elements import seconds_of
from tracker.store.reading.panel_glance import AHEAD, STOPPED, PanelGlance, look_at_panels
from tracker.store.schema import anomalies, intents, orders, panels, rounds

ROUNDS: Final = 20_000
"""Rounds looked back at: a day of ten busy panels, read in 30 ms."""

Patience: TypeAlias = Callable[[str, int, bool | None], float]
"""Makes of a panel, its open orders and whether it understands ids in bulk the seconds that an answer may take."""


class KindVitals(NamedTuple):
    """The newest rounds of one kind; those that found nothing to do left no row."""

    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    error: str | None = None
    """What went wrong at `failed_at`, also after it was overcome."""

    @property
    def failing(self) -> bool:
        """Whether the newest round ended in a fault."""
        return self.failed_at is not None and (self.succeeded_at is None or self.succeeded_at < self.failed_at)


class PanelVitals(NamedTuple):
    """One panel: of `seen` the requests, anomalies and rounds stay empty."""

    seen: PanelGlance
    bulk_status: bool | None = None
    """Whether it understands many ids in one request; None: not tried yet."""
    open: int = 0
    """Orders that are still asked about, settled ones in their grace time among them."""
    due: int = 0
    due_since: datetime | None = None
    """Since when the one is due that waits longest."""
    late: int = 0
    """Not answered within twice the larger of their own pace and the patience with the panel."""
    unknown: int = 0
    """Intents of which nobody knows what came."""
    kinds: Mapping[Kind, KindVitals] = {}


class Tally(NamedTuple):
    """What there ever was; pruning makes these numbers smaller."""

    orders: Mapping[tuple[str, str], int]
    """By panel and state, closed ones included."""
    transitions: Mapping[str, int]
    """By panel."""
    anomalies: Mapping[tuple[str, str], int]
    """By panel and kind."""


class Size(NamedTuple):
    """Bytes of the database, and those left on its disk (None for a server's, which only the server sees)."""

    used: int
    free: int | None


class _Waiting(NamedTuple):
    open: int
    due: int
    due_since: datetime | None


def look_at_vitals(engine: Engine, now: datetime, patience: Patience) -> list[PanelVitals]:
    """Return every panel that was ever polled or that orders or intents wait for, by name."""
    with reading(engine) as connection:
        seen = {one.name: one for one in look_at_panels(connection, now)}
        bulk = {
            row.name: row.bulk_status for row in connection.execute(select(panels.c.name, panels.c.bulk_status))
        }
        waiting = _waiting(connection, now)
        unknown = _unknown(connection, now)
        kinds = _kinds(connection, now)
        late = {
            name: _late(connection, name, now, timedelta(seconds=patience(name, one.open, bulk.get(name))))
            for name, one in waiting.items()
            if one.due
        }
    names = sorted({*seen, *waiting, *unknown})
    return [
        PanelVitals(
            seen.get(name) or PanelGlance(name),
            bulk.get(name),
            *waiting.get(name, _Waiting(0, 0, None)),
            late.get(name, 0),
            unknown.get(name, 0),
            kinds.get(name, {}),
        )
        for name in names
    ]


def tally(engine: Engine) -> Tally:
    """Count all there ever was: minutes may pass between two of these without harm."""
    by_state = select(orders.c.panel, orders.c.state, func.count(), func.sum(orders.c.seq))
    odd = select(anomalies.c.panel, anomalies.c.kind, func.sum(anomalies.c.count))
    with reading(engine) as connection:
        counted = connection.execute(by_state.group_by(orders.c.panel, orders.c.state)).all()
        doubted = connection.execute(odd.group_by(anomalies.c.panel, anomalies.c.kind)).all()
    transitions: dict[str, int] = {}
    for panel, _, _, moves in counted:  # the `seq` of an order is the number of its transitions
        transitions[panel] = transitions.get(panel, 0) + int(moves)
    return Tally(
        {(panel, state): count for panel, state, count, _ in counted},
        transitions,
        {(panel, kind): int(count) for panel, kind, count in doubted},
    )


def measure(engine: Engine) -> Size:
    """Return how large the database is. Raises `DatabaseUnreachable`, also for a SQLite file that is gone."""
    if engine.dialect.name == "postgresql":
        with reading(engine) as connection:
            return Size(int(connection.scalar(select(func.pg_database_size(func.current_database()))) or 0), None)
    path = Path(str(engine.url.database))
    try:
        beside = [file for end in ("-wal", "-shm") if (file := path.with_name(path.name + end)).exists()]
        return Size(sum(file.stat().st_size for file in (path, *beside)), shutil.disk_usage(path.parent).free)
    except OSError as error:
        raise DatabaseUnreachable(f"{path} cannot be looked at: {error.strerror}.") from None


def _waiting(connection: Connection, now: datetime) -> dict[str, _Waiting]:
    is_due = orders.c.next_poll_at <= now
    statement = (
        select(
            orders.c.panel,
            func.count(),
            func.count().filter(is_due),
            func.min(orders.c.next_poll_at).filter(is_due),
        )
        .where(orders.c.closed_at.is_(None))
        .group_by(orders.c.panel)
    )
    return {panel: _Waiting(*counts) for panel, *counts in connection.execute(statement)}


def _late(connection: Connection, panel: str, now: datetime, patience: timedelta) -> int:
    """Count the open orders that promise P7 is broken to."""
    asked_at = func.coalesce(orders.c.checked_at, orders.c.tracked_at)
    statement = select(func.count()).where(
        orders.c.panel == panel,
        orders.c.closed_at.is_(None),
        orders.c.next_poll_at <= now - patience,  # follows from the other two, and is by far the cheapest
        asked_at < now - 2 * patience,
        # In whole seconds: it is due for longer than it was to rest.
        2 * seconds_of(orders.c.next_poll_at) - seconds_of(asked_at) < int(now.timestamp()),
    )
    return int(connection.scalar(statement) or 0)


def _unknown(connection: Connection, now: datetime) -> dict[str, int]:
    """Count the intents without an outcome; one is also unknown where nobody ran who could have said so."""
    lost = and_(intents.c.state == "sending", intents.c.deadline_at < now)
    statement = select(intents.c.panel, func.count()).where(or_(intents.c.state == "unknown", lost))
    return {panel: int(count) for panel, count in connection.execute(statement.group_by(intents.c.panel))}


def _kinds(connection: Connection, now: datetime) -> dict[str, dict[Kind, KindVitals]]:
    past = select(rounds).where(rounds.c.finished_at <= now + AHEAD)
    newest = past.order_by(rounds.c.started_at.desc()).limit(ROUNDS).subquery("newest").c
    ended_well = newest.outcome == "ok"
    age = func.row_number().over(
        partition_by=(newest.panel, newest.kind, ended_well), order_by=newest.finished_at.desc()
    )
    ranked = (
        select(newest.panel, newest.kind, newest.finished_at, newest.error)
        .add_columns(type_coerce(ended_well, panels.c.bulk_status.type).label("ended_well"), age.label("age"))
        .where(newest.outcome != STOPPED)
        .subquery("ranked")
    )
    found: dict[str, dict[Kind, KindVitals]] = {}
    for row in connection.execute(select(ranked).where(ranked.c.age == 1)):
        if row.kind not in get_args(Kind):  # of a newer version
            continue
        kinds = found.setdefault(row.panel, {})
        before = kinds.get(row.kind, KindVitals())
        if row.ended_well:
            kinds[row.kind] = before._replace(succeeded_at=row.finished_at)
        else:
            kinds[row.kind] = before._replace(failed_at=row.finished_at, error=row.error)
    return found

"""How panels do: who polls them, how fresh what they told is, and what went wrong last."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from tracker.model import Kind
from tracker.store.schema import anomalies, balance_snapshots, leases, panels, rounds
from tracker.store.types import Moment, utcnow

ROUNDS: Final = 5000
"""Rounds looked back at: hours, even of twenty panels."""

LONGEST_ROUND: Final = timedelta(minutes=10)
"""Rounds are told when they end: one that began so long before the newest one may still have come in after it."""

AHEAD: Final = timedelta(minutes=1)
"""Clocks in step differ by less. What lies further ahead was dated by a clock that stood ahead, and would be the
newest until that time has come, whatever happens meanwhile: it does not count."""

STOPPED: Final = "stopped"
"""The outcome of a round that we ended ourselves: it says nothing about the panel."""


class Freshness(NamedTuple):
    """The rounds of one kind of one panel, as far back as `ROUNDS` reach."""

    last: datetime
    """When the newest one ended."""
    last_ok: datetime | None
    """When one last ended well."""


class PanelGlance(NamedTuple):
    """How one panel does."""

    name: str
    url: str | None = None
    holder: str | None = None
    """Who holds its lease, or held it last; None where nobody ever did."""
    unpolled_for: timedelta | None = None
    """How long ago that lease ended, by the database's clock; None while it holds."""
    balance: Decimal | None = None
    currency: str | None = None
    balance_at: datetime | None = None
    fault: str | None = None
    fault_kind: str | None = None
    fault_at: datetime | None = None
    requests: int = 0
    """Of the rounds that ended in the last minute."""
    anomalies: int = 0
    rounds: dict[Kind, Freshness] = {}  # noqa: RUF012  # never changed, only replaced

    @property
    def polled(self) -> bool:
        """Whether somebody holds its lease."""
        return self.holder is not None and self.unpolled_for is None

    @property
    def failing(self) -> bool:
        """Whether the newest round of some kind ended in a fault."""
        return any(one.last != one.last_ok for one in self.rounds.values())


class Rounds:
    """Remembers when rounds ended, so that each look needs only those that ended since."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, Kind], Freshness] = {}

    def look(self, connection: Connection, now: datetime) -> dict[str, dict[Kind, Freshness]]:
        """Return the freshness of each kind, by panel."""
        until = now + AHEAD
        if any(one.last > until for one in self._ended.values()):  # it was `now` that stood ahead
            self._ended = {}
        newest = select(rounds.c.panel, rounds.c.kind, rounds.c.finished_at, rounds.c.outcome)
        newest = newest.where(rounds.c.finished_at <= until)
        if self._ended:
            seen = max(one.last for one in self._ended.values())
            newest = newest.where(rounds.c.started_at >= seen - LONGEST_ROUND)
        some = newest.order_by(rounds.c.started_at.desc()).limit(ROUNDS).subquery("newest").c
        last = func.max(some.finished_at)
        statement = select(some.panel, some.kind, last, last.filter(some.outcome == "ok"))
        statement = statement.where(some.outcome != STOPPED).group_by(some.panel, some.kind)
        for panel, kind, at, ok_at in connection.execute(statement):
            before = self._ended.get((panel, kind))
            self._ended[panel, kind] = Freshness(at, ok_at or (before.last_ok if before else None))
        found: dict[str, dict[Kind, Freshness]] = {}
        for (panel, kind), fresh in self._ended.items():
            found.setdefault(panel, {})[kind] = fresh
        return found


_balances = balance_snapshots.alias("newest_balance").c
_NEWEST_BALANCE: Final = (
    select(_balances.id)
    .where(_balances.panel == panels.c.name, _balances.at <= bindparam("until", type_=Moment))
    .order_by(_balances.at.desc(), _balances.id.desc())
    .limit(1)
    .correlate(panels)
    .scalar_subquery()
)
_PANELS: Final = (
    select(panels.c.name, panels.c.url, panels.c.fault, panels.c.fault_kind, panels.c.fault_at)
    .add_columns(leases.c.holder, leases.c.expires_at, utcnow().label("clock"))
    .add_columns(balance_snapshots.c.balance, balance_snapshots.c.currency)
    .add_columns(balance_snapshots.c.at.label("balance_at"))
    .join_from(panels, leases, leases.c.panel == panels.c.name, isouter=True)
    .join(balance_snapshots, balance_snapshots.c.id == _NEWEST_BALANCE, isouter=True)
)


def look_at_panels(connection: Connection, now: datetime) -> list[PanelGlance]:
    """Return every panel that was ever polled, without its rounds, requests and anomalies."""
    found = []
    for row in connection.execute(_PANELS, {"until": now + AHEAD}).mappings():
        ended = None if row["expires_at"] is None else row["clock"] - row["expires_at"]
        told = {name: row[name] for name in PanelGlance._fields if name in row}
        is_over = ended is not None and ended >= timedelta(0)
        found.append(PanelGlance(**told, unpolled_for=ended if is_over else None))
    return found


def count_anomalies(connection: Connection) -> dict[str, int]:
    """Return the anomalies of each panel that had some."""
    statement = select(anomalies.c.panel, func.sum(anomalies.c.count)).group_by(anomalies.c.panel)
    return {panel: int(count) for panel, count in connection.execute(statement)}


def count_requests(connection: Connection, now: datetime) -> dict[str, int]:
    """Return the requests that each panel was sent, by the rounds that ended within a minute of `now`."""
    lately = (
        rounds.c.started_at >= now - LONGEST_ROUND,
        rounds.c.finished_at.between(now - timedelta(minutes=1), now + AHEAD),
    )
    statement = select(rounds.c.panel, func.sum(rounds.c.requests)).where(*lately).group_by(rounds.c.panel)
    return {panel: int(count) for panel, count in connection.execute(statement)}

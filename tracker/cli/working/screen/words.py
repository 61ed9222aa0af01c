"""What a snapshot says in words: counters, facts and troubles, the same on a terminal and in a pipe."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from tracker.cli.quantities import duration, money
from tracker.logs import visible
from tracker.model import KINDS, STATES, Kind
from tracker.store.reading.glance import Snapshot, Tally
from tracker.store.reading.panel_glance import PanelGlance

Fact = tuple[str, str]


def span(passed: timedelta) -> str:
    """Return a span of time in words; clocks of two machines may differ, so never a negative one."""
    return duration(max(passed.total_seconds(), 0.0))


def states(snapshot: Snapshot, panel: str | None = None) -> dict[str, int]:
    """Return how many orders are in each state that has some, in the order of a life."""
    found: dict[str, int] = {}
    for one in _of(snapshot.tallies, panel):
        found[one.state] = found.get(one.state, 0) + one.orders
    return {state: found[state] for state in STATES if state in found}


def freshness(snapshot: Snapshot, now: datetime, panel: str | None = None) -> str:
    """Return how far the database is behind what it wants to know."""
    due, since = overdue(snapshot, panel)
    return "all fresh" if since is None else f"{due:,} due, the first for {span(now - since)}"


def overdue(snapshot: Snapshot, panel: str | None = None) -> tuple[int, datetime | None]:
    """Return how many orders are due, and since when the one is that waits longest."""
    late = [one for one in _of(snapshot.tallies, panel) if one.due_since]
    return sum(one.due for one in late), min((one.due_since for one in late if one.due_since), default=None)


def stuck(snapshot: Snapshot, panel: str | None = None) -> int:
    """Return how many open orders have been silent for too long."""
    return sum(one.stuck for one in _of(snapshot.tallies, panel))


def balances(panels: Iterable[PanelGlance]) -> str:
    """Return what the accounts hold, each currency for itself."""
    held: dict[str | None, Decimal] = {}
    for one in panels:
        if one.balance is not None:
            held[one.currency] = held.get(one.currency, Decimal(0)) + one.balance
    return " + ".join(visible(money(amount, currency)) for currency, amount in held.items()) or "not seen yet"


def requests(panels: Sequence[PanelGlance], allowances: Mapping[str, float]) -> str:
    """Return the requests of the last minute, and of how many where that is known of all panels."""
    used = sum(one.requests for one in panels)
    if not panels or any(one.name not in allowances for one in panels):
        return f"{used:,} in the last minute"
    return f"{used:,} of {sum(allowances[one.name] for one in panels):,g} a minute"


def facts(
    snapshot: Snapshot,
    now: datetime,
    allowances: Mapping[str, float],
    silence: timedelta,
    panel: str | None = None,
) -> list[Fact]:
    """Return what there is to say of one panel, or of all."""
    panels = [one for one in snapshot.panels if panel in {None, one.name}]
    seen = [one.balance_at for one in panels if one.balance_at]
    count = stuck(snapshot, panel)
    return [
        *_who(panels),
        ("balance", balances(panels) + (f", {span(now - min(seen))} ago" if seen else "")),
        ("answers", freshness(snapshot, now, panel)),
        ("stuck", f"{count:,} silent for {span(silence)}" if count else f"none silent for {span(silence)}"),
        ("requests", requests(panels, allowances)),
        *((kind, _last_ok(panels, kind, now)) for kind in KINDS if kind != "balance"),
        ("anomalies", f"{sum(one.anomalies for one in panels):,}"),
    ]


def _who(panels: Sequence[PanelGlance]) -> list[Fact]:
    if len(panels) == 1:
        return [("panel", visible(panels[0].name)), ("polled by", polled_by(panels[0]))]
    polled = sum(one.polled for one in panels)
    many = "all of them" if polled == len(panels) else f"{polled} of {len(panels)}"
    return [("panels", str(len(panels))), ("polled", many if panels else "")]


def polled_by(panel: PanelGlance) -> str:
    """Return who polls a panel."""
    if panel.polled:
        return visible(panel.holder or "")
    return "nobody yet" if panel.unpolled_for is None else f"nobody for {span(panel.unpolled_for)}"


def _last_ok(panels: Sequence[PanelGlance], kind: Kind, now: datetime) -> str:
    """Return how long ago a round of `kind` last ended well, for the panel where that is longest ago."""
    rounds = [one.rounds[kind] for one in panels if kind in one.rounds]
    if not rounds:
        return "not asked yet"
    good = [one.last_ok for one in rounds]
    known = [at for at in good if at is not None]
    return f"{span(now - min(known))} ago" if len(known) == len(good) else "no success lately"


def troubles(snapshot: Snapshot, now: datetime) -> list[str]:
    """Return what a person should look after, a sentence each, with what to type."""
    if not snapshot.panels:
        return ["Nothing is followed yet. Type: tracker track --panel PANEL ORDER, then: tracker run"]
    idle = [one for one in snapshot.panels if not one.polled]
    found = [_failure(one, now) for one in snapshot.panels if one.polled and one.failing]
    return [*([_idle(idle)] if idle else []), *found]


def _idle(panels: Sequence[PanelGlance]) -> str:
    """Return the sentence about panels that nobody polls: one dead daemon is one trouble, however many it had."""
    names = visible(", ".join(one.name for one in panels))
    since = [one.unpolled_for for one in panels if one.unpolled_for is not None]
    if not since:
        return f"No daemon has polled {names} yet. Type: tracker run"
    return f"No daemon has polled {names} for {span(max(since))}. Type: tracker run"


def _failure(panel: PanelGlance, now: datetime) -> str:
    good = [one.last_ok for one in panel.rounds.values() if one.last_ok and one.last != one.last_ok]
    since = f" for {span(now - min(good))}" if good else ""
    name, kind = visible(panel.name), (panel.fault_kind or "fault").replace("_", " ")
    return f"{name}: {visible(kind)}{since}. {visible(panel.fault or '')}"


def _of(tallies: Sequence[Tally], panel: str | None) -> list[Tally]:
    return [one for one in tallies if panel in {None, one.panel}]

"""How polling goes, as the database tells it: what a panel understands, who polls it, how late, how old all is."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tracker.checks.finding import Finding, not_run, ok, roughly, warning
from tracker.model import BATCH, OPEN_STATES
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database
from tracker.store.reading.glance import Tally
from tracker.store.reading.panel_glance import PanelGlance

CHECKS: Final = ("abilities", "lease", "lag", "catalog")

STALE: Final = 3
"""Intervals without a catalog: two in a row may fail for a reason that goes away by itself."""

SLACK: Final = 60.0
"""Seconds by which an answer may be late beyond what is promised: a round ends before it is written."""


class Seen(NamedTuple):
    """What the database tells of all panels."""

    panels: Mapping[str, PanelGlance]
    learned: Mapping[str, Mapping[str, Any]]
    tallies: Sequence[Tally]


def seen(opened: Database, now: datetime) -> Seen:
    """Read what there is to know, in half a second for a million orders."""
    snapshot = opened.glance(timedelta(days=1)).look(now, "changes", limit=1)
    learned = {row["name"]: row for row in opened.history.panels()}
    return Seen({one.name: one for one in snapshot.panels}, learned, snapshot.tallies)


def polling(panel: PanelSettings, every: Every, known: Seen, opened: Database, now: datetime) -> Iterator[Finding]:
    """Tell how the polling of one panel goes."""
    glance = known.panels.get(panel.name, PanelGlance(panel.name))
    yield _abilities(known.learned.get(panel.name))
    yield _lease(panel, glance)
    yield _lag(panel, every, known, glance, now)
    yield _catalog(panel, every, opened.history.last_success(panel.name, "catalog"), now)


def nothing_known(why: str) -> Iterator[Finding]:
    """Return the same checks where the database cannot be read."""
    return (not_run(check, why) for check in CHECKS)


def _abilities(learned: Mapping[str, Any] | None) -> Finding:
    check = "abilities"
    if learned is None or learned["bulk_status"] is None:
        return ok(check, "not learned yet: the first rounds do")
    refills = {None: "not learned yet", True: "yes", False: "no"}[learned["bulk_refill"]]
    if not learned["bulk_status"]:
        said = f"one order a request, so a sweep takes {BATCH} times as many; many refills a request: {refills}"
        return warning(check, said, "Ask its support for `orders=` (up to 100 ids); it is tried again once a day")
    return ok(check, f"{BATCH} orders a request; many refills a request: {refills}")


def _lease(panel: PanelSettings, glance: PanelGlance) -> Finding:
    check = "lease"
    if glance.polled:
        return ok(check, f"{glance.holder} polls it")
    if panel.paused:
        return ok(check, "paused, so nobody polls it")
    if glance.holder is None or glance.unpolled_for is None:
        return ok(check, "nobody has polled it yet: tracker run")
    ago = roughly(glance.unpolled_for.total_seconds())
    said = f"nobody has polled it for {ago}; the last was {glance.holder}"
    return warning(check, said, "systemctl start tracker (or: tracker run)")


def _lag(panel: PanelSettings, every: Every, known: Seen, glance: PanelGlance, now: datetime) -> Finding:
    """Compare the wait of the order that waits longest with promise P7: twice the larger of pace and sweep."""
    check = "lag"
    mine = [one for one in known.tallies if one.panel == panel.name and one.state in OPEN_STATES]
    orders = sum(one.orders for one in mine)
    waiting = [one.due_since for one in mine if one.due_since is not None]
    late = max((now - min(waiting)).total_seconds(), 0.0) if waiting else 0.0
    learned = known.learned.get(panel.name)
    at_once = 1 if learned is not None and learned["bulk_status"] is False else BATCH
    sweep = 60.0 * orders / (at_once * panel.requests_per_minute)
    if not orders:
        return ok(check, "no open orders")
    said = f"{orders} open order{'s' * (orders > 1)}, the one that waits longest for {roughly(late)}"
    said += f"; a sweep takes {roughly(sweep)}"
    if panel.paused or late <= 2 * max(every.statuses, sweep) + SLACK:
        return ok(check, said)
    if not glance.polled:
        return warning(check, said, "systemctl start tracker (or: tracker run): nobody polls the panel")
    if glance.failing and glance.fault is not None:
        return warning(check, f"{said}; the last fault: {glance.fault}", f"tracker rounds --panel {panel.name}")
    more = f"Write a larger requests_per_minute below [panels.{panel.name}], if the panel allows it"
    return warning(check, said, more)


def _catalog(panel: PanelSettings, every: Every, last: datetime | None, now: datetime) -> Finding:
    check = "catalog"
    if last is None:
        return ok(check, "not fetched yet: the first round does")
    age = (now - last).total_seconds()
    said = f"fetched {roughly(max(age, 0.0))} ago"
    if panel.paused or age <= STALE * every.catalog:
        return ok(check, said)
    return warning(check, said, f"tracker poll catalog --panel {panel.name}; tracker rounds --panel {panel.name}")

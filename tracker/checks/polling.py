"""How polling goes, as the database tells it: what a panel understands, who polls it, how late, how old all is."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from tracker.checks.finding import Finding, not_run, ok, roughly, warning
from tracker.model import BATCH
from tracker.pace import patience, sweep
from tracker.settings import Every, PanelSettings, Settings
from tracker.store.database import Database
from tracker.store.reading.panel_glance import PanelGlance
from tracker.store.reading.vitals import PanelVitals

CHECKS: Final = ("abilities", "lease", "lag", "catalog")

STALE: Final = 3
"""Intervals without a catalog: two in a row may fail for a reason that goes away by itself. It may wait for a
round of statuses as well, which may take its whole interval."""


class Seen(NamedTuple):
    """What the database tells of all panels."""

    vitals: Mapping[str, PanelVitals]
    learned: Mapping[str, Mapping[str, Any]]


def seen(opened: Database, found: Settings, now: datetime) -> Seen:
    """Read what there is to know, in half a second for a million orders."""
    limits = {one.name: one.requests_per_minute for one in found.panels}

    def patience_with(name: str, orders: int, bulk_status: bool | None) -> float:  # noqa: FBT001  # as it is learned
        return patience(orders, limits.get(name), bulk_status, found.every.statuses)

    vitals = {one.seen.name: one for one in opened.vitals(now, patience_with)}
    return Seen(vitals, {row["name"]: row for row in opened.history.panels()})


def polling(panel: PanelSettings, every: Every, known: Seen, opened: Database, now: datetime) -> Iterator[Finding]:
    """Tell how the polling of one panel goes."""
    vitals = known.vitals.get(panel.name) or PanelVitals(PanelGlance(panel.name))
    yield _abilities(known.learned.get(panel.name))
    yield _lease(panel, vitals.seen)
    yield _lag(panel, vitals, now)
    yield _catalog(panel, every, opened.history.last_success(panel.name, "catalog", now), now)


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


def _lag(panel: PanelSettings, vitals: PanelVitals, now: datetime) -> Finding:
    """Tell how long orders wait; those to which promise P7 is broken are late."""
    check, orders = "lag", vitals.open
    if not orders:
        return ok(check, "no open orders")
    waits = max((now - vitals.due_since).total_seconds(), 0.0) if vitals.due_since else 0.0
    takes = sweep(orders, panel.requests_per_minute, vitals.bulk_status)
    said = f"{orders} open order{'s' * (orders > 1)}, the one that waits longest for {roughly(waits)}"
    said += f"; a sweep takes {roughly(takes)}"
    if panel.paused or not vitals.late:
        return ok(check, said)
    said += f"; late: {vitals.late}"
    if not vitals.seen.polled:
        return warning(check, said, "systemctl start tracker (or: tracker run): nobody polls the panel")
    if vitals.seen.fault is not None and any(one.failing for one in vitals.kinds.values()):
        return warning(
            check, f"{said}; the last fault: {vitals.seen.fault}", f"tracker rounds --panel {panel.name}"
        )
    more = f"Write a larger requests_per_minute below [panels.{panel.name}], if the panel allows it"
    return warning(check, said, more)


def _catalog(panel: PanelSettings, every: Every, last: datetime | None, now: datetime) -> Finding:
    check = "catalog"
    if last is None:
        return ok(check, "not fetched yet: the first round does")
    age = (now - last).total_seconds()
    said = f"fetched {roughly(max(age, 0.0))} ago"
    if panel.paused or age <= STALE * every.catalog + every.statuses:
        return ok(check, said)
    return warning(check, said, f"tracker poll catalog --panel {panel.name}; tracker rounds --panel {panel.name}")

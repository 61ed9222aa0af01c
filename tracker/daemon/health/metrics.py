"""The daemon in Prometheus' words, made anew for each scrape from what is known without waiting.

Names follow https://prometheus.io/docs/practices/naming/. No label names an order: labels are panels, kinds,
states, actions, outcomes and currencies, so the number of series is small and does not grow with the history.
"""

import platform
from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tracker.daemon.health.vitality import Health
from tracker.daemon.status import BOUNDS, DaemonStatus, PanelStatus
from tracker.model import KINDS
from tracker.store.reading.vitals import PanelVitals, Size, Tally

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[str, ...]


class Known(NamedTuple):
    """All that a scrape tells; None for what was not seen yet."""

    status: DaemonStatus
    health: Health
    vitals: list[PanelVitals] | None = None
    tally: Tally | None = None
    size: Size | None = None
    looked_at: datetime | None = None
    """When the database was last looked at with success."""
    reachable: bool = False
    """Whether the last look at the database succeeded."""


class Rising:
    """Counters made of sums that pruning makes smaller: only what is added is counted, from the first look on."""

    def __init__(self) -> None:
        self._sums: dict[Labels, int] | None = None
        self._totals: dict[Labels, int] = {}

    def look(self, sums: Iterable[tuple[Labels, int]]) -> None:
        """Take note of the sums as they are now."""
        now = dict(sums)
        before = now if self._sums is None else self._sums
        for labels, count in now.items():
            added = max(count - before.get(labels, 0), 0)
            self._totals[labels] = self._totals.get(labels, 0) + added
        self._sums = now

    def totals(self) -> list[tuple[Labels, float]]:
        """Return what was added since the first look."""
        return [(labels, float(total)) for labels, total in sorted(self._totals.items())]


class Metrics:
    """Makes the text of scrapes; not safe between threads."""

    def __init__(self) -> None:
        self._transitions = Rising()
        self._anomalies = Rising()
        self._counted: Tally | None = None

    def text(self, known: Known) -> bytes:
        """Return the text of one scrape."""
        if known.tally is not None and known.tally is not self._counted:
            self._counted = known.tally
            self._transitions.look(((panel,), count) for panel, count in known.tally.transitions.items())
            self._anomalies.look(known.tally.anomalies.items())
        # A registry of this scrape's own: nothing is shared, nothing is left behind.
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Families([*_own(known), *self._rising(), *_orders(known), *_database(known)]))
        return generate_latest(registry)

    def _rising(self) -> Iterator[Metric]:
        yield _counter("tracker_transitions", "Changes of state seen.", ["panel"], self._transitions.totals())
        yield _counter(
            "tracker_anomalies",
            "Replies that could not be believed.",
            ["panel", "kind"],
            self._anomalies.totals(),
        )


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families

    def describe(self) -> Iterable[Metric]:
        return ()  # nothing else is in the registry, so no name can clash


def _own(known: Known) -> Iterator[Metric]:
    """Tell what this process knows of itself."""
    panels = known.status.panels
    build = {"version": version("order-tracker"), "python": platform.python_version()}
    yield InfoMetricFamily("tracker_build", "What runs.", value=build)
    leading = [((one.name,), float(one.state == "leading")) for one in panels if one.state != "paused"]
    yield _gauge("tracker_lease_leading", "Whether this process polls the panel.", ["panel"], leading)
    stuck = [((), float(len(known.status.stuck)))]
    yield _gauge("tracker_stuck_parts", "Parts of this process that have not moved for far too long.", [], stuck)
    yield _requests(panels)
    yield _seconds(panels)
    used = [
        ((one.name,), one.figures.used / one.per_minute)
        for one in panels
        if one.per_minute and one.state == "leading"
    ]
    yield _gauge("tracker_budget_used_ratio", "Requests of the last minute to those allowed.", ["panel"], used)
    yield from _kinds(known)


def _requests(panels: Iterable[PanelStatus]) -> Metric:
    counts = [
        ((one.name, action, outcome), float(requests.number))
        for one in panels
        for (action, outcome), requests in sorted(one.figures.requests.items())
    ]
    text = "Requests to panels that ended; outcome: ok, or the kind of the fault."
    return _counter("tracker_requests", text, ["panel", "action", "outcome"], counts)


def _seconds(panels: Iterable[PanelStatus]) -> Metric:
    text = "Seconds from sending a request to its whole reply, or its fault."
    family = HistogramMetricFamily("tracker_request_duration_seconds", text, labels=["panel", "action"])
    for one in panels:
        for action in sorted({action for action, _ in one.figures.requests}):
            some = [each for (name, _), each in one.figures.requests.items() if name == action]
            buckets, count = [], 0
            for number, bound in enumerate((*BOUNDS, "+Inf")):
                count += sum(each.classes[number] for each in some)
                buckets.append((str(bound), float(count)))
            family.add_metric([one.name, action], buckets, sum(each.seconds for each in some))
    return family


def _kinds(known: Known) -> Iterator[Metric]:
    """Tell the last success and error of each kind of work, for the panels that this process polls."""
    leading = {one.name: one for one in known.status.panels if one.state == "leading"}
    kinds = [
        (labels, told)
        for panel in known.health.panels
        for kind, told in panel.kinds.items()
        if panel.panel in leading and (labels := (panel.panel, kind))
    ]
    text = "When a round of this kind last succeeded, as far as is known; 0: never."
    succeeded = [(labels, _seconds_of(one.last_success_at)) for labels, one in kinds]
    yield _gauge("tracker_last_success_timestamp_seconds", text, ["panel", "kind"], succeeded)
    text = "When a round of this kind last failed, also where that was overcome; 0: never."
    failed = [(labels, _seconds_of(one.last_error_at)) for labels, one in kinds]
    yield _gauge("tracker_last_error_timestamp_seconds", text, ["panel", "kind"], failed)
    intervals = [
        ((name, kind), float(getattr(one.every, kind))) for name, one in leading.items() for kind in KINDS
    ]
    text = "The configured time between two rounds."
    yield _gauge("tracker_interval_seconds", text, ["panel", "kind"], intervals)


def _orders(known: Known) -> Iterator[Metric]:
    """Tell what the database says of the panels."""
    if known.tally is not None:
        counts = [(labels, float(count)) for labels, count in sorted(known.tally.orders.items())]
        yield _gauge("tracker_orders", "Orders by state, closed ones included.", ["panel", "state"], counts)
    if known.vitals is None:
        return
    for name, text, field in (
        ("tracker_orders_followed", "Orders that are still asked about.", "open"),
        ("tracker_orders_due", "Orders whose time to be asked about has come.", "due"),
        ("tracker_orders_late", "Orders unanswered for twice their pace and a sweep.", "late"),
        ("tracker_lag_seconds", "How long the order is due that waits longest.", "lag_seconds"),
        ("tracker_sweep_seconds", "What asking about all orders takes.", "sweep_seconds"),
        ("tracker_intents_unknown", "Intents of unknown outcome.", "unknown_intents"),
        ("tracker_key_refused", "Whether the panel refuses the key.", "key_refused"),
    ):
        yield _gauge(
            name, text, ["panel"], [((one.panel,), float(getattr(one, field))) for one in known.health.panels]
        )
    seen = [one.seen for one in known.vitals]
    balances = [((one.name, one.currency or ""), float(one.balance)) for one in seen if one.balance is not None]
    yield _gauge("tracker_balance", "What the account held last.", ["panel", "currency"], balances)


def _database(known: Known) -> Iterator[Metric]:
    yield _gauge("tracker_database_up", "Whether the database answers.", [], [((), float(known.reachable))])
    looked = [((), _seconds_of(known.looked_at))]
    yield _gauge("tracker_database_seen_timestamp_seconds", "When it last answered; 0: never.", [], looked)
    if known.size is not None:
        used = [((), float(known.size.used))]
        yield _gauge("tracker_database_size_bytes", "Size of the database on disk.", [], used)
    if known.size is not None and known.size.free is not None:
        free = [((), float(known.size.free))]
        yield _gauge("tracker_database_free_bytes", "Free space beside the SQLite file.", [], free)


def _gauge(name: str, text: str, labels: list[str], values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _counter(name: str, text: str, labels: list[str], values: Iterable[tuple[Labels, float]]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _seconds_of(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()

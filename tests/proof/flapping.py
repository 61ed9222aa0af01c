"""A panel that flaps: three requests in ten go wrong, in every way that ends at once, for an hour of its life.

The real rounds poll a simulator over sockets, by a clock that is stepped from minute to minute; afterwards the
history is what was served, as if nothing had ever gone wrong, only later.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, Self

from client_setting import Noting
from promises import broken
from wire_setting import hushed

from proof.table import Figure, Profile
from proof.truth import Truth
from tracker.errors import Refused
from tracker.model import KINDS, Kind, OrderFilter
from tracker.pace import Pacing
from tracker.panel import Abilities, Account, PanelClient, make_http_client
from tracker.rounds.balance import balance
from tracker.rounds.catalog import catalog
from tracker.rounds.desk import Desk, Report
from tracker.rounds.refills import refills
from tracker.rounds.statuses import statuses
from tracker.simulator import DIALECT_NAMES, FAULT_NAMES, ManualClock, Simulator
from tracker.store.database import Database, opened
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTES: Final = 60
ORDERS: Final = 250
REQUESTS: Final = 54
"""Of a round of statuses: what it gets where 60 a minute are allowed."""
BAD: Final = 0.3
"""The share of requests that go wrong."""
TAKE_TIME: Final = frozenset({"slow-headers", "slow-body", "stall"})
"""Faults that last in real time, and are proven alone."""
FAULTS: Final = [name for name in FAULT_NAMES if name not in TAKE_TIME]
EVERY: Final[dict[Kind, int]] = {"statuses": 1, "refills": 1, "balance": 5, "catalog": 10}
"""Minutes between two rounds of a kind."""
NO_REFILL_IDS: Final = frozenset({"mere-yes", "refill-echo"})
"""Dialects in which a refill is not known by an id of its own."""


class Hour:
    """An hour of one panel, polled by the real rounds."""

    def __init__(self, name: str, seed: int, database: Database) -> None:
        self.dialect = name.partition("/")[0]
        self.name = name
        self.clock = ManualClock()
        self.database = database
        self.outcomes: Counter[str] = Counter()
        self.changed = 0
        self.latest = timedelta(0)
        """The most by which an order was asked later than it was due, where a request may name many."""
        self._random = Random(seed)
        self._stack = ExitStack()
        share = 1 - (1 - BAD) ** (1 / len(FAULTS))  # of each fault, so that any of them comes to `BAD`
        self.panel = Simulator(
            seed=seed, clock=self.clock, dialect=self.dialect, faults=dict.fromkeys(FAULTS, share)
        )

    def __enter__(self) -> Self:
        stop, enter = threading.Event(), self._stack.enter_context
        enter(self.panel)
        http = enter(make_http_client(stop))
        abilities, account = Abilities(), Account(self.name, self.panel.url, self.panel.key)
        client = PanelClient(account, http=http, budget=Noting(None), abilities=abilities, stop=stop, in_flight=1)
        self._stack.callback(client.close)
        lease = self.database.acquire(self.name, "proof", 86400)
        assert isinstance(lease, Lease)
        memory = self.database.memory(lease)
        memory.ledger.open(self.panel.url)
        self.desk = Desk(self.name, client, memory, self.now, abilities, Pacing(longest=60), self._random)
        self.database.track(
            self.name, [NewOrder(one.order_id) for one in self.panel.world.spawn(ORDERS, oldest=7200)]
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def now(self) -> datetime:
        """Return the moment that it is for everybody."""
        return START + timedelta(seconds=self.clock.now())

    def live(self) -> None:
        """Let the hour pass."""
        for minute in range(MINUTES):
            for kind in KINDS:
                if minute % EVERY[kind] == 0:
                    self._note(self._round(kind))
            if self.desk.abilities.bulk_status:
                rows = self.database.history.orders(OrderFilter(self.name), limit=None)
                self.latest = max(self.latest, self.now() - min(row["next_poll_at"] for row in rows))
            if minute % 10 == 0:
                self._ask_for_refills()
            self.clock.advance(60)

    def end(self) -> None:
        """Have the panel behave, and ask about everything once more."""
        self.panel.behave()
        for kind in (*KINDS, "catalog", "catalog"):  # a catalog that is doubted is believed the third time
            report = self._round(kind, force=True)
            assert report.fault is None, f"{self.name}: {kind}: {report.fault}"
        rows = self.database.history.services(self.name)
        listed = {row["service_id"] for row in rows if row["gone_at"] is None}
        sold = (
            set() if self.dialect == "empty-catalog" else {one.service_id for one in self.panel.world.services()}
        )
        assert listed == sold, f"{self.name}: the catalog differs: {listed ^ sold}"

    def _round(self, kind: Kind, *, force: bool = False) -> Report:
        if kind == "catalog":
            return catalog(self.desk)
        if kind == "balance":
            return balance(self.desk)
        run, requests = (statuses, REQUESTS) if kind == "statuses" else (refills, REQUESTS // 9)
        return run(self.desk, ORDERS * 4 if force else requests, may_go_on=lambda: True, force=force)

    def _note(self, report: Report) -> None:
        self.outcomes["ok" if report.fault is None else report.fault.kind] += not report.idle
        self.changed += report.changed

    def _ask_for_refills(self) -> None:
        if self.dialect in NO_REFILL_IDS:
            return
        completed = self.database.history.orders(OrderFilter(self.name, ("completed",)), limit=None)
        for order in self._random.sample(completed, min(5, len(completed))):
            try:
                refill_id = self.panel.world.refill(order["order_id"])
            except Refused:
                continue
            self.database.track_refill(self.name, order["order_id"], refill_id)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Yield one figure for all hours: one of the documented dialect, or two of each."""
    outcomes: Counter[str] = Counter()
    panels, changed, requests, latest = {}, 0, 0, timedelta(0)
    with hushed(), opened(url) as database:
        for number in range(profile.often(1, 2 * len(DIALECT_NAMES))):
            name = f"{DIALECT_NAMES[number % len(DIALECT_NAMES)]}/{number}"
            profile.say(f"flapping: {name}")
            with Hour(name, profile.seed + number, database) as hour:
                hour.live()
                hour.end()
            panels[name] = hour.panel
            outcomes += hour.outcomes
            changed, requests = changed + hour.changed, requests + sum(hour.panel.counts.values())
            latest = max(latest, hour.latest)
            assert broken(url) == {}, name
        Truth(panels).check(database, url)
    bad = outcomes.total() - outcomes["ok"]
    assert bad > outcomes.total() / 10, "too little went wrong to prove anything"
    assert changed > ORDERS, "too little happened to prove anything"
    told = (
        f"{requests:,} requests; {bad} of {outcomes.total()} rounds ended by {len(outcomes) - 1} kinds of fault;"
        f" {changed:,} changes, as served; no order asked more than {latest.total_seconds() / 60:.0f} min late"
    )
    yield Figure("P1 P2 P3 P4", f"an hour of a panel of which {BAD:.0%} of the replies are bad", len(panels), told)

"""A panel and a store without network and database, for the rounds alone: as small as the ports allow."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Generic, TypeVar

from tracker.catalog import Difference, Doubt, Known
from tracker.decide import Decision, RefillDecision
from tracker.errors import PanelFault
from tracker.model import (
    Anomaly,
    Answer,
    Balance,
    Learned,
    Odd,
    Order,
    Plan,
    Refill,
    RefillAnswer,
    RefillPlan,
    RoundRow,
    Service,
    Status,
)
from tracker.rounds.desk import Desk
from tracker.rounds.ports import W

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PENDING = Status("pending", "Pending")
A = TypeVar("A")


class Told(dict[str, A], Generic[A]):
    """Answers by id, as a panel's client gives them."""

    def __init__(
        self, answers: Mapping[str, A], *, foreign: Sequence[str] = (), fault: PanelFault | None = None
    ) -> None:
        super().__init__(answers)
        self.foreign = foreign
        self.fault = fault


class Catalog(list[Service]):
    """A catalog as told; `odd` is what in it was not believed."""

    def __init__(self, services: Sequence[Service] = (), odd: Sequence[Odd] = ()) -> None:
        super().__init__(services)
        self.odd = odd


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass
class Abilities:
    bulk_status: bool | None = None
    bulk_refill: bool | None = None


def all_pending(ids: Sequence[str]) -> Told[Answer] | PanelFault:
    return Told(dict.fromkeys(ids, PENDING))


@dataclass
class FakePanel:
    """A panel that answers each request as a function of its ids says; a fault is given as a value."""

    answer: Callable[[Sequence[str]], Told[Answer] | PanelFault] = all_pending
    refill_answer: Callable[[Sequence[str]], Told[RefillAnswer] | PanelFault] = lambda _: Told({})
    told: Catalog | PanelFault = field(default_factory=Catalog)
    account: Balance | PanelFault | None = None
    in_flight: int = 1
    asked: list[list[str]] = field(default_factory=list)
    """The ids of every request, in turn."""

    @property
    def requests(self) -> int:
        return len(self.asked)

    def statuses(
        self, next_work: Callable[[], W | None], before_waiting: Callable[[], None], /
    ) -> Iterator[tuple[W, Told[Answer] | PanelFault]]:
        flying: deque[W] = deque()
        while True:
            while len(flying) < self.in_flight and (work := next_work()) is not None:
                flying.append(work)
            if not flying:
                return
            before_waiting()
            done = flying.popleft()
            self.asked.append(list(done.ids))
            yield done, self.answer(done.ids)

    def refill_statuses(self, ids: Sequence[str], /) -> Told[RefillAnswer]:
        self.asked.append(list(ids))
        return _given(self.refill_answer(ids))

    def services(self) -> Catalog:
        self.asked.append([])
        return _given(self.told)

    def balance(self) -> Balance:
        self.asked.append([])
        return _given(self.account or PanelFault("no balance was set"))


def _given(value: A | PanelFault) -> A:
    if isinstance(value, PanelFault):
        raise value
    return value


@dataclass
class FakeOrders:
    """Orders in a dictionary; `due` says when each is asked next, and what is closed is gone."""

    all: dict[int, Order] = field(default_factory=dict)
    due: dict[int, datetime] = field(default_factory=dict)
    singles: int = 1000
    """Suspected orders that a round asks about singly."""
    moved_on: set[str] = field(default_factory=set)
    """Ids that somebody else writes between load and apply."""
    fault: Exception | None = None
    written: list[Decision] = field(default_factory=list)

    def add(self, *order_ids: str, misses: int = 0) -> None:
        for order_id in order_ids:
            key = len(self.all) + 1
            self.all[key] = Order(
                key, order_id, state="new", panel_status=None, charge=None, currency=None, start_count=None,
                remains=None, quantity=None, seq=0, state_at=NOW, state_remains=None, changed_at=None,
                was_checked_at=None, settled_at=None, misses=misses, missed_at=None,
            )  # fmt: skip
            self.due[key] = NOW

    def named(self, order_id: str) -> Order:
        return next(one for one in self.all.values() if one.order_id == order_id)

    def plan(self, now: datetime, requests: int, per_request: int, *, force: bool = False) -> Plan:
        due = sorted((at, key) for key, at in self.due.items() if at <= now or force)
        singles = [key for _, key in due if self.all[key].misses][:requests]
        keys = [key for _, key in due if key not in singles][: (requests - len(singles)) * per_request]
        return Plan(sorted(keys), singles[: self.singles], singles[self.singles :])

    def load(self, keys: Sequence[int]) -> list[Order]:
        return [self.all[key] for key in keys if key in self.all]

    def apply(self, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        assert round_id
        if self.fault is not None:
            raise self.fault
        fresh = [one for one in decisions if one.before.order_id not in self.moved_on]
        for one in fresh:
            assert self.all[one.before.key] == one.before, "decided from a row that was not read just before"
            self.all[one.before.key] = one.after
            self.due[one.before.key] = one.next_poll_at
        self.written += fresh
        return fresh


@dataclass
class FakeRefills:
    all: list[Refill] = field(default_factory=list)
    written: list[RefillDecision] = field(default_factory=list)
    reopened: list[datetime] = field(default_factory=list)
    at: datetime | None = None
    """The moment that was given with the last write; so in the books below."""

    def add(self, *refill_ids: str, misses: int = 0) -> None:
        for number, one in enumerate(refill_ids, len(self.all) + 1):
            self.all.append(Refill(number, f"o{one}", one, "requested", None, 0, NOW, None, None, misses, None))

    def plan(self, now: datetime, limit: int, *, force: bool = False) -> RefillPlan:  # noqa: ARG002 - all are due
        some = self.all[:limit]
        return RefillPlan([one for one in some if not one.misses], [one for one in some if one.misses])

    def reopen_orders(self, now: datetime) -> int:
        self.reopened.append(now)
        return 0

    def apply(self, decisions: Sequence[RefillDecision], now: datetime, round_id: str) -> Sequence[RefillDecision]:
        assert round_id
        self.at = now
        self.written += decisions
        return decisions


@dataclass
class FakeServices:
    known_now: dict[str, Known] = field(default_factory=dict)
    doubted: Doubt | None = None
    details: list[str] = field(default_factory=list)
    written: list[Difference] = field(default_factory=list)
    at: datetime | None = None

    def known(self) -> Mapping[str, Known]:
        return self.known_now

    def doubt(self) -> Doubt | None:
        return self.doubted

    def write(self, difference: Difference, now: datetime) -> None:
        self.at = now
        self.doubted = None
        self.known_now |= {one.service_id: Known(one) for one in difference.seen}
        self.known_now |= {one: self.known_now[one]._replace(gone=True) for one in difference.gone}
        self.written.append(difference)

    def write_doubt(self, doubt: Doubt, detail: str, now: datetime) -> None:
        self.at = now
        self.doubted = doubt
        self.details.append(detail)


@dataclass
class FakeLedger:
    balances: list[Balance] = field(default_factory=list)
    learned: list[Learned] = field(default_factory=list)
    rounds: list[RoundRow] = field(default_factory=list)
    anomalies: list[Anomaly] = field(default_factory=list)
    at: datetime | None = None

    def snapshot(self, balance: Balance, now: datetime) -> None:
        self.at = now
        self.balances.append(balance)

    def learn(self, learned: Learned) -> None:
        self.learned.append(learned)

    def finish_round(self, row: RoundRow, anomalies: Sequence[Anomaly]) -> None:
        self.rounds.append(row)
        self.anomalies += anomalies


@dataclass
class FakeStore:
    """The memory of one panel."""

    orders: FakeOrders = field(default_factory=FakeOrders)
    refills: FakeRefills = field(default_factory=FakeRefills)
    services: FakeServices = field(default_factory=FakeServices)
    ledger: FakeLedger = field(default_factory=FakeLedger)


@dataclass
class Setting:
    """A desk with a fake on either side."""

    panel: FakePanel = field(default_factory=FakePanel)
    store: FakeStore = field(default_factory=FakeStore)
    clock: Clock = field(default_factory=Clock)
    abilities: Abilities = field(default_factory=Abilities)
    desk: Desk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = Desk("acme", self.panel, self.store, self.clock, self.abilities, random=Random(7))

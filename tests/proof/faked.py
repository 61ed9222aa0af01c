"""The fault matrix over fakes: without network and database, faults can follow faults in every combination.

Every call that a round makes of its panel or its store is two edges: it fails before it was done, or after.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeVar, cast

from fakes import Catalog, FakePanel, FakeRefills, FakeStore, Setting, Told
from structlog.testing import capture_logs

from proof.truth import explained
from tracker.decide import RefillDecision
from tracker.errors import DatabaseUnreachable, Interrupted, PanelFault
from tracker.model import KINDS, Balance, Kind, RefillStatus, Service, Status
from tracker.rounds.balance import balance
from tracker.rounds.catalog import catalog
from tracker.rounds.desk import Desk, Report
from tracker.rounds.ports import Store
from tracker.rounds.refills import refills
from tracker.rounds.statuses import statuses
from tracker.simulator import Served

T = TypeVar("T")

ORDERS: Final = 12
BATCH: Final = 5
REFILLS: Final = 3
WORDS: Final = (("pending", "Pending"), ("in_progress", "In progress"), ("completed", "Completed"))


class Countdown:
    """Breaks the edge whose turn it is; 0: none."""

    left = 0

    def breaks(self) -> bool:
        """Tell whether this edge is to fail."""
        self.left -= 1
        return self.left == 0


class Panel(FakePanel):
    """Says something else in every round; a request may be lost on its way, or its reply."""

    def __init__(self, edge: Countdown) -> None:
        super().__init__(in_flight=2)
        self.round = 0
        self.served: defaultdict[str, list[Served]] = defaultdict(list)
        self._edge = edge
        self.answer = lambda ids: self._replied(partial(self._orders, ids))
        self.refill_answer = lambda ids: self._replied(partial(self._refills, ids))

    def services(self) -> Catalog:
        """Return a catalog in which prices rise and one service comes and goes."""
        self.told = self._replied(lambda: Catalog(self.listed()))
        return super().services()

    def balance(self) -> Balance:
        """Return what is left."""
        self.account = self._replied(self.left)
        return super().balance()

    def listed(self) -> list[Service]:
        """Return what is sold in this round."""
        rate = Decimal(self.round)
        return [Service(str(number), "Likes", rate=rate) for number in range(8 + self.round % 2)]

    def left(self) -> Balance:
        """Return what the account holds in this round."""
        return Balance(Decimal(100 - self.round), "USD")

    def _replied(self, say: Callable[[], T]) -> T | PanelFault:
        if self._edge.breaks():
            return Interrupted("lost on its way")
        before = {subject: len(said) for subject, said in self.served.items()}
        told = say()
        if self._edge.breaks():
            for subject, said in self.served.items():
                del said[before.get(subject, 0) :]
            return Interrupted("its reply was lost")
        return told

    def _orders(self, ids: Sequence[str]) -> Told[Any]:
        told = {}
        for order_id in ids:
            state, word = WORDS[(self.round + int(order_id)) // 2 % len(WORDS)]
            figures = (Decimal(self.round // 2), "USD", 17, 100 - self.round * (int(order_id) % 2))
            told[order_id] = Status(cast("Any", state), word, *figures)
            self.served[order_id].append(Served(word, *figures))
        return Told(told)

    def _refills(self, ids: Sequence[str]) -> Told[Any]:
        told = {}
        for refill_id in ids:
            state, word = WORDS[(self.round + int(refill_id)) // 2 % len(WORDS)]
            told[refill_id] = RefillStatus(cast("Any", state), word)
            self.served[f"refill/{refill_id}"].append(Served(word))
        return Told(told)


class Breaking:
    """A part of a store of which every call may fail, before it was done or after."""

    def __init__(self, part: object, edge: Countdown) -> None:
        self._part, self._edge = part, edge

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of any part
        method = getattr(self._part, name)

        def call(*args: object, **options: object) -> object:
            if self._edge.breaks():
                raise DatabaseUnreachable(f"{name} failed")
            done = method(*args, **options)
            if self._edge.breaks():
                raise DatabaseUnreachable(f"{name} was done, and failed then")
            return done

        return call


class KeptRefills(FakeRefills):
    """Refills that stay as they were written."""

    def apply(self, decisions: Sequence[RefillDecision], *when: Any) -> Sequence[RefillDecision]:  # noqa: ANN401
        """Write decisions about refills that have not moved on."""
        fresh = [one for one in decisions if one.before in self.all]
        for one in fresh:
            self.all[self.all.index(one.before)] = one.after
        return super().apply(fresh, *when)


class BrokenStore:
    """A store of which every call may fail."""

    def __init__(self, store: FakeStore, edge: Countdown) -> None:
        self.orders, self.refills = Breaking(store.orders, edge), Breaking(store.refills, edge)
        self.services, self.ledger = Breaking(store.services, edge), Breaking(store.ledger, edge)


class Life:
    """Rounds of one kind, one after the other: each with a fault at one edge, or (0) without any."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._edge = Countdown()
        self._panel = Panel(self._edge)
        self._setting = made = Setting(panel=self._panel, store=FakeStore(refills=KeptRefills()))
        made.store.orders.add(*map(str, range(ORDERS)))
        made.store.refills.add(*map(str, range(REFILLS)))
        self._doubtful: defaultdict[str, set[int]] = defaultdict(set)
        store = cast("Store", BrokenStore(made.store, self._edge))
        self._desk = Desk("acme", made.panel, store, made.clock, made.abilities, random=made.desk.random)

    def round(self, fault: int) -> bool:
        """Run one round; return whether it came to the edge with this number."""
        panel, self._edge.left = self._panel, fault
        panel.round += 1
        self._setting.clock.pass_(hours=1)
        self._desk.status_limit = BATCH
        before = {subject: len(said) for subject, said in panel.served.items()}
        try:
            self._work()
        except DatabaseUnreachable:
            for subject, said in panel.served.items():
                self._doubtful[subject].update(range(before.get(subject, 0), len(said)))
        return self._edge.left <= 0 < fault

    def _work(self) -> Report:
        if self._kind == "statuses":
            return statuses(self._desk, 100, may_go_on=lambda: True, force=True)
        if self._kind == "refills":
            return refills(self._desk, 100, may_go_on=lambda: True, force=True)
        return balance(self._desk) if self._kind == "balance" else catalog(self._desk)

    def wrong(self) -> list[str]:
        """Return what is remembered wrongly after a round without a fault."""
        store, panel = self._setting.store, self._panel
        histories: defaultdict[str, list[Served]] = defaultdict(list)
        seqs: defaultdict[str, list[int]] = defaultdict(list)
        for one in store.orders.written:
            if one.transition or one.progress:
                after = one.after
                said = Served(after.panel_status or "", *after[4:8])
                histories[after.order_id].append(said)
                seqs[after.order_id] += [after.seq] if one.transition else []
        for moved in store.refills.written:
            if moved.transition:
                histories[f"refill/{moved.after.refill_id}"].append(Served(moved.after.panel_status or ""))
                seqs[f"refill/{moved.after.refill_id}"].append(moved.after.seq)
        found = [
            f"{subject} remembers {histories[subject]} of {said} (doubtful: {self._doubtful[subject]})"
            for subject, said in panel.served.items()
            if not explained(histories[subject], said, self._doubtful[subject])
        ]
        found += [f"{subject}: seq {seq}" for subject, seq in seqs.items() if seq != list(range(1, len(seq) + 1))]
        return found + self._wrong_books()

    def _wrong_books(self) -> list[str]:
        store, found = self._setting.store, []
        if self._kind == "balance" and store.ledger.balances[-1] != self._panel.left():
            found.append(f"balance {store.ledger.balances[-1]}")
        sold = [known.service for known in store.services.known_now.values() if not known.gone]
        if self._kind == "catalog" and sold != self._panel.listed():
            found.append(f"catalog {sold}")
        changes = [change for one in store.services.written for change in one.changes]
        newest: dict[tuple[str, str], str | None] = {}
        for change in changes:
            if change.old != newest.get((change.service_id, change.field), change.old):
                found.append(f"{change} does not follow the one before")
            newest[change.service_id, change.field] = change.new
        rounds = Counter(row.round_id for row in store.ledger.rounds)
        return [*found, *(f"round {one} twice" for one, times in rounds.items() if times > 1)]


def lives(kind: Kind, faults: int, chosen: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Yield every sequence of so many faults, by the number of their edges, once it was lived and found well.

    Raises AssertionError where something is remembered wrongly.
    """
    for number in itertools.count(1):
        sequence = (*chosen, number)
        life = Life(kind)
        life.round(0)
        reached = [life.round(fault) for fault in sequence]
        if not reached[-1]:
            return
        if len(sequence) == faults:
            life.round(0)
            found = life.wrong()
            assert not found, f"{kind}, faults at edges {sequence}: {found[:3]}"
            yield sequence
        else:
            yield from lives(kind, faults, sequence)


def count(faults: int) -> dict[Kind, int]:
    """Live every sequence of so many faults, of every kind of round; return how many there were."""
    with capture_logs():
        return {kind: sum(1 for _ in lives(kind, faults)) for kind in KINDS}

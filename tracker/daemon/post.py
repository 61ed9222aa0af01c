"""One panel under watch: its lease, its client, its desk, and when it is left in peace."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger

from tracker import pace
from tracker.daemon.clock import WallClock
from tracker.errors import KeyRefused, Stopped
from tracker.model import KINDS, Kind, Learned
from tracker.pace import SHARE_OF_STATUSES, Pacing
from tracker.panel import Abilities, Account, Budget, Observer, PanelClient, make_http_client
from tracker.rounds.balance import balance
from tracker.rounds.catalog import catalog
from tracker.rounds.desk import Desk, Report
from tracker.rounds.refills import refills
from tracker.rounds.statuses import statuses, statuses_of
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database
from tracker.store.leases import Lease

LEASE_SECONDS: Final = 20.0
"""How long a lease outlives its last renewal: what a crash costs before somebody may take over."""

RENEWALS: Final = 4
"""In the time of a lease: three of them may fail before it ends."""

KEY_REFUSED_SECONDS: Final = 1800.0
"""Between two tries with a refused key: some panels ban a host after 5 to 10 of them."""

RELEARN: Final = timedelta(days=1)
"""After this a panel that did not understand ids in bulk is tried again: panels are mended."""

UNLIMITED: Final = 1_000_000
"""Requests of a tick where the budget is lifted (benches)."""

Connect: TypeAlias = Callable[[PanelSettings, Budget, Abilities], PanelClient]

log: FilteringBoundLogger = structlog.get_logger()


@contextmanager
def connections(stop: threading.Event, observe: Observer | None = None) -> Iterator[Connect]:
    """Give what makes the clients of panels, while a block runs; they share one HTTP client, for TLS is dear.

    `observe` is called after each request.
    """
    with make_http_client(stop) as http:

        def connect(panel: PanelSettings, budget: Budget, abilities: Abilities) -> PanelClient:
            account = Account(panel.name, panel.url, panel.key.reveal())
            return PanelClient(
                account,
                http=http,
                budget=budget,
                abilities=abilities,
                in_flight=panel.in_flight,
                stop=stop,
                observe=observe,
            )

        yield connect


def utc_now() -> datetime:
    """Return the wall clock's now; the one place that reads it for rounds."""
    return datetime.now(UTC)


def _remembered(learned: Learned) -> Abilities:
    """Return what was learned, but for what is old, or of a clock that stood ahead, and should be tried again."""
    if learned.learned_at is not None and abs(utc_now() - learned.learned_at) < RELEARN:
        return Abilities(learned.bulk_status, learned.bulk_refill)
    return Abilities(_worth_keeping(learned.bulk_status), _worth_keeping(learned.bulk_refill))


def _worth_keeping(ability: bool | None) -> bool | None:  # noqa: FBT001  # as it is learned
    """Return what is known, but for a "no": panels are mended, and a no costs a hundredfold."""
    return ability or None


@dataclass(slots=True)
class _Peace:
    """Until when (monotonic seconds) a kind of round is not tried, after how many faults in a row."""

    faults: int = 0
    until: float = 0.0


class Post:
    """Polls one panel under its lease; `tick` runs one round and survives whatever the panel does."""

    def __init__(
        self,
        panel: PanelSettings,
        every: Every,
        database: Database,
        lease: Lease,
        *,
        connect: Connect,
        stop: threading.Event,
        pacing: Pacing | None = None,
    ) -> None:
        self.name = panel.name
        self.budget = Budget(panel.requests_per_minute or None)
        self._every = every
        self._stop = stop
        self._memory = memory = database.memory(lease)
        learned = memory.ledger.open(panel.url)
        self._clock = WallClock()
        self._may_be_parked = True
        abilities = _remembered(learned)
        self.client = connect(panel, self.budget, abilities)
        pacing = pacing or Pacing(shortest=every.statuses)
        self.desk = Desk(panel.name, self.client, memory, utc_now, abilities, pacing)
        self._relearned_at = time.monotonic()
        self._peace: dict[Kind, _Peace] = {kind: _Peace() for kind in KINDS}

    def seconds(self, kind: Kind) -> float:
        """Return the interval of `kind`."""
        return float(getattr(self._every, kind))

    def open_orders(self) -> int:
        """Count the orders that are followed."""
        return self._memory.orders.count()

    def tick(self, kind: Kind, *, force: bool = False) -> Report | None:
        """Run one round of `kind` unless the panel is left in peace (then None).

        Raises `LeaseLost`, `DatabaseUnreachable` and `DatabaseUnfit`; faults of the panel are in the report.
        """
        if kind == "catalog":
            self._relearn()
        self._may_be_parked |= self._clock.was_set_back()  # kept until it is done, for the database may fail
        if self._may_be_parked:
            self._unpark()
        peace = self._peace[kind]
        if self._stop.is_set() or (time.monotonic() < peace.until and not force):
            return None
        report = self._round(kind, force=force)
        if kind == "statuses" and report.decided and not force:
            self._steer(report)
        self._leave_in_peace(kind, report)
        return report

    def tick_orders(self, order_ids: Sequence[str]) -> Report:
        """Run one round about the open orders among `order_ids`, due or not."""
        keys = self._memory.orders.find(order_ids)
        return statuses_of(self.desk, keys, may_go_on=lambda: not self._stop.is_set())

    def _unpark(self) -> None:
        """Ask at once about what was dealt by a wall clock that stood ahead of what it is now."""
        if parked := self._memory.unpark(utc_now()):
            log.warning("clock.was_ahead", panel=self.name, due=parked, remedy="none needed: they are asked now")
        self._may_be_parked = False

    def _relearn(self) -> None:
        """Forget, once a day, what the panel did not understand."""
        if time.monotonic() - self._relearned_at < RELEARN.total_seconds():
            return
        self._relearned_at = time.monotonic()
        abilities = self.desk.abilities
        abilities.bulk_status = _worth_keeping(abilities.bulk_status)
        abilities.bulk_refill = _worth_keeping(abilities.bulk_refill)

    def _round(self, kind: Kind, *, force: bool) -> Report:
        if kind == "balance":
            return balance(self.desk)
        if kind == "catalog":
            return catalog(self.desk)
        may_go_on = self._until(self.seconds(kind), force=force)
        run_one = refills if kind == "refills" else statuses
        requests = UNLIMITED if force else self._requests(kind)
        return run_one(self.desk, requests, may_go_on=may_go_on, force=force)

    def _requests(self, kind: Kind) -> int:
        """Return the requests of a round of `kind`: its share of what the budget carries until its next tick."""
        per_minute = self.budget.per_minute
        if per_minute is None:
            return UNLIMITED
        share = SHARE_OF_STATUSES if kind == "statuses" else 1.0 - SHARE_OF_STATUSES
        return max(int(per_minute * self.seconds(kind) / 60 * share), 1)

    def _until(self, seconds: float, *, force: bool) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: not self._stop.is_set() and (force or time.monotonic() < end)

    def _steer(self, report: Report) -> None:
        """Steer the panel's factor by what the intervals just dealt will ask of a round's requests."""
        if self.budget.per_minute is None:
            return
        ids_per_second = self._requests("statuses") * self.desk.status_batch / self.seconds("statuses")
        used = pace.demand(self._memory.orders.count(), report.dealt / report.decided, ids_per_second)
        self.desk.tightening = pace.tightened(self.desk.tightening, used)

    def _leave_in_peace(self, kind: Kind, report: Report) -> None:
        peace, fault = self._peace[kind], report.fault
        if isinstance(fault, KeyRefused):
            until = time.monotonic() + KEY_REFUSED_SECONDS
            self._peace = {one: _Peace(1, until) for one in KINDS}
            log.error(
                "panel.key_refused",
                panel=self.name,
                retry_seconds=KEY_REFUSED_SECONDS,
                remedy="put the right key into its key file and reload (SIGHUP), or restart",
            )
        elif fault is None or isinstance(fault, Stopped):
            self._peace[kind] = _Peace()
        elif report.taking_apart:
            pass  # at a few requests a minute this takes some rounds: left in peace, they would take hours
        else:
            peace.faults += 1
            seconds = pace.backed_off(peace.faults, self.desk.pacing)
            peace.until = time.monotonic() + seconds
            log.warning("panel.backed_off", panel=self.name, kind=kind, faults=peace.faults, seconds=seconds)

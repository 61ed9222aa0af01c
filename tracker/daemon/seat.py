"""One panel's place in the daemon, from standing by to leading and back; `Keeper` moves it."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.post import Post, connections
from tracker.daemon.status import PanelStatus, Record
from tracker.daemon.ticker import Ticker
from tracker.daemon.trouble import Trouble
from tracker.errors import DatabaseUnreachable, LeaseLost
from tracker.model import KINDS, Kind
from tracker.pace import Pacing
from tracker.panel import uptime
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database
from tracker.store.leases import Lease

STUCK_SECONDS: Final = 180.0
"""Nothing may stand still for longer: a request ends after 90 s, waiting for a locked database after 30."""

log: FilteringBoundLogger = structlog.get_logger()


class Assignment(NamedTuple):
    """How one panel is to be polled; what differs from this is a change."""

    panel: PanelSettings
    every: Every


@dataclass(frozen=True, slots=True)
class House:
    """What all seats share."""

    database: Database
    ticker: Ticker
    trouble: Trouble
    pacing: Pacing | None
    lease_seconds: float


class Shift:
    """A post at work under one lease: its thread, its connections; soon over after `end`."""

    def __init__(
        self, house: House, assignment: Assignment, lease: Lease, record: Record, may_tick: Callable[[], bool]
    ) -> None:
        self._house, self._record, self._may_tick = house, record, may_tick
        self._name = assignment.panel.name
        self._stop = threading.Event()
        self._ended: threading.Event | None = None
        self._ends_since = 0.0
        self.lost = False
        """Whether a write found that the lease is gone."""
        self._missed: set[Kind] = set()
        with ExitStack() as stack:
            connect = stack.enter_context(connections(self._stop, record.observe))
            self.post = Post(
                *assignment, house.database, lease, connect=connect, stop=self._stop, pacing=house.pacing
            )
            stack.callback(self.post.client.close)
            self._opened = stack.pop_all()
        for kind in KINDS:
            house.ticker.add(self._name, kind, self.post.seconds(kind), self._work(kind))

    def end(self) -> None:
        """Let requests under way go, and tick no more; what was answered is still written."""
        self.interrupt()
        if self._ended is None:
            self._ends_since = uptime()
            self._ended = self._house.ticker.remove(self._name)

    def interrupt(self) -> None:
        """Let requests under way go, at once and from any thread."""
        self._stop.set()

    @property
    def ending(self) -> bool:
        """Whether `end` was called."""
        return self._ended is not None

    @property
    def over(self) -> bool:
        """Whether its last tick has ended."""
        return self._ended is not None and self._ended.is_set()

    def close(self) -> None:
        """Close its connections, once its last tick has ended."""
        if self._ended is not None:
            self._ended.wait()
        self._opened.close()

    def catch_up(self) -> None:
        """Tick at once for the rounds that the database did not let be."""
        while self._missed and self._may_tick():
            self._house.ticker.arm(self._name, self._missed.pop())

    def unmoved(self) -> float:
        """Return for how many seconds it has not moved though it should; a wait for the budget is a move."""
        if self.ending:
            return uptime() - self._ends_since
        waits = self.post.budget.wait() > 0
        return 0.0 if waits else min(self._house.ticker.unmoved(self._name), uptime() - self._record.moved_at)

    def _work(self, kind: Kind) -> Callable[[], None]:
        """Make what the ticker calls: it raises nothing, and ends the process for what a restart cannot mend."""
        trouble, record = self._house.trouble, self._record

        def work() -> None:
            if self._stop.is_set():
                return
            if not trouble.reachable or not self._may_tick():
                self._missed.add(kind)
                return
            with trouble.survived("tick.crashed", panel=self._name, kind=kind):
                try:
                    report = self.post.tick(kind)
                except LeaseLost:
                    self.lost = True
                    self._stop.set()
                except DatabaseUnreachable:
                    self._missed.add(kind)
                    raise
                except Exception as error:
                    record.fail(kind, f"{type(error).__name__}: {error}")
                    raise
                else:
                    if report is not None:
                        record.ended(kind, report)

        return work


@dataclass(slots=True)
class Seat:
    """One panel that is to be polled. Only the keeper's thread changes it."""

    assignment: Assignment
    record: Record
    lease: Lease | None = None
    shift: Shift | None = None
    holder: str | None = None
    """Who holds the lease, where that is somebody else."""
    renewed_at: float = 0.0
    """When (by `uptime`) the last renewal that succeeded was begun."""
    begins_at: float = 0.0
    """When (by `uptime`) it may try to begin a shift again; it should never have to."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When it last began to lead, or stopped."""

    @property
    def name(self) -> str:
        """Return its panel."""
        return self.assignment.panel.name

    @property
    def leading(self) -> bool:
        """Whether it polls."""
        return self.shift is not None and not self.shift.ending

    @property
    def standing_by(self) -> bool:
        """Whether it waits for the lease of somebody else."""
        return self.lease is None and self.shift is None

    def status(self, holder: str) -> PanelStatus:
        """Return it as others may see it; `holder` is our own name."""
        panel, lease, record = self.assignment.panel, self.lease, self.record
        return PanelStatus(
            name=panel.name,
            state="leading" if self.leading else "standing_by" if self.standing_by else "changing",
            holder=self.holder if lease is None else holder,
            term=None if lease is None else lease.term,
            since=self.since,
            per_minute=panel.requests_per_minute or None,
            figures=record.figures(),
            every=self.assignment.every,
        )

"""What the daemon can tell of itself at any moment, without asking the database or waiting for anybody."""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from tracker.errors import Stopped
from tracker.model import Kind
from tracker.panel import uptime
from tracker.rounds.desk import Report
from tracker.settings import Every

PanelState: TypeAlias = Literal["leading", "standing_by", "changing", "paused"]

BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 90.0)
"""Upper ends in seconds of the classes into which requests are counted; the last class has none."""

MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests of one action with one outcome since the process began."""

    number: int
    seconds: float
    """All of them together."""
    classes: tuple[int, ...]
    """How many ended within each of `BOUNDS` but not the one before; then those that took longer."""


class Failure(NamedTuple):
    """The last error of a kind of round."""

    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What this process did at one panel so far, whoever leads it now."""

    used: int = 0
    """Requests that ended in the last minute."""
    requests: Mapping[tuple[str, str], Requests] = field(default_factory=dict)
    """By action, and by outcome: `ok` or the kind of the fault."""
    succeeded: Mapping[Kind, datetime] = field(default_factory=dict)
    """When a round of each kind last ended well; one that found nothing to do counts."""
    failed: Mapping[Kind, Failure] = field(default_factory=dict)
    """The last error of each kind, also after it was overcome."""
    open_orders: int | None = None
    """Counted a short while ago; None where it has not been."""
    balance: Decimal | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class PanelStatus:
    """One configured panel as this process sees it."""

    name: str
    state: PanelState
    holder: str | None = None
    """Who leads it, as far as known: this process, or the one that it stands by for."""
    term: int | None = None
    """Of our lease, where we have it."""
    since: datetime | None = None
    """When it last began to lead, or stopped; None where it is paused."""
    per_minute: float | None = None
    """The budget; None where it is lifted."""
    figures: Figures = field(default_factory=Figures)
    every: Every = field(default_factory=Every)
    """The intervals of its rounds."""


@dataclass(frozen=True, slots=True)
class DaemonStatus:
    """The whole process."""

    holder: str
    """Its name in the leases."""
    ready: bool
    """The schema fits, and each panel is led or stood by for."""
    reachable: bool
    """Whether the database answered the last time."""
    stuck: tuple[str, ...]
    """What has not moved for far longer than it may: nothing, while all is well."""
    panels: tuple[PanelStatus, ...]
    """By name."""

    @property
    def text(self) -> str:
        """Return all that matters in one line."""
        said = [_leads(self.panels)]
        leading = [one for one in self.panels if one.state == "leading"]
        counted = [count for one in leading if (count := one.figures.open_orders) is not None]
        said += [f"{sum(counted):,} orders open"] if counted else []
        asked = [at for one in leading if (at := one.figures.succeeded.get("statuses")) is not None]
        said += [f"asked {(datetime.now(UTC) - min(asked)).total_seconds():.0f} s ago"] if asked else []
        said += [
            f"{one.name} holds {one.figures.balance:f} {one.figures.currency}"
            for one in leading
            if one.figures.balance is not None
        ]
        if self.stuck:
            said.insert(0, f"stuck: {', '.join(self.stuck)}")
        if not self.reachable:
            said.insert(0, "the database is away, polling pauses")
        return "; ".join(said)


def _leads(panels: tuple[PanelStatus, ...]) -> str:
    by = {state: [one for one in panels if one.state == state] for state in ("leading", "standing_by", "paused")}
    said = f"leads {len(by['leading'])} of {len(panels)} panels"
    if by["standing_by"]:
        names = [f"{one.name} ({one.holder})" if one.holder else one.name for one in by["standing_by"]]
        said += f", stands by for {', '.join(names)}"
    if by["paused"]:
        said += f", paused {', '.join(one.name for one in by['paused'])}"
    return said


class Record:
    """What this process did at one panel; kept while leases and settings come and go. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str], Requests] = {}
        self._lately: deque[float] = deque()
        self.moved_at = uptime()
        """When a request last ended."""
        self._succeeded: Mapping[Kind, datetime] = {}
        self._failed: Mapping[Kind, Failure] = {}
        self._counted: tuple[int | None, Decimal | None, str | None] = (None, None, None)

    def observe(self, action: str, outcome: str, seconds: float) -> None:
        """Count one request."""
        number = bisect_left(BOUNDS, seconds)
        with self._lock:
            self.moved_at = uptime()
            self._lately.append(self.moved_at)
            self._forget()
            old = self._requests.get((action, outcome)) or Requests(0, 0.0, (0,) * (len(BOUNDS) + 1))
            classes = (*old.classes[:number], old.classes[number] + 1, *old.classes[number + 1 :])
            self._requests[action, outcome] = Requests(old.number + 1, old.seconds + seconds, classes)

    def ended(self, kind: Kind, report: Report) -> None:
        """Note how a round ended; one that we stopped ourselves says nothing."""
        if report.fault is None:
            self._succeeded = {**self._succeeded, kind: datetime.now(UTC)}
        elif not isinstance(report.fault, Stopped):
            self.fail(kind, str(report.fault))

    def fail(self, kind: Kind, error: str) -> None:
        """Note what went wrong."""
        self._failed = {**self._failed, kind: Failure(datetime.now(UTC), error)}

    def count(self, open_orders: int, balance: Decimal | None, currency: str | None) -> None:
        """Note what the database said a moment ago."""
        self._counted = (open_orders, balance, currency)

    def figures(self) -> Figures:
        """Return all of it."""
        with self._lock:
            self._forget()
            used, requests = len(self._lately), dict(self._requests)
        return Figures(used, requests, self._succeeded, self._failed, *self._counted)

    def _forget(self) -> None:
        while self._lately and self._lately[0] < uptime() - MINUTE:
            self._lately.popleft()

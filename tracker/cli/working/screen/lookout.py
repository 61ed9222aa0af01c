"""Looks at the database in a thread of its own, so that a slow one never holds up a key press."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tracker.cli.working.screen import words
from tracker.errors import TrackerError
from tracker.logs import visible
from tracker.store.database import Database
from tracker.store.reading.glance import LISTED, ListName, Scope, Snapshot


@dataclass(frozen=True)
class Subject:
    """What a screen is about."""

    title: str
    about: str
    """Beside the title: which database, or how fast the demo's time goes."""
    allowances: Mapping[str, float] = field(default_factory=dict)
    """Requests a minute, for the panels where that is known."""
    every: float = 1.0
    """Seconds between two looks."""
    seconds: float | None = None
    """When to end; None: when told to."""
    stuck: timedelta = timedelta(hours=24)
    """How long an open order is silent before it counts as stuck."""


class Wanted(NamedTuple):
    """What the screen needs to know besides counters and panels."""

    name: ListName = "changes"
    scope: Scope = Scope()
    order: tuple[str | None, str] | None = None
    """Panel (None: whichever has it) and id of the order that is open."""


class OrderSight(NamedTuple):
    """Orders by one id, usually one, and the timeline of the first."""

    heads: list[dict[str, Any]]
    timeline: list[dict[str, Any]]


class Sight(NamedTuple):
    """What was seen at `now`, or the last time when the database answered."""

    now: datetime
    wanted: Wanted
    snapshot: Snapshot | None = None
    order: OrderSight | None = None
    trouble: str | None = None
    """Why there is nothing newer to see."""

    def outage(self, now: datetime) -> str:
        """Return the sentence about a database that does not answer; empty where it does."""
        if self.trouble is None:
            return ""
        age = "" if self.snapshot is None else f" This is {words.span(now - self.now)} old."
        return f"! The database does not answer.{age} {visible(self.trouble)}"


class Lookout(threading.Thread):
    """Looks every few moments, and at once when something else is wanted; `tell` gets each sight."""

    def __init__(self, database: Database, subject: Subject, tell: Callable[[Sight], object]) -> None:
        super().__init__(name="lookout", daemon=True)
        self.wanted = Wanted()
        self.bug: Exception | None = None
        self._database, self._every, self._tell = database, subject.every, tell
        self._glance = database.glance(subject.stuck)
        self._wake, self._left = threading.Event(), threading.Event()
        self._last = Sight(datetime.now(UTC), self.wanted)

    def want(self, wanted: Wanted) -> None:
        """Want something else, now."""
        self.wanted = wanted
        self._wake.set()

    def leave(self) -> None:
        """End, without waiting for long on a database that does not answer."""
        self._left.set()
        self._wake.set()
        if self.is_alive():
            self.join(1.0)

    def run(self) -> None:
        """Look until told to leave."""
        while not self._left.is_set():
            self._wake.clear()
            try:
                self._tell(self.look())
            except Exception as error:  # noqa: BLE001  # a bug of ours ends the screen, and is raised once that is gone
                self.bug = error
                return
            self._wake.wait(self._every)

    def look(self, limit: int = LISTED) -> Sight:
        """Return what is to be seen now; where that cannot be known, what was seen last, and why."""
        wanted, now = self.wanted, datetime.now(UTC)
        try:
            seen = self._look(wanted, now, limit)
        except TrackerError as error:
            return self._last._replace(trouble=str(error))
        self._last = seen
        return seen

    def _look(self, wanted: Wanted, now: datetime, limit: int) -> Sight:
        try:
            snapshot = self._glance.look(now, wanted.name, wanted.scope, limit)
        except TrackerError:
            raise
        except Exception:
            self._database.require()  # a schema that is another one meanwhile is no bug of ours
            raise
        if wanted.order is None:
            return Sight(now, wanted, snapshot)
        panel, order_id = wanted.order
        heads = self._database.history.find(order_id, panel)
        timeline = self._database.history.timeline(heads[0]["id"]) if heads else []
        return Sight(now, wanted, snapshot, OrderSight(heads, timeline))

"""A state machine over everything that polls: any order of what a shop, panels, databases, clocks and deaths do.

Hypothesis draws the steps, and shrinks those that break a promise to the few that matter. After each round the
whole database is checked, and how the panel was asked; in the end, when all is well, everything is asked once
more and compared with what the panel served. It drives `proof.station`, and finds what `proof.planted` plants.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from random import Random
from typing import ClassVar, Final

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from proof.edges import DATABASE_EDGES, PANEL_EDGES, Edge, kill
from proof.shop import ACTS, Shop
from proof.station import POLLERS, station
from proof.table import Figure, Profile
from proof.virtual import own_clock
from tracker.model import KINDS, Keep, Kind
from tracker.settings import Every
from tracker.simulator import DIALECT_NAMES, FAULT_NAMES
from tracker.store.schema import metadata

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PANEL: Final = "acme"
KEEP: Final = Keep(rounds=DAY, anomalies=DAY, progress=DAY, closed_orders=DAY)

waits = st.sampled_from([1.0, 59.0, 60.0, 10 * MINUTE, HOUR, 7 * HOUR])
steps = (-365 * DAY, -DAY, -1.0, 1.0, DAY, 365 * DAY)
budgets = st.sampled_from([1.0, 7.0, 60.0])
places = st.integers(0, 10**6)
"""Which one of several is meant."""


class Machine(RuleBasedStateMachine):
    """One station. `url` is an empty, migrated database of its own, which each example finds empty again."""

    url: ClassVar[str]
    counts: ClassVar[Counter[str]]
    """Of all examples together."""

    @initialize(dialect=st.sampled_from(DIALECT_NAMES), number=st.integers(0, 9), per_minute=budgets)
    def open(self, dialect: str, number: int, per_minute: float) -> None:
        """Begin with a panel and some orders that are followed."""
        self.stack = ExitStack()
        self.station = self.stack.enter_context(station(self.url, {PANEL: dialect}, seed=number))
        with self.station.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(delete(table))
        self.shop = Shop(self.station, Random(number))
        self.failed = False
        self.station.configure(Every(), requests_per_minute=per_minute)
        self.buy(5)

    def _must(self, wrong: list[str]) -> None:
        self.failed = bool(wrong)
        assert not wrong, "\n".join(wrong[:5])

    @rule(act=st.sampled_from(ACTS), place=places)
    def act(self, act: str, place: int) -> None:
        """Let the shop do something."""
        getattr(self.shop, act)(place)

    @rule(count=st.integers(1, 4))
    def buy(self, count: int) -> None:
        """Have some more orders followed."""
        self.shop.buy(PANEL, count, HOUR)

    @rule(seconds=waits, kind=st.sampled_from(("statuses", "statuses", *KINDS)), force=st.booleans())
    def poll(self, seconds: float, kind: Kind, *, force: bool) -> None:
        """Let time pass, then one round come; whatever becomes of it, all must be sound."""
        self.station.time.pass_(seconds)
        self.station.tick(PANEL, kind, force=force)
        self._check()

    @rule(fault=st.sampled_from(FAULT_NAMES), times=st.integers(1, 4))
    def misbehave(self, fault: str, times: int) -> None:
        """Have the panel misbehave to the next requests, and be asked."""
        self.station.simulators[PANEL].misbehave(fault, times=times)
        self.poll(MINUTE, "statuses", force=True)

    @rule(edge=st.sampled_from(DATABASE_EDGES), count=st.integers(1, 8), fatal=st.booleans())
    def arm_the_database(self, edge: Edge, count: int, *, fatal: bool) -> None:
        """Have the database fail, or the process die there, within the next rounds."""
        self._arm(edge, count, kill if fatal else self.station.fault)

    @rule(edge=st.sampled_from(PANEL_EDGES), which=st.integers(0, 2), place=places)
    def arm_the_panel(self, edge: Edge, which: int, place: int) -> None:
        """Have something happen while a request is on its way."""
        self._arm(edge, 1, (kill, self.station.take_over, lambda: self._untrack_meanwhile(place))[which])

    def _arm(self, edge: Edge, count: int, what: Callable[[], object]) -> None:
        self.station.edges.arm(edge, count, what)
        for _ in range(2):
            self.poll(HOUR, "statuses", force=True)

    def _untrack_meanwhile(self, place: int) -> None:
        self.shop.untrack(place)
        self.station.time.pass_(1.0)

    @rule(name=st.sampled_from(POLLERS), awake=st.booleans())
    def sleep_or_wake(self, name: str, *, awake: bool) -> None:
        """Put a daemon to sleep, or wake it."""
        self.station.pollers[name].awake = awake

    @rule(seconds=st.sampled_from([0.0, 0.0, *steps]))
    def set_the_clock(self, seconds: float) -> None:
        """Set the wall clock wrong, or right again."""
        self.station.sound.stepped |= bool(seconds)
        self.station.time.ahead = seconds
        self.poll(MINUTE, "statuses", force=False)

    @rule(
        per_minute=budgets,
        in_flight=st.integers(1, 3),
        statuses=st.sampled_from([60.0, HOUR]),
    )
    def configure(self, per_minute: float, in_flight: int, statuses: float) -> None:
        """Change the configuration."""
        self.station.configure(Every(statuses=statuses), requests_per_minute=per_minute, in_flight=in_flight)

    @precondition(lambda self: not self.station.time.ahead)
    @rule(days=st.integers(0, 8))
    def prune(self, days: int) -> None:
        """Forget what is old after some days, once it was compared with what was served."""
        self.station.time.pass_(days * DAY)
        self._must(self.station.sound.unexplained_now())
        for _ in self.station.database.retention().walk(self.station.time.wall, KEEP):
            pass
        self.station.sound.forgive_all()
        self._check()

    def _check(self) -> None:
        self._must([*self.station.found, *self.station.sound.broken_now()])

    @invariant()
    def counted(self) -> None:
        """Count the steps."""
        self.counts["steps"] += 1

    def teardown(self) -> None:
        """Let all be well, ask about everything, and compare it with what was served."""
        if not hasattr(self, "stack"):
            return
        with self.stack:
            if not self.failed:
                self.station.recover()
                self._must(self.station.ask_about_everything(PANEL))
                self._must(self.station.sound.unexplained_now())
                self._check()
            self.counts.update(self.station.counts)


def run(url: str, examples: int, steps: int, number: int, *, shrink: bool = True) -> Counter[str]:
    """Run so many examples, always the same for a number; raises what breaks, with the steps to it."""
    counts = Counter[str]()
    made = type("Run", (Machine,), {"url": url, "counts": counts})
    bounded = settings(
        max_examples=examples,
        stateful_step_count=steps,
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        report_multiple_bugs=False,
        deadline=None,  # a slow machine is no fault
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(made), settings=bounded)
    return counts


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Run many examples on one database."""
    began = time.monotonic()
    counts = run(own_clock(url), profile.often(5, 150), 30, profile.seed)
    kind = url.partition(":")[0].partition("+")[0]
    yield Figure(
        "P1 P2 P3 P4 P6",
        f"steps of a state machine that Hypothesis draws, everything checked after each, {kind}",
        counts["steps"],
        f"nothing wrong; {counts['kills']:,} kills, {counts['database faults']:,} database faults, "
        f"{counts['takeovers']:,} takeovers within a request; {time.monotonic() - began:.0f} s",
    )

"""What happens to a station day by day, drawn from one seed (`proof.month` lives through it)."""

import heapq
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from proof.edges import DATABASE_EDGES, EDGES, kill
from proof.shop import ACTS, Shop
from proof.station import POLLERS, Station
from tracker.model import KINDS, Keep, Kind
from tracker.settings import Every
from tracker.simulator import FAULT_NAMES

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
YEAR: Final = 365 * DAY

PER_DAY: Final = {
    "buy": 8.0,
    "bogus": 0.3,
    "refill": 1.0,
    "cancel": 1.0,
    "untrack": 0.5,
    "follow_again": 0.5,
    "hurry": 0.5,
    "weather": 4.0,
    "database": 8.0,
    "death": 3.0,
    "takeover": 1.0,
    "sleep": 0.3,
    "clock": 0.2,
    "pace": 0.4,
    "prune": 0.4,
}
"""How often a day each thing happens, on average; each is a method of `Month`, or one of the shop's."""

KEEP: Final = Keep(rounds=5 * DAY, anomalies=5 * DAY, progress=3 * DAY, closed_orders=4 * DAY)


def every(statuses: float) -> Every:
    """Return the intervals of a configuration; coarse ones, so that a month takes half a minute."""
    return Every(statuses=statuses, refills=3 * statuses, balance=6 * HOUR, catalog=6 * HOUR)


class Calendar:
    """What happens to a station in so many days, drawn from one seed."""

    def __init__(self, made: Station, seed: int, days: float) -> None:
        self.station, self.random, self.days = made, Random(seed), days
        self.shop = Shop(made, self.random)
        self.time, self.counts = made.time, made.counts
        self._calendar: list[tuple[float, int, Callable[[], object]]] = []
        self._entries = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        """Live through it, then see what is remembered of it."""
        for panel in self.station.panels:
            for kind in KINDS:
                self._at(self.random.random() * MINUTE, partial(self._poll, panel, kind))
        for name in PER_DAY:
            self._soon(name)
        while self._calendar and self._calendar[0][0] <= self.days * DAY and not self.wrong:
            moment, _, do = heapq.heappop(self._calendar)
            self.time.pass_(moment - self.time.passed)
            do()
        if not self.wrong:
            self._rest()

    def _at(self, moment: float, do: Callable[[], object]) -> None:
        self._entries += 1
        heapq.heappush(self._calendar, (moment, self._entries, do))

    def _after(self, seconds: float, do: Callable[[], object]) -> None:
        self._at(self.time.passed + seconds, do)

    def _soon(self, name: str) -> None:
        """Have it happen after a while, and again and again."""

        def happen() -> None:
            self.counts[name] += 1
            if name in ACTS:
                getattr(self.shop, name)(self.random.randrange(10**6))
            else:
                getattr(self, name)()
            self._soon(name)

        self._after(self.random.expovariate(PER_DAY[name] / DAY), happen)

    def _poll(self, panel: str, kind: Kind) -> None:
        self._after(float(getattr(self.station.every, kind)), partial(self._poll, panel, kind))
        self.station.tick(panel, kind)

    # What a shop does

    def _panel(self) -> str:
        return self.random.choice(list(self.station.panels))

    def buy(self) -> None:
        """Buy some orders, old ones among them."""
        oldest = self.random.choice((MINUTE, HOUR, DAY))
        self.shop.buy(self._panel(), self.random.choice((1, 1, 2, 5)), oldest)

    # What goes wrong

    def weather(self) -> None:
        """Have a panel misbehave: to some requests, or to a share of them for a while."""
        simulator = self.station.simulators[self._panel()]
        fault = self.random.choice(FAULT_NAMES)
        self.counts[f"panel fault: {fault}"] += 1
        if self.random.random() < 0.5:
            simulator.misbehave(fault, times=self.random.choice((1, 2, 5)))
        else:
            simulator.misbehave(fault, share=self.random.choice((0.3, 1.0)))
            self._after(self.random.expovariate(1 / HOUR), simulator.behave)

    def database(self) -> None:
        """Have the database fail soon, before or after it did what it should."""
        self._arm(self.random.choice(DATABASE_EDGES), self.station.fault)

    def death(self) -> None:
        """Kill a daemon at its next edge or some later one; the next life begins soon."""
        self._arm(self.random.choice(EDGES), kill)

    def takeover(self) -> None:
        """Pause the leader within a request, until the other one has led."""
        self._arm(self.random.choice(("ask", "told")), self.station.take_over)

    def _arm(self, edge: str, what: Callable[[], object]) -> None:
        self.station.edges.arm(edge, self.random.randint(1, 40 if edge == "statement" else 5), what)  # type: ignore[arg-type]  # an edge

    def sleep(self) -> None:
        """Have daemons sleep for hours: one of them, or both."""
        chosen = self.random.choice((POLLERS[:1], POLLERS[1:], POLLERS))
        for name in chosen:
            self.station.pollers[name].awake = False
            self._after(self.random.expovariate(1 / (3 * HOUR)), partial(self._wake, name))

    def _wake(self, name: str) -> None:
        self.station.pollers[name].awake = True

    def clock(self) -> None:
        """Set the wall clock wrong by a second to a year, until somebody sets it right."""
        self.station.sound.stepped = True
        self.time.ahead = self.random.choice((-1, 1)) * YEAR ** self.random.random()
        self._after(self.random.expovariate(1 / HOUR), self._set_right)

    def _set_right(self) -> None:
        self.time.ahead = 0.0

    def pace(self) -> None:
        """Change the configuration."""
        statuses = self.random.choice((10, 30, 30, 60)) * MINUTE
        self.station.configure(
            every(statuses),
            requests_per_minute=self.random.choice((2, 10, 60)),
            in_flight=self.random.choice((1, 2)),
        )

    def prune(self) -> None:
        """Forget what is old, once it was checked; by a clock that is right, as a daemon does."""
        self._check()
        if not self.time.ahead:
            for step in self.station.database.retention().walk(self.time.wall, KEEP):
                self.counts["pruned rows"] += step.rows
            self.station.sound.forgive_all()

    # The end

    def _check(self) -> None:
        sound = self.station.sound
        self.wrong += [*self.station.found, *sound.broken_now(), *sound.unexplained_now()]

    def _rest(self) -> None:
        """Let everything be well, ask about everything, and compare it with the panels."""
        self.station.recover()
        for panel in self.station.panels:
            self.wrong += self.station.ask_about_everything(panel)
        self._check()

"""A month of everything that can go wrong, from one seed: the same seed is the same month to the microsecond.

    cd tests && python -m proof.month --seed 17 [--days 30]

Two panels, a shop, two daemons and one database in virtual time (`proof.station`). Panels break in every way that
the simulator knows, databases fail at statements and around COMMITs, daemons die, sleep and lose their lease in
a request, clocks are set wrong, paces change, history is pruned. Prints what happened and what is wrong.
"""

import argparse
import hashlib
import heapq
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from sqlalchemy import Text, cast, func, select

from proof.edges import DATABASE_EDGES, EDGES, kill
from proof.shop import ACTS, Shop
from proof.station import POLLERS, Station, station
from proof.table import Figure, Profile
from tracker.model import KINDS, Keep, Kind
from tracker.settings import Every
from tracker.simulator import DIALECT_NAMES, FAULT_NAMES
from tracker.store.database import Database, opened
from tracker.store.schema import metadata, orders, progress, transitions

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


class Told(NamedTuple):
    """What a month was."""

    seed: int
    counts: Counter[str]
    digest: str
    """Of every row of the database at the end."""
    wrong: list[str]


class Month:
    """What happens to a station, drawn from one seed."""

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


def live(url: str, seed: int, days: float) -> Told:
    """Live through the month of `seed` in a migrated, empty SQLite database."""
    dialects = Random(seed).sample(DIALECT_NAMES, 2)
    named = {f"panel{number}": dialect for number, dialect in enumerate(dialects)}
    with station(url, named, seed=seed, every=every(30 * MINUTE)) as made:
        month = Month(made, seed, days)
        month.run()
        for table in (orders, transitions, progress):
            with made.engine.connect() as connection:
                made.counts[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return Told(seed, made.counts, digest(made.sound.database), month.wrong)


def digest(database: Database) -> str:
    """Return what tells whether two databases hold the same history; names that each run makes up are left out."""
    sha = hashlib.sha256()
    with database._engine.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [cast(column, Text) for column in table.columns if column.name not in {"round", "url"}]
            if table.name == "rounds":
                columns.sort(key=str)
            for row in connection.execute(select(*columns).order_by(*columns)):
                sha.update(repr((table.name, *row)).encode())
    return sha.hexdigest()


def apart(template: str, seed: int, days: float) -> Told:
    """Live through a month in a copy of the SQLite database `template`, in a process of a pool."""
    with tempfile.TemporaryDirectory(prefix="month-") as folder:
        path = Path(folder) / "month.db"
        shutil.copy(template.removeprefix("sqlite:///"), path)
        return live(f"sqlite:///{path}", seed, days)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Live through many months, two at a time; `url` is an empty SQLite database, of which copies are made."""
    days, began = 30 if profile.long else 3, time.monotonic()
    seeds = [profile.seed + number for number in range(profile.often(2, 50))]
    counts = Counter[str]()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for told in pool.map(apart, [url] * len(seeds), seeds, [days] * len(seeds)):
            profile.say(f"month of seed {told.seed}: {told.counts['requests']} requests")
            assert not told.wrong, f"python -m proof.month --seed {told.seed} --days {days}: {told.wrong[:5]}"
            counts += told.counts
    yield Figure(
        "P1 P2 P3 P4 P6",
        f"{days} virtual days of everything that can go wrong, each time of another seed",
        len(seeds),
        f"nothing lost, twice, or invented in {summary(counts)}; {time.monotonic() - began:.0f} s",
    )


def summary(counts: Counter[str]) -> str:
    """Return in a sentence what happened."""
    faults = sum(count for name, count in counts.items() if name.startswith("panel fault"))
    return (
        f"{counts['requests']:,} requests about {counts['orders']:,} orders, "
        f"{counts['transitions']:,} transitions, {faults:,} spells of panel faults, "
        f"{counts['database faults']:,} database faults, "
        f"{counts['kills']:,} kills, {counts['takeovers']:,} takeovers within a request, "
        f"{counts['clock']:,} clocks set wrong"
    )


def main() -> int:
    """Live through one month and tell of it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.month", description="Live through one month again.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, default=30)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="month-") as folder:
        url, began = f"sqlite:///{folder}/month.db", time.monotonic()
        with opened(url, create=True) as database:
            database.upgrade()
        told = live(url, asked.seed, asked.days)
    for name, count in sorted(told.counts.items()):
        print(f"{count:9,}  {name}")
    print(f"{summary(told.counts)}; {time.monotonic() - began:.0f} s\ndigest {told.digest}")
    print(*(told.wrong or ["nothing is wrong"]), sep="\n")
    return int(bool(told.wrong))


if __name__ == "__main__":
    sys.exit(main())

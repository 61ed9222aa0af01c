"""SIGKILL, at random and everywhere: nothing is lost but replies in flight, nothing is twice, nothing is half.

`at_random` kills the whole daemon under load; `at_edges` kills a round of polling before and after each of its
statements, commits and socket calls, one after the other.
"""

import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from cli_setting import KEY, configure, sql
from simulation import PATIENCE, until
from warm import Warm

from proof.ground import (
    PanelTime,
    all_answered,
    ask_for_refills,
    empty,
    follow,
    kind_of,
    make_due,
    now,
    seeded,
    silence,
)
from proof.table import Figure, Profile
from proof.truth import Truth
from tracker.simulator import Clock, ManualClock, Simulator
from tracker.store.database import Database, opened

ERA: Final = 25
"""Kills at random until everything begins anew with another seed: a long history takes long to check."""

SPEED: Final = 2400.0
"""A second of the test is forty minutes of a panel's life: every other poll finds changes."""

LATENCY: Final = 0.01
"""Seconds until a panel answers: there is always something in flight."""

FOLLOWED: Final = {"documented": 30, "no-bulk": 25}
"""Dialect of a panel -> orders at the beginning: one is asked for many ids at once, the other for each alone."""

STARTING: Final = 0.25
"""The share of daemons that are killed before they asked anything, or soon after."""

LIFE: Final = 0.15
"""Seconds that a daemon lives on average from then on, or from its first request: some see more than one tick."""

STEP: Final = 600.0
"""Virtual seconds between two rounds that are killed at their edges."""

IN_A_ROUND: Final = 6
"""Orders or refills at least: enough to tell half a batch from a whole one."""

LONG_AGO: Final = 5 * 86400.0
"""Virtual seconds in which most orders complete, so that they can be refilled."""

Polled: TypeAlias = Literal["statuses", "refills"]

TABLES: Final[dict[Polled, str]] = {"statuses": "orders", "refills": "refills"}

WRITTEN: Final = (
    "SELECT count(*), count(CASE WHEN checked_at > :moment THEN 1 END) FROM {} WHERE tracked_at < :moment"
)

_SETTLED: Final = """
    SELECT id FROM orders WHERE settled_at IS NOT NULL
    AND id NOT IN (SELECT parent FROM orders WHERE parent IS NOT NULL)
"""
_SETTLED_REFILLS: Final = "SELECT id FROM refills WHERE settled_at IS NOT NULL"

FORGET: Final[dict[Polled, Sequence[str]]] = {
    "statuses": (
        f"DELETE FROM transitions WHERE order_key IN ({_SETTLED})",
        f"DELETE FROM progress WHERE order_key IN ({_SETTLED})",
        f"DELETE FROM orders WHERE id IN ({_SETTLED})",
    ),
    "refills": (
        f"DELETE FROM refill_transitions WHERE refill_key IN ({_SETTLED_REFILLS})",
        f"DELETE FROM refills WHERE id IN ({_SETTLED_REFILLS})",
        "DELETE FROM orders WHERE order_id NOT IN (SELECT order_id FROM refills)",
    ),
}
"""What has settled, so that the checker stays quick; no order that is the parent of another."""


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Kill at random and everywhere."""
    yield at_random(profile, url)
    yield at_edges(profile, url, "statuses")
    yield at_edges(profile, url, "refills")


def at_random(profile: Profile, url: str) -> Figure:
    """SIGKILL the daemon under load, and check everything after each kill."""
    kills, waits, done, lost = profile.often(8, 500), list[float](), 0, 0
    while done < kills:
        seed = profile.seed * 1000 + done // ERA
        with seeded(seed), Site(url, seed) as site:
            for _ in range(min(ERA, kills - done)):
                waits += site.live_and_die()
                done += 1
            site.live_on()
            lost += site.lost
        profile.say(f"{done} of {kills} kills at random")
    result = (
        f"nothing lost but {lost} answers in flight, asked for again; nothing twice or half; the next daemon asks "
        f"{statistics.median(waits):.1f} s after its start, at most {max(waits):.1f} s"
    )
    return Figure(
        "P1 P2 P3", f"SIGKILL of the daemon under load at a random moment, {kind_of(url)}", kills, result
    )


class Site:
    """Panels that keep the truth, and one daemon after the other, each killed while it polls them."""

    def __init__(self, url: str, seed: int) -> None:
        self._url, self._random = url, random.Random(seed)
        self._time = PanelTime()
        self.lost = 0
        """Orders and refills whose newest answer was in flight at a kill, added up."""
        empty(url)
        with ExitStack() as stack:
            self._panels = {
                name: stack.enter_context(
                    Simulator(seed=seed, clock=Clock(SPEED, self._time), key=KEY, dialect=name, latency=LATENCY)
                )
                for name in FOLLOWED
            }
            self._database = stack.enter_context(opened(url))
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
            self._left = stack.pop_all()
        self._log = self._folder / "log"
        self._truth = Truth(self._panels)
        self._config = configure(self._folder, {name: one.url for name, one in self._panels.items()}, url)
        for name, panel in self._panels.items():
            follow(url, name, panel, FOLLOWED[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def live_and_die(self) -> list[float]:
        """Kill a daemon and check everything; return after how many seconds it asked, if that was waited for."""
        for name, panel in self._panels.items():
            follow(self._url, name, panel, 1)
        self._stir()
        asked, began, waited = self._asked(), time.monotonic(), []
        with self._daemon() as daemon:
            if self._random.random() > STARTING:
                until(lambda: self._asked() > asked, "the daemon to ask")
                waited = [time.monotonic() - began]
            time.sleep(self._random.expovariate(1 / LIFE))  # a random moment is what is wanted
            daemon.kill()
            assert daemon.wait() == -signal.SIGKILL, self._log.read_text()
        silence(self._panels)
        self.lost += check_after_kill(self._truth, self._database, self._url)
        return waited

    def live_on(self) -> None:
        """Stop the panels' time; let a last daemon ask about everything and end by itself, and check all of it."""
        self._time.stop()
        self._stir()
        moment = now()
        with self._daemon() as daemon:
            until(lambda: all_answered(self._url, moment), "every order to be answered")
            daemon.terminate()
            assert daemon.wait(PATIENCE) == 0, self._log.read_text()
        self._truth.check(self._database, self._url)

    @contextmanager
    def _daemon(self) -> Iterator[Warm]:
        # As if the time of the lease had passed, which is waited for after a kill.
        sql(self._url, "UPDATE leases SET expires_at = '2001-01-01 00:00:00'")
        with self._log.open("w") as log, Warm(["run", "--config", str(self._config)], stderr=log) as daemon:
            try:
                yield daemon
            finally:
                daemon.kill()

    def _stir(self) -> None:
        for name, panel in self._panels.items():
            ask_for_refills(self._database, self._url, name, panel, 2)
            make_due(self._database, self._url, name)

    def _asked(self) -> int:
        return sum(panel.counts["status"] for panel in self._panels.values())


def at_edges(profile: Profile, url: str, kind: Polled, every: int = 1) -> Figure:
    """Kill a round at each edge (or at each `every`-th from a random one on), and check everything after each."""
    empty(url)
    clock, edges, lost = ManualClock(), list[str](), 0
    first = random.Random(profile.seed).randint(1, every)
    with Simulator(seed=profile.seed, clock=clock, key=KEY) as panel, opened(url) as database:
        truth = Truth({"acme": panel})
        with seeded(profile.seed), rounds_that_die(panel, url, kind) as die_at:
            while not edges or edges[-1] != "end":
                clock.advance(STEP)
                moment = stir(database, url, panel, kind)
                edges.append(die_at(first + every * len(edges)))
                silence({"acme": panel})
                lost += check_after_kill(truth, database, url)
                due, answered = sql(url, WRITTEN.format(TABLES[kind]), moment=moment)[0]
                assert answered in {0, due}, f"killed {edges[-1]}, it wrote {answered} of {due}"
            assert answered == due > 0, "the round that came through answered all"
    result = f"nothing lost but {lost} answers in flight, asked for again; nothing twice, no batch by half"
    what = f"SIGKILL before and after each statement, COMMIT and socket call of a round of {kind}, {kind_of(url)}"
    return Figure("P1 P2 P3", what, len(edges) - 1, result)


def check_after_kill(truth: Truth, database: Database, url: str) -> int:
    """Check everything; return of how many orders and refills the newest answer was in flight."""
    in_flight = truth.wrong(database, url)
    truth.doubt()
    if in_flight:
        truth.check(database, url)
    return len(in_flight)


def stir(database: Database, url: str, panel: Simulator, kind: Polled) -> str:
    """Have changes to see, and everything that there is due; return the moment of that."""
    for statement in FORGET[kind]:
        sql(url, statement)
    while (missing := IN_A_ROUND - sql(url, f"SELECT count(*) FROM {TABLES[kind]}")[0][0]) > 0:
        follow(url, "acme", panel, missing, oldest=3600.0 if kind == "statuses" else LONG_AGO)
        if kind == "refills":
            ask_for_refills(database, url, "acme", panel, missing)
    make_due(database, url, "acme")
    return now()


@contextmanager
def rounds_that_die(panel: Simulator, url: str, kind: Polled) -> Iterator[Callable[[int], str]]:
    """Give what runs a round that dies at its edge with this number, and returns its name: `killed_batch.py`."""
    script = Path(__file__).parents[1] / "killed_batch.py"
    command = [sys.executable, "-W", "ignore", str(script), panel.url, url, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def die_at(number: int) -> str:
            print(number, file=stdin, flush=True)
            return stdout.readline().strip()

        try:
            yield die_at
        finally:
            stdin.close()

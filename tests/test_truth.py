"""The history is what the panels served, order by order, repeats removed: the whole program, on both databases.

The panels are simulators of this process that keep the truth; the daemon is `tracker run`, a process of its own.
"""

import itertools
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cli_setting import KEY, Running, configure, plain, sql
from promises import broken, refills, remembered, without_repeats
from simulation import until
from sqlalchemy import text

from tracker.daemon.post import utc_now
from tracker.errors import Refused
from tracker.model import OrderFilter
from tracker.simulator import DIALECT_NAMES, Clock, Simulator
from tracker.store.database import Database, opened

SPEED = 2400.0
"""A second of the test is forty minutes of a panel's life: every other poll finds changes."""


class StoppableTime:
    """Passes, until it is stopped for good."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        self._stopped_at = time.monotonic()


@contextmanager
def simulators(names: Sequence[str], passing: StoppableTime) -> Iterator[dict[str, Simulator]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                Simulator(seed=seed, clock=Clock(SPEED, passing), key=KEY, dialect=name, latency=0.02)
            )
            for seed, name in enumerate(names)
        }


def live(panels: Mapping[str, Simulator], database: Database, url: str, seconds: float) -> None:
    """Let time pass: somebody buys, asks for refills, wants to know now; head and tail agree all the while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, panel in panels.items():
            database.make_due(name)
            for order in database.history.orders(OrderFilter(name, ("completed",)), limit=3):
                try:
                    refill_id = panel.world.refill(order["order_id"])
                except Refused:
                    continue
                database.track_refill(name, order["order_id"], refill_id)
        assert broken(url) == {}
        threading.Event().wait(0.2)


def ask_about_everything(panels: Mapping[str, Simulator], database: Database) -> None:
    """Return once every order, children included, was answered twice: one reply may have been under way."""
    for _ in range(2):
        moment = utc_now()

        def all_answered(moment: object = moment) -> bool:
            for name in panels:  # again and again: an answer that is just being written overwrites the wish
                database.make_due(name)
            threading.Event().wait(0.2)  # looking costs time that the daemon needs
            rows = database.history.orders(limit=None)
            return all(row["checked_at"] is not None and row["checked_at"] > moment for row in rows)

        until(all_answered, "every order to be answered")


def in_flight(panel: Simulator) -> None:
    """Return while the panel makes somebody wait for an answer about orders."""
    asked = panel.counts["status"]
    until(lambda: panel.counts["status"] > asked, "a request to be in flight")


def follow(panels: Mapping[str, Simulator], database_url: str, count: int) -> None:
    """Have orders followed by plain SQL."""
    rows = [
        {"panel": name, "order_id": placed.order_id}
        for name, panel in panels.items()
        for placed in panel.world.spawn(count * 10 if name == "documented" else count, oldest=3600.0)
    ]
    with plain(database_url) as connection:
        connection.execute(text("INSERT INTO orders (panel, order_id) VALUES (:panel, :order_id)"), rows)


@pytest.fixture
def url(database_url: str) -> str:
    with opened(database_url, create=True) as database:
        database.upgrade()
    return database_url


def test_the_history_is_what_the_panels_served_in_every_dialect(url: str, tmp_path: Path) -> None:
    passing = StoppableTime()
    with simulators(DIALECT_NAMES, passing) as panels, opened(url) as database:
        follow(panels, url, 8)
        config = configure(tmp_path, {name: panel.url for name, panel in panels.items()}, url)
        with Running(config) as running:
            running.until("daemon.started")
            live(panels, database, url, 3)
            passing.stop()
            ask_about_everything(panels, database)
            running.signal()
            assert running.ended() == 0, running.raw[-3:]
        assert broken(url) == {}
        histories = remembered(database, url)
        for (name, order_id), history in histories.items():
            assert history == without_repeats(panels[name].served(order_id)), (name, order_id)
        assert sum(map(len, histories.values())) > 1.5 * len(histories), "too little happened to prove anything"
        remembered_refills = refills(url)
        assert any(len(words) > 1 for words in remembered_refills.values())
        for (name, refill_id), words in remembered_refills.items():
            served = panels[name].served_refill(refill_id)
            assert words == [word for word, _ in itertools.groupby(served)], (name, refill_id)


def test_a_kill_loses_nothing_but_the_reply_in_flight(url: str, tmp_path: Path) -> None:
    passing = StoppableTime()
    with simulators(["documented", "no-bulk"], passing) as panels, opened(url) as database:
        follow(panels, url, 12)
        config = configure(tmp_path, {name: panel.url for name, panel in panels.items()}, url)
        with Running(config) as running:
            running.until("daemon.started")
            live(panels, database, url, 1)
            in_flight(panels["documented"])
            running.signal(signal.SIGKILL)
            assert running.ended() == -signal.SIGKILL
        until(lambda: not any(panel._listener.connections for panel in panels.values()), "the panels to notice")
        served_by_then = {key: len(panels[key[0]].served(key[1])) for key in remembered(database, url)}
        assert broken(url) == {}
        # As if the time of the leases had passed, which are waited for after a kill.
        sql(url, "UPDATE leases SET expires_at = '2001-01-01 00:00:00'")
        with Running(config) as running:
            running.until("daemon.started")
            live(panels, database, url, 1)
            passing.stop()
            ask_about_everything(panels, database)
            running.signal()
            assert running.ended() == 0
        assert broken(url) == {}
        for key, history in remembered(database, url).items():
            served, count = panels[key[0]].served(key[1]), served_by_then.get(key, 0)
            without_the_last = served[: max(count - 1, 0)] + served[count:]
            assert history in (without_repeats(served), without_repeats(without_the_last)), key

"""The history is what the panels served, order by order, repeats removed: the whole program, on both databases.

The panels are simulators of this process that keep the truth; the daemon is `tracker run`, a process of its own.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli_setting import KEY, Running, configure, plain
from promises import broken, refills, remembered
from proof.truth import Truth
from simulation import until
from sqlalchemy import text

from tracker.daemon.post import utc_now
from tracker.errors import Refused
from tracker.model import OrderFilter
from tracker.simulator import DIALECT_NAMES, Clock, Simulator
from tracker.store.database import Database, opened

SPEED = 2400.0
"""A second of the test is forty minutes of a panel's life: every other poll finds changes."""

TURNS = 20
"""At most, until enough has happened."""


class PacedTime:
    """Passes, until it is stopped for good, but waits for who is slow."""

    AHEAD = 1.0
    """Seconds that it passes at most before it is told to go on."""

    def __init__(self) -> None:
        self._reached = 0.0
        self._since: float | None = time.monotonic()

    def __call__(self) -> float:
        passed = 0.0 if self._since is None else time.monotonic() - self._since
        return self._reached + min(passed, self.AHEAD)

    def go_on(self) -> None:
        self._reached, self._since = self(), time.monotonic()

    def stop(self) -> None:
        self._reached, self._since = self(), None


@contextmanager
def simulators(passing: PacedTime) -> Iterator[dict[str, Simulator]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                Simulator(seed=seed, clock=Clock(SPEED, passing), key=KEY, dialect=name, latency=0.02)
            )
            for seed, name in enumerate(DIALECT_NAMES)
        }


def follow(panels: Mapping[str, Simulator], database_url: str, count: int) -> None:
    """Have orders followed by plain SQL."""
    rows = [
        {"panel": name, "order_id": placed.order_id}
        for name, panel in panels.items()
        for placed in panel.world.spawn(count * 10 if name == "documented" else count, oldest=3600.0)
    ]
    with plain(database_url) as connection:
        connection.execute(text("INSERT INTO orders (panel, order_id) VALUES (:panel, :order_id)"), rows)


def live(panels: Mapping[str, Simulator], database: Database) -> None:
    """Somebody asks for refills of what is completed."""
    for name, panel in panels.items():
        for order in database.history.orders(OrderFilter(name, ("completed",)), limit=3):
            try:
                refill_id = panel.world.refill(order["order_id"])
            except Refused:
                continue
            database.track_refill(name, order["order_id"], refill_id)


def ask_about_everything(panels: Mapping[str, Simulator], database: Database) -> None:
    """Return once every order, children included, was answered."""
    moment = utc_now()

    def all_answered() -> bool:
        for name in panels:  # again and again: an answer that is just being written overwrites the wish
            database.make_due(name)
        time.sleep(0.3)  # looking costs time that the daemon needs
        rows = database.history.orders(limit=None)
        return all(row["checked_at"] is not None and row["checked_at"] > moment for row in rows)

    until(all_answered, "every order to be answered")


def enough(database: Database, url: str) -> bool:
    """Whether so much has happened that it proves something."""
    histories = remembered(database, url)
    changed = sum(map(len, histories.values())) > 1.5 * len(histories)
    return changed and any(len(words) > 1 for words in refills(url).values())


def test_the_history_is_what_the_panels_served_in_every_dialect(database_url: str, tmp_path: Path) -> None:
    passing = PacedTime()
    with simulators(passing) as panels, opened(database_url, create=True) as database:
        database.upgrade()
        follow(panels, database_url, 8)
        config = configure(tmp_path, {name: panel.url for name, panel in panels.items()}, database_url)
        with Running(config) as running:
            for _ in range(TURNS):
                ask_about_everything(panels, database)
                assert broken(database_url) == {}, "in the middle of its work"
                if enough(database, database_url):
                    break
                live(panels, database)
                passing.go_on()
            passing.stop()
            for _ in range(2):  # a reply may have been under way when time stopped
                ask_about_everything(panels, database)
            running.signal()
            assert running.ended() == 0, running.raw[-3:]
        Truth(panels).check(database, database_url)
        assert enough(database, database_url)
        for (name, order_id), history in remembered(database, database_url).items():
            assert history[-1].panel_status == panels[name].served(order_id)[-1].panel_status

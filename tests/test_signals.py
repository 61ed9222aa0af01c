"""Signals at rest, in a request, in a transaction, in a back-off: the end comes soon and the history is whole.

More of them: `test_daemon.py` (in the middle of a first request, a database that stays locked), `test_reload.py`
(what a reload changes, a terminal that goes away), `test_standby.py` (a stop lets the next one lead at once).
"""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
from cli_setting import KEY, Running, configure, sql
from conftest import Postgres
from proof.ground import follow, make_due, silence
from proof.truth import Truth
from simulation import until

from tracker.simulator import ManualClock, Simulator
from tracker.store.database import Database


class Scene:
    """A daemon at work, and its panel, which keeps the truth."""

    def __init__(
        self, panel: Simulator, clock: ManualClock, database: Database, url: str, running: Running
    ) -> None:
        self.panel, self.running, self.url = panel, running, url
        self._clock, self._database = clock, database

    def change(self) -> None:
        """Have something new to be told, and everything due."""
        self._clock.advance(3600)
        make_due(self._database, self.url, "acme")

    def is_asked(self) -> None:
        """Wait until the panel is asked for anything."""
        before = self.panel.counts.total()
        until(lambda: self.panel.counts.total() > before, "the panel to be asked")

    def reloads(self) -> None:
        """Send SIGHUP, and wait for what it brings; nobody is disturbed."""
        before = len(self.running.lines("daemon.reloaded"))
        self.running.signal(signal.SIGHUP)
        self.running.until("daemon.reloaded", before + 1)
        assert len(self.running.lines("panel.leading")) == 1

    def ends(self) -> None:
        """Send SIGTERM, and check the end that it brings."""
        self.running.signal(signal.SIGTERM)
        self.has_ended()

    def has_ended(self) -> None:
        """Check that it ended by itself and in time, gave its lease back, and left a whole history."""
        assert self.running.ended() == 0, self.running.raw
        assert not self.running.lines("daemon.killed"), "it took more than 4.5 seconds"
        assert "Traceback" not in "".join(self.running.raw)
        self.is_whole()
        held = self._database.holder_of("acme")
        assert held is not None
        assert held.expired

    def is_whole(self, *, in_flight: bool = False) -> None:
        """Check the history; the newest answers may be missing where they were in flight at a kill."""
        if not self.panel.latency:  # what is held back was not said yet
            silence({"acme": self.panel})
        truth = Truth({"acme": self.panel})
        if in_flight:
            truth.doubt()
        truth.check(self._database, self.url)


@contextmanager
def at_work(database: Database, url: str, folder: Path, every: str = "1s") -> Iterator[Scene]:
    """Give a daemon that has asked about every order once."""
    clock = ManualClock()
    with Simulator(key=KEY, seed=4, clock=clock) as panel:
        follow(url, "acme", panel, 20)
        with Running(configure(folder, {"acme": panel.url}, url, every)) as running:
            for kind in ("statuses", "catalog", "balance"):
                running.until("round.finished", kind=kind)
            running.until("daemon.started")
            yield Scene(panel, clock, database, url, running)


@contextmanager
def in_a_transaction(scene: Scene) -> Iterator[None]:
    """Hold the daemon in the middle of a write (at its beginning on SQLite) until the end of the block."""
    if scene.url.startswith("sqlite"):
        with closing(sqlite3.connect(scene.url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            scene.is_asked()
            yield
        return
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(scene.url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE transitions, progress IN SHARE MODE")
        scene.change()
        until(lambda: bool(sql(scene.url, waiting)), "it to wait within its transaction")
        yield


def test_at_rest(sqlite_database: Database, tmp_path: Path) -> None:
    with at_work(sqlite_database, f"sqlite:///{tmp_path}/tracker.db", tmp_path, every="1h") as scene:
        before = scene.panel.counts.total()
        scene.reloads()
        scene.ends()
        assert scene.panel.counts.total() == before


def test_in_a_request(sqlite_database: Database, tmp_path: Path) -> None:
    with at_work(sqlite_database, f"sqlite:///{tmp_path}/tracker.db", tmp_path) as scene:
        scene.panel.latency = 3600
        scene.change()
        scene.is_asked()
        scene.reloads()
        scene.ends()


def test_in_a_back_off(sqlite_database: Database, tmp_path: Path) -> None:
    with at_work(sqlite_database, f"sqlite:///{tmp_path}/tracker.db", tmp_path) as scene:
        scene.panel.misbehave("http-502")
        scene.change()
        scene.running.until("panel.backed_off", kind="statuses")
        scene.reloads()
        scene.ends()


def test_in_a_transaction(database: Database, database_url: str, tmp_path: Path) -> None:
    with at_work(database, database_url, tmp_path) as scene:
        with in_a_transaction(scene):
            scene.running.signal(signal.SIGHUP)
        scene.running.until("daemon.reloaded")
        with in_a_transaction(scene):
            scene.running.signal(signal.SIGTERM)
            scene.running.until("daemon.stopping")
        scene.has_ended()


def test_a_second_one_in_a_transaction_ends_it_without_ceremony(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with at_work(database, database_url, tmp_path) as scene:
        with in_a_transaction(scene):
            scene.running.signal(signal.SIGTERM)
            scene.running.until("daemon.stopping")
            scene.running.signal(signal.SIGTERM)
            assert scene.running.ended() == 128 + signal.SIGTERM
        scene.is_whole(in_flight=True)


def test_while_it_waits_for_its_database_at_the_start(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.create("migrated")
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    with (
        Simulator(key=KEY) as panel,
        Running(configure(tmp_path, {"acme": panel.url}, postgres.url(name))) as running,
    ):
        running.until("database.unreachable")
        running.signal(signal.SIGHUP)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0, running.raw
        assert panel.counts.total() == 0
    postgres.drop(name)

"""Daemons of their own processes on one database, raced against each other; the database keeps its own witness.

A trigger notes with each row of `rounds` and `transitions` who held the lease when it was written: no clock has to
be believed. Processes are forked from one that has imported everything: they start in a moment.
"""

import functools
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from cli_setting import KEY, configure, plain, sql
from promises import broken
from simulation import PATIENCE, until
from sqlalchemy import text

from tracker.simulator import Simulator
from tracker.store.database import Database, opened

Kind: TypeAlias = Literal["stop", "kill", "pause", "start"]

DAEMONS: Final = 3
"""One leads; the others stand by, so that somebody always can while a new one starts."""

PAUSE: Final = 4.0
"""Seconds beyond the lease that a pause lasts at most: inside a SQLite write it blocks everybody."""

SQLITE_WITNESS: Final = """
CREATE TRIGGER witness_{table} AFTER INSERT ON {table} BEGIN
    INSERT INTO witness (round, holder, term) SELECT NEW.round, holder, term FROM leases WHERE panel = 'acme';
END
"""
POSTGRES_WITNESS: Final = """
CREATE FUNCTION witness_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO witness (round, holder, term) SELECT NEW.round, holder, term FROM leases WHERE panel = 'acme';
    RETURN NULL;
END $$;
CREATE TRIGGER witness_{table} AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION witness_{table}()
"""

_CONTEXT: Final = multiprocessing.get_context("forkserver")


class Run(NamedTuple):
    """One race: what was done to the leader, and after how many seconds somebody else wrote."""

    kind: Kind
    seconds: float
    blocked: bool = False
    """Whether it was paused inside a SQLite write: then nobody can take over before it goes on."""


class Racer:
    """One daemon."""

    def __init__(self, config: Path, log: Path, lease_seconds: float) -> None:
        self.log = log
        self.process = _CONTEXT.Process(target=_be_daemon, args=(str(config), str(log), lease_seconds))
        self.process.start()

    def lines(self, *events: str) -> list[dict[str, Any]]:
        """Return its log lines of these events."""
        if not self.log.exists():
            return []
        whole = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in map(json.loads, whole) if line["event"] in events]

    @property
    def holder(self) -> str | None:
        """Return its name in the leases, once it has started."""
        return next((line["holder"] for line in self.lines("daemon.started")), None)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def end(self) -> None:
        """Kill it, if it still lives, and wait for that."""
        self.process.kill()
        self.process.join()


def _be_daemon(config: str, log: str, lease_seconds: float) -> None:
    """Be `tracker run` with a lease of another length, logging to a file."""
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    import tracker.cli.working.run
    from tracker.cli.main import run
    from tracker.daemon.service import Daemon

    vars(tracker.cli.working.run)["Daemon"] = functools.partial(Daemon, lease_seconds=lease_seconds)
    sys.exit(run(["run", "--config", config]))


class Track:
    """One panel and one database, on which daemons race."""

    def __init__(self, url: str, database: Database, config: Path, lease_seconds: float) -> None:
        self._url, self._database, self._config = url, database, config
        self._lease_seconds = lease_seconds
        self.racers: list[Racer] = []
        self._all: list[Racer] = []

    def fill(self) -> None:
        """Start as many daemons as are missing."""
        while len(self.racers) < DAEMONS:
            log = self._config.parent / f"racer-{len(self._all)}.log"
            self.racers.append(Racer(self._config, log, self._lease_seconds))
            self._all.append(self.racers[-1])

    def leader(self) -> Racer:
        """Wait until one leads and another stands by; return the first."""

        def found() -> Racer | None:
            held = self._database.holder_of("acme")
            names = {racer.holder: racer for racer in self.racers}
            leading = names.get(held.holder) if held is not None and not held.expired else None
            return leading if len(names.keys() - {None}) > 1 else None

        until(lambda: found() is not None, "a leader, and one that stands by")
        return found() or self.leader()

    def term(self) -> int:
        """Return the newest term under which something was written."""
        ((term,),) = sql(self._url, "SELECT coalesce(max(term), 0) FROM witness")
        return int(term)

    def race(self, kind: Kind) -> Run:
        """Do `kind` to the leader and wait until somebody else has written."""
        self.fill()
        leader = self.leader()
        until(lambda: self.term() > 0, "a first write")
        before, began = self.term(), time.monotonic()
        if kind == "pause":
            return self._pause(leader, before, began)
        gone = list(self.racers) if kind == "start" else [leader]
        for racer in gone:
            racer.signal(signal.SIGTERM if kind == "stop" else signal.SIGKILL)
            self.racers.remove(racer)
        self.fill()
        until(lambda: self.term() > before, "a takeover")
        seconds = time.monotonic() - began
        for racer in gone:
            racer.process.join()
        return Run(kind, seconds)

    def _pause(self, leader: Racer, before: int, began: float) -> Run:
        lost = len(leader.lines("lease.lost"))
        leader.signal(signal.SIGSTOP)
        while self.term() == before and time.monotonic() - began < self._lease_seconds + PAUSE:
            time.sleep(0.02)
        taken, seconds = self.term() > before, time.monotonic() - began
        leader.signal(signal.SIGCONT)
        if taken:
            until(lambda: len(leader.lines("lease.lost")) > lost, "the paused one to notice")
        return Run("pause", seconds, blocked=not taken)

    def finish(self) -> None:
        """Stop all."""
        for racer in self.racers:
            racer.signal(signal.SIGTERM)
        for racer in self.racers:
            racer.process.join(PATIENCE)

    def violations(self) -> list[str]:
        """Return what must never have happened: rows by one that did not hold the lease, and broken promises."""
        found = [f"{promise}: {rows}" for promise, rows in broken(self._url).items()]
        seen = sql(self._url, "SELECT round, holder, term FROM witness ORDER BY id")
        terms = [term for _, _, term in seen]
        found += ["a term came back after a newer one"] if terms != sorted(terms) else []
        writers: dict[str, set[str]] = {}
        for number, holder, _ in seen:
            writers.setdefault(str(number), set()).add(holder)
        found += [f"round {number} was written by {names}" for number, names in writers.items() if len(names) > 1]
        for racer in self._all:
            for line in racer.lines("round.finished", "round.failed"):
                wrote = writers.get(line["round"], set())
                found += [] if wrote == {racer.holder} else [f"{racer.holder} wrote under the lease of {wrote}"]
            found += [f"{racer.holder}: {line}" for line in racer.lines("tick.crashed", "leases.crashed")]
        return found

    def close(self) -> None:
        """Leave no process behind."""
        for racer in self._all:
            racer.end()


@contextmanager
def track(url: str, folder: Path, lease_seconds: float) -> Iterator[Track]:
    """Give a track on a database with the newest schema, with orders that change all the time."""
    _CONTEXT.set_forkserver_preload(["tracker.cli.working.run", "tracker.cli.main", "tracker.simulator", "racing"])
    with Simulator(seed=3, speed=2400.0, key=KEY, latency=0.01) as panel, opened(url) as database:
        _witness(url)
        rows = [{"order_id": one.order_id} for one in panel.world.spawn(200, oldest=3600.0)]
        with plain(url) as connection:
            connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', :order_id)"), rows)
        one = Track(url, database, configure(folder, {"acme": panel.url}, url), lease_seconds)
        try:
            yield one
        finally:
            one.close()


def _witness(url: str) -> None:
    sqlite = url.startswith("sqlite")
    key = "INTEGER PRIMARY KEY" if sqlite else "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    sql(url, f"CREATE TABLE witness (id {key}, round text, holder text, term int)")
    for table in ("rounds", "transitions"):
        sql(url, (SQLITE_WITNESS if sqlite else POSTGRES_WITNESS).format(table=table))

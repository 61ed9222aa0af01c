"""A daemon at work on a database that is locked, on a full disk, or read by somebody who does not end."""

import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from cli_setting import KEY, daemon_in_a_thread, plain, settings_of
from simulation import until
from sqlalchemy import make_url, text
from structlog.testing import capture_logs
from troubled_postgres import ask_about_everything, follow

from proof.ground import PanelTime, empty, kind_of
from proof.table import Figure, Profile
from proof.truth import Truth
from tracker.errors import DatabaseUnreachable
from tracker.settings import Every
from tracker.simulator import Clock, Simulator
from tracker.store import engine
from tracker.store.database import Database, opened

ORDERS: Final = 60
SPEED: Final = 2400.0
OFTEN: Final = Every(statuses=0.2, refills=0.2, balance=0.2, catalog=0.2)
PROMISES: Final = "P1 P2 P3 P7"
SMALL: Final = 16
"""MiB of the disk that is filled: SQLite folds its log back when that has 4."""

HOLD: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
"""


class Work:
    """A daemon that polls an account whose orders change all the time. Made by `at_work`."""

    def __init__(self, url: str, database: Database, panel: Simulator, lines: Sequence[Any]) -> None:
        self.url, self.database, self.panel = url, database, panel
        self.truth = Truth({"acme": panel})
        self._lines = lines

    def told(self, event: str) -> int:
        """Return how often the daemon has logged an event."""
        return sum(line["event"] == event for line in list(self._lines))

    def rounds(self, count: int) -> None:
        """Wait for so many more rounds that ended well, all orders being due again and again."""
        for _ in range(count):
            enough = self.told("round.finished") + 1
            until(lambda: self.stir() and self.told("round.finished") >= enough, "a round")  # noqa: B023 - used here

    def stir(self) -> bool:
        """Make all orders due; return True."""
        self.database.make_due("acme")
        return True

    @contextmanager
    def trouble(self, *, noticed: bool = True) -> Iterator[None]:
        """Forgive what the database did not let be written during the block; wait until polling goes on."""
        mark, before = self.truth.mark(), {name: self.told(f"database.{name}") for name in ("unreachable", "back")}
        yield
        if noticed:
            until(lambda: self.told("database.back") > before["back"], "the daemon to find the database again")
            self.rounds(2)
            self.truth.doubt(since=mark)
        else:
            self.rounds(2)
            assert self.told("database.unreachable") == before["unreachable"]


@contextmanager
def at_work(url: str) -> Iterator[Work]:
    """Run a daemon for the time of the block; then stop the panel's time, and compare."""
    empty(url)
    passing = PanelTime()
    with (
        Simulator(seed=3, clock=Clock(SPEED, passing), key=KEY) as panel,
        opened(url) as database,
        capture_logs() as lines,
    ):
        work = Work(url, database, panel, lines)
        follow(panel, url, ORDERS)
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], OFTEN) as (_, ended):
            work.rounds(1)
            yield work
            passing.stop()
            ask_about_everything(database)
        assert ended.error is None, ended.error
        assert not work.told("tick.crashed") + work.told("leases.crashed"), lines
        work.truth.check(database, url)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Have another process hold SQLite's write lock for the time of the block."""
    command = [sys.executable, "-c", HOLD, str(make_url(url).database)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield
        other.communicate("enough\n")


def lock(url: str, seconds: float) -> Figure:
    """Lock a SQLite file for so long, by another process; return what came of it."""
    patient = seconds < engine.BUSY_SECONDS
    with at_work(url) as work, work.trouble(noticed=not patient):
        began = time.monotonic()
        with locked(url):
            if not patient:
                until(lambda: work.told("database.unreachable") > 0, "the daemon to say that it waits")
            threading.Event().wait(seconds - (time.monotonic() - began))
    said = "it waits and says nothing" if patient else "it says so, and polls again by itself"
    return Figure(
        PROMISES, f"SQLite file locked for {seconds:.0f} s by another process", 1, f"{said}; nothing lost"
    )


@contextmanager
def small_disk() -> Iterator[Path | str]:
    """Give a folder on a small disk of its own, or the reason why there is none."""
    with tempfile.TemporaryDirectory(prefix="small-disk-") as folder:
        command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL}m", "tmpfs", folder]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = str(getattr(error, "stderr", error)).strip()
            yield f"A small disk needs root and the right to mount: {said}"
            return
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, times: int) -> Figure:
    """Fill the disk of a daemon's SQLite file, and make room again, so many times."""
    url, waste = f"sqlite:///{folder}/tracker.db", folder / "waste"
    with opened(url, create=True) as database:
        database.upgrade()
    with at_work(url) as work:
        for _ in range(times):
            before = work.told("database.unreachable")
            with work.trouble():
                with suppress(OSError), waste.open("wb", buffering=0) as file:
                    while file.write(bytes(4096)) == 4096:
                        pass
                until(lambda: _pressed(work) > before, "the daemon to find the disk full")  # noqa: B023 - used here
                waste.unlink()
    return Figure(PROMISES, "disk full under SQLite", times, "it says so, and polls again by itself; nothing lost")


def _pressed(work: Work) -> int:
    with suppress(DatabaseUnreachable):
        work.stir()
    return work.told("database.unreachable")


def read_on(url: str, rounds: int) -> Figure:
    """Read the database in one transaction that does not end while so many rounds are run."""
    with at_work(url) as work:
        with snapshot(url) as count:
            before = count()
            work.rounds(rounds)
            assert count() == before
            assert work.told("database.unreachable") == 0
        found = "polling goes on"
        if url.startswith("sqlite"):
            until(lambda: _folded(url), "the log to be folded back")
            found += ", and the log is folded back afterwards"
    return Figure(PROMISES, f"a reader that stays open, {kind_of(url)}", rounds, found)


@contextmanager
def snapshot(url: str) -> Iterator[Callable[[], int]]:
    """Give what counts the rounds in a transaction of its own."""
    statement = "SELECT count(*) FROM rounds"
    if not url.startswith("sqlite"):
        with plain(url) as connection:
            connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            yield lambda: int(connection.execute(text(statement)).scalar_one())
        return
    with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        yield lambda: int(reader.execute(statement).fetchone()[0])
        assert not _folded(url), "it holds nothing back, so this proves nothing"


def _folded(url: str) -> bool:
    """Fold the log of a SQLite file back; tell whether nobody kept any of it from being so."""
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        _, pages, folded = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(pages == folded)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Lock, fill (where that is allowed) and read the database of a daemon at work."""
    if url.startswith("sqlite"):
        yield lock(url, 1)
        if profile.long:
            yield lock(url, 60)
        with small_disk() as disk:
            if isinstance(disk, Path):
                yield fill(disk, profile.often(1, 20))
            else:
                yield Figure(PROMISES, "disk full under SQLite", 0, f"not run: {disk}")
    yield read_on(url, profile.often(10, 500))

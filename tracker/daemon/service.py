"""The daemon: follows the configured panels until told to stop, and says how it is and why it ended."""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.chores import Chore, Chores
from tracker.daemon.keeper import Keeper
from tracker.daemon.lookout import Lookout
from tracker.daemon.notify import Notifier
from tracker.daemon.post import LEASE_SECONDS
from tracker.daemon.seat import House
from tracker.daemon.status import DaemonStatus
from tracker.daemon.ticker import Ticker
from tracker.daemon.trouble import COMPLAIN_SECONDS, Trouble
from tracker.errors import ConfigurationFault, DatabaseUnreachable, Stopped
from tracker.pace import Pacing
from tracker.settings import Every, PanelSettings, Settings
from tracker.store.database import Database

SUPERVISE_SECONDS: Final = 1.0
"""How often the main thread looks after late jobs, the watchdog and a wish to reload."""

STOP_SECONDS: Final = 4.5
"""From a signal to the end, whatever hangs (a locked database, usually): a kill is always safe."""

LOOKOUT_SECONDS: Final = 10.0
"""Between two looks at intents without an outcome; their deadline is at least a minute after the request's."""

COUNT_SECONDS: Final = 15.0
"""Between two counts of what `status` tells of the database."""

T = TypeVar("T")

ENDS: Final = (signal.SIGTERM, signal.SIGINT)
STDERR: Final = 2
SIGNALS: Final = (*ENDS, signal.SIGHUP)

log: FilteringBoundLogger = structlog.get_logger()


def holder_name() -> str:
    """Return a name for this process that no other one has and a person can find: host, pid, a random part."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"


def patiently(
    work: Callable[[], T], stop: threading.Event, waiting: Callable[[str], None] = lambda _text: None
) -> T:
    """Return what `work()` returns, tried again every second while the database is unreachable.

    `waiting` is told why before each second. Raises `Stopped` on `stop`, and whatever else `work` raises.
    """
    while True:
        try:
            return work()
        except DatabaseUnreachable as error:
            log.warning("database.unreachable", error=str(error), remedy="tried again every second")
            waiting(f"waits for the database: {error}")
            if stop.wait(1.0):
                raise Stopped("Stopped while waiting for the database.") from error


class Daemon:
    """Polls into `database` those of `panels` whose leases it gets, and stands by for the others.

    `run` blocks until `stopping` is set and raises the `TrackerError` that ended it, if one did. `started` is set
    once each panel is polled or stood by for. `status` and `reload` are for any thread.
    """

    def __init__(
        self,
        database: Database,
        panels: Sequence[PanelSettings],
        every: Every,
        pacing: Pacing | None = None,
        lease_seconds: float = LEASE_SECONDS,
        *,
        load: Callable[[], Settings] | None = None,
        notifier: Notifier | None = None,
        chores: Sequence[Chore] = (),
    ) -> None:
        self.stopping = threading.Event()
        self.started = threading.Event()
        self.holder = holder_name()
        self._database = database
        self._load = load
        self._notifier = notifier or Notifier()
        self._trouble = Trouble(self.stopping.set)
        self._ticker = Ticker()
        house = House(database, self._ticker, self._trouble, pacing, lease_seconds)
        self._keeper = Keeper(house, self.holder, self.stopping)
        self._keeper.want(panels, every)
        own = [
            Chore("lookout", LOOKOUT_SECONDS, Lookout(database).look),
            Chore("figures", COUNT_SECONDS, self._count),
        ]
        self._chores = Chores([*own, *chores], self._trouble, self.stopping)
        self._reload_wanted = threading.Event()
        self._reloading = False
        self._fed_at = self._complained_at = 0.0

    def run(self) -> None:
        """Poll until stopped. Raises `LocalFault` for what a restart cannot mend.

        When stopped, requests under way are let go, what was answered is written, and the leases are given back.
        """
        keeper = threading.Thread(target=self._keeper.run, name="leases")
        chores = threading.Thread(target=self._chores.run, name="chores", daemon=True)
        self._ticker.start()
        for thread in (keeper, chores):
            thread.start()
        try:
            self._supervise()
        finally:
            self.stopping.set()
            self._notifier.stopping()
            self._keeper.interrupt()
            keeper.join()
            self._keeper.interrupt()  # what it still began
            self._ticker.stop()
            self._keeper.leave()
            chores.join()
        log.info("daemon.stopped", panels=[one.name for one in self._keeper.panels()])
        if self._trouble.fatal is not None:
            raise self._trouble.fatal

    def status(self) -> DaemonStatus:
        """Return how it is, at once and without asking the database."""
        stuck = (*self._keeper.stuck(), *self._chores.stuck())
        return DaemonStatus(
            self.holder, self.started.is_set(), self._trouble.reachable, stuck, self._keeper.panels()
        )

    def reload(self) -> None:
        """Read the configuration again soon, as after SIGHUP."""
        self._reload_wanted.set()

    def heed_signals(self) -> None:
        """Reload on SIGHUP, stop on SIGTERM and SIGINT; end without ceremony on a second one, or after 4.5 s.

        Where the terminal that it was started on is gone, SIGHUP means just that, and stops it as well.
        A thread waits for them, because a handler would have to wait for the main thread, and that one perhaps for
        a locked database. Call it in the main thread, before others are started.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        on_terminal = os.isatty(STDERR)
        threading.Thread(target=self._await_signals, args=(on_terminal,), name="signals", daemon=True).start()

    def _await_signals(self, on_terminal: bool) -> None:  # noqa: FBT001  # a thread's arguments
        while (number := signal.sigwait(SIGNALS)) == signal.SIGHUP and not (on_terminal and not os.isatty(STDERR)):
            self.reload()
        log.info("daemon.stopping", signal=signal.Signals(number).name)
        self.stopping.set()
        if signal.sigtimedwait(ENDS, STOP_SECONDS) is None:
            log.error("daemon.killed", remedy="something did not end in time; nothing that was written is lost")
        os._exit(128 + number)

    # The main thread

    def _supervise(self) -> None:
        """Look after everything until stopped. The only clock here is the monotonic one."""
        turn = min(SUPERVISE_SECONDS, (self._notifier.watchdog_seconds or 60.0) / 4)
        while not self.stopping.wait(turn if self.started.is_set() and not self._reloading else turn / 20):
            for name in self._ticker.rearm_late():
                log.warning("tick.late", job=name, remedy="the wall clock may have stepped; it ticks again now")
            if self._reload_wanted.is_set() and self.started.is_set():
                self._reload_wanted.clear()
                self._reload()
            if self._keeper.settled.is_set() and (self._reloading or not self.started.is_set()):
                self._ready()
            self._feed()

    def _ready(self) -> None:
        """Say that everything ticks: at the start, and after a reload."""
        again, self._reloading = self._reloading, False
        self.started.set()
        panels = {one.name: one.state for one in self._keeper.panels()}
        log.info("daemon.reloaded" if again else "daemon.started", panels=panels, holder=self.holder)
        self._notifier.ready()
        self._notifier.status(self.status().text)

    def _reload(self) -> None:
        """Take over a new configuration, whole or not at all."""
        if self._load is None:
            return
        self._notifier.reloading()
        with self._trouble.survived("reload.crashed"):
            try:
                settings = self._load()
            except ConfigurationFault as error:
                remedy = "the old one stays in force; mend the file and reload again"
                log.error("configuration.refused", error=str(error), remedy=remedy)  # noqa: TRY400  # it says all
            else:
                self._keeper.want(settings.panels, settings.every)
                self._reloading = True
                return
        self._notifier.ready()  # with the old one

    def _feed(self) -> None:
        """Tell systemd how it is, at half the watchdog's time; nothing while something does not move."""
        if (
            time.monotonic() - self._fed_at
            < min(self._notifier.watchdog_seconds or COUNT_SECONDS, COUNT_SECONDS) / 2
        ):
            return
        status = self.status()
        if status.stuck:
            if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
                self._complained_at = time.monotonic()
                log.error("daemon.stuck", stuck=status.stuck, remedy="its watchdog, if it has one, restarts it")
            self._notifier.status(status.text)
            return
        self._fed_at = time.monotonic()
        if self.started.is_set():
            self._notifier.alive()
            self._notifier.status(status.text)
        else:
            self._notifier.waiting(status.text)

    def _count(self) -> None:
        """Count what `status` tells of the database; in the thread of the chores."""
        for seat in self._keeper.seats():
            newest = self._database.history.balances(seat.name, limit=1)
            balance, currency = (newest[0]["balance"], newest[0]["currency"]) if newest else (None, None)
            if (shift := seat.shift) is not None:
                seat.record.count(shift.post.open_orders(), balance, currency)

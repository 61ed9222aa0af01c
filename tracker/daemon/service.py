"""The daemon: takes the leases, ticks until told to stop, and says why it ended."""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.post import LEASE_SECONDS, RENEWALS, Connect, Post, connections, take
from tracker.daemon.ticker import Ticker
from tracker.errors import DatabaseUnreachable, LeaseLost, LocalFault, Stopped, TrackerError
from tracker.model import KINDS, Kind
from tracker.pace import Pacing
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database
from tracker.store.leases import Lease

SUPERVISE_SECONDS: Final = 1.0
"""How often the main thread looks after leases and late jobs."""

STOP_SECONDS: Final = 4.5
"""From a signal to the end, whatever hangs (a locked database, usually): a kill is always safe."""

COMPLAIN_SECONDS: Final = 60.0
"""Between two lines about a database that stays away."""

T = TypeVar("T")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

log: FilteringBoundLogger = structlog.get_logger()


def holder_name() -> str:
    """Return a name for this process that no other one has and a person can find: host, pid, a random part."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"


def patiently(work: Callable[[], T], stop: threading.Event) -> T:
    """Return what `work()` returns, tried again every second while the database is unreachable.

    Raises `Stopped` on `stop`, and whatever else `work` raises.
    """
    while True:
        try:
            return work()
        except DatabaseUnreachable as error:
            log.warning("database.unreachable", error=str(error), remedy="tried again every second")
            if stop.wait(1.0):
                raise Stopped("Stopped while waiting for the database.") from error


class Daemon:
    """Polls `panels` into `database`.

    `run` blocks until `stopping` is set and raises the `TrackerError` that ended it, if one did. `started` is set
    once everything ticks.
    """

    def __init__(
        self,
        database: Database,
        panels: Sequence[PanelSettings],
        every: Every,
        pacing: Pacing | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database = database
        self._panels = sorted(panels, key=lambda panel: panel.name)
        self._every = every
        self._pacing = pacing
        self._lease_seconds = lease_seconds
        self.stopping = threading.Event()
        self._fatal: TrackerError | None = None
        self._reachable = True
        self._complained_at = 0.0
        self.started = threading.Event()
        self.posts: list[Post] = []
        self._leases: list[Lease] = []

    def run(self) -> None:
        """Poll until stopped. Raises `LeaseHeld` before anything was asked, `LocalFault` or `LeaseLost` later.

        When stopped, requests under way are let go, and what was answered is written.
        """
        ticker = Ticker()
        with connections(self.stopping) as connect:
            try:
                self._take_posts(connect)
                for post in self.posts:
                    for kind in KINDS:
                        ticker.add(post.name, kind, post.seconds(kind), self._work(post, kind))
                ticker.start()
                self.started.set()
                self._supervise(ticker)
            except Stopped:  # while waiting for a lease
                pass
            finally:
                self.stopping.set()
                ticker.stop()
                self._leave()
        if self._fatal is not None:
            raise self._fatal

    def _take_posts(self, connect: Connect) -> None:
        holder = holder_name()
        # In one order everywhere: two daemons that start together must not wait for each other's leases.
        for one in self._panels:
            take_one = partial(take, self._database, one.name, holder, self.stopping, self._lease_seconds)
            self._leases.append(patiently(take_one, self.stopping))
        for panel, lease in zip(self._panels, self._leases, strict=True):
            post = partial(
                Post,
                panel,
                self._every,
                self._database,
                lease,
                connect=connect,
                stop=self.stopping,
                pacing=self._pacing,
            )
            self.posts.append(patiently(post, self.stopping))
        self._renew()  # waiting for one panel's lease may have taken most of another's
        log.info("daemon.started", panels=[panel.name for panel in self._panels], holder=holder)

    def heed_signals(self) -> None:
        """Stop on SIGTERM and SIGINT; end without ceremony on a second one, or where stopping takes too long.

        A thread waits for them, because a handler would have to wait for the main thread, and that one perhaps for
        a locked database. Call it in the main thread, before others are started.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        threading.Thread(target=self._await_signals, name="signals", daemon=True).start()

    def _await_signals(self) -> None:
        number = signal.sigwait(SIGNALS)
        log.info("daemon.stopping", signal=signal.Signals(number).name)
        self.stopping.set()
        if signal.sigtimedwait(SIGNALS, STOP_SECONDS) is None:
            log.error("daemon.killed", remedy="something did not end in time; nothing that was written is lost")
        os._exit(128 + number)

    def _work(self, post: Post, kind: Kind) -> Callable[[], None]:
        """Make what the ticker calls: it raises nothing, and ends the process for what a restart cannot mend."""

        def work() -> None:
            if not self._reachable or self.stopping.is_set():
                return
            try:
                post.tick(kind)
            except DatabaseUnreachable as error:
                self._pause(error)
            except (LocalFault, LeaseLost) as error:
                self._fail(error)
            except Exception:  # a bug of ours: loud, but the other panels and kinds go on
                log.exception("tick.crashed", panel=post.name, kind=kind)

        return work

    def _supervise(self, ticker: Ticker) -> None:
        """Renew leases and re-arm late jobs until stopped. The only clock here is the monotonic one."""
        between = self._lease_seconds / RENEWALS
        renewed = time.monotonic()
        while not self.stopping.wait(min(SUPERVISE_SECONDS, between)):
            for name in ticker.rearm_late():
                log.warning("tick.late", job=name, remedy="the wall clock may have stepped; it ticks again now")
            if self._reachable and time.monotonic() - renewed < between:
                continue
            renewed = time.monotonic()
            self._renew()

    def _renew(self) -> None:
        try:
            for lease in self._leases:
                if not self._database.renew(lease, self._lease_seconds):
                    self._fail(
                        LeaseLost(f"Panel {lease.panel}: another process has taken over the lease. Polling ends.")
                    )
        except DatabaseUnreachable as error:
            self._pause(error)
        except LocalFault as error:
            self._fail(error)
        else:
            if not self._reachable:
                log.warning("database.back")
            self._reachable = True

    def _pause(self, error: DatabaseUnreachable) -> None:
        """Pause polling until a renewal succeeds."""
        if self._reachable or time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error("database.unreachable", error=str(error), remedy="polling pauses; tried again every second")
        self._reachable = False

    def _fail(self, error: TrackerError) -> None:
        """End the process for `error`; the first one counts."""
        self._fatal = self._fatal or error
        self.stopping.set()

    def _leave(self) -> None:
        for post in self.posts:
            post.client.close()
        for lease in self._leases:
            with suppress(TrackerError):  # it expires by itself
                self._database.release(lease)
        log.info("daemon.stopped", panels=[post.name for post in self.posts])

"""The daemon: takes the leases, ticks until told to stop, and says why it ended."""

import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import httpx
import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.post import LEASE_SECONDS, RENEW_SECONDS, Post, take
from tracker.daemon.ticker import Ticker
from tracker.errors import DatabaseUnreachable, LeaseLost, LocalFault, Stopped, TrackerError
from tracker.model import KINDS, Kind
from tracker.pace import Pacing
from tracker.panel import make_http_client
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database

SUPERVISE_SECONDS: Final = 1.0
"""How often the main thread looks after leases and late jobs."""

log: FilteringBoundLogger = structlog.get_logger()


def holder_name() -> str:
    """Return a name for this process that no other one has and a person can find: host, pid, a random part."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"


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
        self._panels = panels
        self._every = every
        self._pacing = pacing
        self._lease_seconds = lease_seconds
        self.stopping = threading.Event()
        self._fatal: TrackerError | None = None
        self._reachable = True
        self.started = threading.Event()
        self.posts: list[Post] = []

    def run(self) -> None:
        """Poll until stopped. Raises `LeaseHeld` before anything was asked, `LocalFault` or `LeaseLost` later.

        When stopped, requests under way are let go, and what was answered is written.
        """
        ticker = Ticker()
        with make_http_client(self.stopping) as http:
            try:
                self._take_posts(http)
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

    def _take_posts(self, http: httpx.Client) -> None:
        holder = holder_name()
        leases = [
            take(self._database, one.name, holder, self.stopping, self._lease_seconds) for one in self._panels
        ]
        for panel, lease in zip(self._panels, leases, strict=True):
            post = Post(
                panel, self._every, self._database, lease, http=http, stop=self.stopping, pacing=self._pacing
            )
            self.posts.append(post)
        self._renew()  # waiting for one panel's lease may have taken most of another's
        log.info("daemon.started", panels=[panel.name for panel in self._panels], holder=holder)

    def heed_signals(self) -> None:
        """Stop on SIGTERM and SIGINT, at once on a second one. Main thread only."""

        def on_signal(number: int, _frame: object) -> None:
            if self.stopping.is_set():
                os._exit(128 + number)  # asked twice: somebody is in a hurry, and a kill is always safe
            self.stopping.set()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)

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
        renewed = time.monotonic()
        while not self.stopping.wait(SUPERVISE_SECONDS):
            for name in ticker.rearm_late():
                log.warning("tick.late", job=name, remedy="the wall clock may have stepped; it ticks again now")
            if self._reachable and time.monotonic() - renewed < RENEW_SECONDS:
                continue
            renewed = time.monotonic()
            self._renew()

    def _renew(self) -> None:
        try:
            for post in self.posts:
                if not self._database.renew(post.lease, self._lease_seconds):
                    self._fail(
                        LeaseLost(f"Panel {post.name}: another process has taken over the lease. Polling ends.")
                    )
        except DatabaseUnreachable as error:
            self._pause(error)
        else:
            if not self._reachable:
                log.warning("database.back")
            self._reachable = True

    def _pause(self, error: DatabaseUnreachable) -> None:
        """Pause polling until a renewal succeeds."""
        log.error("database.unreachable", error=str(error), remedy="polling pauses and tries again every second")
        self._reachable = False

    def _fail(self, error: TrackerError) -> None:
        """End the process for `error`; the first one counts."""
        self._fatal = self._fatal or error
        self.stopping.set()

    def _leave(self) -> None:
        for post in self.posts:
            post.client.close()
            with suppress(TrackerError):  # it expires by itself
                self._database.release(post.lease)
        log.info("daemon.stopped", panels=[post.name for post in self.posts])

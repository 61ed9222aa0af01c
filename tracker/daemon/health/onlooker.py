"""Looks at something slow for those who must not wait: in a thread of its own, only when asked, and with rests."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Generic, NamedTuple, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.errors import TrackerError

REST: Final = 20
"""It rests so many times as long as the last look took: looking never takes more than a twentieth of one core."""

WAIT: Final = 5.0
"""Seconds that somebody who asks waits for a look under way; then the last one must do. A scrape may take 10."""

T = TypeVar("T")

log: FilteringBoundLogger = structlog.get_logger()


class Seen(NamedTuple, Generic[T]):
    """What the last looks brought."""

    value: T | None
    """Of the last look that succeeded; None before there was one."""
    at: datetime | None
    """When that one began."""
    error: str | None
    """Why the last look failed, or that it does not end; None where all is well."""


class Onlooker(Generic[T]):
    """Calls `look` when somebody asks and the last answer is older than `fresh` seconds; one look at a time."""

    def __init__(self, name: str, look: Callable[[], T], fresh: float) -> None:
        self._look = look
        self._fresh = fresh
        self._turn = threading.Condition()
        self._wanted = False
        self._stopped = False
        self._began: float | None = None
        self._rests_until = 0.0
        self._seen: Seen[T] = Seen(None, None, None)
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def seen(self, wait: float = WAIT) -> Seen[T]:
        """Return what was seen last; waits `wait` seconds at most for a look that is due."""
        with self._turn:
            if not self._thread.is_alive() and not self._stopped:
                self._thread.start()
            if time.monotonic() >= self._rests_until:
                self._wanted = True
                self._turn.notify_all()
                if not self._turn.wait_for(lambda: not self._wanted or self._stopped, wait):
                    began = self._began or time.monotonic()
                    text = f"no answer for {time.monotonic() - began:.0f} s"
                    # A slow look beside one that is only a little old is no error.
                    late = time.monotonic() - self._rests_until > 30 or self._seen.value is None
                    return self._seen._replace(error=text) if late else self._seen
            return self._seen

    def stop(self) -> None:
        """End the thread; a look that hangs is left alone."""
        with self._turn:
            self._stopped = True
            self._turn.notify_all()
        if self._thread.is_alive():
            self._thread.join(0.5)

    def _work(self) -> None:
        while True:
            with self._turn:
                self._turn.wait_for(lambda: self._wanted or self._stopped)
                if self._stopped:
                    return
                self._began = time.monotonic()
            at = datetime.now(UTC)
            found, error = self._try()
            with self._turn:
                ended = time.monotonic()
                # A look that failed may have waited long without costing anything: the next one is due soon.
                took = ended - self._began if error is None else 0.0
                self._rests_until = ended + max(REST * took, self._fresh)
                self._seen = Seen(found, at, None) if error is None else self._seen._replace(error=error)
                self._wanted, self._began = False, None
                self._turn.notify_all()

    def _try(self) -> tuple[T | None, str | None]:
        try:
            return self._look(), None
        except TrackerError as error:
            return None, str(error)
        except Exception:  # a bug of ours: loud, but the next look may succeed
            log.exception("onlooker.crashed", look=self._thread.name)
            return None, "looking at it failed; see the log"

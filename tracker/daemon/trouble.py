"""What goes wrong with more than one panel: a database that is away, and faults that end the process."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.errors import DatabaseUnreachable, LocalFault, TrackerError

COMPLAIN_SECONDS: Final = 60.0
"""Between two lines about a database that stays away."""

log: FilteringBoundLogger = structlog.get_logger()


class Trouble:
    """Shared by all threads of a daemon. `fatal` is what ended it, if something did; `end` then was called."""

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._complained_at = 0.0
        self.reachable = True
        """Whether the database answered the last time; nothing is polled while it does not."""
        self.fatal: TrackerError | None = None

    @contextmanager
    def survived(self, crashed: str, **about: object) -> Iterator[None]:
        """Run a block to its end, whatever it raises: a bug is told as the event `crashed`, and all goes on."""
        try:
            yield
        except DatabaseUnreachable as error:
            self.away(error)
        except LocalFault as error:
            self.fail(error)
        except Exception:
            log.exception(crashed, **about)

    def away(self, error: DatabaseUnreachable) -> None:
        """Pause polling until the database is back."""
        if self.reachable or time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error("database.unreachable", error=str(error), remedy="polling pauses; tried again every second")
        self.reachable = False

    def back(self) -> None:
        """Note that the database answers."""
        if not self.reachable:
            log.warning("database.back")
        self.reachable = True

    def fail(self, error: TrackerError) -> None:
        """End the process for `error`; the first one counts."""
        self.fatal = self.fatal or error
        self._end()

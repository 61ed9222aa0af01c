"""Forgetting what is older than it is kept, beside polling: the daemon's slowest chore.

Any daemon does it, also one that only stands by: it needs no lease, and two at once do no harm.
"""

from datetime import UTC, datetime
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.clock import WallClock
from tracker.model import Keep
from tracker.panel import uptime
from tracker.store.database import Database
from tracker.store.upkeep.retention import Pruned

STEP_SECONDS: Final = 1.0
"""From one step to the next: a thousand rows a second at the most, which nobody notices."""

REST_SECONDS: Final = 3600.0
"""Between two walks through the database."""

JUMP_SECONDS: Final = 600.0
"""A wall clock that has moved by more since the last look, against one that cannot be set, is not believed."""

log: FilteringBoundLogger = structlog.get_logger()


class Pruner:
    """Prunes `database`; `keep` may be set anew at any time."""

    def __init__(self, database: Database, keep: Keep, rest: float = REST_SECONDS) -> None:
        self.keep = keep
        self._retention = database.retention()
        self._rest = rest
        self._rests_until = 0.0
        self._done = Pruned()
        self._clock = WallClock()

    def step(self) -> None:
        """Do one bounded step, unless it rests. Raises what the database raises; call it again then, or later.

        A wall clock that jumps ahead makes everything old: after any jump it first rests.
        """
        jumped = self._clock.moved()
        if abs(jumped) > JUMP_SECONDS:
            log.warning("retention.waits", reason="the clock was set", seconds=round(jumped))
            self._rests_until = uptime() + self._rest
        if uptime() < self._rests_until:
            return
        step = self._retention.step(datetime.now(UTC), self.keep)
        self._done = self._done.plus(step)
        if not step.more:
            if self._done.rows:
                log.info("retention.pruned", **{name: getattr(self._done, name) for name in Pruned._fields[:-1]})
            self._done = Pruned()
            self._rests_until = uptime() + self._rest

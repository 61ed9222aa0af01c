"""The wall clock, which somebody may set, against one that nobody can."""

import time
from typing import Final

from tracker.panel import uptime

STEP_SECONDS: Final = 0.5
"""A wall clock that moved by less against the other was not set, only slowed or hurried."""


class WallClock:
    """Notices that the wall clock was set."""

    def __init__(self) -> None:
        self._ahead = _ahead()

    def moved(self) -> float:
        """Return the seconds by which it was set since the last call; below 0 where it was set back."""
        before, self._ahead = self._ahead, _ahead()
        return self._ahead - before

    def was_set_back(self) -> bool:
        """Return whether it was set back since the last call."""
        return self.moved() < -STEP_SECONDS


def _ahead() -> float:
    return time.time() - uptime()

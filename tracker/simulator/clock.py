"""Virtual time: as fast as wanted, or only as a test moves it."""

import time
from collections.abc import Callable


class Clock:
    """Virtual seconds since it was made: real seconds times `speed`."""

    def __init__(self, speed: float = 1.0, time: Callable[[], float] = time.monotonic) -> None:
        self._speed = speed
        self._time = time
        self._began = time()

    def now(self) -> float:
        """Return the virtual seconds since the clock was made."""
        return (self._time() - self._began) * self._speed


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(time=lambda: self._now)

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) of virtual time pass."""
        self._now += seconds

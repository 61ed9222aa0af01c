"""How often a panel may be asked: evenly spaced slots, shared by everything that asks it."""

import threading
from collections.abc import Callable
from typing import Final

from tracker.panel.backend import uptime

SLACK: Final = 1.01
"""Slots are this much wider than the allowance: a request held up on its way must not make a minute too full."""


class Budget:
    """Slots for the requests to one panel, given in the order of asking; safe between threads.

    No 60 s hold more than `requests_per_minute` (None lifts the limit). It starts empty, so that a process that is
    restarted again and again asks no more often than one that runs; unused slots are not saved up. `clock` is
    in seconds and never set back.
    """

    def __init__(self, requests_per_minute: float | None, clock: Callable[[], float] = uptime) -> None:
        if requests_per_minute is not None and not requests_per_minute > 0:
            raise ValueError(f"a budget of {requests_per_minute} requests a minute lets nothing through")
        self.per_minute = requests_per_minute
        self._spacing = 60.0 * SLACK / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        # Slots are counted in a time that stands still during a pause, so a pause moves all of them alike.
        self._paused = 0.0
        self._paused_until = clock()
        self._next = clock() + self._spacing
        self._used = 0

    def acquire(self, stop: threading.Event, until: float | None = None) -> bool:
        """Wait for the next slot and return True, or return False as soon as `stop` is set.

        With `until`, a moment of the clock, it is False at once where no slot comes by then; none is used up.
        """
        if stop.is_set():
            return False
        with self._lock:
            slot = max(self._next, max(self._clock(), self._paused_until) - self._paused)
            if until is not None and slot + self._paused > until:
                return False
            self._next = slot + self._spacing
        while True:
            with self._lock:
                due = slot + self._paused
                wait = due - self._clock()
                if wait <= 0:
                    self._used += 1
                    return True
            # A pause that came meanwhile: the slot is lost, as those who wait behind it count on theirs.
            if (until is not None and due > until) or stop.wait(wait):
                return False

    def pause(self, seconds: float) -> None:
        """Give no slot for the next `seconds`. A hint only lengthens a wait, and two at once do not add up."""
        with self._lock:
            until = self._clock() + seconds
            longer = until - max(self._clock(), self._paused_until)
            if longer > 0:
                self._paused += longer
                self._paused_until = until

    def wait(self) -> float:
        """Return the seconds until whoever waits for a slot may go on; 0 or less where nobody has to."""
        with self._lock:
            return max(self._next + self._paused, self._paused_until) - self._clock()

    def used(self) -> int:
        """Return how many slots were given so far."""
        return self._used

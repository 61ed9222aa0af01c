"""Every step of a round that leaves the process, and a fault before or after any of them.

A step is a connection, a statement, a fetch, a COMMIT or ROLLBACK of the driver (`drivers.py`), a request to the
panel. A fault before it *failed and was not persisted*; one after it *failed but was persisted*, for the step was
done and its result is lost.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

from tracker.simulator import Simulator
from tracker.simulator.faults import FAULTS, Fault

T = TypeVar("T")
Share: TypeAlias = tuple[int, int]
"""The (p, n)-th share breaks the p-th of every n edges, as they are met."""

ALL: Final[Share] = (0, 1)
MOST: Final = 2
"""Repeats of one step, after the same step before it, within a round that count by themselves."""


class Steps:
    """Breaks one step at a time, each at the first moment that it is met at all: no list of them is kept by hand.

    The moments before and after a step are its two *edges*. `burst` is how many edges in a row fail: at a
    ROLLBACK after a statement, say.
    """

    def __init__(self, burst: int = 1, share: Share = ALL) -> None:
        self.broken: list[str] = []
        """The edges that were broken so far, in turn."""
        self.met: set[str] = set()
        self._burst, self._share = burst, share
        self._lock = threading.Lock()
        self._kind: str | None = None
        self._counts: Counter[str] = Counter()
        self._left: int | None = None
        self._came_from = ""

    @contextmanager
    def armed(self, kind: str) -> Iterator[None]:
        """Break one edge of the block that was never broken before, if it comes to one; `kind` names the round."""
        self._kind, self._left = kind, None
        self._counts.clear()
        self._came_from = ""
        try:
            yield
        finally:
            self._kind = None

    def breaks(self, moment: str) -> bool:
        """Tell whether the step is to fail at this moment (`before` or `after` it, by name)."""
        with self._lock:
            if self._kind is None:
                return False
            if self._left is not None:
                self._left -= 1
                return self._left > 0
            edge = f"{self._kind}: {moment}{self._came_from}"
            self._counts[edge] += 1
            if (times := self._counts[edge]) > MOST or (edge := f"{edge} #{times}") in self.met:
                return False
            self.met.add(edge)
            part, shares = self._share
            if len(self.met) % shares != part:
                return False
            self.broken.append(edge)
            self._left = self._burst
            return True

    def step(self, name: str, do: Callable[[], T], fail: Callable[[], Exception]) -> T:
        """Do a step, or raise `fail()` instead of it, or after it was done."""
        if self.breaks(f"before {name}"):
            raise fail()
        result = do()
        if self.breaks(f"after {name}"):
            raise fail()
        self._came_from = f", which came after {name}"
        return result


class BrokenLine:
    """Decides for a simulator which request is misbehaved to, in place of its own mischief."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def pick(self, action: str) -> Fault | None:
        """Refuse a request before anything is done, or lose the reply after half of it."""
        if self._steps.breaks(f"before request of {action}"):
            return FAULTS["reset-before"]
        if self._steps.breaks(f"after request of {action}"):
            return FAULTS["reset-in-body"]
        return None


def break_line(panel: Simulator, steps: Steps) -> None:
    """Have a simulated panel lose requests and replies at the edges."""
    panel._mischief = BrokenLine(steps)  # type: ignore[assignment]

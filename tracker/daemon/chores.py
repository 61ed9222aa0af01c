"""What is done now and then beside polling, in a thread of its own: nothing in here may keep a lease waiting."""

import threading
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from tracker.daemon.seat import STUCK_SECONDS
from tracker.daemon.trouble import Trouble
from tracker.panel import uptime

REST: Final = 50
"""A chore rests so many times as long as it took: however large the history, it costs a fiftieth at most."""

LOOK_SECONDS: Final = 0.5


class Chore(NamedTuple):
    """`work` is called every so many seconds, and raises nothing but what the database raises."""

    name: str
    seconds: float
    work: Callable[[], object]


class Chores:
    """Does one chore after the other while the database is there."""

    def __init__(self, chores: Sequence[Chore], trouble: Trouble, stopping: threading.Event) -> None:
        self._due = dict.fromkeys(chores, 0.0)
        self._trouble, self._stopping = trouble, stopping
        self._began: tuple[float, str] | None = None

    def run(self) -> None:
        """Do them until stopped."""
        while not self._stopping.wait(LOOK_SECONDS):
            for chore, due in self._due.items():
                if self._trouble.reachable and uptime() >= due and not self._stopping.is_set():
                    self._do(chore)

    def stuck(self) -> list[str]:
        """Return the chore that has not ended for far too long."""
        began = self._began
        return [began[1]] if began is not None and uptime() - began[0] > STUCK_SECONDS else []

    def _do(self, chore: Chore) -> None:
        began = uptime()
        self._began = (began, chore.name)
        took = 0.0  # of one that fails: it mostly waited, and costs the database nothing
        with self._trouble.survived(f"{chore.name}.crashed"):
            chore.work()
            took = uptime() - began
        self._began = None
        self._due[chore] = uptime() + max(chore.seconds, REST * took)

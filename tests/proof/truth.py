"""The checker: what a database remembers against what the simulators of its panels served.

The simulator notes what each reply said about each order, in the order of generation, and takes back replies that
did not arrive whole. A reply that arrived whole may still be lost where its reader was killed or its database
failed before the COMMIT (promise P1 allows that for a reply in flight): `doubt` says that this may have happened.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

from promises import broken, refills, remembered

from tracker.simulator import Served, Simulator
from tracker.store.database import Database

SHOWN: Final = 5
"""Orders that are named of all that are wrong."""

Mark: TypeAlias = Mapping[tuple[str, str], int]
"""Panel and order (or `refill/ID`) -> replies about it."""


class Truth:
    """What the simulators of `panels`, by the names that the configuration gives them, say of a history."""

    def __init__(self, panels: Mapping[str, Simulator]) -> None:
        self.panels = panels
        self._doubtful: dict[tuple[str, str], set[int]] = {}

    def mark(self) -> Mark:
        """Return how many replies there were about each order and refill by now."""
        return {
            (name, subject): len(panel.served(subject))
            for name, panel in self.panels.items()
            for subject in panel.subjects()
        }

    def doubt(self, *, lately: int = 1, since: Mark | None = None) -> None:
        """Forgive each order the loss of its newest replies, at most `lately`, or of those after `since`.

        Call once no connection is open.
        """
        for key, count in self.mark().items():
            first = max(0, count - lately) if since is None else since.get(key, 0)
            self._doubtful.setdefault(key, set()).update(range(first, count))

    def wrong(self, database: Database, url: str) -> list[str]:
        """Return what is wrong, one sentence each; nothing where promises P1 to P3 are kept.

        Every order and refill that the history knows is compared; the daemon must rest meanwhile.
        """
        return [f"{promise}: {rows}" for promise, rows in broken(url).items()] + self.unexplained(database, url)

    def unexplained(self, database: Database, url: str) -> list[str]:
        """Return which histories the replies do not explain (P1), one sentence each."""
        found = []
        for (panel, order_id), history in remembered(database, url).items():
            served = self.panels[panel].served(order_id)
            doubtful = self._doubtful.get((panel, order_id), set())
            if not explained(history, served, doubtful):
                found.append(
                    f"P1: order {panel}/{order_id} remembers {history} of {served} (doubtful: {doubtful})"
                )
        for (panel, refill_id), words in refills(url).items():
            told = [Served(word) for word in self.panels[panel].served_refill(refill_id)]
            doubtful = self._doubtful.get((panel, f"refill/{refill_id}"), set())
            if not explained([Served(word) for word in words], told, doubtful):
                found.append(f"P1: refill {panel}/{refill_id} remembers {words} of {told} (doubtful: {doubtful})")
        return found

    def check(self, database: Database, url: str) -> None:
        """Raise AssertionError where anything is wrong."""
        found = self.wrong(database, url)
        assert not found, "\n".join([*found[:SHOWN], f"{len(found)} in all"])


def explained(history: Sequence[Served], served: Sequence[Served], doubtful: set[int]) -> bool:
    """Return whether `history` is what was served, repeats removed, less some of the `doubtful` replies.

    A figure that was not told stays as it was known.
    """
    reached = {0}  # how many rows of the history may be explained by the replies so far
    for index, reply in enumerate(served):
        lost = reached if index in doubtful else set()
        reached = lost | {rows for row in reached for rows in _after(history, row, reply)}
    return len(history) in reached


def _after(history: Sequence[Served], row: int, reply: Served) -> list[int]:
    known = history[row - 1] if row else Served("")
    figures = (before if after is None else after for before, after in zip(known[1:], reply[1:], strict=True))
    told = Served._make([reply.panel_status, *figures])
    if told == known:
        return [row]
    return [row + 1] if row < len(history) and history[row] == told else []

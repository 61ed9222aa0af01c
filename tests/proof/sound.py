"""What must hold of a database at any moment of a station's life, beyond promises P1 to P3."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, or_, select, text

from proof.truth import Truth
from proof.virtual import Time
from tracker.model import STATES
from tracker.pace import Pacing
from tracker.simulator import Served, Simulator
from tracker.store.database import Database
from tracker.store.schema import orders

STATES_TOLD: Final = frozenset(STATES) - {"missing"}
GRACE: Final = timedelta(seconds=Pacing().grace)
LONGEST: Final = timedelta(days=7)
"""No interval is longer (docs/architecture.md)."""


class _Panel(NamedTuple):
    """A simulator as the checker asks it; ids that nobody placed were served a refusal that may be remembered."""

    simulator: Simulator
    bogus: set[str]

    def subjects(self) -> list[str]:
        return self.simulator.subjects()

    def served_refill(self, refill_id: str) -> list[str]:
        if self.simulator._dialect.refill == "yes":
            return [self._refusal("refill")]  # it knows none by an id
        return self.simulator.served_refill(refill_id)

    def served(self, order_id: str) -> list[Served]:
        if order_id not in self.bogus:
            return self.simulator.served(order_id)
        return [Served(self._refusal("order"))]

    def _refusal(self, of: str) -> str:
        text = f"Incorrect {of} ID"
        return self.simulator._dialect.texts.get(text, text)


class Sound(Truth):
    """The checker, and rules for rows that no constraint expresses."""

    def __init__(self, url: str, panels: Mapping[str, Simulator], time: Time) -> None:
        self.bogus: dict[str, set[str]] = {name: set() for name in panels}
        """Ids by panel that are followed though nobody placed them."""
        wrapped: Any = {name: _Panel(panel, self.bogus[name]) for name, panel in panels.items()}
        super().__init__(wrapped)
        for name in panels:
            self._doubtful[name, "refill/1"] = {0}  # of a panel that says a mere yes
        self.untracked: set[tuple[str, str]] = set()
        self.stepped = False
        """Whether the wall clock was ever wrong: then moments are no evidence."""
        self.database = Database(url)
        self._engine, self._url, self._time = self.database._engine, url, time

    def doubt_these(self, heard: Counter[tuple[str, str]]) -> None:
        """Forgive the loss of the newest replies that a round heard: so many about each order."""
        for (panel, subject), times in heard.items():
            count = len(self.panels[panel].served(subject))
            doubtful = self._doubtful.setdefault((panel, subject), set())
            doubtful.update(range(max(count - times, 0), count))

    def forgive_all(self) -> None:
        """Forgive the loss of everything so far: what is old may be pruned, and what was pruned followed anew."""
        self.doubt(since={})

    def follow_bogus(self, panel: str, order_id: str) -> None:
        """Know an id that nobody placed."""
        self.bogus[panel].add(order_id)
        self._doubtful[panel, order_id] = {0}

    def closed(self, panel: str, ids: Sequence[str]) -> list[str]:
        """Return which of `ids` are closed and were not untracked."""
        statement = text("SELECT order_id FROM orders WHERE panel = :panel AND closed_at IS NOT NULL")
        with self._engine.connect() as connection:
            closed = connection.execute(statement, {"panel": panel}).scalars().all()
        return sorted({*ids} & {one for one in closed if (panel, one) not in self.untracked})

    def unexplained_now(self) -> list[str]:
        """Return what was not remembered as it was served; nothing may be under way."""
        return self.unexplained(self.database, self._url)

    def silent(self, panel: str, since: datetime) -> list[str]:
        """Return which open orders were not answered since then, of those that the panel knows."""
        statement = select(orders.c.order_id).where(
            orders.c.panel == panel,
            orders.c.closed_at.is_(None),
            or_(orders.c.checked_at.is_(None), orders.c.checked_at < since),
        )
        with self._engine.connect() as connection:
            found = connection.execute(statement).scalars().all()
        return [one for one in found if one not in self.bogus[panel]]

    def broken_now(self) -> list[str]:
        """Return what is wrong at this moment, whatever is under way."""
        found = [f"{one.promise} {one.says} {one.table}: {one.rows}" for one in self.database.verify().violations]
        with self._engine.connect() as connection:
            rows = connection.execute(select(orders)).all()
        return found + [
            f"{rule}: {row.panel}/{row.order_id} {row._asdict()}"
            for row in rows
            for rule in self._wrong_order(row)
        ]

    def _wrong_order(self, row: Row[Any]) -> Iterator[str]:
        known = row.order_id not in self.bogus[row.panel]
        untracked = (row.panel, row.order_id) in self.untracked
        if (row.checked_at is None) is not (row.state == "new" or not known):
            yield "answered, and yet without a moment of it"
        if row.state not in (STATES_TOLD if known else {"new", "missing"}):
            yield "P4: missing though it was placed, or known though it was not"
        if row.closed_at is not None and not untracked and row.settled_at is None:
            yield "closed without being settled"
        if self.stepped:
            return
        if row.closed_at is not None and not untracked and row.closed_at - row.settled_at < GRACE:
            yield "closed within the grace time"
        if row.closed_at is not None and (row.checked_at or row.closed_at) > row.closed_at:
            yield "an answer was written after it was closed"
        if row.closed_at is None and row.next_poll_at > self._time.wall() + LONGEST:
            yield "asked again only after a week"

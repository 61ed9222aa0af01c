"""What becomes of the rows of a file: chunks go in by short transactions, so that polling never waits for long."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from tracker.cli.following.importing.rows import Bad, Good
from tracker.store.following.intake import Difference, Intake
from tracker.store.following.seen import Seen
from tracker.store.following.tracking import NewOrder

CHUNK: Final = 2000
"""Rows of a transaction: 40 ms of one on SQLite, which has a single writer; larger ones were not faster."""

TOLD: Final = 20
"""Rejected rows, and differences, of which people are told one by one."""


TakeIn: TypeAlias = Callable[[str, Sequence[NewOrder]], Intake]
"""Takes orders of a panel in; see `Database.take_in`."""


class Differing(NamedTuple):
    """A known order of which a row says otherwise."""

    line: int
    panel: str
    difference: Difference


@dataclass
class Tally:
    """What became of the rows so far."""

    rows: int = 0
    new: int = 0
    known: int = 0
    filled: int = 0
    """Of the known ones: those of which more is known now."""
    differing: int = 0
    """Of the known ones: those of which the file says otherwise. Nothing known is overwritten."""
    differences: int = 0
    """In how many fields."""
    closed: int = 0
    """Of the known ones: those that are not followed any more, and stay so."""
    repeated: int = 0
    """Rows that say what an earlier row of the file said."""
    rejected: int = 0
    first_bad: list[Bad] = field(default_factory=list)
    first_differing: list[Differing] = field(default_factory=list)

    def reject(self, bad: Bad) -> None:
        """Count a row that does not go in."""
        self.rejected += 1
        if len(self.first_bad) < TOLD:
            self.first_bad.append(bad)

    def add(self, panel: str, lines: dict[str, int], intake: Intake) -> None:
        """Count what became of some rows."""
        self.new += len(intake.added)
        self.known += len(intake.filled) + len(intake.known)
        self.filled += len(intake.filled)
        self.closed += len(intake.closed)
        self.differing += len({one.order_id for one in intake.differing})
        self.differences += len(intake.differing)
        for one in intake.differing[: TOLD - len(self.first_differing)]:
            self.first_differing.append(Differing(lines[one.order_id], panel, one))


class Importer:
    """Takes the good rows of one file in and rejects the bad ones, in the order of their lines."""

    def __init__(self, seen: Seen, take_in: TakeIn | None, reject: Callable[[Bad], None]) -> None:
        """`take_in` is None where the rows are only to be checked."""
        self._seen, self._take_in, self._reject = seen, take_in, reject
        self.tally = Tally()

    def run(self, rows: Iterable[Good | Bad]) -> Iterator[int]:
        """Go through the rows; yield how many there were so far after each chunk, when it is in."""
        reading = iter(rows)
        while chunk := list(islice(reading, CHUNK)):
            by_panel = self._sort(chunk)
            if self._take_in is not None:
                for panel, some in by_panel.items():
                    lines = {row.order.order_id: row.line for row in some}
                    self.tally.add(panel, lines, self._take_in(panel, [row.order for row in some]))
            self.tally.rows += len(chunk)
            yield self.tally.rows

    def _sort(self, chunk: Sequence[Good | Bad]) -> dict[str, list[Good]]:
        """Return the rows to take in, each order once; reject the bad ones."""
        good = [row for row in chunk if isinstance(row, Good)]
        repeats = self._seen.add([(row.line, row.panel, row.order) for row in good])
        by_panel: dict[str, list[Good]] = {}
        for row in chunk:
            if isinstance(row, Bad):
                self._turn_away(row)
            elif (repeat := repeats.get(row.line)) is None:
                by_panel.setdefault(row.panel, []).append(row)
            elif repeat.same:
                self.tally.repeated += 1
            else:
                name = f"{row.panel}/{row.order.order_id}"
                reason = f"contradicts line {repeat.first_line}, which is about {name} too"
                self._turn_away(Bad(row.line, reason, row.raw))
        return by_panel

    def _turn_away(self, bad: Bad) -> None:
        self.tally.reject(bad)
        self._reject(bad)

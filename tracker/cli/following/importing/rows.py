"""A row of a file as an order: which column is which, and what its texts mean."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from tracker.cli.following.given import amount_of, id_of, past, ref_of, shown, text_of, whole_of
from tracker.cli.following.importing.lines import LONGEST
from tracker.store.following.tracking import NewOrder

READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "order_id": id_of,
    "service_id": partial(id_of, of="a service"),
    "link": text_of,
    "quantity": whole_of,
    "runs": amount_of,
    "interval": amount_of,
    "ref": ref_of,
    "ordered_at": past,
}
"""The fields of `NewOrder`, in their order, and what reads each."""

ALIASES: Final = {
    "order": "order_id",
    "id": "order_id",
    "service": "service_id",
    "url": "link",
    "qty": "quantity",
    "reference": "ref",
    "date": "ordered_at",
    "created": "ordered_at",
    "created_at": "ordered_at",
}
"""Other names of columns, for files without the column itself; case, spaces and hyphens do not matter."""

OURS: Final = ("line", "reason")
"""What a file of rejects has before its own columns: once it is mended it can be imported as it is."""

NAMES: Final = frozenset({"panel", *READERS, *ALIASES})
EXAMPLE: Final = "panel,order_id,service_id,link,quantity"

TOO_LONG: Final = f"is longer than {LONGEST:,} characters"

Raw: TypeAlias = Sequence[str] | Mapping[str, object]
"""A row as it stands in the file: cells, or an object. A single cell where it could not be taken apart."""

WrongPanel: TypeAlias = Callable[[str], str | None]
"""Says what is wrong with the name of a panel."""


# `tuple.__new__` makes a named tuple in half the time; this is done for each row.
_new: Final = tuple.__new__


class Good(NamedTuple):
    """A row that can be taken in."""

    line: int
    panel: str
    order: NewOrder
    raw: Raw


class Bad(NamedTuple):
    """A row that cannot, and why."""

    line: int
    reason: str
    raw: Raw


class Columns:
    """Which column of a row is which of ours. Raises ValueError where that cannot be told."""

    def __init__(self, names: Sequence[str]) -> None:
        plain = [folded(name) for name in names]
        self.places: dict[str, int] = {}
        for column in ("panel", *READERS):
            meant = [place for place, name in enumerate(plain) if name == column] or [
                place for place, name in enumerate(plain) if ALIASES.get(name) == column
            ]
            if len(meant) > 1:
                both = " and ".join(shown(names[place]) for place in meant)
                raise ValueError(f"the columns {both} could both be {column}; rename all but one")
            if meant:
                self.places[column] = meant[0]
        used = set(self.places.values())
        self.ours = len(OURS) if tuple(plain[: len(OURS)]) == OURS else 0
        """How many of the first columns are not those of the file that was imported, but about it."""
        self.unknown = [name for place, name in enumerate(names) if place not in used and place >= self.ours]
        self._panel = self.places.get("panel")
        fields = [(self.places.get(field), read) for field, read in READERS.items()]
        self._fields = [(number, place, read) for number, (place, read) in enumerate(fields) if place is not None]

    def read(self, line: int, raw: Raw, cells: Sequence[str], panel: str | None, wrong: WrongPanel) -> Good | Bad:
        """Read a row, of the default `panel` where it names none."""
        named = (self._panel is not None and cells[self._panel].strip()) or panel
        if not named:
            return Bad(line, "names no panel", raw)
        if reason := wrong(named):
            return Bad(line, reason, raw)
        values: list[Any] = [None] * len(READERS)
        for number, place, read in self._fields:
            if text := cells[place].strip():
                try:
                    values[number] = read(text)
                except ValueError as error:
                    return Bad(line, f"{NewOrder._fields[number]}: {error}", raw)
        if values[0] is None:
            return Bad(line, "names no order_id", raw)
        return _new(Good, (line, named, _new(NewOrder, values), raw))


def folded(name: str) -> str:
    """Return the name of a column as we spell it."""
    return name.strip().lower().replace(" ", "_").replace("-", "_")

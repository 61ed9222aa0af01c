"""What was served: per order, in the order in which it was generated, repeats kept.

A reply is claimed when it is generated and voided when it did not arrive whole, so two replies that overtake each
other on the wire are still recorded as they were generated.
"""

import threading
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from tracker.simulator.api import Told

_FIGURES = ("status", "charge", "currency", "start_count", "remains")


class Served(NamedTuple):
    """What one reply said about one order (or, the word alone, about one refill). None: it did not say."""

    panel_status: str
    charge: Decimal | None = None
    currency: str | None = None
    start_count: int | None = None
    remains: int | None = None


class Entry:
    """A run of equal replies: memory grows with what changed, not with every poll."""

    __slots__ = ("count", "said")

    def __init__(self, said: tuple[object, ...]) -> None:
        self.said = said
        self.count = 1


class Record:
    """Everything that was served. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, list[Entry]] = {}

    def claim(self, told: Iterable[Told]) -> list[Entry]:
        """Note the items of a reply before it is sent; call in the order of generation."""
        claims = []
        with self._lock:
            for key, item in told:
                said = tuple(item.get(name) for name in _FIGURES)
                entries = self._entries.setdefault(key, [])
                if entries and entries[-1].said == said:
                    entries[-1].count += 1
                else:
                    entries.append(Entry(said))
                claims.append(entries[-1])
        return claims

    def void(self, claims: Iterable[Entry]) -> None:
        """Take back a reply that did not arrive whole."""
        with self._lock:
            for entry in claims:
                entry.count -= 1

    def served(self, key: str) -> list[Served]:
        """Return what was said about an order (or `refill/ID`) in replies that arrived whole."""
        with self._lock:
            return [said for entry in self._entries.get(key, []) for said in [_served(entry.said)] * entry.count]

    def subjects(self) -> list[str]:
        """Return every order (and `refill/ID`) that anything was generated about."""
        with self._lock:
            return list(self._entries)


def _served(said: tuple[object, ...]) -> Served:
    status, charge, currency, start_count, remains = said
    return Served(
        str(status),
        None if charge is None else Decimal(str(charge)),
        None if currency is None else str(currency),
        None if start_count is None else int(str(start_count)),
        None if remains is None else int(str(remains)),
    )

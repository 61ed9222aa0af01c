"""What a proof tells: figures, one a row of the table in `docs/reliability.md`."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias


class Figure(NamedTuple):
    """One row: what was done how often, and what came of it."""

    promises: str
    """Which are proven, such as `P1 P2 P3`."""
    what: str
    """What was done, such as `SIGKILL of the daemon at a random moment, SQLite`."""
    times: int
    result: str
    """What was found, in a few words with figures: `nothing lost; back after 0.4 s, at most 1.2 s`."""


class Profile(NamedTuple):
    """How much is done."""

    long: bool = False
    seed: int = 1
    say: Callable[[str], object] = lambda _: None
    """Told what is being done, for whoever watches."""

    def often(self, short: int, long: int) -> int:
        """Return how often something is to be done."""
        return long if self.long else short


Proof: TypeAlias = Callable[[Profile, str], Iterator[Figure]]
"""Called with a profile and the URL of an empty, migrated database (SQLite or Postgres) of its own."""

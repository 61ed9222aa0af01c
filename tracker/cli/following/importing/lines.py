"""The lines of a file, with a bound on everything."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import Final, TextIO

LONGEST: Final = 200_000
"""Characters of a line; of a longer one the rest is not even kept. A field of CSV may have 131,072."""

UTF_16: Final = ("\udcff\udcfe", "\udcfe\udcff")
"""How its files begin, as it looks to somebody who reads UTF-8."""

TALLEST: Final = 1_000
"""Lines of a row."""


class Lines:
    """The lines of a file, numbered; none is longer than `LONGEST`, and some can be given back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []
        """Those of the row that is being read."""
        self.cut = False
        """Whether one of them was longer."""

    def begin(self) -> int:
        """Begin a row; return the number of its first line."""
        self.taken.clear()
        self.cut = False
        return self.number + 1

    def give_back(self, kept: int = 0) -> None:
        """Give back the lines of the row but for the first `kept`: they may begin another."""
        self._waiting.extendleft(reversed(self.taken[kept:]))
        self.number -= len(self.taken) - kept
        del self.taken[kept:]

    def first(self) -> str:
        """Return the first line that is not blank, without taking it.

        Raises ValueError where there is none, or where this is no text in UTF-8 at all.
        """
        for line in self:
            if line.startswith(UTF_16):
                raise ValueError("is UTF-16: save it as UTF-8")
            if line.strip():
                self.give_back()
                return line
            self.begin()
        raise ValueError("is empty: there is nothing to import")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) == TALLEST:
            raise csv.Error(f"has more than {TALLEST:,} lines")
        fresh = not self._waiting
        line = self._stream.readline(LONGEST) if fresh else self._waiting.popleft()
        if not line:
            raise StopIteration
        if _goes_on(line):
            self.cut = True
            while fresh and _goes_on(self._stream.readline(LONGEST)):
                pass
        self.number += 1
        self.taken.append(line)
        return line


def _goes_on(line: str) -> bool:
    return len(line) == LONGEST and not line.endswith(("\n", "\r"))

"""Orders as JSON lines: one object a line, its names as the columns of a CSV file."""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

from tracker.cli.following.given import shown
from tracker.cli.following.importing.lines import Lines
from tracker.cli.following.importing.rows import TOO_LONG, Bad, Columns, Good, Raw, WrongPanel

MOST_UNKNOWN: Final = 100
"""Names of unknown columns that are remembered; a file could have new ones in each line."""


EXACT: Final = 2**53
"""From here on a float has lost the last digits of an id."""


class JsonRows:
    """The rows of a file of JSON lines. Raises ValueError where it holds one document instead."""

    form = "jsonl"

    def __init__(self, lines: Lines, panel: str | None, wrong: WrongPanel) -> None:
        self._lines, self._panel, self._wrong = lines, panel, wrong
        self.unknown: list[str] = []
        if lines.first().lstrip().startswith("["):
            raise ValueError("is one JSON document: write one object a line (jq -c '.[]' does that)")
        lines.begin()

    def __iter__(self) -> Iterator[Good | Bad]:
        for text in self._lines:
            cut = self._lines.cut
            self._lines.begin()
            line = self._lines.number
            if cut:
                yield Bad(line, TOO_LONG, [text])
            elif text.strip():
                yield self._read(line, text)

    def _read(self, line: int, text: str) -> Good | Bad:
        raw: Raw = [text.rstrip("\r\n")]
        try:
            raw = _object(text)
            columns = _columns(tuple(raw))
            self._note(columns)
            values = list(raw.values())
            cells = [""] * len(values)
            for column, place in columns.places.items():
                cells[place] = _text(column, values[place])
        except ValueError as error:
            return Bad(line, str(error), raw)
        return columns.read(line, raw, cells, self._panel, self._wrong)

    def _note(self, columns: Columns) -> None:
        for name in columns.unknown:
            if name not in self.unknown and len(self.unknown) < MOST_UNKNOWN:
                self.unknown.append(name)


# Files are written by programs: nearly all of their lines have the same names in the same order.
_columns = lru_cache(maxsize=64)(Columns)


def _object(text: str) -> Mapping[str, object]:
    """Return the object of a line. Raises ValueError."""
    try:
        found = json.loads(text, object_pairs_hook=_once_each)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError("is no JSON: nested too deeply") from None
    except _Twice:
        raise
    except ValueError:
        raise ValueError("is no JSON: holds a number of thousands of digits") from None
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004  # what is wrong is the line, not the program
    return found


class _Twice(ValueError):
    """A name that an object has more than once."""


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make the object of a line. Raises `_Twice` for a name that it has again: nobody can say which is meant."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"has {shown(next(name for name in names if names.count(name) > 1))} twice")
    return made


def _text(column: str, value: object) -> str:
    """Return a value as the text that a cell of CSV would be. Raises ValueError."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    raise ValueError(f"{column}: {shown(json.dumps(value))} is no text and no whole number")

"""What can be listed and how: columns, formats, and choosing and sorting by them. Imports nothing heavy.

Completing a word on the command line imports the commands; neither that nor `--help` may wait for more than this.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

Format: TypeAlias = Literal["table", "json", "jsonl", "csv"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_UNITS: Final = ("_seconds", "_share")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `name` is the row's key and the heading for programs, `title` the heading for people.

    A name tells its unit: people read `…_seconds` as a duration, `…_share` (a part of 1) in per cent.
    """

    name: str
    title: str = ""
    right: bool = False
    """Numbers stand right."""
    fold: bool = False
    """Sentences fold over several lines on a terminal; anything else ends in an ellipsis."""
    state: bool = False
    """A word of `model.State`, colored on a terminal."""
    rank: int = 0
    """What does not fit a narrow terminal is left out, highest rank first; 0 always stays."""
    more: bool = False
    """For programs; a table has it only when it is asked for."""
    made: bool = False
    """Made after reading, so that nothing can be sorted by it."""

    @property
    def heading(self) -> str:
        """Return what people read above the column."""
        return self.title or _without_unit(self.name).replace("_", " ")


def usual(columns: Sequence[Column], format_: Format) -> list[Column]:
    """Return the columns that are printed where none are chosen: in a table those for people, else all."""
    return [column for column in columns if not (column.more and format_ == "table")]


def choose(columns: Sequence[Column], text: str) -> list[Column]:
    """Return the columns that a person lists, in that order; raises ValueError that names those there are.

    What was asked for by name is shown in a table however narrow the terminal is.
    """
    return [replace(_find(columns, name), rank=0, more=False) for name in _listed(columns, text)]


def sorting(columns: Sequence[Column], text: str) -> str:
    """Return the column, with `-` before it where the largest comes first; raises ValueError as `choose`."""
    minus = "-" if text.startswith("-") else ""
    return minus + _find([column for column in columns if not column.made], text.removeprefix("-")).name


def _listed(columns: Sequence[Column], text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError(f"no column is named. {_those(columns)}")
    return names


def _find(columns: Sequence[Column], name: str) -> Column:
    """Find a column by its name, or by what stands above it in the table."""
    folded = name.lower().replace("-", "_").replace(" ", "_")
    for column in columns:
        if folded in {column.name, column.heading.replace(" ", "_")}:
            return column
    raise ValueError(f"there is no column {name!r}. {_those(columns)}")


def _those(columns: Sequence[Column]) -> str:
    return f"There are: {', '.join(column.name for column in columns)}."


def _without_unit(name: str) -> str:
    for unit in _UNITS:
        name = name.removesuffix(unit)
    return name

r"""One place renders rows: tables for people; JSON, JSON lines and CSV for programs.

Cells are shown by the type of their value: `Decimal` exactly and without an exponent, aware `datetime` local on a
terminal and ISO UTC elsewhere, `timedelta` as a duration for people and as seconds for programs, bool as yes/no
or true/false, None as nothing or null, lists and mappings as JSON. Tables show a number called `…_seconds` as a
duration and one called `…_share` in per cent.

Texts may come from a panel, so no format sends a control character, an escape or a bidi override raw: JSON escapes
them and stays exact; tables and CSV spell them out (`\x1b`), so that a row is always one line. A CSV text that a
spreadsheet would run as a formula gets a leading apostrophe. All but tables are written row by row.
"""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import Final, TextIO, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tracker.cli.columns import FORMATS, Column, Format
from tracker.cli.pipe import say, silence
from tracker.cli.quantities import change, duration, iso, money, share, when
from tracker.logs import json_line, visible

__all__ = [
    "FORMATS",
    "FORMULA",
    "STATE_STYLES",
    "Column",
    "Format",
    "console",
    "csv_cell",
    "facts",
    "picture",
    "render",
    "to_json",
]

Row: TypeAlias = Mapping[str, object]

_MAX_CELL: Final = 300
"""Characters of a folded cell on a terminal: five lines or so. Every other format has the whole text."""
_SHORT: Final = 20
"""Columns of a terminal's table whose cells are all this short (ids, money, moments) are the last to be cut."""
_GAP: Final = 2
"""Between two columns of a terminal's table."""
_UNITS: Final[Mapping[str, Callable[[float], str]]] = {
    "_seconds": duration,
    "change_share": change,
    "_share": share,
}
FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What makes a spreadsheet run a cell, full-width signs included (a TAB does too, but is spelled out by then)."""
STATE_STYLES: Final = {
    "completed": "green",
    "in_progress": "cyan",
    "processing": "cyan",
    "active": "cyan",
    "partial": "yellow",
    "paused": "yellow",
    "unknown": "yellow",
    "canceled": "red",
    "rejected": "red",
    "failed": "red",
    "expired": "red",
    "missing": "bold red",
    "refunded": "magenta",
}


def render(
    rows: Iterable[Row],
    columns: Sequence[Column],
    *,
    format: Format,  # noqa: A002  # the word of the option --format
    stream: TextIO,
    now: datetime,
    empty: str,
) -> int:
    """Write `rows` to `stream` and return how many there were.

    Where there are none, the sentence `empty` says what was looked for: in place of a table, or on stderr
    beside a valid empty document. A reader that has gone away (`| head`) ends it quietly.
    """
    count = 0

    def counted() -> Iterator[Row]:
        nonlocal count
        for row in rows:
            count += 1
            yield row

    try:
        if format == "table":
            _table(list(counted()), columns, stream, now, empty)
        else:
            _WRITERS[format](counted(), columns, stream)
            if not count:
                say(visible(empty))
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    return count


def facts(known: Sequence[tuple[Column, object]], stream: TextIO, now: datetime) -> None:
    """Write what is known of one thing, a line for each fact; what is None is left out.

    On a terminal no fact is longer than a few lines; elsewhere it is whole.
    """
    told = [(column, value) for column, value in known if value is not None]
    width = max((cell_len(column.heading) for column, _ in told), default=0)
    if not stream.isatty():
        stream.writelines(
            f"  {column.heading:<{width}}  {_cell(value, column, now, terminal=False)}\n" for column, value in told
        )
        return
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for column, value in told:
        grid.add_row(Text(f"  {column.heading}"), _styled(value, replace(column, fold=True), now))
    console(stream).print(grid)


def picture(lines: Sequence[str], stream: TextIO) -> None:
    """Write the lines of a picture, in one color on a terminal that wants color."""
    drawn = Text("\n".join(map(visible, lines)), "cyan")
    if stream.isatty():
        console(stream).print(drawn, no_wrap=True, overflow="crop")  # what a Text itself says of that is forgotten
    else:
        stream.write(f"{drawn.plain}\n")


def to_json(value: object) -> str:
    """Return `value` as one line of JSON in the project's spelling of money, moments and text."""
    return json_line(_plain(value))


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None  # JSON knows neither nan nor infinity


_SPELLINGS: Final[tuple[tuple[type, Callable[..., object]], ...]] = (
    (float, _finite),
    (Decimal, money),  # as text, so that no reader makes a float of it
    (datetime, iso),
    (timedelta, timedelta.total_seconds),
)


def _plain(value: object) -> object:
    """Return `value` as what JSON knows."""
    if value is None or isinstance(value, str | int):
        return value
    for kind, spell in _SPELLINGS:
        if isinstance(value, kind):
            return spell(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, Iterable) else str(value)


def _json(rows: Iterator[Row], columns: Sequence[Column], stream: TextIO) -> None:
    opening = "["
    for row in rows:
        stream.write(f"{opening}\n{_object(row, columns)}")
        opening = ","
    stream.write("[]\n" if opening == "[" else "\n]\n")


def _jsonl(rows: Iterator[Row], columns: Sequence[Column], stream: TextIO) -> None:
    stream.writelines(_object(row, columns) + "\n" for row in rows)


def _object(row: Row, columns: Sequence[Column]) -> str:
    return to_json({column.name: row.get(column.name) for column in columns})


def _csv(rows: Iterator[Row], columns: Sequence[Column], stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([csv_cell(row.get(column.name)) for column in columns])


def csv_cell(value: object) -> str:
    """Return `value` as a cell of CSV, not quoted yet."""
    if value is None:
        return ""
    if not isinstance(value, str):
        plain = _plain(value)
        return plain if isinstance(plain, str) else json_line(plain)
    text = visible(value)
    return f"'{text}" if text.startswith(FORMULA) else text


_WRITERS: Final[dict[str, Callable[[Iterator[Row], Sequence[Column], TextIO], None]]] = {
    "json": _json,
    "jsonl": _jsonl,
    "csv": _csv,
}


def _table(rows: list[Row], columns: Sequence[Column], stream: TextIO, now: datetime, empty: str) -> None:
    if not rows:
        stream.write(visible(empty) + "\n")
    elif stream.isatty():
        _terminal_table(rows, columns, stream, now)
    else:
        _plain_table(rows, columns, stream, now)


def _cell(value: object, column: Column, now: datetime, *, terminal: bool) -> str:
    """Return `value` as people read it, without a character that a terminal could obey."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return when(value, now, terminal=terminal)
    if isinstance(value, timedelta):
        return duration(value.total_seconds())
    for unit, spell in _UNITS.items():
        if column.name.endswith(unit) and isinstance(value, int | float | Decimal):
            return spell(float(value))
    plain = _plain(value)
    return visible(plain) if isinstance(plain, str) else json_line(plain)


def _plain_table(rows: list[Row], columns: Sequence[Column], stream: TextIO, now: datetime) -> None:
    """Write aligned text in full width: in a pipe nothing may be cut that `grep` could look for."""
    lines = [[column.heading for column in columns]]
    lines += [[_cell(row.get(column.name), column, now, terminal=False) for column in columns] for row in rows]
    widths = [max(map(cell_len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        padded = []
        for text, width, column in zip(line, widths, columns, strict=True):
            blank = " " * (width - cell_len(text))
            padded.append(blank + text if column.right else text + blank)
        stream.write("  ".join(padded).rstrip() + "\n")


def _terminal_table(rows: list[Row], columns: Sequence[Column], stream: TextIO, now: datetime) -> None:
    printer = console(stream)
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    cells_of = {column: [_styled(row.get(column.name), column, now) for row in rows] for column in columns}
    _leave_out(cells_of, printer.width)
    for column, cells in cells_of.items():
        table.add_column(
            Text(column.heading),
            justify="right" if column.right else "left",
            overflow="ellipsis",
            no_wrap=max(cell.cell_len for cell in cells) <= _SHORT,
        )
    for line in zip(*cells_of.values(), strict=True):
        table.add_row(*line)
    printer.print(table)


def _leave_out(cells_of: dict[Column, list[Text]], width: int) -> None:
    """Take columns out until the others fit: first those that say nothing, then by rank."""
    needed = {
        column: max(cell_len(column.heading), min(_SHORT, max(cell.cell_len for cell in cells))) + _GAP
        for column, cells in cells_of.items()
    }
    spare = sorted((column for column in cells_of if column.rank), key=lambda column: column.rank)
    spare.sort(key=lambda column: not any(cells_of[column]))
    while spare and sum(needed.values()) > width:
        del cells_of[spare[-1]], needed[spare.pop()]


def _styled(value: object, column: Column, now: datetime) -> Text:
    """Return the cell as `Text`, in which brackets of a panel's texts are no markup."""
    text = _cell(value, column, now, terminal=True)
    style = STATE_STYLES.get(text, "") if column.state else ""
    if not column.fold:
        return Text(text, style, no_wrap=True, overflow="ellipsis")
    return Text(text if len(text) <= _MAX_CELL else f"{text[:_MAX_CELL]}…", style, overflow="fold")


def console(stream: TextIO) -> Console:
    """Return what prints on the terminal that `stream` is, as wide as that is and without color where unwanted."""
    try:
        width = os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        width = 80
    # rich itself asks the terminal of stdin for its width, which need not be where this goes.
    return Console(file=stream, force_terminal=True, width=width, highlight=False)

"""Orders in a CSV file: comma, semicolon or tab, with a line that names the columns."""

import csv
from collections.abc import Iterator

from tracker.cli.following.given import shown
from tracker.cli.following.importing.lines import Lines
from tracker.cli.following.importing.rows import EXAMPLE, NAMES, TOO_LONG, Bad, Columns, Good, WrongPanel, folded


class CsvRows:
    """The rows of a CSV file, whose first line names the columns. Raises ValueError where that cannot be used."""

    form = "csv"

    def __init__(self, lines: Lines, panel: str | None, wrong: WrongPanel) -> None:
        self._lines, self._panel, self._wrong = lines, panel, wrong
        first = lines.first()
        self.delimiter = max(",;\t", key=lambda one: _columns_by(one, first))
        lines.begin()
        self._reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        try:
            self.names = next(self._reader)
        except csv.Error as error:
            raise ValueError(f"its first line {_unreadable(error, lines)}") from None
        self.columns = Columns(self.names)
        if "order_id" not in self.columns.places:
            raise ValueError(
                f"its first line must name the columns, one of them order_id, for example {EXAMPLE}; "
                f"it is {shown(first.strip())}"
            )
        if "panel" not in self.columns.places and not panel:
            raise ValueError("no column names the panel: say --panel PANEL")

    @property
    def unknown(self) -> list[str]:
        """The columns that are not ours."""
        return self.columns.unknown

    def __iter__(self) -> Iterator[Good | Bad]:
        lines, width = self._lines, len(self.names)
        while True:
            line = lines.begin()
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                # The quote may have been a stray one, and the lines that it swallowed rows of their own.
                reason = _unreadable(error, lines)
                lines.give_back(1)
                yield Bad(line, reason, [lines.taken[0].rstrip("\r\n")])
                continue
            if not any(cells):
                continue  # spreadsheets write such rows, and such cells, beyond the last ones
            if not any(cells[width:]):
                del cells[width:]
            if lines.cut:
                yield Bad(line, TOO_LONG, [lines.taken[0]])
            elif len(cells) == width:
                yield self.columns.read(line, cells, cells, self._panel, self._wrong)
            else:
                yield Bad(line, f"has {len(cells)} cells for {width} columns", cells)


def _columns_by(delimiter: str, header: str) -> tuple[int, int]:
    """Return how many columns of ours, and how many at all, a header has with this delimiter."""
    names = header.strip().split(delimiter)
    return sum(folded(name.strip('"')) in NAMES for name in names), len(names)


def _unreadable(error: csv.Error, lines: Lines) -> str:
    text = str(error)
    if "expected after" in text or "unexpected end" in text or ("field larger" in text and len(lines.taken) > 1):
        return "has a quote that is never closed, or one inside of quotes that is not doubled"
    return "has a field that is too large" if "field larger" in text else text

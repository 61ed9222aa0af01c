"""The rows that were not taken in, with the reasons, in the form of the file that they came from.

Such a file has the columns `line` and `reason` before its own, which an import leaves alone: once the rows are
mended it is imported as it is. It is never written over another, which somebody may just have mended.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from tracker.cli.following.importing.csv_rows import CsvRows
from tracker.cli.following.importing.json_rows import JsonRows
from tracker.cli.following.importing.rows import OURS, Bad
from tracker.errors import TrackerError, UsageFault


class Rejects:
    """A file that is made when the first row is written."""

    def __init__(self, path: Path, rows: CsvRows | JsonRows) -> None:
        self._path, self._rows = path, rows
        self._stream: TextIO | None = None
        self._csv: Any = None

    @property
    def path(self) -> Path | None:
        """Where it is; None while there was nothing to write."""
        return None if self._stream is None else self._path

    def write(self, bad: Bad) -> None:
        """Write one row. Raises `TrackerError` where that cannot be done."""
        with self._told():
            stream = self._stream = self._stream or self._open()
            if isinstance(self._rows, CsvRows):
                cells = bad.raw if len(bad.raw) == 1 else [*bad.raw][self._rows.columns.ours :]
                self._csv.writerow([bad.line, bad.reason, *cells])
                return
            raw = dict(bad.raw) if isinstance(bad.raw, Mapping) else {"raw": bad.raw[0]}
            if tuple(raw)[: len(OURS)] == OURS:
                raw = dict([*raw.items()][len(OURS) :])
            stream.write(json.dumps({"line": bad.line, "reason": bad.reason, **raw}) + "\n")

    def _open(self) -> TextIO:
        # Bytes that are no UTF-8 go there as they came.
        stream = self._path.open("x", encoding="utf-8", errors="surrogateescape", newline="")
        if isinstance(self._rows, CsvRows):
            self._csv = csv.writer(stream, delimiter=self._rows.delimiter, lineterminator="\n")
            self._csv.writerow([*OURS, *self._rows.names[self._rows.columns.ours :]])
        return stream

    def close(self) -> None:
        """Close the file, if there is one. Raises as `write`."""
        with self._told():
            if self._stream is not None:
                self._stream.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrackerError(
                f"Cannot write the rejected rows to {self._path}: {error.strerror}. Name a file: --rejects FILE."
            ) from error


def path_for(name: str, asked: Path | None, form: str) -> Path:
    """Return where the rejected rows of the file `name` go: beside it, where no other file is yet.

    Raises `UsageFault` where the place that was asked for is taken.
    """
    if asked is not None:
        if asked.exists():
            raise UsageFault(f"{asked} is there already, and may hold rows that were mended. Name another file.")
        return asked
    beside = "stdin" if name == "-" else name
    path, number = Path(f"{beside}.rejects.{form}"), 1
    while path.exists():
        number += 1
        path = Path(f"{beside}.rejects.{number}.{form}")
    return path

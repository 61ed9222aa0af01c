"""The orders of a file that were read already, so that one that stands there twice is noticed.

On disk, in a nameless database that is gone with the connection: a million ids in memory would be a hundred
megabytes. SQLite keeps the last few megabytes of it in memory by itself.
"""

import sqlite3
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from tracker.errors import TrackerError
from tracker.store.following.intake import NewOrder


class Repeat(NamedTuple):
    """An order that stood in the file before."""

    first_line: int
    same: bool
    """Whether that row said the same of it."""


class Seen:
    """What was read of one file, for the time of a `with` block."""

    def __enter__(self) -> Self:
        self._connection = sqlite3.connect("", isolation_level=None)
        # Nothing here is ever read again after a crash, so nothing needs to be undone or to reach the disk.
        for statement in (
            "PRAGMA journal_mode = off",
            "PRAGMA synchronous = off",
            "CREATE TABLE seen (panel, order_id, line, digest, PRIMARY KEY (panel, order_id)) WITHOUT ROWID",
            "BEGIN",
        ):
            self._connection.execute(statement)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, rows: Sequence[tuple[int, str, NewOrder]]) -> dict[int, Repeat]:
        """Note rows (line, panel, order); return those whose order was noted before, by line.

        Raises `TrackerError` where the folder for temporary files is full.
        """
        try:
            return self._add(rows)
        except sqlite3.Error as error:
            raise TrackerError(
                f"Cannot note in {tempfile.gettempdir()} which orders the file has had: {error}. "
                "Make room there, or name another folder: TMPDIR=FOLDER."
            ) from error

    def _add(self, rows: Sequence[tuple[int, str, NewOrder]]) -> dict[int, Repeat]:
        marked = [(panel, order.order_id, line, hash(order)) for line, panel, order in rows]
        added = self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?, ?)", marked)
        if added.rowcount == len(marked):
            return {}
        repeats: dict[int, Repeat] = {}
        for panel, order_id, line, digest in marked:
            first, was = self._connection.execute(
                "SELECT line, digest FROM seen WHERE panel = ? AND order_id = ?", (panel, order_id)
            ).fetchone()
            if first != line:
                repeats[line] = Repeat(first, was == digest)
        return repeats

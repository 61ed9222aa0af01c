"""The formats of `tracker export`: CSV, JSON lines and Parquet, step by step."""

import csv
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

from tracker.cli.asking.export_target import Target
from tracker.cli.render import FORMULA, csv_cell, to_json
from tracker.errors import TrackerError, UsageFault
from tracker.store.reading.export import Field, Step

_PLAIN: Final = bytes(code for code in (*range(32, 127), ord("\n")) if code != ord('"'))
_NUMBER: Final = re.compile(r"-[0-9.]+")

ROW_GROUP: Final = 60_000
"""Rows of one group of a Parquet file: some 10 MiB in memory, and large enough to be read quickly."""

MONEY_DIGITS: Final = (38, 12)
"""Parquet's decimals: 12 after the point, 26 before. Panels' amounts have 8 and 15 at most."""


class RowFile(ABC):
    """Rows on their way to a target: from its beginning, or after those that it has.

    Raises `UsageFault` where those have other columns.
    """

    def __init__(self, target: Target, fields: Sequence[Field]) -> None:
        self._target = target
        self._stream = target.stream
        self._fields = fields
        self._names = [field.name for field in fields]
        if not target.first:
            self._begin()
        elif self._fits(target.first):
            target.cut_half_line()
        else:
            raise UsageFault(
                f"{target.path} has other columns. Name the same ones with --columns, or choose another file."
            )

    def _begin(self) -> None:  # noqa: B027  # most formats have nothing there
        """Write what stands before the first row."""

    @abstractmethod
    def _fits(self, first: bytes) -> bool:
        """Whether rows can be added to a file that begins with the line `first`."""

    @abstractmethod
    def _write(self, step: Step) -> int:
        """Write the rows of a step; return how many."""

    def write(self, step: Step) -> int:
        """Write the rows of a step, to be kept whatever comes; return how many."""
        count = self._write(step)
        self._target.keep()
        return count

    def end(self) -> None:  # noqa: B027  # as above
        """Write what stands after the last row."""


class CsvFile(RowFile):
    """The CSV of `tracker.cli.render`; as the database has spelled it wherever that needs no change."""

    def _begin(self) -> None:
        self._stream.write(self._spelled([self._names]))

    def _write(self, step: Step) -> int:
        spelled = step.spelled()
        if spelled is not None:
            count, text = spelled
            if not count or self._plain(count, text):
                self._stream.write(f"{text}\n".encode() if count else b"")
                return count
        rows = step.rows()
        self._stream.write(self._spelled(rows))
        return len(rows)

    def _fits(self, first: bytes) -> bool:
        return first == (",".join(self._names) + "\n").encode()

    @staticmethod
    def _spelled(rows: Sequence[Sequence[Any]]) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([csv_cell(value) for value in row] for row in rows)
        return text.getvalue().encode()

    def _plain(self, count: int, text: str) -> bool:
        """Whether no cell of so many rows needs quotes, an apostrophe, or a character spelled out.

        Looks at all rows as one text: 0.2 µs a row, where a look at each cell takes 3.
        """
        between = len(self._fields) - 1
        # A row of one empty cell would need quotes. More commas or lines than cells and rows: a text has some.
        if not between or text.count(",") != count * between or text.count("\n") != count - 1:
            return False
        if text.isascii():
            if text.encode().translate(None, _PLAIN):
                return False
        elif '"' in text or not text.replace("\n", "").isprintable():
            return False
        signs = [sign for sign in FORMULA if sign in text and self._begins_a_cell(sign, text)]
        return not signs or (signs == ["-"] and all(map(self._only_numbers_negative, text.split("\n"))))

    @staticmethod
    def _begins_a_cell(sign: str, text: str) -> bool:
        return text.startswith(sign) or f",{sign}" in text or f"\n{sign}" in text

    def _only_numbers_negative(self, line: str) -> bool:
        if not self._begins_a_cell("-", line):
            return True
        return all(
            field.kind in {"whole", "money"} and _NUMBER.fullmatch(cell)
            for cell, field in zip(line.split(","), self._fields, strict=True)
            if cell.startswith("-")
        )


class JsonLinesFile(RowFile):
    """One JSON object a row, as `tracker.cli.render` spells it."""

    def _write(self, step: Step) -> int:
        lines = [to_json(dict(zip(self._names, row, strict=True))) + "\n" for row in step.rows()]
        self._stream.write("".join(lines).encode())
        return len(lines)

    def _fits(self, first: bytes) -> bool:
        try:
            return list(json.loads(first)) == self._names
        except (ValueError, TypeError):
            return False


class ParquetFile(RowFile):
    """Columns with their types: moments in UTC to the microsecond, money as decimals, ids as text.

    Only its end makes it readable, so nothing is kept before.
    """

    def _begin(self) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415  # an extra, and slow to import
            from pyarrow import parquet  # noqa: PLC0415  # as above
        except ImportError:
            raise TrackerError(
                "Parquet is written with pyarrow, which is not installed: `pip install 'order-tracker[parquet]'`. "
                "CSV and JSON lines need nothing."
            ) from None
        types = {
            "text": pa.string(),
            "moment": pa.timestamp("us", tz="UTC"),
            "money": pa.decimal128(*MONEY_DIGITS),
            "whole": pa.int64(),
            "flag": pa.bool_(),
            "number": pa.float64(),
        }
        self._pa = pa
        self._schema = pa.schema([(field.name, types[field.kind]) for field in self._fields])
        self._writer = parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        self._held: list[Any] = []

    def _fits(self, first: bytes) -> bool:  # noqa: ARG002  # whatever it begins with
        return False

    def write(self, step: Step) -> int:
        """Take the rows of a step; return how many."""
        return self._write(step)

    def _write(self, step: Step) -> int:
        rows = step.rows()
        if rows:
            columns = zip(*rows, strict=True)
            arrays = [self._array(*each) for each in zip(self._schema, columns, strict=True)]
            self._held.append(self._pa.table(arrays, schema=self._schema))
        if sum(map(len, self._held)) >= ROW_GROUP:
            self._flush()
        return len(rows)

    def end(self) -> None:
        """Write the last rows, and the footer without which nobody can read the file."""
        self._flush()
        self._writer.close()
        self._target.keep()

    def _array(self, field: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401  # pyarrow has no types
        try:
            return self._pa.array(values, field.type)
        except (self._pa.ArrowInvalid, self._pa.ArrowTypeError, OverflowError) as error:
            raise TrackerError(
                f"Column {field.name} holds what Parquet's {field.type} does not take ({error}). "
                "Leave it out with --columns, or export as CSV."
            ) from None

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(self._pa.concat_tables(self._held), row_group_size=ROW_GROUP * 2)
            self._held.clear()


FILES: Final[dict[str, type[RowFile]]] = {"csv": CsvFile, "jsonl": JsonLinesFile, "parquet": ParquetFile}

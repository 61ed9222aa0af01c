"""Reading files of orders: whatever is in them, rows are good or bad, and memory does not grow."""

import csv
import io
import json
import string
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cli.following.importing.csv_rows import CsvRows
from tracker.cli.following.importing.importer import Importer
from tracker.cli.following.importing.json_rows import JsonRows
from tracker.cli.following.importing.lines import LONGEST, Lines
from tracker.cli.following.importing.rows import Bad, Good
from tracker.store.following.intake import NewOrder
from tracker.store.following.seen import Seen

Rows = type[CsvRows] | type[JsonRows]


def fine(_panel: str) -> None:
    """Know every panel."""


def read(rows: Rows, text: str) -> list[Good | Bad]:
    return list(rows(Lines(io.StringIO(text, newline="")), "acme", fine))


IDS = st.text(string.ascii_letters + string.digits + "_-.:", min_size=1, max_size=30).filter(
    lambda one: one[0].isalpha() or one.isdecimal()
)
TEXTS = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
).filter(lambda text: text.strip() == text)
WHOLES = st.none() | st.integers(1, 2**63 - 1)
TIMES = st.none() | st.integers(946_684_800, 1_760_000_000).map(
    lambda second: datetime.fromtimestamp(second + 0.25, UTC)
)
ORDERS = st.lists(
    st.builds(NewOrder, IDS, st.none() | IDS, TEXTS, WHOLES, WHOLES, WHOLES, TEXTS, TIMES), max_size=5
)
FIRST = {CsvRows: "order_id,link,quantity\n", JsonRows: '{"order_id": 1}\n'}
LAST = {CsvRows: "2,x,3\n", JsonRows: '{"order_id": 1}\n'}


@given(ORDERS, st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n", "\r"]), st.permutations(NewOrder._fields))
def test_what_is_written_as_csv_is_read_as_it_was(
    orders: list[NewOrder], delimiter: str, end: str, columns: list[str]
) -> None:
    text = io.StringIO(newline="")
    # Left to itself it quotes a lone carriage return from Python 3.13 on only.
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(one._asdict() for one in orders)
    rows = read(CsvRows, text.getvalue())
    assert [row.order for row in rows if isinstance(row, Good)] == orders
    assert len(rows) == len(orders)


@given(ORDERS.filter(bool))
def test_what_is_written_as_json_lines_is_read_as_it_was(orders: list[NewOrder]) -> None:
    rows = read(JsonRows, "\n".join(json.dumps(one._asdict(), default=datetime.isoformat) for one in orders))
    assert [row.order for row in rows if isinstance(row, Good)] == orders


@pytest.mark.parametrize("rows", [CsvRows, JsonRows])
@given(st.text(st.sampled_from('1a,"\n\r\t {}[]:\0\udcff\ufeff') | st.characters(), max_size=80))
def test_anything_at_all_is_read_to_its_end_line_by_line(rows: Rows, text: str) -> None:
    numbers = [row.line for row in read(rows, FIRST[rows] + text)]
    assert numbers == sorted(set(numbers))
    # Whatever came before, a row on a line of its own is read, unless a quote is open.
    *_, last = read(rows, FIRST[rows] + text.replace('"', "") + "\n" + LAST[rows])
    assert isinstance(last, Good)


@given(st.text(max_size=80))
def test_any_first_line_is_understood_or_refused_with_a_sentence(text: str) -> None:
    for rows in (CsvRows, JsonRows):
        try:
            read(rows, text)
        except ValueError as error:
            assert str(error)  # noqa: PT017  # either is right


def test_memory_does_not_grow_with_the_file() -> None:
    """Neither with the number of its rows, nor with the length of a line."""

    def peak(count: int, length: int) -> int:
        stream = Endless(count, length)
        tracemalloc.start()
        with Seen() as seen:
            importer = Importer(seen, None, lambda _: None)
            rows = CsvRows(Lines(stream), "acme", fine)  # type: ignore[arg-type]  # all that is read of a stream
            assert list(importer.run(rows))[-1] == count
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    usual = peak(4_000, 10)
    assert peak(12_000, 10) < 1.5 * usual  # kept, 8,000 rows more would be as much again
    assert peak(10, 50 * LONGEST) < 2 * usual


class Endless:
    """A file that is made while it is read, in pieces of at most `LONGEST` characters."""

    def __init__(self, count: int, length: int) -> None:
        self._pieces = self._made(count, length)

    @staticmethod
    def _made(count: int, length: int) -> Iterator[str]:
        yield "order_id,link\n"
        for number in range(count):
            begun = f"{number},{'z' * min(length, LONGEST)}"[:LONGEST]
            yield begun if length >= LONGEST else f"{begun}\n"
            more = length // LONGEST
            yield from ("z" * LONGEST for _ in range(more - 1))
            yield from ["z\n"] * (more > 0)

    def readline(self, most: int) -> str:
        assert most == LONGEST
        return next(self._pieces, "")


def test_an_id_that_a_program_took_for_a_number_is_refused() -> None:
    wrong = ("1.23457E+11", "23501.0", "1e+22", "=1+1", "+5", "-7", "@SUM(1)")
    rows = read(CsvRows, "order_id\n" + "\n".join(wrong))
    assert [type(row) for row in rows] == [Bad] * len(wrong)
    assert "a spreadsheet made a number of it" in rows[0][1]
    right = ("507f1f77bcf86cd799439011", "5071e77", "ord-1", "-abc", "a.1")
    taken = read(CsvRows, "order_id\n" + "\n".join(right))
    assert [row.order.order_id for row in taken if isinstance(row, Good)] == list(right)


def test_a_line_of_json_that_does_not_say_one_id_is_refused() -> None:
    lines = {
        '{"order_id": 1, "order_id": 2}': "has 'order_id' twice",
        '{"order_id": 12345678901234567890.0}': "is no text and no whole number",
        '{"order_id": 1e16}': "is no text and no whole number",
        f'{{"order_id": {"9" * 5000}}}': "a number of thousands of digits",
    }
    rows = read(JsonRows, "\n".join(lines))
    assert [told in row[1] for row, told in zip(rows, lines.values(), strict=True)] == [True] * len(lines)


def test_a_reference_is_short_enough_for_the_index_of_every_database() -> None:
    rows = read(CsvRows, f"order_id,ref\n1,{'r' * 201}\n2,{'r' * 200}\n")
    assert [type(row) for row in rows] == [Bad, Good]
    assert "longer than 200 characters" in rows[0][1]


def test_a_time_in_which_nobody_ordered_is_refused() -> None:
    soon = datetime.now(UTC) + timedelta(hours=47)
    days = ("0001-01-01", "1999-12-31", "2101-01-01", soon.isoformat(), "2026-01-01")
    rows = read(CsvRows, "order_id,ordered_at\n" + "".join(f"{day[:4]}{day[5:7]},{day}\n" for day in days))
    assert [type(row) for row in rows] == [Bad, Bad, Bad, Bad, Good]
    assert "is in the future" in rows[3][1]

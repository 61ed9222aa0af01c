"""The renderer: four formats, real terminals and real pipes, and nothing hostile sent raw."""

import csv
import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyte
import pytest
from rich.cells import cell_len

from tracker.cli.quantities import change, duration, iso, moment_of, money, period, share, span_of, when
from tracker.cli.render import FORMATS, Column, Format, facts, picture, render, to_json
from tracker.logs import visible

NOW = datetime(2025, 11, 23, 10, 15, 2, tzinfo=UTC)
COLUMNS = (
    Column("order_id", "order"),
    Column("state", state=True),
    Column("charge", right=True),
    Column("remains", right=True),
    Column("checked_at", "checked"),
    Column("link"),
)
ROW: dict[str, object] = {
    "order_id": "23501",
    "state": "in_progress",
    "charge": Decimal("1E+2"),
    "remains": 157,
    "checked_at": NOW - timedelta(days=1),
    "link": "https://example.org/日本",
}
EVIL = "\x1b[2J\x9b1m\u202etxt\u2066\r\n\tend\x00\u2028"


def rendered(form: Format, *rows: dict[str, object], columns: tuple[Column, ...] = COLUMNS) -> str:
    """Render into a stream that is no terminal."""
    stream = io.StringIO()
    assert render(rows, columns, format=form, stream=stream, now=NOW, empty="none") == len(rows)
    return stream.getvalue()


def on_terminal(*rows: dict[str, object], columns: tuple[Column, ...] = COLUMNS, width: int = 80) -> str:
    """Render on a real pseudo terminal, `width` columns wide, and return the raw output."""
    reading, writing = os.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 200, width, 0, 0))
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", encoding="utf-8") as stream:
        render(rows, columns, format="table", stream=stream, now=NOW, empty="none")
        stream.write("\x04")
        stream.flush()
        got = b""
        while not got.endswith(b"\x04"):
            got += os.read(reader.fileno(), 65536)
    return got[:-1].decode()


def screen(raw: str, width: int = 80) -> list[str]:
    """Return the lines that a terminal of that width shows."""
    display = pyte.Screen(width, 200)
    pyte.Stream(display).feed(raw)
    return [line.rstrip() for line in display.display if line.strip()]


@pytest.fixture(autouse=True)
def _terminal_of_a_user_in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_table_in_a_pipe_is_plain_aligned_text() -> None:
    assert rendered("table", ROW, {"order_id": "7", "charge": Decimal("0.27819"), "link": None}).splitlines() == [
        "order  state         charge  remains  checked               link",
        "23501  in_progress      100      157  2025-11-22T10:15:02Z  https://example.org/日本",
        "7                   0.27819",
    ]


def test_wide_characters_keep_a_piped_table_aligned() -> None:
    columns = (Column("name"), Column("id"))
    lines = rendered("table", {"name": "日本", "id": 1}, {"name": "abcde", "id": 2}, columns=columns).splitlines()
    assert [cell_len(line) for line in lines] == [9, 8, 8]


def test_a_piped_table_is_never_cut() -> None:
    link = "https://example.org/" + "x" * 2000
    assert link in rendered("table", {**ROW, "link": link})


def test_json_is_one_document_of_typed_values() -> None:
    nested = {"a": [Decimal("0.10"), None], "b": timedelta(minutes=1)}
    text = rendered("json", ROW, {"order_id": None, "remains": float("nan"), "state": True, "link": nested})
    assert json.loads(text) == [
        {
            "order_id": "23501",
            "state": "in_progress",
            "charge": "100",
            "remains": 157,
            "checked_at": "2025-11-22T10:15:02Z",
            "link": "https://example.org/日本",
        },
        {
            "order_id": None,
            "state": True,
            "charge": None,
            "remains": None,
            "checked_at": None,
            "link": {"a": ["0.10", None], "b": 60.0},
        },
    ]


def test_json_lines_are_one_object_a_line() -> None:
    lines = rendered("jsonl", ROW, ROW).splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]) == json.loads(rendered("json", ROW))[0]


def test_csv_has_the_names_of_the_database_as_header() -> None:
    rows = list(csv.reader(io.StringIO(rendered("csv", ROW, {"state": False}))))
    assert rows == [
        ["order_id", "state", "charge", "remains", "checked_at", "link"],
        ["23501", "in_progress", "100", "157", "2025-11-22T10:15:02Z", "https://example.org/日本"],
        ["", "false", "", "", "", ""],
    ]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@x", '=HYPERLINK("http://x")', "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]
)
def test_a_text_that_a_spreadsheet_would_run_is_disarmed_in_csv_only(text: str) -> None:
    columns = (Column("name"), Column("remains"), Column("charge"))
    row: dict[str, object] = {"name": text, "remains": -5, "charge": Decimal("-0.5")}
    (_, got) = csv.reader(io.StringIO(rendered("csv", row, columns=columns)))
    assert got == [f"'{text}", "-5", "-0.5"]
    assert json.loads(rendered("jsonl", row, columns=columns))["name"] == text


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_that_a_terminal_could_obey_is_sent_raw(form: Format) -> None:
    columns = (Column("name"), Column("nested"))
    text = rendered(form, {"name": EVIL, "nested": {EVIL: [EVIL]}}, columns=columns)
    assert all(line.isprintable() for line in text.split("\n"))
    if form == "jsonl":
        assert json.loads(text) == {"name": EVIL, "nested": {EVIL: [EVIL]}}
    elif form != "json":
        assert "\\x1b[2J\\x9b1m\\u202etxt\\u2066\\r\\n\\tend\\x00\\u2028" in text


def test_a_terminal_shows_hostile_text_spelled_out_and_markup_as_it_is() -> None:
    columns = (Column("name"),)
    raw = on_terminal({"name": EVIL}, {"name": "[red]50%[/red] :smile: [link=x]"}, columns=columns)
    lines = screen(raw)
    assert "\\x1b[2J\\x9b1m\\u202etxt\\u2066\\r\\n\\tend\\x00\\u2028" in lines[2]
    assert "[red]50%[/red] :smile: [link=x]" in lines[3]
    assert "\x1b[2J" not in raw
    assert "\u202e" not in raw


def test_a_terminal_gets_colors_lines_and_local_time() -> None:
    raw = on_terminal(ROW)
    assert "\x1b[36m" in raw
    heading, rule, line = screen(raw)
    assert heading.split() == ["order", "state", "charge", "remains", "checked", "link"]
    assert set(rule.strip()) == {"─"}
    assert "11-22 19:15:02" in line


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    colored = on_terminal(ROW)
    monkeypatch.setenv("NO_COLOR", "1")
    raw = on_terminal(ROW)
    assert "\x1b[36m" not in raw
    assert screen(raw) == screen(colored)


def test_a_long_link_ends_in_an_ellipsis_on_a_narrow_terminal() -> None:
    raw = on_terminal({**ROW, "link": "https://example.org/" + "x" * 2000})
    lines = screen(raw)
    assert len(lines) == 3
    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[2].endswith("…")
    assert "23501" in lines[2]
    assert "in_progress" in lines[2]
    assert "11-22 19:15:02" in lines[2]


def test_a_sentence_folds_and_is_capped_on_a_terminal() -> None:
    columns = (Column("id"), Column("error", fold=True))
    lines = screen(on_terminal({"id": 1, "error": "word " * 500}, columns=columns))
    assert 5 <= len(lines) <= 8
    assert lines[-1].endswith("…")


def test_ids_moments_and_money_are_whole_where_a_sentence_has_to_fold() -> None:
    columns = (*COLUMNS, Column("error", fold=True))
    row = {**ROW, "link": "https://example.org/" + "x" * 200, "error": "The panel did not answer in 30 s. " * 3}
    lines = screen(on_terminal(row, columns=columns))
    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[2].split()[:6] == ["23501", "in_progress", "100", "157", "11-22", "19:15:02"]
    assert len(lines) > 4


def test_a_wide_terminal_is_used() -> None:
    link = "https://example.org/" + "x" * 80
    assert link in screen(on_terminal({**ROW, "link": link}, width=200), width=200)[2]


@pytest.mark.parametrize(
    ("form", "document", "on_stderr"),
    [
        ("table", "No order is open.\n", ""),
        ("json", "[]\n", "No order is open.\n"),
        ("jsonl", "", "No order is open.\n"),
        ("csv", "order_id,state,charge,remains,checked_at,link\n", "No order is open.\n"),
    ],
)
def test_an_empty_result_says_what_was_looked_for(
    form: Format, document: str, on_stderr: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    assert render([], COLUMNS, format=form, stream=stream, now=NOW, empty="No order is open.") == 0
    assert (stream.getvalue(), capsys.readouterr().err) == (document, on_stderr)


def test_the_sentence_goes_to_stderr_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    render([], COLUMNS, format="json", stream=sys.stdout, now=NOW, empty="No order is open.")
    assert capsys.readouterr() == ("[]\n", "No order is open.\n")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_rows_are_written_as_they_come(form: Format) -> None:
    """Row n is out before row n + 1 is asked for, so memory stays flat however many there are."""
    stream = io.StringIO()
    written: list[int] = []

    def rows() -> Iterator[dict[str, object]]:
        for number in range(5):
            written.append(stream.getvalue().count("order-"))
            yield {"order_id": f"order-{number}"}

    render(rows(), COLUMNS, format=form, stream=stream, now=NOW, empty="none")
    assert written == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("count", [1, 20_000])
def test_a_reader_that_has_gone_away_ends_it_quietly(
    form: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is left in the buffer must not complain at exit
    program = (
        "import sys; from datetime import datetime, UTC; from tracker.cli.render import render, Column\n"
        f"rows = ({{'name': 'x' * 100}} for _ in range({count}))\n"
        f"render(rows, [Column('name')], format='{form}', stream=sys.stdout, now=datetime.now(UTC), empty='')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_while_rows_are_read_is_not_swallowed() -> None:
    def rows() -> Iterator[dict[str, object]]:
        yield ROW
        raise RuntimeError("the database went away")

    with pytest.raises(RuntimeError, match="went away"):
        render(rows(), COLUMNS, format="jsonl", stream=io.StringIO(), now=NOW, empty="none")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0s"),
        (0.25, "0.2s"),
        (0.31, "0.3s"),
        (5, "5s"),
        (5.04, "5s"),
        (9.96, "10s"),
        (45.2, "45s"),
        (59.7, "1m"),
        (60, "1m"),
        (125, "2m 5s"),
        (3599.9, "1h"),
        (3600, "1h"),
        (5400, "1h 30m"),
        (3 * 86400 + 4 * 3600 + 59, "3d 4h"),
        (86400 * 400, "400d"),
        (-90, "-1m 30s"),
    ],
)
def test_a_duration_has_two_units(value: float, expected: str) -> None:
    assert duration(value) == expected


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("0.27819", "USD", "0.27819 USD"),
        ("1E+3", None, "1000"),
        ("1E-8", "XXX", "0.00000001"),
        ("100.840", "RUB", "100.840 RUB"),
    ],
)
def test_money_is_exact_and_names_its_currency(amount: str, currency: str | None, expected: str) -> None:
    assert money(Decimal(amount), currency) == expected


def test_a_moment_is_local_and_short_only_on_a_terminal() -> None:
    moment = datetime(2024, 12, 31, 20, 0, 0, 500_000, tzinfo=UTC)
    assert when(moment, NOW, terminal=True) == "01-01 05:00:00"
    assert when(moment, NOW.replace(year=2026), terminal=True) == "2025-01-01 05:00"
    assert when(moment, NOW, terminal=False) == iso(moment) == "2024-12-31T20:00:00.500000Z"
    assert iso(moment.astimezone()) == iso(moment)


def test_a_moment_without_a_zone_is_a_mistake_that_is_not_guessed_away() -> None:
    with pytest.raises(ValueError, match="without a time zone"):
        iso(NOW.replace(tzinfo=None))


def test_one_value_is_rendered_as_json_by_the_same_rules() -> None:
    value: dict[str, Any] = {"at": NOW, "charge": Decimal("1E+1"), "ids": ("1", "2"), "text": "\x1b\x9b日"}
    assert to_json(value) == (
        '{"at": "2025-11-23T10:15:02Z", "charge": "10", "ids": ["1", "2"], "text": "\\u001b\\u009b日"}'
    )


def test_a_number_is_shown_in_the_unit_that_its_name_tells() -> None:
    columns = (Column("silent_seconds"), Column("delivered_share"), Column("change_share"), Column("count"))
    row: dict[str, object] = {
        "silent_seconds": 97_200,
        "delivered_share": 0.4237,
        "change_share": 0.125,
        "count": 0.5,
    }
    assert rendered("table", row, columns=columns).split() == [
        *("silent", "delivered", "change", "count"),
        *("1d", "3h", "42%", "+12%", "0.5"),
    ]
    assert json.loads(rendered("jsonl", row, columns=columns)) == row


@pytest.mark.parametrize(
    ("part", "expected"),
    [(0, "0%"), (0.004, "0.4%"), (0.42, "42%"), (0.997, "99.7%"), (1, "100%"), (1.5, "150%"), (-0.2, "-20%")],
)
def test_a_share_is_in_per_cent_and_never_rounded_to_none_or_all(part: float, expected: str) -> None:
    assert share(part) == expected
    assert change(part) == (f"+{expected}" if part > 0 else expected)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("6h", 21_600),
        ("3d", 259_200),
        ("1w", 604_800),
        ("1h30m", 5400),
        ("1d 12h", 129_600),
    ],
)
def test_a_span_is_typed_as_people_say_it(text: str, seconds: int) -> None:
    assert span_of(text) == timedelta(seconds=seconds)
    assert moment_of(text, NOW) == NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025-11", "2025-11-01T00:00:00Z"),
        ("2025-11-20", "2025-11-20T00:00:00Z"),
        ("2025-11-20T10:15", "2025-11-20T10:15:00Z"),
        ("2025-11-20 10:15:30.5", "2025-11-20T10:15:30.500000Z"),
        ("2025-11-20T10:15:00+03:00", "2025-11-20T07:15:00Z"),
        ("2025-11-20T10:15:00Z", "2025-11-20T10:15:00Z"),
        ("today", "2025-11-23T00:00:00Z"),
        (" yesterday ", "2025-11-22T00:00:00Z"),
    ],
)
def test_a_moment_is_utc_where_no_offset_is_given(text: str, expected: str) -> None:
    assert iso(moment_of(text, NOW)) == expected


@pytest.mark.parametrize(
    "text", ["", "soon", "2h ago", "2026", "20261123", "2026-13", "999999w", "-3d", "3x", "٣d-"]
)
def test_what_is_no_moment_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"2h, 3d, 1w, 1h30m.*2026-11-23, today.*UTC where no offset is given"):
        moment_of(text, NOW)


@pytest.mark.parametrize("text", ["", "3", "3x", "h", "3d ago", "0.5h"])
def test_what_is_no_span_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 45m, 6h, 3d, 1w or 1h30m"):
        span_of(text)


def test_a_span_beyond_all_moments_is_none() -> None:
    assert span_of("5200w") == timedelta(weeks=5200)
    with pytest.raises(ValueError, match=r"'999999w' is longer than a century: write it like"):
        span_of("999999w")


def test_a_sentence_says_the_period_as_it_was_typed() -> None:
    assert period(None, None) == ""
    assert period("3d", None) == " in the last 3d"
    assert period("2025-11", "today") == " from 2025-11 until today"
    assert period("3d", "1d") == " from 3d ago until 1d ago"
    assert period("2025-11", None) == " since 2025-11"
    assert period(None, "1d") == " before 1d ago"


def test_facts_stand_below_each_other_and_what_is_not_known_is_left_out() -> None:
    stream = io.StringIO()
    known = [(Column("state", state=True), "pending"), (Column("silent_seconds"), 60), (Column("ref"), None)]
    facts([*known, (Column("panel_status", "panel says"), EVIL)], stream, NOW)
    assert stream.getvalue().splitlines() == [
        "  state       pending",
        "  silent      1m",
        "  panel says  " + visible(EVIL),
    ]


def test_a_picture_in_a_pipe_is_its_lines() -> None:
    stream = io.StringIO()
    picture(["┤ [red]", "└─"], stream)
    assert stream.getvalue() == "┤ [red]\n└─\n"

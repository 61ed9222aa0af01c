"""Logs: one line per event, sane values, libraries in the same chain, and never a secret."""

import contextlib
import io
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from http.server import HTTPServer, SimpleHTTPRequestHandler
from typing import Any
from urllib.parse import quote_plus, urlencode

import httpx
import pytest
import structlog
from simulation import PATIENCE

from tracker import logs

KEY = "planted/key 1'2\"3\\4+5"
"""Everything that a URL, a form, a repr or JSON would spell differently."""
SIMPLE_KEY = "f00dfacef00dfacef00dfacef00dface"

SPELLINGS = [KEY, SIMPLE_KEY, quote_plus(KEY), urlencode({"key": KEY})[4:], repr(KEY)[1:-1], json.dumps(KEY)[1:-1]]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    level = root.level
    yield
    structlog.reset_defaults()
    root.setLevel(level)
    for handler in [each for each in root.handlers if isinstance(each, logs._Listener)]:
        root.removeHandler(handler)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged(**fields: object) -> dict[str, Any]:
    """Log one line as JSON and return it parsed."""
    stream = io.StringIO()
    logs.configure(stream, secrets=[KEY, SIMPLE_KEY])
    logs.get().info("round.done", **fields)
    (line,) = lines(stream)
    return line


def test_a_line_starts_with_moment_level_and_event() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    line = logged(panel="senderin", asked=300, seconds=0.31, paused=False, note=None)
    assert list(line) == ["at", "level", "event", "panel", "asked", "seconds", "paused", "note"]
    assert (line["level"], line["event"], line["asked"], line["seconds"]) == ("info", "round.done", 300, 0.31)
    assert line["paused"] is False
    assert line["note"] is None
    assert line["at"].endswith("Z")
    assert before <= datetime.fromisoformat(line["at"]) <= datetime.now(UTC)


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_field_cannot_take_the_place_of_the_moment_or_the_level(*, json_lines: bool) -> None:
    stream = io.StringIO()
    logs.configure(stream, secrets=[], json=json_lines)
    logs.get().info("round.done", at="yesterday", level="odd", exception=["mine"])
    assert "yesterday" not in stream.getvalue()
    assert "odd" not in stream.getvalue()
    assert "mine" in stream.getvalue()


class Word(StrEnum):
    """A text with a type of its own."""

    NEW = "new"


class Broken:
    """Cannot even be printed."""

    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1E+3"), "1000"),
        (Decimal("0.00000001"), "0.00000001"),
        (datetime(2025, 11, 23, 10, 15, 2, tzinfo=UTC), "2025-11-23T10:15:02Z"),
        (date(2025, 11, 23), "2025-11-23"),
        (b"ok\xff", "ok\\xff"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (Word.NEW, "new"),
        ({"a": (1, Decimal("1.0")), 2: {3}}, {"a": [1, "1.0"], "2": [3]}),
        (ValueError("odd"), "ValueError: odd"),
        (Broken(), "(RuntimeError while printing a Broken)"),
        ("完了 ж 👨‍💻", "完了 ж 👨‍💻"),
        ("x" * 5000, "x" * 4000 + "… (5000 characters)"),
    ],
)
def test_a_value_of_any_type_becomes_plain_json(value: object, expected: object) -> None:
    assert logged(value=value)["value"] == expected


def test_a_value_that_holds_itself_ends() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert "[...]" in str(logged(value=endless)["value"])


def test_json_stays_exact_and_never_sends_what_a_terminal_could_obey() -> None:
    evil = "\x1b]0;owned\x07 \x9b31m \u202etxt.exe \u2028 \ud800 \x7f \U000e0041"
    stream = io.StringIO()
    logs.configure(stream, secrets=[])
    logs.get().info("word.unknown", word=evil)
    assert stream.getvalue().rstrip("\n").isprintable()
    assert lines(stream)[0]["word"] == evil


def test_a_terminal_gets_short_lines_and_control_characters_spelled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure(stream, secrets=[KEY])
    logs.get(panel="senderin").warning(
        "word.unknown", word="\x1b[2J完\u202e了\nnext", nested={"a": "\x1b[2J"}, money=Decimal("0.10")
    )
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert "word.unknown" in text
    assert "panel=senderin" in text
    assert "\\x1b[2J完\\u202e了\\nnext" in text.replace("\\\\", "\\")
    assert "money=0.10" in text


def test_colors_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, json_lines, colored in (
        (Terminal(), None, True),
        (Terminal(), True, False),
        (io.StringIO(), False, False),
        (io.StringIO(), None, False),
    ):
        logs.configure(stream, secrets=[], json=json_lines)
        logs.get().error("round.failed")
        assert ("\x1b[" in stream.getvalue()) is colored
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure(stream, secrets=[])
    logs.get().error("round.failed")
    assert "\x1b[" not in stream.getvalue()


def fail_with_the_key() -> None:
    """Raise an error whose causes carry the key in several spellings."""
    cause = KeyError(KEY)
    cause.__cause__ = ValueError(f"POST https://x/?{urlencode({'key': KEY})}")
    try:
        raise cause
    except KeyError as error:
        raise RuntimeError(f"{error!r} {json.dumps({'k': KEY})} {[KEY]} {SIMPLE_KEY}") from error


@pytest.mark.parametrize("json_lines", [True, False])
def test_no_spelling_of_a_secret_reaches_a_line(*, json_lines: bool) -> None:
    stream = io.StringIO()
    logs.configure(stream, secrets=[KEY, SIMPLE_KEY], json=json_lines, level="debug")
    log = logs.get(bound=f"<{KEY}>")
    log.debug("plain", a=KEY, b=f"x{SIMPLE_KEY}y", c={KEY: [KEY, {"d": (SIMPLE_KEY,)}]}, d=KEY.encode(), e={KEY})
    event = f"event.{SIMPLE_KEY}"
    log.info(event, url=httpx.URL("https://x/", params={"key": KEY}), form=urlencode({"key": KEY}))
    log.info("long", cut="x" * 3990 + SIMPLE_KEY)
    logging.getLogger("apscheduler.executors").warning("job %s failed", KEY)
    try:
        fail_with_the_key()
    except RuntimeError as error:
        log.exception("round.failed", error=error)
        log.warning("round.failed", exc_info=error)
        logging.getLogger("alembic").exception("migration of %s", SIMPLE_KEY)
    text = stream.getvalue()
    assert text.count(logs.HIDDEN) > 20
    for spelling in SPELLINGS:
        assert spelling not in text
    if json_lines:
        values = json.dumps([list(line.values()) for line in lines(stream)], ensure_ascii=False)
        assert not any(spelling in values for spelling in SPELLINGS)
        assert not any(str(KEY) in str(value) for line in lines(stream) for value in line.values())


def test_an_exception_is_one_short_field_in_json() -> None:
    stream = io.StringIO()
    logs.configure(stream, secrets=[])
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("SELECT nonsense")
    except sqlite3.Error as error:
        cause = ConnectionError("database gone")
        cause.__cause__ = error
        logs.get().error("round.failed", exc_info=cause)
        logs.get().exception("round.failed")
    first, second = lines(stream)
    assert first["exception"] == ["ConnectionError: database gone", "OperationalError: no such column: nonsense"]
    assert second["exception"] == ["OperationalError: no such column: nonsense"]
    assert second["trace"][-1].endswith(" test_an_exception_is_one_short_field_in_json")
    assert "exc_info" not in second


def test_an_exception_is_a_whole_traceback_on_a_terminal() -> None:
    stream = Terminal()
    logs.configure(stream, secrets=[])
    try:
        sys.exit("\x1b[2J")
    except SystemExit:
        logs.get().exception("round.failed")
    assert "Traceback (most recent call last):\n" in stream.getvalue()
    assert "SystemExit: \\x1b[2J\n" in stream.getvalue()


def test_asking_for_a_traceback_where_nothing_was_raised_is_harmless() -> None:
    assert "exception" not in logged(exc_info=True)


def test_libraries_are_heard_from_warning_on_and_httpx_never_tells_its_urls() -> None:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()  # pytest's own raises where a library's text and arguments disagree
    logging.getLogger("httpx").setLevel(logging.DEBUG)
    logs.configure(stream, secrets=[], level="debug")
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        httpx.get(f"http://127.0.0.1:{server.server_port}/?key=unknown-to-us", trust_env=False, timeout=PATIENCE)
        answering.join()
    for name in ("sqlalchemy.engine", "apscheduler.executors", "alembic.runtime", "anything"):
        logging.getLogger(name).info("not this")
        logging.getLogger(name).warning("this %s", name)
    logging.getLogger("anything").critical("%d", "no number")
    assert [(line["level"], line["event"], line["message"]) for line in lines(stream)] == [
        ("warning", "sqlalchemy.engine", "this sqlalchemy.engine"),
        ("warning", "apscheduler.executors", "this apscheduler.executors"),
        ("warning", "alembic.runtime", "this alembic.runtime"),
        ("warning", "anything", "this anything"),
        ("error", "anything", "%d"),
    ]


def test_configuring_again_reaches_loggers_that_are_already_held() -> None:
    log, bound = logs.get(), logs.get(panel="senderin")
    first, second = io.StringIO(), io.StringIO()
    logs.configure(first, secrets=[])
    log.info("one")
    bound.debug("not shown")
    logs.configure(second, secrets=[SIMPLE_KEY], level="debug")
    log.info("two", word=SIMPLE_KEY)
    bound.debug("three")
    logging.getLogger("library").warning("once")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two", "three", "library"]
    assert lines(second)[0]["word"] == logs.HIDDEN


def test_short_texts_are_not_taken_for_secrets() -> None:
    assert logs.spellings(["", "abc"]) == ()
    assert logs.spellings(["abcd"]) == ("abcd",)


def test_the_longer_of_two_secrets_is_hidden_whole() -> None:
    stream = io.StringIO()
    logs.configure(stream, secrets=["abcd", "abcdefgh"])
    logs.get().info("x", word="abcdefgh abcd")
    assert lines(stream)[0]["word"] == f"{logs.HIDDEN} {logs.HIDDEN}"


def test_a_stream_that_cannot_be_written_stops_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    broken = os.fdopen(writing, "w", buffering=1)
    logs.configure(broken, secrets=[])
    logs.get().info("round.done")
    with pytest.raises(BrokenPipeError):
        broken.close()
    logs.get().info("round.done")


def test_a_stream_that_is_not_utf8_gets_escapes() -> None:
    raw = io.BytesIO()
    logs.configure(io.TextIOWrapper(raw, encoding="ascii"), secrets=[])
    logs.get().info("word.unknown", word="完了ж")
    assert json.loads(raw.getvalue())["word"] == "完了ж"


def test_lines_of_many_threads_do_not_mix() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading) as reader:
        logs.configure(stream, secrets=[])
        start = threading.Barrier(4)

        def talk(number: int) -> None:
            start.wait()
            for count in range(50):
                logs.get(thread=number).info("line", count=count)

        threads = [threading.Thread(target=talk, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        got = [json.loads(reader.readline()) for _ in range(200)]
        for thread in threads:
            thread.join()
    for number in range(4):
        assert [line["count"] for line in got if line["thread"] == number] == list(range(50))


def test_logs_of_a_real_process_are_json_lines_in_a_pipe() -> None:
    program = (
        "import sys; from tracker import logs; logs.configure(sys.stderr, secrets=['topsecret']); "
        "logs.get(panel='senderin').info('round.done', asked=3, word='topsecret')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = json.loads(done.stderr)
    assert (line["panel"], line["asked"], line["word"]) == ("senderin", 3, logs.HIDDEN)
    assert done.stdout == ""

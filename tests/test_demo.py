"""The demo, as somebody sees it who has just installed tracker."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_setting import sql, typed, typed_here
from promises import broken
from simulation import PATIENCE, until
from terminal import Terminal
from warm import Warm

from tracker.cli.working import demo as module
from tracker.store.database import opened

CHANGE = re.compile(r"  demo/\d+: \w+ -> \w+ \(")
TOTALS = re.compile(r"\d\d:\d\d:\d\d .*completed=\d+ .*balance=[\d.]+ USD due=")


def test_a_terminal_shows_something_to_look_at_and_fills_another_size(tmp_path: Path) -> None:
    with Terminal(["demo"], 80, 24, tmp_path) as terminal:
        shown = terminal.until(
            *("tracker demo", "1 s here is 10m there", "pending", "in_progress", "completed", " USD, ", "q quit"),
            *("of 600 a minute", "answers", "anomalies  0", "1 changes", "remains", "charge"),
        )
        _fits(shown, 80)
        terminal.resize(120, 40)
        until(lambda: terminal.read() and _is_filled(terminal.screen(), 120), "a larger picture")
        _fits(terminal.screen(), 120)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 0
        assert b"Traceback" not in terminal.raw
        assert terminal.settings() == terminal.before
        left = terminal.screen()
        assert any("Try on it" in line for line in left)
        assert not any(line.startswith("── ") for line in left), "the picture stays on the screen"


def _is_filled(shown: list[str], columns: int) -> bool:
    rules = [line for line in shown if line.startswith("── ")]
    return [len(line) for line in rules] == [columns, columns] and shown[-1].startswith(" ↵ open")


def _fits(shown: list[str], columns: int) -> None:
    assert _is_filled(shown, columns), "its rules do not reach the edge, or the help is not at the bottom"
    assert len(max(shown, key=len)) == columns, "it does not fit the screen"


def test_an_order_of_the_demo_opens_and_its_time_is_told(tmp_path: Path) -> None:
    with Terminal(["demo", "--seconds", "60", "--orders", "40"], cwd=tmp_path) as terminal:
        terminal.until("ends in 5", "ago  order", "completed")
        terminal.press("\r")
        terminal.until("order demo/", "what happened", "panel says", "esc back")
        terminal.press("\x1b")
        terminal.until("1 changes", "1/")
        terminal.press("\x03")
        assert terminal.ended() == 0
        assert b"Traceback" not in terminal.raw
        assert any("Try on it" in line for line in terminal.screen())


def test_a_terminal_that_knows_only_lines_gets_lines(tmp_path: Path) -> None:
    dumb = {"TERM": "dumb"}
    with Terminal(["demo", "--seconds", "1", "--orders", "20"], cwd=tmp_path, env=dumb) as terminal:
        assert terminal.ended() == 0
        assert any("Try on it" in line for line in terminal.screen())
    assert b"\x1b" not in terminal.raw
    assert b"balance=" in terminal.raw


def test_a_pipe_gets_plain_lines_and_the_commands_it_prints_work(tmp_path: Path) -> None:
    arguments = ["demo", "--seconds", "3600", "--database", f"sqlite:///{tmp_path}/a b/demo.db"]
    with Warm(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        told = [next(line for line in demo.stdout if CHANGE.match(line))]
        told.append(next(line for line in demo.stdout if TOTALS.match(line)))
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(PATIENCE)
    assert (demo.returncode, errors) == (0, "")
    assert "\x1b" not in "".join(told) + rest
    first, *commands = re.findall(r"^  (\S.+)$", rest.partition("Try on it")[2], re.MULTILINE)
    export, set_ = shlex.split(first)
    assert (export, len(commands)) == ("export", 3)
    env = os.environ | {"TRACKER_DATABASE_URL": set_.removeprefix("TRACKER_DATABASE_URL=")}
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "tracker"
        with Warm(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path("/"), env=env) as process:
            out, err = process.communicate(PATIENCE)
        assert (process.returncode, err) == (0, ""), command
        assert out.count("\n") >= 1, command


def test_a_second_demo_in_the_same_database_is_another_panel(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/demo.db"
    for _ in range(2):
        assert typed_here("demo", "--seconds", "1", "--orders", "20", "--database", url) == 0
    assert sql(url, "SELECT name FROM panels ORDER BY name") == [("demo",), ("demo-2",)]
    assert broken(url) == {}


def test_a_demo_into_a_real_history_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/real.db"
    with opened(url, create=True) as database:
        database.upgrade()
    sql(url, "INSERT INTO panels (name) VALUES ('senderin')")
    sql(url, "INSERT INTO orders (panel, order_id) VALUES ('acme', '1')")
    refused = typed("demo", "--seconds", "1", "--database", url)
    assert refused.returncode == 2
    assert "holds the history of acme, senderin" in refused.stderr
    assert sql(url, "SELECT count(*) FROM orders") == [(1,)]


@pytest.mark.parametrize(("called", "program"), [("x/tracker", "x/tracker"), ("tracker/__main__.py", "tracker")])
def test_the_commands_at_the_end_name_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, called: str, program: str
) -> None:
    monkeypatch.setattr("sys.argv", [called, "demo"])
    assert module._program() == program


def test_a_demo_into_what_is_no_database_is_refused() -> None:
    refused = typed("demo", "--seconds", "1", "--database", "mysql://somewhere")
    assert refused.returncode == 2
    assert "--database must be the URL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_demo_whose_reader_goes_away_ends() -> None:
    line = f"{shlex.quote(sys.executable)} -m tracker demo --seconds 3600 --orders 20 | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr

"""The demo, as somebody sees it who has just installed tracker."""

import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_setting import TRACKER, sql, typed, typed_here
from promises import broken
from terminal import Terminal

COMMAND = re.compile(r"TRACKER_DATABASE_URL=(\S+) tracker (.+)")


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_a_terminal_shows_something_to_look_at_within_five_seconds(
    columns: int, lines: int, tmp_path: Path
) -> None:
    began = time.monotonic()
    with Terminal(["demo"], columns, lines, tmp_path) as terminal:
        shown = terminal.until(
            *("tracker demo", "Ctrl-C", "pending", "in_progress", "completed", "USD", "of 600 requests/min"),
            *("answers", "anomalies", "remains", "charge", "╯"),
        )
        assert time.monotonic() - began < 5
        assert shown[0].startswith("╭"), "the frame does not fit the screen"
        assert len(max(shown, key=len)) == columns
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 0
        assert b"Traceback" not in terminal.raw
        assert any("Try on it" in line for line in terminal.everything())


def test_a_pipe_gets_plain_lines_and_the_commands_it_prints_work(tmp_path: Path) -> None:
    began = time.monotonic()
    demo = typed("demo", "--seconds", "2", "--database", f"sqlite:///{tmp_path}/a b/demo.db")
    assert time.monotonic() - began < 8
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "\x1b" not in demo.stdout
    totals = re.findall(r"^\d\d:\d\d:\d\d .*completed=\d+ .*balance=[\d.]+ USD due=", demo.stdout, re.MULTILINE)
    assert 1 <= len(totals) <= 4
    assert re.search(r"^  demo/\d+: \w+ -> \w+ \(", demo.stdout, re.MULTILINE)
    commands = re.findall(r"^  (TRACKER_DATABASE_URL=.+)$", demo.stdout, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        line = command.replace(" tracker ", f" {shlex.join(TRACKER)} ", 1)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, cwd="/", check=False)
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout.count("\n") >= 1, command


def test_a_second_demo_in_the_same_database_is_another_panel(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/demo.db"
    for _ in range(2):
        assert typed_here("demo", "--seconds", "1", "--orders", "20", "--database", url) == 0
    assert sql(url, "SELECT name FROM panels ORDER BY name") == [("demo",), ("demo-2",)]
    assert broken(url) == {}


def test_a_demo_into_what_is_no_database_is_refused() -> None:
    refused = typed("demo", "--seconds", "1", "--database", "mysql://somewhere")
    assert refused.returncode == 2
    assert "--database must be the URL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_demo_whose_reader_goes_away_ends() -> None:
    line = f"{shlex.quote(sys.executable)} -m tracker demo --seconds 20 --orders 20 | head -1"
    began = time.monotonic()
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20, check=False)
    assert time.monotonic() - began < 12
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr

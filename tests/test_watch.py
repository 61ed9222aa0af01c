"""`tracker watch` as somebody uses it: real keys on a real terminal, beside a daemon or without one."""

import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from books import PENDING, follow, poll
from cli_setting import daemon_in_a_thread, settings_of, typed
from conftest import Postgres
from simulation import KEY, PATIENCE
from terminal import Terminal

from tracker.model import Counts, RoundRow, Status
from tracker.simulator import Simulator
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease

REAL = datetime.now(UTC)
MINUTE = timedelta(minutes=1)
HALF = Status("in_progress", "In progress", Decimal("0.5"), "USD", 10, 500)
ESC, ENTER, CTRL_C = "\x1b", "\r", "\x03"
LEFT_THE_PAGE = b"\x1b[?1049l"


def watching(database: Database, columns: int = 80, lines: int = 24, **env: str) -> Terminal:
    url = database._engine.url.render_as_string(hide_password=False)
    return Terminal(["watch"], columns, lines, env={"TRACKER_DATABASE_URL": url, **env})


def line_of(screen: list[str], text: str) -> str:
    return next(line for line in screen if text in line)


@pytest.fixture
def filled(sqlite_database: Database) -> Database:
    """Two panels: one with orders that have changed and one that is stuck, and one that nobody polls."""
    database = sqlite_database
    lease = database.acquire("acme", "test", 3600)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    memory.ledger.open("https://acme.example/api/v2")
    follow(database, "101", link="https://example.com/p/cat", tracked_at=REAL - MINUTE)
    follow(database, "102", ref="shop-9", tracked_at=REAL - MINUTE)
    follow(database, "silent", state="paused", tracked_at=REAL - timedelta(days=3))
    follow(database, "7", panel="waiting", tracked_at=REAL)
    poll(memory, {"101": PENDING, "102": PENDING}, REAL - MINUTE)
    poll(memory, {"101": HALF}, REAL)
    memory.ledger.finish_round(RoundRow("r", "statuses", REAL, REAL, Counts(requests=2), "ok"), [])
    return database


def test_beside_a_daemon_it_shows_what_that_learns_and_what_to_type_without_one(sqlite_database: Database) -> None:
    database = sqlite_database
    with Simulator(seed=3, key=KEY, speed=600) as panel, watching(database) as terminal:
        terminal.until("! Nothing is followed yet.", "tracker track --panel PANEL ORDER", "tracker run")
        placed = panel.world.spawn(20, oldest=3600)
        database.track("acme", [NewOrder(one.order_id) for one in placed])
        terminal.until("! No daemon has polled acme yet. Type: tracker run", "nobody yet", "new           20 █")
        with daemon_in_a_thread(database, [settings_of(panel, "acme", KEY)]) as (daemon, _):
            assert daemon.started.wait(PATIENCE)
            holder = database.holder_of("acme")
            assert holder is not None
            shown = terminal.until(holder.holder, " USD, ", "new ", "ago  order", "completed")
            assert shown[0].startswith("── tracker watch  sqlite:///")
            assert {len(line) for line in shown if line.startswith("──")} == {80}
            facts = "\n".join(shown)
            assert re.search(r"answers +(all fresh|\d+ due, the first for [\dms. ]+)$", facts, re.MULTILINE)
            assert re.search(r"requests +\d+ in the last minute$", facts, re.MULTILINE)
            assert re.search(r"statuses +[\d.]+s ago$", facts, re.MULTILINE)
            assert "!" not in facts
        terminal.until("! No daemon has polled acme for ", "nobody for ")
        terminal.press("q")
        assert terminal.ended() == 0


def test_keys_move_open_an_order_and_go_back(filled: Database) -> None:
    with watching(filled) as terminal:
        shown = terminal.until("1/3", " order ", "101", "0.5 USD", "102")
        first = shown[shown.index(line_of(shown, " order ")) + 1]
        assert re.search(r"101 +pending +in_progress +500 +0\.5 USD", first)
        terminal.press("j")
        terminal.until("2/3")
        terminal.press("\x1b[A")
        terminal.until("1/3")
        terminal.press(ENTER)
        shown = terminal.until(
            "order acme/101", "https://example.com/p/cat", "Pending", "In progress  ", "0.5 USD", "2/2"
        )
        told = [line for line in shown if re.match(r" \d\d-\d\d \d\d:\d\d:\d\d ", line)]
        assert re.search(r":\d\d +pending +Pending$", told[0])
        assert re.search(r":\d\d +1m +in_progress +In progress +500 +10 +0\.5 USD$", told[1])
        terminal.press(ESC)
        terminal.until("1 changes", "1/3")
        terminal.press("o")
        terminal.press(f"waiting/7{ENTER}")
        terminal.until("order waiting/7", "It has not been answered yet.")
        terminal.press(ESC)
        terminal.until("1 changes")
        terminal.press("onix/9" + ENTER)
        terminal.until("No order nix/9 is known.")
        terminal.press("q")
        assert terminal.ended() == 0
        assert LEFT_THE_PAGE in terminal.raw
        assert b"Traceback" not in terminal.raw


def test_keys_narrow_the_lists_by_text_state_and_panel(filled: Database) -> None:
    with watching(filled) as terminal:
        terminal.until("1/3")
        terminal.press("/SHOP-9")
        terminal.until("1/1", "only “SHOP-9”", " SHOP-9")
        terminal.press(ENTER)
        terminal.until("only “SHOP-9”", "q quit")
        terminal.press(ESC)
        terminal.until("1/3")
        terminal.press("s")
        terminal.until("only pending", "1/2")
        terminal.press("s")
        terminal.until("only in_progress", "1/1")
        terminal.press("p")
        terminal.until("only in_progress · acme", "polled by  test")
        terminal.press("p")
        shown = terminal.until("panel      waiting", "nobody yet", "None of the newest 2,000 changes is")
        assert "102" not in "".join(shown)
        terminal.press(ESC)
        terminal.until("panels     2")
        terminal.press("2")
        shown = terminal.until("2 stuck (1)", "1/1", "silent")
        assert re.search(r" 3d +acme +silent +paused", line_of(shown, " silent  paused"))
        terminal.press("3")
        shown = terminal.until("3 panels (2)", "health")
        assert any(re.match(r" acme +polled ", line) for line in shown)
        assert any(re.match(r" waiting +nobody yet ", line) for line in shown)
        terminal.press(ENTER)
        terminal.until("1 changes", "only acme", "1/3")
        terminal.press(CTRL_C)
        assert terminal.ended() == 0
        assert terminal.settings() == terminal.before


def test_what_a_panel_says_is_shown_and_never_obeyed(sqlite_database: Database) -> None:
    evil = "\x1b]0;owned\x07[red]Weird[/] \u202etxt"
    follow(sqlite_database, "[@click=app.quit]1", panel="[b]p[/b]", link="https://例え.jp/" + "x" * 2000, ref=evil)
    lease = sqlite_database.acquire("[b]p[/b]", "host/[i]", 3600)
    assert isinstance(lease, Lease)
    memory = sqlite_database.memory(lease)
    memory.ledger.open("https://acme.example/api/v2")
    told = Status("unknown", evil, Decimal(1), "[u]\x1b[31m")
    poll(memory, {"[@click=app.quit]1": told}, REAL)
    memory.ledger.finish_round(RoundRow("r", "statuses", REAL, REAL, Counts(), "refused", evil), [])
    shown_as = "\\x1b]0;owned\\x07[red]Weird[/] \\u202etxt"
    with watching(sqlite_database, 200) as terminal:
        terminal.until("[@click=app.quit]1", "panel      [b]p[/b]", "polled by  host/[i]", "1 [u]\\x1b[31m")
        terminal.until(f"! [b]p[/b]: refused. {shown_as}")
        terminal.press(ENTER)
        shown = terminal.until("order [b]p[/b]/[@click=app.quit]1", f"panel says  {shown_as}", "https://例え")
        assert max(map(len, shown)) <= 200
        terminal.resize(60, 16)
        shown = terminal.until("order [b]p[/b]/[@click=app.quit]1", "esc back")
        assert max(map(len, shown)) <= 60
        terminal.press("q")
        assert terminal.ended() == 0
    assert b"owned\x07" not in terminal.raw
    assert "\u202e".encode() not in terminal.raw


def test_a_database_that_goes_away_is_missed_and_shown_again_once_it_is_back(
    database: Database, database_url: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    follow(database, "1", state="pending")
    database.close()
    path = tmp_path / "tracker.db"

    def away(gone: bool) -> None:  # noqa: FBT001
        if database_url.startswith("sqlite"):
            (path if gone else tmp_path / "away").rename(tmp_path / "away" if gone else path)
            return
        server: Postgres = request.getfixturevalue("postgres")
        name = re.findall(r"/(test_\d+)", database_url)[0]
        server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(not gone).lower()}")
        server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")

    with watching(database, NO_COLOR="1") as terminal:
        terminal.until("No daemon has polled acme yet", "pending        1 █")
        terminal.press("oacme/1" + ENTER)
        terminal.until("order acme/1", "It has not been answered yet.")
        away(gone=True)
        terminal.until("! The database does not answer. This is ", "order acme/1")
        terminal.press(ESC)
        terminal.until("! The database does not answer. This is ", "pending        1 █")
        away(gone=False)
        terminal.until("No daemon has polled acme yet")
        assert "does not answer" not in "".join(terminal.screen())
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ended() == 0
        assert terminal.settings() == terminal.before
        assert LEFT_THE_PAGE in terminal.raw
    colors = {number for codes in re.findall(rb"\x1b\[([\d;]*)m", terminal.raw) for number in codes.split(b";")}
    assert colors <= {b"", b"0", b"1", b"2", b"4", b"7", b"39", b"49"}, "NO_COLOR was set"


def test_a_bug_of_ours_gives_the_terminal_back(sqlite_database: Database) -> None:
    spoil = (
        "import tracker.cli.working.screen.words as w; w.facts = None; from tracker.cli.main import main; main()"
    )
    env = {"TRACKER_DATABASE_URL": str(sqlite_database._engine.url)}
    with Terminal(["watch"], env=env, command=(sys.executable, "-c", spoil)) as terminal:
        assert terminal.ended() == 1
        assert terminal.settings() == terminal.before
    assert terminal.raw.rindex(LEFT_THE_PAGE) < terminal.raw.rindex(b"TypeError")


def test_it_ends_with_its_window(sqlite_database: Database) -> None:
    with watching(sqlite_database) as terminal:
        terminal.until("1 changes", "Nothing is followed yet")
        terminal.close()
        assert terminal.process.wait(PATIENCE) is not None


def test_in_a_pipe_it_prints_lines(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", str(filled._engine.url))
    done = typed("watch", "--seconds", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "  acme/101: pending -> in_progress (In progress, remains 500)\n" in done.stdout
    assert re.search(r"^\d\d:\d\d:\d\d new=1 pending=1 .*due=\d late=.* stuck=1 ", done.stdout, re.MULTILINE)
    assert "! No daemon has polled waiting yet. Type: tracker run\n" in done.stdout


def test_without_a_database_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    done = typed("watch")
    assert done.returncode == 10
    assert "There is no database at" in done.stderr
    assert "tracker run" in done.stderr
    assert not (tmp_path / "none.db").exists()


def test_other_commands_do_not_wait_for_the_screens_library() -> None:
    imports = "import sys, tracker.cli.working.watch, tracker.cli.working.demo, tracker.cli.main"
    line = f"{imports}; sys.exit('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0

"""The daemon from outside: signals, leases, exit codes, a database that goes away, a panel in trouble."""

import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from books import follow
from cli_setting import (
    KEY,
    OFTEN,
    Running,
    configure,
    daemon_in_a_thread,
    settings_of,
    sql,
    typed,
)
from conftest import Postgres
from intents_setting import ADD, CANCEL, LONG_AGO, REFILL, begin
from promises import broken
from simulation import until

from tracker import logs
from tracker.model import Outcome
from tracker.simulator import Simulator
from tracker.store import engine
from tracker.store.database import Database, opened


def rounds(database: Database, panel: str, kind: str = "balance") -> int:
    """Return how many rounds of a kind ended well."""
    rows = database.history.rounds(panel, limit=None)
    return sum(row["kind"] == kind and row["outcome"] == "ok" for row in rows)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tracker.db"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a daemon of this process logs."""
    stream = io.StringIO()
    logs.configure(stream, secrets=(), json=True)
    yield stream
    structlog.reset_defaults()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_the_middle_of_a_request(tmp_path: Path, url: str, number: signal.Signals) -> None:
    with Simulator(key=KEY, latency=3600) as panel:
        config = configure(tmp_path, {"acme": panel.url}, url)
        with Running(config) as running:
            until(lambda: panel.counts["balance"] + panel.counts["services"] > 0, "a request to be in flight")
            running.signal(number)
            assert running.ended() == 0, running.raw
            assert "Traceback" not in "".join(running.raw)
            assert running.lines("daemon.stopped", panels=["acme"])
    with opened(url) as database:
        held = database.holder_of("acme")
        assert held is not None
        assert held.expired, "the lease is given back, so that the next one need not wait"
        assert [row["outcome"] for row in database.history.rounds()] == ["stopped"]


def test_a_locked_database_does_not_keep_it_from_ending(tmp_path: Path, url: str) -> None:
    with Simulator(key=KEY) as panel:
        config = configure(tmp_path, {"acme": panel.url}, url)
        with Running(config) as running, closing(sqlite3.connect(tmp_path / "tracker.db")) as other:
            running.until("round.finished", kind="balance")
            other.execute("BEGIN IMMEDIATE")
            before = panel.counts["balance"] + panel.counts["services"]
            until(
                lambda: panel.counts["balance"] + panel.counts["services"] > before,
                "an answer that cannot be written",
            )
            running.signal()
            assert running.ended() == 128 + signal.SIGTERM
            assert running.lines("daemon.killed")
            other.rollback()
    assert broken(url) == {}


def test_an_order_inserted_by_another_program_is_followed_while_it_runs(url: str) -> None:
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]):
            until(lambda: rounds(database, "acme") > 0, "it to run")
            order_id = panel.world.spawn(1)[0].order_id
            sql(url, f"INSERT INTO orders (panel, order_id) VALUES ('acme', '{order_id}')")
            until(lambda: database.history.find(order_id)[0]["state"] != "new", "it to be answered")


def test_one_panels_trouble_does_not_delay_another(url: str) -> None:
    with (
        Simulator(key=KEY, latency=3600) as stuck,
        Simulator(key=KEY) as healthy,
        opened(url, create=True) as database,
    ):
        database.upgrade()
        panels = [settings_of(stuck, "stuck"), settings_of(healthy, "healthy")]
        with daemon_in_a_thread(database, panels) as (_, ended):
            until(lambda: stuck.counts.total() > 0, "the stuck panel to be asked")
            before = rounds(database, "healthy")
            until(lambda: rounds(database, "healthy") >= before + 3, "rounds of the healthy panel")
            assert database.history.rounds("stuck") == [], "it was not stuck"
        assert ended.error is None


def test_a_refused_key_stops_that_panel_after_one_request_and_no_other(url: str) -> None:
    with Simulator(key="another") as strict, Simulator(key=KEY) as fine, opened(url, create=True) as database:
        database.upgrade()
        panels = [settings_of(strict, "strict"), settings_of(fine, "fine")]
        with daemon_in_a_thread(database, panels) as (_, ended):
            until(lambda: database.history.rounds("strict") != [], "the refusal")
            before = rounds(database, "fine")
            until(lambda: rounds(database, "fine") >= before + 2, "rounds of the other panel")
            assert strict.counts.total() == 1
        assert ended.error is None
        (told,) = [row for row in database.history.panels() if row["name"] == "strict"]
        assert told["fault_kind"] == "key_refused"


def test_a_panel_that_is_down_is_found_again(url: str) -> None:
    with Simulator(key=KEY, faults={"http-502": 1.0}) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]):
            until(lambda: database.history.rounds("acme") != [], "a failed round")
            panel.behave()
            until(lambda: rounds(database, "acme") > 0, "a good round")


def test_a_locked_database_pauses_polling_until_it_is_back(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setitem(engine.PRAGMAS, "busy_timeout", 50)
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=2.0) as (_, ended):
            until(lambda: rounds(database, "acme") > 0, "it to run")
            with closing(sqlite3.connect(tmp_path / "tracker.db")) as other:
                other.execute("BEGIN IMMEDIATE")
                until(lambda: "database.unreachable" in logged.getvalue(), "it to say so")
                other.rollback()
            until(lambda: "database.back" in logged.getvalue(), "it to notice")
            before = rounds(database, "acme")
            until(lambda: rounds(database, "acme") > before, "polling to go on")
        assert ended.error is None
    assert broken(url) == {}


def test_a_postgres_that_drops_and_refuses_connections_is_waited_for(postgres: Postgres, tmp_path: Path) -> None:
    name = postgres.create("migrated")
    url = postgres.url(name)
    with Simulator(key=KEY) as panel, Running(configure(tmp_path, {"acme": panel.url}, url)) as running:
        running.until("round.finished", kind="balance")
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        running.until("database.unreachable")
        postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        running.until("database.back")
        running.until("round.finished", len(running.lines("round.finished")) + 1)
        running.signal()
        assert running.ended() == 0
    assert broken(url) == {}
    postgres.run(f"DROP DATABASE {name}")


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        ("UPDATE alembic_version SET version_num = '9999'", 10, "a newer tracker has been here"),
        ("DROP TABLE alembic_version", 10, "tables of something else"),
    ],
)
def test_an_unfit_database_ends_it_with_the_remedy_and_is_untouched(
    tmp_path: Path, url: str, spoil: str, code: int, said: str
) -> None:
    with opened(url, create=True) as database:
        database.upgrade()
    sql(url, spoil)
    before = (tmp_path / "tracker.db").read_bytes()
    with Simulator(key=KEY) as panel:
        with Running(configure(tmp_path, {"acme": panel.url}, url)) as running:
            assert running.ended() == code
            (line,) = running.lines("daemon.failed")
            assert said in line["error"]
        assert panel.counts.total() == 0
    assert (tmp_path / "tracker.db").read_bytes() == before


def test_no_upgrade_refuses_an_empty_or_absent_database(tmp_path: Path, url: str) -> None:
    with Simulator(key=KEY) as panel:
        config = configure(tmp_path, {"acme": panel.url}, url)
        absent = typed("run", "--no-upgrade", config=config)
        assert absent.returncode == 10
        assert "tracker db upgrade" in absent.stderr
        assert not (tmp_path / "tracker.db").exists()
        (tmp_path / "tracker.db").touch()
        empty = typed("run", "--no-upgrade", config=config)
        assert empty.returncode == 10
        assert "tracker db upgrade" in empty.stderr
        assert (tmp_path / "tracker.db").read_bytes() == b""
        assert typed("db", "upgrade", config=config).returncode == 0
        with Running(config, "--no-upgrade") as running:
            running.until("daemon.started")
            running.signal()
            assert running.ended() == 0


def test_a_bug_in_one_round_is_logged_and_the_others_go_on(
    url: str, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    def crash(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tracker.daemon.post.catalog", crash)
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], OFTEN) as (_, ended):
            until(lambda: rounds(database, "acme") >= 2, "two rounds beside it")
        assert ended.error is None
    assert "tick.crashed" in logged.getvalue()


def test_unknown_intents_are_told_once_in_the_log_and_never_sent_again(
    url: str, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    monkeypatch.setattr("tracker.daemon.service.LOOKOUT_SECONDS", 0.0)

    def told(event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in logged.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        earlier = begin(database, REFILL, Outcome("unknown", error="no answer"))
        canceled = begin(database, CANCEL, seconds=LONG_AGO)
        later = datetime.now(UTC) + timedelta(minutes=1)
        follow(database, str(CANCEL.order_id), state="canceled", state_at=later, next_poll_at=later)
        died = begin(database, ADD._replace(panel="another"), seconds=LONG_AGO)
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (_, ended):
            until(lambda: len(told("intent.unknown")) == 2, "it to look at the journal")
            late = begin(database, ADD._replace(panel="another"), Outcome("unknown"), despite_unknown=True)
            until(lambda: len(told("intent.unknown")) == 3, "it to look again")
        assert ended.error is None
        assert [line["intent"] for line in told("intent.unknown")] == [earlier, died, late]
        line = told("intent.unknown")[1]
        assert (line["panel"], line["service"], line["level"]) == ("another", ADD.service_id, "warning")
        assert f"tracker resolve {died}" in str(line["remedy"])
        [line] = told("intent.resolved")
        assert (line["intent"], line["order"], line["level"]) == (canceled, CANCEL.order_id, "info")
        assert line["resolution"] == "the order was canceled"
        assert panel.counts["add"] + panel.counts["refill"] + panel.counts["cancel"] == 0


def test_a_bug_in_the_journal_does_not_keep_it_from_polling(
    url: str, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO
) -> None:
    def crash(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("tracker.store.journal.intents.Intents.recover", crash)
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (_, ended):
            until(lambda: "lookout.crashed" in logged.getvalue(), "it to look at the journal")
            before = rounds(database, "acme")
            until(lambda: rounds(database, "acme") > before, "another round")
        assert ended.error is None

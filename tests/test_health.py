"""Health: what it says of work that goes on, stands, or is late; from records and from real databases."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from books import NOW, ago, execute, follow
from cli_setting import configure, daemon_in_a_thread, settings_of, typed_here
from filled import fill, whole_second
from intents_setting import ADD, CANCEL, begin
from simulation import until
from sqlalchemy import insert, update

from tracker.daemon.health.vitality import Configured, Finding, Health, examine
from tracker.daemon.status import Failure, Figures
from tracker.model import Anomaly, Balance, Counts, Kind, Outcome, RoundRow
from tracker.settings import Every
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.leases import Lease
from tracker.store.polling.memory import Memory
from tracker.store.reading.panel_glance import PanelGlance
from tracker.store.reading.vitals import KindVitals, PanelVitals
from tracker.store.schema import leases, orders

HELD = PanelGlance("acme", holder="host/1/abc")
FRESH: Mapping[Kind, KindVitals] = {
    "statuses": KindVitals(ago(minutes=1)),
    "balance": KindVitals(ago(minutes=3)),
    "catalog": KindVitals(ago(minutes=40)),
}
ACME = Configured("acme")


def judged(
    vitals: PanelVitals, configured: Configured = ACME, memory: Mapping[str, Figures] | None = None
) -> Health:
    return examine([vitals], [configured], NOW, memory)


def only(health: Health) -> Finding:
    [finding] = health.findings
    return finding


def test_work_that_goes_on_is_healthy_though_no_refill_was_ever_asked_about() -> None:
    health = judged(PanelVitals(HELD, open=10, kinds=FRESH))
    assert health.healthy
    assert health.working
    assert health.findings == ()


def test_a_panel_that_nobody_polls_says_so_and_nothing_else() -> None:
    gone = HELD._replace(unpolled_for=timedelta(minutes=5))
    for vitals in (
        PanelVitals(gone, kinds={"balance": KindVitals(ago(days=1))}),
        PanelVitals(PanelGlance("acme")),
    ):
        health = judged(vitals)
        assert only(health).what == "nobody polls it"
        assert not health.working


def test_a_panel_that_was_never_seen_is_one_that_nobody_polls() -> None:
    health = examine([], [ACME], NOW)
    assert only(health).level == "stopped"
    assert health.panels[0].open == 0


def test_a_paused_panel_may_rest() -> None:
    vitals = PanelVitals(PanelGlance("acme"), open=5, due=5, due_since=ago(days=3), late=5)
    health = judged(vitals, Configured("acme", paused=True))
    assert health.healthy
    assert (health.panels[0].open, health.panels[0].late, health.panels[0].lag_seconds) == (5, 0, 0)


def test_a_balance_that_has_not_come_for_three_intervals_is_a_stop_with_its_last_error() -> None:
    kinds = {**FRESH, "balance": KindVitals(ago(minutes=18), ago(minutes=2), "acme: balance: HTTP 502")}
    finding = only(judged(PanelVitals(HELD, kinds=kinds)))
    assert (finding.level, finding.panel) == ("stopped", "acme")
    assert finding.what == "balance last succeeded 18m ago: acme: balance: HTTP 502"
    kinds["balance"] = KindVitals(ago(minutes=17), ago(minutes=2), "acme: balance: HTTP 502")
    assert judged(PanelVitals(HELD, kinds=kinds)).healthy


def test_a_balance_that_waits_for_a_long_round_of_statuses_is_no_stop() -> None:
    slow = Configured("acme", every=Every(statuses=1800.0))
    kinds = {**FRESH, "statuses": KindVitals(ago(minutes=30)), "balance": KindVitals(ago(minutes=46))}
    assert judged(PanelVitals(HELD, kinds=kinds), slow).healthy
    kinds["balance"] = KindVitals(ago(minutes=47))
    assert only(judged(PanelVitals(HELD, kinds=kinds), slow)).what == "balance last succeeded 47m ago"


def test_a_kind_that_never_succeeded_is_a_stop_once_it_has_failed() -> None:
    kinds = {**FRESH, "refills": KindVitals(None, ago(minutes=2), "acme: refills: no JSON")}
    assert only(judged(PanelVitals(HELD, kinds=kinds))).what == "refills never succeeded: acme: refills: no JSON"


def test_statuses_without_a_row_for_days_are_a_stop_only_where_the_last_one_failed() -> None:
    idle = KindVitals(ago(days=2), ago(days=3), "overcome")
    assert judged(PanelVitals(HELD, kinds={**FRESH, "statuses": idle})).healthy
    failing = KindVitals(ago(days=2), ago(days=1), "acme: timeout")
    vitals = PanelVitals(HELD, kinds={**FRESH, "statuses": failing})
    assert only(judged(vitals)).what == "statuses last succeeded 2d ago: acme: timeout"
    remembered = Figures(succeeded={"statuses": ago(seconds=20)})
    assert judged(vitals, memory={"acme": remembered}).healthy, "the daemon knows of a round that left no row"


def test_the_newer_error_of_daemon_and_database_is_shown() -> None:
    kinds = {**FRESH, "balance": KindVitals(ago(minutes=3), ago(hours=2), "older")}
    told = judged(PanelVitals(HELD, kinds=kinds)).panels[0].kinds["balance"]
    assert (told.last_error, told.last_error_at) == ("older", ago(hours=2))
    memory = {"acme": Figures(failed={"balance": Failure(ago(hours=1), "newer")})}
    told = judged(PanelVitals(HELD, kinds=kinds), memory=memory).panels[0].kinds["balance"]
    assert (told.last_error, told.last_error_at) == ("newer", ago(hours=1))


def test_a_refused_key_is_one_stop_until_something_succeeds_again() -> None:
    refused = HELD._replace(fault="acme: no", fault_kind="key_refused", fault_at=ago(seconds=30))
    health = judged(PanelVitals(refused, kinds=FRESH))
    assert only(health).what == "the panel refuses the key"
    assert health.panels[0].key_refused
    memory = {"acme": Figures(succeeded={"refills": ago(seconds=5)})}
    assert not judged(PanelVitals(refused, kinds=FRESH), memory=memory).working, "it had nothing to ask"
    kinds = {**FRESH, "statuses": KindVitals(ago(seconds=10))}
    assert judged(PanelVitals(refused, kinds=kinds)).healthy


def test_what_a_clock_that_stood_ahead_has_dated_neither_hides_a_stop_nor_makes_one() -> None:
    ahead = NOW + timedelta(days=365)
    failing = KindVitals(ago(days=2), ago(minutes=1), "acme: balance: HTTP 502")
    vitals = PanelVitals(HELD, kinds={**FRESH, "balance": failing})
    memory = {"acme": Figures(succeeded={"balance": ahead}, failed={"balance": Failure(ahead, "then")})}
    assert only(judged(vitals, memory=memory)).what == "balance last succeeded 2d ago: acme: balance: HTTP 502"
    refused = HELD._replace(fault="acme: no", fault_kind="key_refused", fault_at=ahead)
    assert judged(PanelVitals(refused, kinds=FRESH)).healthy, "where it still is refused, the next try says so"


def test_an_intent_of_unknown_outcome_needs_a_person_but_stops_nothing() -> None:
    health = judged(PanelVitals(HELD, kinds=FRESH, unknown=1))
    assert only(health).level == "attention"
    assert health.working
    assert not health.healthy
    assert "tracker resolve" in only(health).remedy


def test_late_orders_are_a_stop_that_says_what_a_sweep_takes_and_what_would_shorten_it() -> None:
    late = PanelVitals(HELD, open=540_000, due=90_000, due_since=ago(hours=5), late=3, kinds=FRESH)
    finding = only(judged(late))
    assert finding.what == "3 orders are late, the first is due for 5h; a sweep takes 1h40m"
    assert finding.remedy.startswith("requests_per_minute = 600 would make it 10m")
    single = PanelVitals(HELD, bulk_status=False, open=5400, due=9, due_since=ago(hours=5), late=3, kinds=FRESH)
    assert "one order a request" in only(judged(single)).remedy


def test_a_slow_sweep_without_late_orders_is_only_noted() -> None:
    slow = PanelVitals(HELD, open=540_000, kinds=FRESH)
    health = judged(slow)
    assert only(health).level == "note"
    assert health.healthy
    assert judged(slow, Configured("acme", per_minute=6000.0)).findings == ()
    assert judged(slow, Configured("acme", per_minute=None)).panels[0].sweep_seconds == 0


def test_open_orders_of_a_panel_that_is_not_configured_are_noted() -> None:
    other = PanelVitals(PanelGlance("sendrin"), open=2)
    health = examine([PanelVitals(HELD, kinds=FRESH), other], [ACME], NOW)
    assert only(health).panel == "sendrin"
    assert "nobody asks about its 2 open orders" in only(health).what
    assert health.healthy


def test_lag_is_that_of_the_moment_of_the_look() -> None:
    vitals = PanelVitals(HELD, open=5, due=5, due_since=ago(seconds=60), kinds=FRESH)
    assert examine([vitals], [ACME], NOW).panels[0].lag_seconds == 60
    assert examine([vitals], [ACME], NOW, looked_at=ago(seconds=50)).panels[0].lag_seconds == 10


def test_the_worst_comes_first() -> None:
    vitals = [PanelVitals(HELD, open=540_000, unknown=2, kinds=FRESH), PanelVitals(PanelGlance("b"))]
    health = examine(vitals, [ACME, Configured("b")], NOW)
    assert [one.level for one in health.findings] == ["stopped", "attention", "note"]


# From the database


def vitals_of(database: Database, panel: str = "acme", seconds: float = 60.0, now: datetime = NOW) -> PanelVitals:
    [found] = [one for one in database.vitals(now, lambda *_: seconds) if one.seen.name == panel]
    return found


def test_an_order_is_late_after_twice_the_larger_of_its_pace_and_a_sweep(database: Database) -> None:
    random = Random(5)
    expected = 0
    rows: list[dict[str, Any]] = []
    for number in range(400):
        asked = random.choice((5, 100, 600, 3000, 9000)) + random.randrange(60)
        pace = random.choice((0, 30, 90, 1500, 4000)) + random.randrange(60)
        is_new = random.random() < 0.1
        times = {"tracked_at": ago(seconds=asked), "checked_at": None if is_new else ago(seconds=asked)}
        due_at = ago(seconds=asked - pace)
        closed_at = NOW if random.random() < 0.1 else None
        rows.append(
            {"panel": "acme", "order_id": str(number), "next_poll_at": due_at, "closed_at": closed_at, **times}
        )
        expected += closed_at is None and asked > 2 * max(pace, 250)
    execute(database, insert(orders), rows)
    found = vitals_of(database, seconds=250)
    assert found.late == expected > 20
    still = [row for row in rows if row["closed_at"] is None]
    assert found.open == len(still)
    assert found.due == sum(row["next_poll_at"] <= NOW for row in still)
    assert found.due_since == min(row["next_poll_at"] for row in still)


def test_the_patience_with_a_panel_comes_from_its_orders_and_its_learning(
    database: Database, memory: Memory
) -> None:
    follow(database, *map(str, range(7)), next_poll_at=ago(hours=1))
    memory.ledger.learn(memory.ledger.open("https://acme.example")._replace(bulk_status=False, learned_at=NOW))
    asked: list[tuple[str, int, bool | None]] = []

    def note(name: str, count: int, bulk_status: bool | None) -> float:  # noqa: FBT001 - as it is called
        asked.append((name, count, bulk_status))
        return 60.0

    assert [one.late for one in database.vitals(NOW, note)] == [0], "followed a moment ago"
    assert asked == [("acme", 7, False)]


def row(kind: Kind, ended: datetime, outcome: str = "ok", error: str | None = None) -> RoundRow:
    return RoundRow(f"{kind}{ended}{outcome}", kind, ended - timedelta(seconds=2), ended, Counts(), outcome, error)


def test_the_last_success_and_the_last_error_of_each_kind_are_found(database: Database, memory: Memory) -> None:
    for one in (
        row("balance", ago(hours=4), "timeout", "long ago"),
        row("balance", ago(hours=3), "timeout", "slow"),
        row("balance", ago(hours=2)),
        row("balance", ago(hours=1)),
        row("statuses", ago(hours=2), "server", "HTTP 502"),
        row("statuses", ago(hours=1), "stopped"),
    ):
        memory.ledger.finish_round(one, [])
    memory.ledger.snapshot(Balance(Decimal("5.25"), "EUR"), ago(hours=1))
    found = vitals_of(database)
    assert found.kinds == {
        "balance": KindVitals(ago(hours=1), ago(hours=3), "slow"),
        "statuses": KindVitals(None, ago(hours=2), "HTTP 502"),
    }
    assert (found.seen.balance, found.seen.currency) == (Decimal("5.25"), "EUR")
    assert (found.seen.holder, found.seen.fault_kind) == ("test", "server")


def test_rounds_and_balances_of_a_clock_that_stood_ahead_are_not_the_newest(
    database: Database, memory: Memory
) -> None:
    ahead = NOW + timedelta(days=365)
    memory.ledger.snapshot(Balance(Decimal(9), "EUR"), ahead)
    memory.ledger.snapshot(Balance(Decimal(5), "EUR"), ago(hours=1))
    for one in (
        row("balance", ahead),
        row("balance", ago(hours=1)),
        row("statuses", ahead, "timeout", "slow"),
        row("catalog", ahead),
        row("catalog", ago(hours=1), "server", "HTTP 502"),
    ):
        memory.ledger.finish_round(one, [])
    found = vitals_of(database)
    assert found.seen.balance == Decimal(5)
    assert found.kinds == {
        "balance": KindVitals(ago(hours=1)),
        "catalog": KindVitals(None, ago(hours=1), "HTTP 502"),
    }


def test_a_lease_that_ran_out_polls_nothing(database: Database, lease: Lease, memory: Memory) -> None:
    assert vitals_of(database).seen.polled
    execute(database, update(leases).values(expires_at=datetime.now(UTC) - timedelta(seconds=9)))
    found = vitals_of(database).seen
    assert not found.polled
    assert found.holder == lease.holder
    assert memory.lease == lease


def test_intents_of_unknown_outcome_are_counted_also_where_nobody_gave_them_up(database: Database) -> None:
    told = begin(database, ADD)
    database.intents.finish(told, Outcome("unknown", error="timeout"))
    begin(database, CANCEL)  # under way, or lost with its process
    now = datetime.now(UTC)
    assert vitals_of(database, now=now).unknown == 1
    assert vitals_of(database, now=now + timedelta(hours=1)).unknown == 2


def test_the_tally_counts_all_there_ever_was(database: Database) -> None:
    fill(database, whole_second())
    tally = database.tally()
    assert tally.orders["acme", "completed"] == 4
    assert sum(tally.orders.values()) == 13
    assert tally.transitions == {"acme": 16, "other": 3}
    books = database.memory(Lease("acme", "filling", 1)).ledger
    books.finish_round(row("balance", NOW), [Anomaly("", "foreign_ids", "8")])
    assert database.tally().anomalies == {("acme", "bad_item"): 1, ("acme", "foreign_ids"): 2}


def test_the_size_is_told_for_both_kinds_of_database(database: Database) -> None:
    size = database.size()
    assert size.used > 50_000
    assert (size.free is None) == database.shown.startswith("postgresql")


# As it is typed


@contextmanager
def followed(folder: Path) -> Iterator[tuple[Path, Database]]:
    """A panel that the daemon of a thread follows, its configuration, and its database."""
    with (
        Simulator(key="k3y-planted-0f1e2d3c4b5a") as panel,
        opened(f"sqlite:///{folder}/tracker.db", create=True) as database,
    ):
        database.upgrade()
        config = configure(folder, {"acme": panel.url}, f"sqlite:///{folder}/tracker.db")
        ids = [one.order_id for one in panel.world.spawn(30)]
        assert typed_here("track", "--panel", "acme", *ids, "--config", str(config)) == 0
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]):
            until(lambda: len(vitals_of(database, now=datetime.now(UTC)).kinds) >= 3, "a round of three kinds")
            yield config, database


def test_a_followed_panel_is_healthy_and_a_stopped_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with followed(tmp_path) as (config, _):
        capsys.readouterr()
        assert typed_here("health", "--config", str(config)) == 0
        text = capsys.readouterr().out
        assert text.startswith("healthy: 1 of 1 panels polled, ")
        assert "statuses" in text
        assert typed_here("health", "--json", "--config", str(config)) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["healthy"] is True
        assert told["findings"] == []
        assert told["panels"][0]["polled_by"]
        assert told["panels"][0]["kinds"]["balance"]["last_success_at"].endswith("Z")
    assert typed_here("health", "--config", str(config)) == 1
    text = capsys.readouterr().out
    assert text.startswith("NOT HEALTHY: 0 of 1 panels polled")
    assert "stopped: acme: nobody polls it\n  start `tracker run`" in text


def test_a_database_that_cannot_be_read_is_told_as_bad_health(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9/"}, f"sqlite:///{tmp_path}/none.db")
    assert typed_here("health", "--json", "--config", str(config)) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["working"] is False
    assert "There is no database at" in told["findings"][0]["what"]
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "none.db").write_bytes(b"this is no database at all, but long enough to be looked at" * 20)
    assert typed_here("health", "--config", str(config)) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_the_url_alone_is_enough_to_ask(
    database: Database, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, whole_second())
    monkeypatch.setenv("TRACKER_DATABASE_URL", database_url)
    monkeypatch.chdir("/")
    assert typed_here("health") == 1
    text = capsys.readouterr().out
    assert "2 of 2 panels polled" in text
    assert "attention: acme: of 1 intent nobody knows what came" in text

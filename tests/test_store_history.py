"""What is known, as people and commands ask for it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import pytest
from books import NOW, PENDING, ago, execute, follow, poll
from filled import fill, whole_second
from sqlalchemy import insert

from tracker.catalog import Difference, ServiceChange
from tracker.errors import UsageFault
from tracker.model import Anomaly, Balance, Counts, Odd, OrderFilter, RoundRow, Service, Status
from tracker.store.database import Database
from tracker.store.leases import fenced
from tracker.store.polling.memory import Memory
from tracker.store.reading.history import History
from tracker.store.schema import anomalies, balance_snapshots, refills, rounds, service_changes, services

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HALF = Status("in_progress", "In progress", Decimal("0.5"), "USD", 10, 500)


def names(rows: Sequence[dict[str, Any]], column: str = "order_id") -> list[str]:
    return [row[column] for row in rows]


def test_orders_that_changed_last_come_first_and_untold_ones_by_when_they_were_tracked(
    database: Database, memory: Memory
) -> None:
    follow(database, "1", "2", tracked_at=ago(hours=2))
    follow(database, "3", tracked_at=ago(hours=1))
    poll(memory, {"1": PENDING})
    assert names(database.history.orders()) == ["1", "3", "2"]
    assert names(database.history.orders(limit=1)) == ["1"]
    assert len(database.history.orders(limit=None)) == 3


def test_orders_are_narrowed_by_panel_state_and_openness(database: Database) -> None:
    follow(database, "pending", state="pending")
    follow(database, "done", state="completed")
    follow(database, "closed", state="partial", closed_at=NOW)
    follow(database, "theirs", panel="other", state="pending")
    history = database.history
    assert sorted(names(history.orders(OrderFilter("acme")))) == ["closed", "done", "pending"]
    assert sorted(names(history.orders(OrderFilter(states=["pending", "partial"])))) == [
        "closed",
        "pending",
        "theirs",
    ]
    assert sorted(names(history.orders(OrderFilter(open_only=True)))) == ["pending", "theirs"]
    assert history.orders(OrderFilter("nobody")) == []


def test_an_order_is_found_at_every_panel_that_has_one_of_that_name(database: Database) -> None:
    follow(database, "7", panel="b")
    follow(database, "7", panel="a")
    assert names(database.history.find("7"), "panel") == ["a", "b"]
    assert names(database.history.find("7", "b"), "panel") == ["b"]
    assert database.history.find("8") == []


def test_a_timeline_is_every_transition_with_the_progress_within_it(database: Database, memory: Memory) -> None:
    key, _ = follow(database, "1", "2")
    told = [
        PENDING,
        HALF,
        HALF._replace(remains=400),
        HALF._replace(remains=300),
        Status("completed", "Completed"),
    ]
    for minute, answer in enumerate(told):
        poll(memory, {"1": answer, "2": PENDING}, NOW + minute * MINUTE)
    timeline = database.history.timeline(key)
    assert [(row["at"], row["seq"], row["from_state"], row["to_state"], row["remains"]) for row in timeline] == [
        (NOW, 1, "new", "pending", None),
        (NOW + MINUTE, 2, "pending", "in_progress", 500),
        (NOW + 2 * MINUTE, 2, None, None, 400),
        (NOW + 3 * MINUTE, 2, None, None, 300),
        (NOW + 4 * MINUTE, 3, "in_progress", "completed", 300),
    ]
    assert [row["charge"] for row in timeline] == [None, *[Decimal("0.5")] * 4]


def test_the_newest_transitions_come_first_with_their_orders_names(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    poll(memory, {"1": PENDING})
    poll(memory, {"2": HALF}, NOW + MINUTE)
    newest = database.history.newest_transitions(5)
    assert [(row["order_id"], row["to_state"], row["charge"]) for row in newest] == [
        ("2", "in_progress", Decimal("0.5")),
        ("1", "pending", None),
    ]
    assert len(database.history.newest_transitions(1)) == 1


def test_the_last_success_is_that_of_the_panel_and_kind(database: Database, memory: Memory) -> None:
    assert database.history.last_success("acme", "statuses", NOW) is None
    for number, outcome in enumerate(["ok", "ok", "timeout"]):
        at = NOW + number * MINUTE
        memory.ledger.finish_round(RoundRow(f"r{number}", "statuses", at, at, Counts(), outcome), [])
    assert database.history.last_success("acme", "statuses", NOW + HOUR) == NOW + MINUTE
    assert database.history.last_success("acme", "balance", NOW + HOUR) is None
    assert database.history.last_success("other", "statuses", NOW + HOUR) is None


def test_a_success_of_a_clock_that_stood_ahead_does_not_keep_a_round_from_being_due(
    database: Database, memory: Memory
) -> None:
    for name, at in (("before", NOW), ("ahead", NOW + 365 * DAY)):
        memory.ledger.finish_round(RoundRow(name, "balance", at, at, Counts(), "ok"), [])
    assert database.history.last_success("acme", "balance", NOW + HOUR) == NOW


def test_services_that_are_gone_come_last_and_changes_carry_the_name(database: Database) -> None:
    seen = {"panel": "acme", "first_seen_at": NOW, "last_seen_at": NOW}
    rows = [
        {**seen, "service_id": one, "name": f"Service {one}", "category": category, "gone_at": gone}
        for one, category, gone in (("1", "A", NOW), ("3", "B", None), ("2", "B", None), ("4", None, None))
    ]
    execute(database, insert(services), rows)
    assert names(database.history.services(), "service_id") == ["4", "2", "3", "1"]
    assert names(database.history.services("acme", limit=1), "service_id") == ["4"]
    change = {"panel": "acme", "at": NOW, "field": "gone"}
    execute(database, insert(service_changes), [{**change, "service_id": one} for one in ("1", "9")])
    changes = [(row["service_id"], row["name"]) for row in database.history.service_changes()]
    assert changes == [("9", None), ("1", "Service 1")]


@pytest.mark.parametrize("panel", [None, "acme"])
def test_lists_are_newest_first_narrowed_by_panel_and_limited(
    database: Database, memory: Memory, panel: str | None
) -> None:
    for number in range(3):
        at = NOW + number * MINUTE
        memory.ledger.snapshot(Balance(Decimal(number), "USD"), at)
        row = RoundRow(f"r{number}", "balance", at, at, Counts(), "ok")
        memory.ledger.finish_round(row, [Anomaly("", f"kind {number}", "")])
        database.track_refill("acme", "1", f"refill{number}")
    theirs = {"panel": "other", "at": NOW}
    execute(database, insert(balance_snapshots), [{**theirs, "balance": Decimal(9), "currency": "EUR"}])
    execute(
        database,
        insert(rounds),
        [
            {
                "panel": "other",
                "round": "x",
                "kind": "balance",
                "started_at": NOW,
                "finished_at": NOW,
                "outcome": "ok",
            }
        ],
    )
    execute(database, insert(anomalies), [{"panel": "other", "kind": "k", "first_at": NOW, "last_at": NOW}])
    database.track_refill("other", "1", "refill9")
    history = database.history
    lists: list[tuple[Any, str, list[Any], Any]] = [
        (history.balances, "balance", [2, 1, 0], 9),
        (history.rounds, "round", ["r2", "r1", "r0"], "x"),
        (history.anomalies, "kind", ["kind 2", "kind 1", "kind 0"], "k"),
        (history.refills, "refill_id", ["refill2", "refill1", "refill0"], "refill9"),
    ]
    for read, column, ours, other in lists:
        got = names(read(panel), column)
        assert [one for one in got if one != other] == ours
        assert (other in got) is (panel is None)
        assert len(read(panel, limit=2)) == 2


def test_panels_are_listed_with_their_last_fault(database: Database, memory: Memory) -> None:
    memory.ledger.finish_round(RoundRow("r", "statuses", NOW, NOW, Counts(), "timeout", "no answer"), [])
    [row] = database.history.panels()
    assert (row["name"], row["fault"], row["fault_kind"], row["fault_at"]) == ("acme", "no answer", "timeout", NOW)


def test_reading_sees_one_moment_and_waits_for_no_writer(database: Database, memory: Memory) -> None:
    follow(database, "1")
    with fenced(database._engine, memory.lease):
        assert names(database.history.orders()) == ["1"]
        assert database.history.panels()[0]["name"] == "acme"


def test_an_anomaly_of_an_order_is_listed_by_when_it_was_last_seen(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    poll(memory, {"1": Odd("bad_item", "17"), "2": Odd("bad_item", "18")})
    poll(memory, {"1": Odd("bad_item", "19")}, NOW + MINUTE)
    assert [(row["order_id"], row["count"]) for row in database.history.anomalies()] == [("1", 2), ("2", 1)]


def test_services_are_read_as_they_were_told(database: Database, memory: Memory) -> None:
    memory.services.write(Difference([Service("1", "A", rate=Decimal("0.90"), refill=True)], [], []), NOW)
    [row] = database.history.services()
    assert (row["rate"], row["refill"], row["cancel"], row["last_seen_at"]) == (Decimal("0.9"), True, None, NOW)


def test_stuck_orders_come_longest_silent_first_and_are_narrowed_like_any(database: Database) -> None:
    now = whole_second()
    for order_id, hours, columns in (
        ("two days", 48, {"service_id": "412"}),
        ("three days", 72, {}),
        ("an hour", 1, {}),
        ("theirs", 96, {"panel": "other"}),
    ):
        name = order_id.replace(" ", "_")
        follow(database, name, state="pending", changed_at=now - timedelta(hours=hours), **columns)
    history = database.history
    assert names(history.stuck()) == ["theirs", "three_days", "two_days"]
    assert names(history.stuck(OrderFilter("acme"), limit=1)) == ["three_days"]
    assert names(history.stuck(OrderFilter(silent=timedelta(minutes=50)), sort="silent_seconds"))[0] == "an_hour"
    assert len(history.stuck(OrderFilter(silent=timedelta(0)))) == 4, "none is a span, too"
    [one] = history.stuck(OrderFilter(services=["412"]))
    assert 48 * 3600 <= one["silent_seconds"] < 48 * 3600 + 60


def test_orders_tell_the_delivered_share_and_the_silence_of_open_ones(database: Database) -> None:
    fill(database, whole_second())
    rows = {row["order_id"]: row for row in database.history.orders(OrderFilter("acme"))}
    assert rows["23502"]["delivered_share"] == 0.6
    assert rows["23502"]["silent_seconds"] >= 3 * 86_400
    assert (rows["23501"]["delivered_share"], rows["23501"]["silent_seconds"]) == (1.0, None)


@pytest.mark.parametrize("limit", [2, None])
def test_a_list_is_sorted_by_any_of_its_columns_with_the_unknown_last(
    database: Database, limit: int | None
) -> None:
    for order_id, charge in (("a", "0.9"), ("b", None), ("c", "10"), ("d", "2")):
        follow(database, order_id, charge=None if charge is None else Decimal(charge), remains=5)
    history = database.history
    assert names(history.orders(sort="charge", limit=limit)) == ["a", "d", "c", "b"][:limit]
    assert names(history.orders(sort="-charge", limit=limit)) == ["c", "d", "a", "b"][:limit]
    # What is the same comes in the usual order.
    assert names(history.orders(sort="remains", limit=limit)) == ["d", "c", "b", "a"][:limit]
    assert len(history.orders(sort="-delivered_share", limit=limit)) == (limit or 4)


def test_sorting_by_what_is_not_there_names_what_is(database: Database) -> None:
    message = r"^There is no column price to sort by\. There are: at, panel, balance, currency\.$"
    with pytest.raises(UsageFault, match=message):
        database.history.balances(sort="-price")


Read: TypeAlias = Callable[[History], list[dict[str, Any]]]
SORTED: dict[str, Read] = {
    "services": lambda history: history.services(sort="-rate", limit=1),
    "service_changes": lambda history: history.service_changes(sort="field", limit=1),
    "balances": lambda history: history.balances(sort="-balance", limit=1),
    "refills": lambda history: history.refills(sort="state", limit=1),
    "rounds": lambda history: history.rounds(sort="-requests", limit=1),
    "anomalies": lambda history: history.anomalies(sort="kind", limit=1),
    "tempo": lambda history: history.tempo(sort="-finish_p90_seconds", limit=1),
    "spend": lambda history: history.spend(sort="-charge", limit=1),
    "refunds": lambda history: history.refunds(sort="-refunded", limit=1),
    "price_changes": lambda history: history.price_changes(sort="-new_rate", limit=1),
    "balance_daily": lambda history: history.balance_daily(sort="-highest", limit=1),
}
TOPS: dict[str, tuple[str, object]] = {
    "services": ("service_id", "500"),
    "service_changes": ("field", "gone"),
    "balances": ("balance", Decimal("20.000001")),
    "refills": ("refill_id", "r1"),
    "rounds": ("requests", 2),
    "anomalies": ("kind", "bad_item"),
    "tempo": ("finish_p90_seconds", 90_000),
    "spend": ("charge", Decimal(8)),
    "refunds": ("refunded", Decimal(3)),
    "price_changes": ("new_rate", Decimal(2)),
    "balance_daily": ("highest", Decimal("20.000001")),
}


def test_every_list_sorts_before_it_is_cut(database: Database) -> None:
    # Noon, so that what a panel sold today was sold on one day.
    fill(database, whole_second().replace(hour=12))
    for name, read in SORTED.items():
        [top] = read(database.history)
        column, value = TOPS[name]
        assert (name, top[column]) == (name, value)


def test_lists_keep_to_their_span_and_its_end_is_outside(database: Database, memory: Memory) -> None:
    for number in range(4):
        at = NOW + number * MINUTE
        memory.ledger.snapshot(Balance(Decimal(number), "USD"), at)
        row = RoundRow(f"r{number}", "balance", at, at, Counts(), "ok")
        memory.ledger.finish_round(row, [Anomaly("", f"k{number}", "")])
        memory.services.write(Difference([], [], [ServiceChange("412", "rate", str(number), "9")]), at)
        follow(database, str(number), tracked_at=at)
    execute(database, refills.insert(), [_refill(number) for number in range(4)])
    history, since, until = database.history, NOW + MINUTE, NOW + 3 * MINUTE
    assert [row["balance"] for row in history.balances(since=since, until=until)] == [2, 1]
    assert names(history.rounds(since=since, until=until), "round") == ["r2", "r1"]
    assert names(history.anomalies(since=since, until=until), "kind") == ["k2", "k1"]
    assert names(history.service_changes(since=since, until=until), "old") == ["2", "1"]
    assert [row["old_rate"] for row in history.price_changes(since=since, until=until)] == [2, 1]
    assert names(history.refills(since=since, until=until), "refill_id") == ["2", "1"]
    assert [row["snapshots"] for row in history.balance_daily(since=since, until=until)] == [2]
    assert [row["orders"] for row in history.spend(since=since, until=until)] == [2]
    assert names(history.orders(OrderFilter(since=since, until=until))) == ["2", "1"]


def _refill(number: int) -> dict[str, Any]:
    return {"panel": "acme", "order_id": "1", "refill_id": str(number), "state_at": NOW + number * MINUTE}


def test_an_anomaly_that_went_on_through_the_span_was_seen_in_it(database: Database) -> None:
    row = {"panel": "acme", "kind": "k", "first_at": NOW, "last_at": NOW + 9 * MINUTE}
    execute(database, insert(anomalies), [row])
    assert len(database.history.anomalies(since=NOW + MINUTE, until=NOW + 2 * MINUTE)) == 1
    assert database.history.anomalies(since=NOW + 10 * MINUTE) == []
    assert database.history.anomalies(until=NOW) == []


def test_refunds_are_the_highest_charge_ever_told_less_what_it_is_now(database: Database) -> None:
    now = whole_second()
    fill(database, now)
    columns = (
        "panel",
        "service_id",
        "state",
        "currency",
        "orders",
        "charged",
        "charge",
        "refunded",
        "undelivered",
    )
    rows = database.history.refunds()
    assert [tuple(row[column] for column in columns) for row in rows] == [
        ("acme", "412", "canceled", "USD", 1, 3, 0, 3, 3),
        ("acme", "412", "partial", "USD", 1, 2, 1, 1, 1),
        ("other", "7", "partial", "EUR", 1, 4, 4, 0, 2),
    ]
    since, until = now - timedelta(days=1, minutes=1), now - timedelta(hours=9)
    assert names(database.history.refunds(since=since, until=until), "state") == ["partial"]
    assert names(database.history.refunds("other", "7"), "panel") == ["other"]
    assert database.history.refunds("other", "412") == []


def test_the_highest_charge_may_have_come_within_a_state(database: Database, memory: Memory) -> None:
    """Some panels charge late: the charge of an order appears while it is delivering."""
    follow(database, "1", quantity=1000)
    for minute, charge in enumerate(("0", "0.8", "2")):
        poll(memory, {"1": HALF._replace(charge=Decimal(charge), remains=900)}, NOW + minute * MINUTE)
    poll(memory, {"1": Status("canceled", "Canceled", Decimal(0), "USD")}, NOW + 9 * MINUTE)
    [row] = database.history.refunds()
    assert (row["charged"], row["refunded"]) == (2, 2)


def test_spend_and_tempo_are_narrowed_to_a_service_and_a_span(database: Database) -> None:
    now = whole_second()
    fill(database, now)
    history = database.history
    assert {row["service_id"] for row in history.spend(service="412")} == {"412"}
    assert sum(row["orders"] for row in history.spend("acme", "412", since=now - timedelta(hours=8))) == 3
    assert names(history.tempo(service="7"), "panel") == ["other"]
    [recent] = history.tempo("acme", "412", since=now - timedelta(hours=8))
    assert (recent["orders"], recent["start_median_seconds"]) == (3, 3600)
    assert names(history.tempo("acme"), "service_id")[0] == "412"
    [whole] = [row for row in history.tempo(since=now - timedelta(days=400)) if row["service_id"] == "412"]
    assert whole["orders"] == 7


def test_refills_and_changes_are_narrowed_to_a_service(database: Database) -> None:
    fill(database, whole_second())
    history = database.history
    assert names(history.refills(service="412"), "refill_id") == ["r2", "r1"]
    assert history.refills(service="7") == []
    assert names(history.service_changes(service="500"), "field") == ["rate"]
    assert [row["new_rate"] for row in history.price_changes(service="500")] == [2]

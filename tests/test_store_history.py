"""What is known, as people and commands ask for it."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from books import NOW, PENDING, ago, execute, follow, poll
from sqlalchemy import insert

from tracker.catalog import Difference
from tracker.model import Anomaly, Balance, Counts, Odd, OrderFilter, RoundRow, Service, Status
from tracker.store.database import Database
from tracker.store.leases import fenced
from tracker.store.memory import Memory
from tracker.store.schema import anomalies, balance_snapshots, rounds, service_changes, services

MINUTE = timedelta(minutes=1)
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


def test_orders_are_counted_by_panel_and_state_with_how_many_of_them_are_open(database: Database) -> None:
    follow(database, "1", "2", state="completed")
    follow(database, "3", state="completed", closed_at=NOW)
    follow(database, "4", state="pending")
    follow(database, "5", panel="other")
    assert database.history.counts() == [
        {"panel": "acme", "state": "completed", "orders": 3, "open": 2},
        {"panel": "acme", "state": "pending", "orders": 1, "open": 1},
        {"panel": "other", "state": "new", "orders": 1, "open": 1},
    ]
    assert all(type(row["open"]) is int for row in database.history.counts())


def test_what_is_overdue_is_counted_since_the_longest_wait(database: Database) -> None:
    assert database.history.overdue(NOW) == {"due": 0, "since": None}
    follow(database, "1", next_poll_at=ago(hours=1))
    follow(database, "2", next_poll_at=ago(hours=2))
    follow(database, "3", next_poll_at=NOW + MINUTE)
    follow(database, "4", next_poll_at=ago(days=9), closed_at=NOW)
    assert database.history.overdue(NOW) == {"due": 2, "since": ago(hours=2)}


def test_the_last_success_is_that_of_the_panel_and_kind(database: Database, memory: Memory) -> None:
    assert database.history.last_success("acme", "statuses") is None
    for number, outcome in enumerate(["ok", "ok", "timeout"]):
        at = NOW + number * MINUTE
        memory.ledger.finish_round(RoundRow(f"r{number}", "statuses", at, at, Counts(), outcome), [])
    assert database.history.last_success("acme", "statuses") == NOW + MINUTE
    assert database.history.last_success("acme", "balance") is None
    assert database.history.last_success("other", "statuses") is None


def test_services_that_are_gone_come_last_and_changes_carry_the_name(database: Database) -> None:
    seen = {"panel": "acme", "first_seen_at": NOW, "last_seen_at": NOW}
    rows = [
        {**seen, "service_id": one, "name": f"Service {one}", "category": category, "gone_at": gone}
        for one, category, gone in (("1", "A", NOW), ("3", "B", None), ("2", "B", None))
    ]
    execute(database, insert(services), rows)
    assert names(database.history.services(), "service_id") == ["2", "3", "1"]
    assert names(database.history.services("acme", limit=1), "service_id") == ["2"]
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
        assert database.history.counts()[0]["orders"] == 1


def test_an_anomaly_of_an_order_is_listed_by_when_it_was_last_seen(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    poll(memory, {"1": Odd("bad_item", "17"), "2": Odd("bad_item", "18")})
    poll(memory, {"1": Odd("bad_item", "19")}, NOW + MINUTE)
    assert [(row["order_id"], row["count"]) for row in database.history.anomalies()] == [("1", 2), ("2", 1)]


def test_services_are_read_as_they_were_told(database: Database, memory: Memory) -> None:
    memory.services.write(Difference([Service("1", "A", rate=Decimal("0.90"), refill=True)], [], []), NOW)
    [row] = database.history.services()
    assert (row["rate"], row["refill"], row["cancel"], row["last_seen_at"]) == (Decimal("0.9"), True, None, NOW)

"""Refills in the database: which are asked about, what is written, and the orders that they reopen."""

from datetime import timedelta
from typing import Any

import pytest
from books import NOW, PANEL, PENDING, ago, execute, follow, order_row, poll, table
from sqlalchemy import insert

from tracker.decide import RefillDecision, decide_refill
from tracker.grace import Moment
from tracker.model import NotFound, Odd, Refill, RefillAnswer, RefillStatus
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.engine import reading
from tracker.store.polling.memory import Memory
from tracker.store.polling.refills import shared_id
from tracker.store.schema import anomalies, refill_transitions, refills

MINUTE = timedelta(minutes=1)
DONE: dict[str, Any] = {"state": "completed", "panel_status": "Completed", "seq": 1, "settled_at": ago(days=8)}


def add(database: Database, refill_id: str, order_id: str = "1", panel: str = PANEL, **columns: object) -> None:
    """Insert a refill as another program would."""
    times = {"tracked_at": NOW, "state_at": NOW, "next_poll_at": NOW}
    row = {"panel": panel, "order_id": order_id, "refill_id": refill_id, **times, **columns}
    execute(database, insert(refills), [row])


def planned(memory: Memory, limit: int = 100, *, force: bool = False) -> list[Refill]:
    plan = memory.refills.plan(NOW, limit, force=force)
    return [*plan.refills, *plan.singles]


def decided(refill: Refill, answer: RefillAnswer, at: timedelta = MINUTE) -> RefillDecision:
    return decide_refill(refill, answer, Moment(NOW + at, Pacing()))


def test_a_plan_looks_ids_up_and_does_not_read_all_refills_for_each_one(sqlite_database: Database) -> None:
    """Refills are never thrown away: on SQLite, which knows no hash join, that would be quadratic over years."""
    statement = str(shared_id().compile(sqlite_database._engine))
    with reading(sqlite_database._engine) as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
    assert any("INDEX ix_refills_refill_id (panel=? AND refill_id=?)" in row[-1] for row in plan), plan


def test_the_earliest_due_refills_of_the_panel_are_planned_and_no_more_than_asked_for(
    database: Database, memory: Memory
) -> None:
    for minutes in (1, 5, 3):
        add(database, f"r{minutes}", next_poll_at=ago(minutes=minutes))
    add(database, "later", next_poll_at=NOW + MINUTE)
    add(database, "closed", closed_at=NOW)
    add(database, "elsewhere", panel="other")
    assert [one.refill_id for one in planned(memory)] == ["r5", "r3", "r1"]
    assert [one.refill_id for one in planned(memory, 2)] == ["r5", "r3"]
    assert [one.refill_id for one in planned(memory, force=True)] == ["r5", "r3", "r1", "later"]


def test_suspected_refills_are_planned_singly(database: Database, memory: Memory) -> None:
    add(database, "fine")
    add(database, "suspected", misses=1)
    plan = memory.refills.plan(NOW, 10)
    assert [one.refill_id for one in plan.refills] == ["fine"]
    assert [one.refill_id for one in plan.singles] == ["suspected"]


@pytest.mark.parametrize("twin", [{}, {"closed_at": NOW, "state": "completed"}], ids=["open", "closed"])
def test_an_id_that_two_orders_share_is_never_asked_about_and_the_rows_say_why(
    database: Database, memory: Memory, twin: dict[str, Any]
) -> None:
    """A panel that answers a mere yes, `1`, to every refill gives all of them the same id."""
    add(database, "1", order_id="23501")
    add(database, "1", order_id="23502", **twin)
    add(database, "1", order_id="23501", panel="other")
    add(database, "2", order_id="23501")
    assert [one.refill_id for one in planned(memory, force=True)] == ["2"]
    shared = {
        (row["panel"], row["order_id"], row["refill_id"]) for row in database.history.refills() if row["shared_id"]
    }
    expected = {("acme", "23501", "1"), ("acme", "23502", "1")}
    assert shared == (expected - {("acme", "23502", "1")} if twin else expected)


def test_two_refills_of_one_order_are_both_asked_about(database: Database, memory: Memory) -> None:
    add(database, "7", closed_at=NOW, state="completed")
    add(database, "7")
    add(database, "8")
    assert [one.refill_id for one in planned(memory)] == ["7", "8"]


def test_an_answer_is_written_with_its_transition(database: Database, memory: Memory) -> None:
    add(database, "r")
    [refill] = planned(memory)
    [written] = memory.refills.apply(
        [decided(refill, RefillStatus("pending", "Pending"))], NOW + MINUTE, "round-1"
    )
    [row] = table(database, refills)
    at = NOW + MINUTE
    assert row == row | {
        "state": "pending", "panel_status": "Pending", "seq": 1, "state_at": at, "checked_at": at,
        "next_poll_at": written.next_poll_at, "settled_at": None, "closed_at": None,
    }  # fmt: skip
    assert table(database, refill_transitions) == [
        {"refill_key": row["id"], "seq": 1, "at": at, "from_state": "requested", "to_state": "pending",
         "panel_status": "Pending", "round": "round-1"}
    ]  # fmt: skip
    [again] = memory.refills.plan(written.next_poll_at, 10).refills
    assert again == refill._replace(
        state="pending", panel_status="Pending", seq=1, state_at=at, checked_at=at, next_poll_at=again.next_poll_at
    )
    assert again.next_poll_at == written.next_poll_at


def test_the_same_answer_writes_no_transition(database: Database, memory: Memory) -> None:
    add(database, "r", state="pending", panel_status="Pending", seq=1)
    [refill] = planned(memory)
    memory.refills.apply([decided(refill, RefillStatus("pending", "Pending"))], NOW + MINUTE, "round")
    assert table(database, refill_transitions) == []
    assert table(database, refills)[0]["checked_at"] == NOW + MINUTE


def test_what_is_no_answer_is_an_anomaly_of_its_order(database: Database, memory: Memory) -> None:
    add(database, "r1", order_id="1")
    add(database, "r2", order_id="2")
    first, second = planned(memory)
    told = [decided(first, NotFound("Refill not found")), decided(second, Odd("absent", "left out"))]
    assert len(memory.refills.apply(told, NOW + MINUTE, "round")) == 2
    assert [(row["order_id"], row["kind"], row["detail"]) for row in table(database, anomalies)] == [
        ("1", "refill_not_found", "refill r1: Refill not found"),
        ("2", "refill_absent", "refill r2: left out"),
    ]
    assert [row["misses"] for row in table(database, refills)] == [1, 1]
    assert [row["checked_at"] for row in table(database, refills)] == [None, None]


def test_a_decision_about_a_refill_that_moved_on_is_dropped_and_the_others_are_written(
    database: Database, memory: Memory
) -> None:
    add(database, "r1", order_id="1")
    add(database, "r2", order_id="2")
    told = [decided(one, RefillStatus("completed", "Completed")) for one in planned(memory)]
    assert memory.refills.apply(told[:1], NOW, "first") == told[:1]
    assert memory.refills.apply(told, NOW, "second") == told[1:]
    assert [row["round"] for row in table(database, refill_transitions)] == ["first", "second"]


def test_a_refill_found_missing_meanwhile_is_not_written_from_what_was_read_before(
    database: Database, memory: Memory
) -> None:
    add(database, "r", state="pending", panel_status="Pending", seq=1, misses=3, missed_at=ago(hours=1))
    [read] = planned(memory)
    missing = decide_refill(read, NotFound("Refill not found"), Moment(NOW, Pacing(), singly=True))
    assert memory.refills.apply([missing], NOW, "first") == [missing]
    assert memory.refills.apply([decided(read, RefillStatus("completed", "Completed"))], NOW, "second") == []
    assert table(database, refills)[0]["state"] == "missing"


def test_a_refill_settled_for_the_grace_time_is_closed(database: Database, memory: Memory) -> None:
    add(database, "r", **DONE)
    [refill] = planned(memory)
    memory.refills.apply([decided(refill, RefillStatus("completed", "Completed"))], NOW + MINUTE, "round")
    assert table(database, refills)[0]["closed_at"] == NOW + MINUTE
    assert planned(memory, force=True) == []


def test_a_new_refill_reopens_its_closed_order_once(database: Database, memory: Memory) -> None:
    follow(database, "1", "2", closed_at=ago(days=1), next_poll_at=ago(days=9), **DONE)
    follow(database, "1", panel="other", closed_at=ago(days=1), **DONE)
    add(database, "r", order_id="1")
    assert memory.refills.reopen_orders(NOW + MINUTE) == 1
    row = order_row(database, "1")
    assert (row["closed_at"], row["next_poll_at"], row["settled_at"]) == (None, NOW + MINUTE, NOW + MINUTE)
    assert (row["state"], row["seq"]) == ("completed", 1)
    assert order_row(database, "2")["closed_at"] is not None
    assert order_row(database, "1", "other")["closed_at"] is not None
    assert memory.refills.reopen_orders(NOW + 2 * MINUTE) == 0
    poll(memory, {"1": PENDING}, NOW + 2 * MINUTE)
    assert order_row(database, "1")["state"] == "pending"


def test_a_new_refill_begins_the_grace_time_of_its_settled_order_anew(database: Database, memory: Memory) -> None:
    settled = {**DONE, "settled_at": ago(days=5)}
    follow(database, "1", next_poll_at=NOW + timedelta(days=5), **settled)
    add(database, "r", order_id="1")
    assert memory.refills.reopen_orders(NOW + MINUTE) == 1
    row = order_row(database, "1")
    assert (row["next_poll_at"], row["settled_at"]) == (NOW + MINUTE, NOW + MINUTE)
    assert memory.refills.reopen_orders(NOW + 2 * MINUTE) == 0


def test_a_refill_of_a_clock_that_stood_ahead_does_not_reopen_its_order_again_and_again(
    database: Database, memory: Memory
) -> None:
    follow(database, "1", **DONE, closed_at=ago(days=1))
    add(database, "7", tracked_at=NOW + timedelta(days=366))
    assert memory.refills.reopen_orders(NOW) == 0
    assert memory.refills.reopen_orders(NOW + timedelta(days=366)) == 1
    assert memory.refills.reopen_orders(NOW + timedelta(days=366)) == 0


@pytest.mark.parametrize(
    "refill", [{"tracked_at": ago(days=2)}, {"closed_at": NOW}], ids=["before it closed", "closed itself"]
)
def test_an_old_refill_does_not_reopen_an_order(
    database: Database, memory: Memory, refill: dict[str, Any]
) -> None:
    follow(database, "1", closed_at=ago(days=1), **DONE)
    add(database, "r", **refill)
    assert memory.refills.reopen_orders(NOW) == 0
    assert order_row(database, "1")["closed_at"] == ago(days=1)

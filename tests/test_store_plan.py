"""Which orders a round asks about, on both databases."""

from datetime import timedelta
from typing import Any

from books import NOW, PENDING, ago, decisions, follow, order_row

from tracker.model import Plan
from tracker.store.database import Database
from tracker.store.polling.memory import Memory

KNOWN: dict[str, Any] = {"checked_at": ago(hours=1), "state": "pending", "panel_status": "Pending", "seq": 1}
SOON = NOW + timedelta(minutes=1)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def everyone(plan: Plan) -> list[int]:
    return [*plan.keys, *plan.singles, *plan.doubted]


def test_a_plan_is_empty_where_nothing_is_due(database: Database, memory: Memory) -> None:
    follow(database, "1", "2", next_poll_at=SOON)
    follow(database, "3", next_poll_at=SOON, misses=1)
    assert everyone(memory.orders.plan(NOW, 5, 100)) == []


def test_an_order_is_due_at_its_very_moment(database: Database, memory: Memory) -> None:
    [key] = follow(database, "1", next_poll_at=NOW)
    assert everyone(memory.orders.plan(NOW - timedelta(microseconds=1), 5, 100)) == []
    assert everyone(memory.orders.plan(NOW, 5, 100)) == [key]


def test_an_order_dealt_years_ahead_by_a_clock_that_stood_wrong_is_due(database: Database, memory: Memory) -> None:
    [parked] = follow(database, "1", next_poll_at=NOW + timedelta(days=1000))
    follow(database, "2", next_poll_at=NOW + timedelta(days=7))
    assert everyone(memory.orders.plan(NOW, 5, 1)) == [parked]


def test_closed_orders_and_those_of_other_panels_are_not_asked_about(database: Database, memory: Memory) -> None:
    follow(database, "1", state="completed", closed_at=ago(days=1))
    follow(database, "2", panel="other")
    [mine] = follow(database, "3")
    assert everyone(memory.orders.plan(NOW, 5, 100, force=True)) == [mine]


def test_the_earliest_due_go_first_where_not_all_fit(database: Database, memory: Memory) -> None:
    late = [follow(database, str(minutes), next_poll_at=ago(minutes=minutes), **KNOWN)[0] for minutes in range(9)]
    assert list(memory.orders.plan(NOW, 2, 2).keys) == sorted(late[5:])


def test_newcomers_take_at_most_half_of_a_round_while_others_are_due(database: Database, memory: Memory) -> None:
    old = follow(database, *ids("o", 30), next_poll_at=ago(days=1), **KNOWN)
    new = follow(database, *ids("n", 30), next_poll_at=ago(seconds=1))
    assert set(memory.orders.plan(NOW, 2, 10).keys) == {*new[:10], *old[:10]}


def test_newcomers_take_what_nobody_else_needs(database: Database, memory: Memory) -> None:
    new = follow(database, *ids("n", 30))
    old = follow(database, *ids("o", 5), next_poll_at=ago(seconds=1), **KNOWN)
    assert set(memory.orders.plan(NOW, 2, 10).keys) == {*new[:15], *old}


def test_the_last_batch_is_topped_up_with_the_soonest_due(database: Database, memory: Memory) -> None:
    due = follow(database, *ids("d", 12), next_poll_at=ago(minutes=1), **KNOWN)
    soon = [
        follow(database, f"s{minutes}", next_poll_at=NOW + timedelta(minutes=minutes), **KNOWN)[0]
        for minutes in range(20, 0, -1)
    ]
    assert list(memory.orders.plan(NOW, 5, 10).keys) == sorted([*due, *soon[-8:]])


def test_a_full_batch_is_not_topped_up(database: Database, memory: Memory) -> None:
    due = follow(database, *ids("d", 10), **KNOWN)
    follow(database, *ids("s", 10), next_poll_at=SOON, **KNOWN)
    assert list(memory.orders.plan(NOW, 5, 10).keys) == due


def test_a_plan_is_sorted_by_key_so_that_a_batch_touches_neighboring_pages(
    database: Database, memory: Memory
) -> None:
    for minutes in (3, 1, 4, 5, 9, 2, 6):
        follow(database, str(minutes), next_poll_at=ago(minutes=minutes), **KNOWN)
    keys = list(memory.orders.plan(NOW, 5, 10).keys)
    assert (len(keys), keys) == (7, sorted(keys))


def test_suspected_orders_are_asked_singly_in_at_most_a_quarter_of_the_requests(
    database: Database, memory: Memory
) -> None:
    suspects = [follow(database, f"s{n}", next_poll_at=ago(minutes=n), misses=1, **KNOWN)[0] for n in range(10)]
    plan = memory.orders.plan(NOW, 8, 10)
    assert list(plan.singles) == sorted(suspects[-2:])
    assert list(plan.keys) == []
    assert list(plan.doubted) == sorted(suspects[:-2])  # the others ride in batches


def test_suspected_orders_take_no_room_from_those_that_fit(database: Database, memory: Memory) -> None:
    suspects = follow(database, "s1", "s2", misses=1, next_poll_at=ago(hours=1), **KNOWN)
    due = follow(database, *ids("d", 8), **KNOWN)
    plan = memory.orders.plan(NOW, 8, 1)
    assert (list(plan.singles), list(plan.keys)) == (suspects, due[:6])


def test_a_newcomer_that_is_suspected_is_asked_about_once(database: Database, memory: Memory) -> None:
    suspect, other = follow(database, "s", misses=1), follow(database, "n")
    plan = memory.orders.plan(NOW, 4, 10)
    assert (list(plan.singles), list(plan.keys)) == (suspect, other)


def test_one_request_is_enough_for_a_suspected_order(database: Database, memory: Memory) -> None:
    [suspect] = follow(database, "s", misses=1, **KNOWN)
    plan = memory.orders.plan(NOW, 1, 10)
    assert (list(plan.keys), list(plan.singles)) == ([], [suspect])


def test_a_suspected_order_waits_until_it_is_due(database: Database, memory: Memory) -> None:
    follow(database, "s", misses=2, missed_at=NOW, next_poll_at=SOON, **KNOWN)
    [due] = follow(database, "d", **KNOWN)
    assert list(memory.orders.plan(NOW, 8, 1).keys) == [due]


def test_force_takes_what_is_not_due_as_well_but_not_more_than_fits(database: Database, memory: Memory) -> None:
    keys = [follow(database, f"{n}", next_poll_at=NOW + timedelta(hours=n), **KNOWN)[0] for n in range(1, 30)]
    assert list(memory.orders.plan(NOW, 9, 10, force=True).keys) == keys
    assert list(memory.orders.plan(NOW, 2, 10, force=True).keys) == keys[:20]


def test_of_250_orders_every_one_is_asked_within_three_rounds_of_one_request(
    database: Database, memory: Memory
) -> None:
    """Number 101 is seen as soon as number 1: the mistake of those who always take the first hundred."""
    keys = follow(database, *ids("o", 250))
    asked: list[int] = []
    for tick in range(3):
        now = NOW + timedelta(minutes=tick)
        plan = memory.orders.plan(now, 1, 100)
        asked += plan.keys
        read = memory.orders.load(plan.keys)
        memory.orders.apply(decisions(read, {one.order_id: PENDING for one in read}, now), "round")
    assert set(asked) == set(keys)


def test_a_stream_of_newcomers_does_not_starve_those_that_wait(database: Database, memory: Memory) -> None:
    old = follow(database, *ids("o", 100), next_poll_at=ago(minutes=1), **KNOWN)
    asked: set[int] = set()
    for tick in range(4):
        now = NOW + timedelta(minutes=tick)
        follow(database, *ids(f"n{tick}-", 100), next_poll_at=now)
        plan = memory.orders.plan(now, 1, 50)
        asked.update(plan.keys)
        read = memory.orders.load(plan.keys)
        memory.orders.apply(decisions(read, {one.order_id: PENDING for one in read}, now), "round")
    assert asked >= set(old)


def test_an_order_found_by_name_is_one_of_this_panel_that_is_open(database: Database, memory: Memory) -> None:
    follow(database, "7", panel="other")
    follow(database, "8", state="completed", closed_at=NOW)
    [mine] = follow(database, "7")
    assert memory.orders.find(["7", "8", "9"]) == [mine]
    assert order_row(database, "7")["id"] == mine

"""What is written about orders, on both databases: heads, history, anomalies, children, and what is dropped."""

import random
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from books import (
    NOW,
    PENDING,
    ago,
    check_history,
    decisions,
    execute,
    follow,
    loaded,
    order_row,
    poll,
    table,
)
from sqlalchemy import text, update

from tracker.model import Answer, NotFound, Odd, Order, State, Status
from tracker.store.database import Database
from tracker.store.engine import reading
from tracker.store.polling.memory import Memory
from tracker.store.schema import anomalies, orders, progress, transitions

HALF = Status("in_progress", "In progress", Decimal("0.27819"), "USD", 3572, 500)
MINUTE = timedelta(minutes=1)


def test_an_order_is_loaded_with_all_that_deciding_needs(database: Database, memory: Memory) -> None:
    [key] = follow(
        database, "23501", state="in_progress", panel_status="In progress", charge=Decimal("0.27819"),
        currency="USD", start_count=2**62, remains=-3, quantity=1000, seq=4, state_at=ago(days=3),
        state_remains=900, changed_at=ago(days=2), settled_at=ago(days=1), misses=2, missed_at=ago(hours=1),
        next_poll_at=NOW,
    )  # fmt: skip
    [order] = memory.orders.load([key])
    assert order._replace(was_checked_at=None) == Order(
        key, "23501", "in_progress", "In progress", Decimal("0.27819"), "USD", 2**62, -3, 1000, 4,
        ago(days=3), 900, ago(days=2), None, ago(days=1), 2, ago(hours=1), NOW,
    )  # fmt: skip


def test_only_open_orders_among_the_keys_are_loaded_by_key(database: Database, memory: Memory) -> None:
    first, closed, last = follow(database, "9", "5", "1")
    execute(database, update(orders).where(orders.c.id == closed).values(closed_at=NOW))
    assert [order.key for order in memory.orders.load([last, closed, first, 10**6])] == [first, last]


def test_a_first_answer_writes_the_head_and_transition_number_one(database: Database, memory: Memory) -> None:
    [key] = follow(database, "23501", quantity=1000)
    [written] = poll(memory, {"23501": HALF}, NOW + MINUTE, round_id="r-1")
    head = order_row(database, "23501")
    told = {"panel_status": "In progress", "charge": Decimal("0.27819"), "currency": "USD", "start_count": 3572,
            "remains": 500}  # fmt: skip
    assert head == head | told | {
        "state": "in_progress", "seq": 1, "state_at": NOW + MINUTE, "state_remains": 500,
        "changed_at": NOW + MINUTE, "checked_at": NOW + MINUTE, "next_poll_at": written.next_poll_at,
        "settled_at": None, "closed_at": None, "misses": 0, "tracked_at": NOW, "quantity": 1000,
    }  # fmt: skip
    assert table(database, transitions) == [
        {"order_key": key, "seq": 1, "at": NOW + MINUTE, "from_state": "new", "to_state": "in_progress"}
        | told
        | {"round": "r-1"}
    ]
    assert table(database, progress) == []


def test_an_answer_that_says_the_same_moves_only_the_times_of_asking(database: Database, memory: Memory) -> None:
    follow(database, "23501")
    poll(memory, {"23501": HALF})
    before, history = order_row(database, "23501"), table(database, transitions)
    [written] = poll(memory, {"23501": HALF}, NOW + MINUTE)
    assert order_row(database, "23501") == before | {
        "checked_at": NOW + MINUTE,
        "next_poll_at": written.next_poll_at,
    }
    assert (table(database, transitions), table(database, progress)) == (history, [])


def test_other_figures_are_a_row_of_progress_within_the_transition(database: Database, memory: Memory) -> None:
    [key] = follow(database, "23501")
    poll(memory, {"23501": HALF})
    [written] = poll(memory, {"23501": HALF._replace(remains=499, charge=None)}, NOW + MINUTE)
    head = order_row(database, "23501")
    assert head == head | {"remains": 499, "charge": Decimal("0.27819"), "seq": 1, "state_at": NOW,
                           "changed_at": NOW + MINUTE, "checked_at": NOW + MINUTE,
                           "next_poll_at": written.next_poll_at}  # fmt: skip
    [row] = table(database, progress)
    assert row == row | {
        "order_key": key, "seq": 1, "at": NOW + MINUTE, "charge": Decimal("0.27819"), "currency": "USD",
        "start_count": 3572, "remains": 499,
    }  # fmt: skip
    assert len(table(database, transitions)) == 1


def test_a_first_figure_within_a_state_is_remembered_as_the_one_it_began_with(
    database: Database, memory: Memory
) -> None:
    follow(database, "23501")
    poll(memory, {"23501": Status("in_progress", "In progress")})
    poll(memory, {"23501": Status("in_progress", "In progress", remains=800)}, NOW + MINUTE)
    poll(memory, {"23501": Status("in_progress", "In progress", remains=700)}, NOW + 2 * MINUTE)
    head = order_row(database, "23501")
    assert (head["state_remains"], head["remains"]) == (800, 700)
    assert [row["remains"] for row in table(database, progress)] == [800, 700]


def test_each_order_of_a_batch_gets_what_its_own_answer_says(database: Database, memory: Memory) -> None:
    follow(database, "same", "figures", "moves", "odd", "absent", "unknown", "new")
    old = ("same", "figures", "moves", "odd", "absent", "unknown")
    poll(memory, dict.fromkeys(old, HALF))
    told: dict[str, Answer] = {
        "same": HALF,
        "figures": HALF._replace(remains=1),
        "moves": HALF._replace(state="completed", panel_status="Completed", remains=0),
        "odd": Odd("bad_item", "17"),
        "absent": Odd("absent", "left out"),
        "unknown": NotFound("Incorrect order ID"),
        "new": PENDING,
    }
    assert len(poll(memory, told, NOW + MINUTE)) == 7
    heads = {row["order_id"]: row for row in table(database, orders)}
    told_now = {name for name, row in heads.items() if row["checked_at"] == NOW + MINUTE}
    assert told_now == {"same", "figures", "moves", "new"}
    assert {name: row["seq"] for name, row in heads.items() if row["seq"] != 1} == {"moves": 2}
    assert heads["moves"]["settled_at"] == NOW + MINUTE
    assert {name: row["misses"] for name, row in heads.items() if row["misses"]} == {"absent": 1, "unknown": 1}
    assert [(row["order_id"], row["kind"]) for row in table(database, anomalies)] == [
        ("absent", "absent"),
        ("odd", "bad_item"),
        ("unknown", "not_found"),
    ]
    check_history(database)


def test_an_anomaly_is_one_row_that_counts_and_keeps_the_newest_detail(database: Database, memory: Memory) -> None:
    follow(database, "23501")
    for minute in range(3):
        poll(memory, {"23501": Odd("bad_item", f"detail {minute}")}, NOW + minute * MINUTE)
    assert table(database, anomalies) == [
        {"panel": "acme", "order_id": "23501", "kind": "bad_item", "count": 3, "first_at": NOW,
         "last_at": NOW + 2 * MINUTE, "detail": "detail 2"}
    ]  # fmt: skip
    assert order_row(database, "23501")["checked_at"] is None


def test_an_order_that_goes_missing_and_comes_back_has_both_in_its_history(
    database: Database, memory: Memory
) -> None:
    follow(database, "23501")
    poll(memory, {"23501": HALF})
    for tens in range(1, 4):
        at = NOW + 10 * tens * MINUTE
        poll(memory, {"23501": NotFound("Incorrect order ID")}, at, singly=True)
    head = order_row(database, "23501")
    assert (head["state"], head["settled_at"], head["checked_at"]) == ("missing", NOW + 30 * MINUTE, NOW)
    poll(memory, {"23501": HALF}, NOW + 40 * MINUTE)
    moves = [(row["from_state"], row["to_state"], row["panel_status"]) for row in table(database, transitions)]
    assert moves == [
        ("new", "in_progress", "In progress"),
        ("in_progress", "missing", "Incorrect order ID"),
        ("missing", "in_progress", "In progress"),
    ]
    head = order_row(database, "23501")
    assert (head["settled_at"], head["misses"], head["missed_at"]) == (None, 0, None)


def test_an_answer_that_says_the_same_clears_a_suspicion(database: Database, memory: Memory) -> None:
    follow(database, "23501")
    poll(memory, {"23501": HALF})
    poll(memory, {"23501": NotFound("Incorrect order ID")}, NOW + MINUTE, singly=True)
    suspected = order_row(database, "23501")
    assert (suspected["misses"], suspected["missed_at"]) == (2, NOW + MINUTE)
    poll(memory, {"23501": HALF}, NOW + 2 * MINUTE)
    cleared = order_row(database, "23501")
    assert (cleared["misses"], cleared["missed_at"], cleared["checked_at"]) == (0, None, NOW + 2 * MINUTE)


def test_the_grace_time_of_an_order_that_came_settled_begins_with_its_first_answer(
    database: Database, memory: Memory
) -> None:
    follow(database, "23501", state="completed", panel_status="Completed")
    poll(memory, {"23501": Status("completed", "Completed")})
    assert order_row(database, "23501")["settled_at"] == NOW


def test_an_order_settled_for_the_grace_time_is_closed_and_never_asked_again(
    database: Database, memory: Memory
) -> None:
    done: dict[str, Any] = {"state": "completed", "panel_status": "Completed", "seq": 1, "state_at": ago(days=8)}
    old = follow(database, "old", settled_at=ago(days=7), **done)
    young = follow(database, "young", settled_at=ago(days=6), **done)
    told = Status("completed", "Completed")
    poll(memory, {"old": told, "young": told})
    assert order_row(database, "old")["closed_at"] == NOW
    assert order_row(database, "young")["closed_at"] is None
    assert list(memory.orders.plan(NOW + timedelta(days=30), 5, 10).keys) == young
    assert memory.orders.load(old) == []


def test_batches_written_together_keep_the_moments_of_their_answers(database: Database, memory: Memory) -> None:
    done: dict[str, Any] = {"state": "completed", "panel_status": "Completed", "seq": 1, "state_at": ago(days=8)}
    follow(database, "1", "2", settled_at=ago(days=7), **done)
    odd = follow(database, "3", "4")
    told = Status("completed", "Completed")
    first, second = (
        decisions(loaded(memory, one, other), {one: told, other: Odd("charge", "x")}, at)
        for one, other, at in (("1", "3", NOW), ("2", "4", NOW + MINUTE))
    )
    assert len(odd) == 2
    memory.orders.apply([*first, *second], "round")
    assert [order_row(database, one)["closed_at"] for one in "12"] == [NOW, NOW + MINUTE]
    assert [order_row(database, one)["checked_at"] for one in "12"] == [NOW, NOW + MINUTE]
    assert [row["last_at"] for row in table(database, anomalies)] == [NOW, NOW + MINUTE]


def test_children_are_followed_once_due_at_once_and_know_their_parent(database: Database, memory: Memory) -> None:
    [parent] = follow(database, "drip")
    [known] = follow(database, "102", ref="mine", state="completed", closed_at=NOW)
    told = Status("in_progress", "In progress", children=("101", "102"))
    for minute in range(2):
        poll(memory, {"drip": told}, NOW + minute * MINUTE)
    poll(memory, {"drip": told._replace(children=("101", "102", "103"))}, NOW + 2 * MINUTE)
    children = {row["order_id"]: row for row in table(database, orders)}
    assert children.keys() == {"drip", "101", "102", "103"}
    for name in ("101", "103"):
        assert (children[name]["parent"], children[name]["state"], children[name]["seq"]) == (parent, "new", 0)
    assert (children["102"]["id"], children["102"]["parent"], children["102"]["ref"]) == (known, parent, "mine")
    assert children["102"]["closed_at"] == NOW


def test_nobody_becomes_their_own_ancestor(database: Database, memory: Memory) -> None:
    follow(database, "a", "b", "c", "d")
    names = {"a": "b", "b": "a", "c": "d"}
    poll(memory, {one: Status("active", "Active", children=(other,)) for one, other in names.items()})
    for one, other in {"a": "b", "b": "a", "d": "c"}.items():
        poll(memory, {one: Status("active", "Active", children=(other, one))}, NOW + MINUTE)
    rows = {row["order_id"]: row for row in table(database, orders)}
    parents = {
        name: next((one for one in rows if rows[one]["id"] == row["parent"]), None) for name, row in rows.items()
    }
    assert parents == {"a": None, "b": "a", "c": None, "d": "c"}


def test_the_money_of_a_child_that_was_known_first_is_its_parents(database: Database, memory: Memory) -> None:
    follow(database, "run", "drip", quantity=10)
    cost = Status("in_progress", "In progress", charge=Decimal(10), currency="USD")
    poll(memory, {"run": cost, "drip": cost._replace(children=("run",))})
    with reading(database._engine) as connection:
        rows = connection.execute(text("SELECT orders, charge FROM daily_spend")).all()
    assert [(row.orders, row.charge) for row in rows] == [(1, 10)]


def test_an_order_that_two_parents_claim_is_followed_once(database: Database, memory: Memory) -> None:
    follow(database, "a", "b")
    poll(memory, {name: Status("active", "Active", children=("101", "101", name)) for name in ("a", "b")})
    assert sorted(row["order_id"] for row in table(database, orders)) == ["101", "a", "b"]


def test_answers_of_several_batches_keep_their_own_moments(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    [first], [second] = loaded(memory, "1"), loaded(memory, "2")
    both = [*decisions([first], {"1": HALF}), *decisions([second], {"2": HALF}, NOW + MINUTE)]
    assert len(memory.orders.apply(both, "round")) == 2
    assert [row["at"] for row in table(database, transitions)] == [NOW, NOW + MINUTE]
    assert [row["checked_at"] for row in table(database, orders)] == [NOW, NOW + MINUTE]


def answers(random_: random.Random) -> Answer:
    choices: list[Callable[[], Answer]] = [
        lambda: NotFound("Incorrect order ID"),
        lambda: Odd("absent", "left out"),
        *[
            lambda: Status(
                random_.choice(STATES),
                random_.choice(["A", "B"]),
                random_.choice([None, Decimal("0.1"), Decimal("123456.12345678")]),
                random_.choice([None, "USD"]),
                random_.choice([None, 0, 2**62]),
                random_.choice([None, -1, 0, 1]),
                random_.choice([(), (), ("c1", "c2")]),
            )
        ]
        * 4,
    ]
    return random_.choice(choices)()


STATES: list[State] = ["pending", "in_progress", "completed", "partial"]


def test_after_every_batch_of_random_answers_head_equals_tail_and_nothing_is_there_twice(
    database: Database, memory: Memory
) -> None:
    """P1, P2 and P3 in the tables: the history is what was decided, whatever the mix of answers in a batch."""
    random_ = random.Random(7)
    names = [f"o{number}" for number in range(12)]
    follow(database, *names)
    expected: dict[str, list[tuple[object, ...]]] = {name: [] for name in names}
    for step in range(25):
        told = {name: answers(random_) for name in random_.sample(names, 8)}
        at = NOW + step * timedelta(hours=9)
        for one in poll(memory, told, at, singly=random_.random() < 0.4):
            if one.changed:
                expected[one.after.order_id].append((at, one.after.seq, one.transition, *one.after[2:8]))
        check_history(database)
    for name, rows in expected.items():
        known: tuple[object, ...] = ()
        timeline = []
        for row in database.history.timeline(order_row(database, name)["id"]):
            known = (row["to_state"], row["panel_status"]) if row["to_state"] else known
            figures = (row["charge"], row["currency"], row["start_count"], row["remains"])
            timeline.append((row["at"], row["seq"], row["to_state"] is not None, *known, *figures))
        assert timeline == rows
    assert sum(map(len, expected.values())) > 100

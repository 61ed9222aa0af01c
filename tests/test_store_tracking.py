"""Starting to follow orders and refills, and making them due: what people and shops ask of tracker."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from books import NOW, PENDING, ago, follow, order_row, poll, table
from sqlalchemy.exc import IntegrityError

from tracker.store.database import Database, opened
from tracker.store.memory import Memory
from tracker.store.schema import orders, refills
from tracker.store.tracking import SOME, NewOrder

FULL = NewOrder(
    "23501", service_id="17", link="https://example.com/ü", quantity=1000, ref="shop-1", ordered_at=NOW
)


def test_an_order_is_followed_from_now_on_and_due_at_once(database: Database, memory: Memory) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    assert database.track("acme", [FULL]) == ["23501"]
    row = order_row(database, "23501")
    assert row == row | {
        "service_id": "17", "link": "https://example.com/ü", "quantity": 1000, "ref": "shop-1", "ordered_at": NOW,
        "state": "new", "seq": 0, "misses": 0, "checked_at": None, "closed_at": None,
    }  # fmt: skip
    assert began < row["tracked_at"] <= datetime.now(UTC)
    assert list(memory.orders.plan(datetime.now(UTC), 1, 100).keys) == [row["id"]]


def test_following_an_order_twice_is_no_error_and_changes_nothing(database: Database, memory: Memory) -> None:
    database.track("acme", [FULL])
    poll(memory, {"23501": PENDING})
    before = order_row(database, "23501")
    assert database.track("acme", [FULL, NewOrder("23502"), NewOrder("23501")]) == ["23502"]
    assert order_row(database, "23501") == before


def test_following_again_fills_in_what_was_unknown_and_overwrites_nothing(database: Database) -> None:
    database.track("acme", [NewOrder("23501", link="https://example.com/1")])
    assert database.track("acme", [FULL]) == []
    row = order_row(database, "23501")
    assert (row["link"], row["service_id"], row["quantity"]) == ("https://example.com/1", "17", 1000)
    assert (row["ref"], row["ordered_at"]) == ("shop-1", NOW)


def test_the_same_id_at_two_panels_is_two_orders(database: Database) -> None:
    assert database.track("acme", [FULL]) == ["23501"]
    assert database.track("other", [NewOrder("23501")]) == ["23501"]
    assert order_row(database, "23501", "other")["link"] is None


def test_an_import_of_many_with_repeats_follows_each_once(database: Database) -> None:
    many = [NewOrder(str(number)) for number in range(SOME + 300)]
    assert database.track("acme", many[:10]) == [str(number) for number in range(10)]
    added = database.track("acme", [*many, *many[-3:]])
    assert added == [str(number) for number in range(10, SOME + 300)]
    assert len(table(database, orders)) == SOME + 300


def test_nothing_to_follow_is_nothing(database: Database) -> None:
    assert database.track("acme", []) == []


def test_a_refill_is_followed_once_while_it_is_open(database: Database) -> None:
    assert database.track_refill("acme", "23501", "1")
    assert not database.track_refill("acme", "23501", "1")
    assert database.track_refill("acme", "23501", "2")
    assert database.track_refill("acme", "23502", "1")
    assert database.track_refill("other", "23501", "1")
    assert [(row["order_id"], row["state"], row["seq"]) for row in table(database, refills)] == [
        (order, "requested", 0) for order in ("23501", "23501", "23502", "23501")
    ]


def test_of_many_that_follow_the_same_at_once_each_is_told_the_truth(
    database: Database, database_url: str
) -> None:
    racers = 5
    line = threading.Barrier(racers)

    def race(_: int) -> tuple[list[str], bool]:
        with opened(database_url) as mine:
            mine.holder_of("acme")  # connected before the start
            line.wait(timeout=20)
            return mine.track("acme", [NewOrder("1"), NewOrder("2")]), mine.track_refill("acme", "1", "7")

    with ThreadPoolExecutor(racers) as pool:
        results = list(pool.map(race, range(racers)))
    assert sorted(order for added, _ in results for order in added) == ["1", "2"]
    assert sorted(new for _, new in results) == [False] * (racers - 1) + [True]
    assert len(table(database, orders)) == 2
    assert len(table(database, refills)) == 1


def test_all_open_orders_of_a_panel_are_made_due_and_those_that_are_due_stay_where_they_are(
    database: Database, memory: Memory
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    waiting = follow(database, "1", "2", next_poll_at=later)
    follow(database, "closed", state="completed", closed_at=NOW, next_poll_at=later)
    follow(database, "due", next_poll_at=ago(days=400))
    follow(database, "theirs", panel="other", next_poll_at=later)
    assert database.make_due("acme") == 2
    assert set(waiting) < set(memory.orders.plan(datetime.now(UTC), 1, 100).keys)
    assert order_row(database, "due")["next_poll_at"] == ago(days=400)
    assert order_row(database, "closed")["next_poll_at"] == later
    assert order_row(database, "theirs", "other")["next_poll_at"] == later


def test_named_orders_are_made_due_however_many(database: Database) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    follow(database, *(str(number) for number in range(SOME + 5)), next_poll_at=later)
    assert database.make_due("acme", ["1", "2", "nobody"]) == 2
    assert database.make_due("acme", [str(number) for number in range(SOME + 5)]) == SOME + 3
    assert database.make_due("acme", []) == 0


@pytest.mark.parametrize("bad", ["", "1,2", "1 2"])
def test_a_name_that_is_no_id_follows_nothing(database: Database, bad: str) -> None:
    with pytest.raises(IntegrityError, match="order_id_is_an_id"):
        database.track("acme", [NewOrder("1"), NewOrder(bad)])
    assert table(database, orders) == []

"""Starting to follow orders and refills, and making them due: what people and shops ask of tracker."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from books import NOW, PENDING, ago, check_history, decisions, follow, loaded, order_row, poll, table
from cli_setting import sql
from simulation import PATIENCE, until
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from tracker.decide import decide_refill
from tracker.grace import Moment
from tracker.model import RefillStatus, Status
from tracker.pace import Pacing
from tracker.store.database import Database, opened
from tracker.store.engine import writing
from tracker.store.following.tracking import SOME, NewOrder, Untracked
from tracker.store.following.tracking import follow as track_in
from tracker.store.polling.memory import Memory
from tracker.store.schema import orders, refills

FULL = NewOrder(
    "23501", service_id="17", link="https://example.com/ü", quantity=1000, ref="shop-1", ordered_at=NOW
)

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def followed(database: Database, *new: NewOrder) -> list[tuple[str, str]]:
    """Follow orders of acme; return what was said of each, in turn."""
    return [(one.order_id, one.how) for one in database.track("acme", new)]


def test_an_order_is_followed_from_now_on_and_due_at_once(database: Database, memory: Memory) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    assert followed(database, FULL) == [("23501", "new")]
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
    told = followed(database, FULL, NewOrder("23502"), NewOrder("23501"))
    assert told == [("23501", "before"), ("23502", "new")]
    assert order_row(database, "23501") == before


def test_following_again_fills_in_what_was_unknown_and_overwrites_nothing(database: Database) -> None:
    database.track("acme", [NewOrder("23501", link="https://example.com/1")])
    assert followed(database, FULL) == [("23501", "before")]
    row = order_row(database, "23501")
    assert (row["link"], row["service_id"], row["quantity"]) == ("https://example.com/1", "17", 1000)
    assert (row["ref"], row["ordered_at"]) == ("shop-1", NOW)


def test_the_same_id_at_two_panels_is_two_orders(database: Database) -> None:
    [acme] = database.track("acme", [FULL])
    [other] = database.track("other", [NewOrder("23501")])
    assert (acme.how, other.how) == ("new", "new")
    assert acme.key != other.key
    assert order_row(database, "23501", "other")["link"] is None


def test_an_import_of_many_with_repeats_follows_each_once(database: Database) -> None:
    many = [NewOrder(str(number)) for number in range(SOME + 300)]
    assert followed(database, *many[:10]) == [(str(number), "new") for number in range(10)]
    told = followed(database, *many[5:], *many[-3:])
    assert told[:5] == [(str(number), "before") for number in range(5, 10)]
    assert told[5:] == [(str(number), "new") for number in range(10, SOME + 300)]
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
            line.wait(timeout=PATIENCE)
            told = mine.track("acme", [NewOrder("1"), NewOrder("2")])
            return [one.order_id for one in told if one.how == "new"], mine.track_refill("acme", "1", "7")

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


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_a_poller_is_writing_is_not_waited_for(database: Database) -> None:
    """It is being answered just now; to wait for it while holding others could be a deadlock."""
    later = datetime.now(UTC) + timedelta(hours=1)
    follow(database, "1", "2", "3", next_poll_at=later)
    with writing(database._engine) as busy:
        busy.execute(update(orders).where(orders.c.order_id == "2").values(misses=1))
        assert database.make_due("acme") == 2
        assert database.make_due("acme", ["2"]) == 0


@pytest.mark.parametrize("bad", ["", "1,2", "1 2"])
def test_a_name_that_is_no_id_follows_nothing(database: Database, bad: str) -> None:
    with pytest.raises(IntegrityError, match="order_id_is_an_id"):
        database.track("acme", [NewOrder("1"), NewOrder(bad)])
    assert table(database, orders) == []


def settled_and_closed(database: Database) -> int:
    [key] = follow(
        database, "1", state="completed", settled_at=ago(days=8), closed_at=ago(days=1), next_poll_at=ago(days=1)
    )
    return key


def test_tracking_a_closed_order_follows_it_again_with_a_new_grace_time(
    database: Database, memory: Memory
) -> None:
    key = settled_and_closed(database)
    began = datetime.now(UTC) - timedelta(seconds=1)
    assert followed(database, NewOrder("1", link="https://example.com/1")) == [("1", "again")]
    row = order_row(database, "1")
    assert (row["closed_at"], row["state"], row["link"]) == (None, "completed", "https://example.com/1")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    assert began < row["settled_at"] < soon
    assert began < row["next_poll_at"] < soon
    assert list(memory.orders.plan(datetime.now(UTC), 1, 100).keys) == [key]
    assert followed(database, NewOrder("1")) == [("1", "before")]
    [decided] = poll(memory, {"1": Status("completed", "Completed")}, datetime.now(UTC))
    assert decided.closed_at is None, "its grace time has just begun"


def test_an_open_order_that_was_untracked_is_not_settled_when_it_is_followed_again(database: Database) -> None:
    follow(database, "1", state="in_progress")
    assert database.untrack("acme", "1") == Untracked(was_followed=True, refills=0, children=0)
    assert followed(database, NewOrder("1")) == [("1", "again")]
    row = order_row(database, "1")
    assert (row["closed_at"], row["settled_at"], row["state"]) == (None, None, "in_progress")


def test_following_inside_of_a_transaction_goes_with_it(database: Database) -> None:
    with writing(database._engine) as connection:
        [one] = track_in(connection, "acme", [NewOrder("1")])
        assert one.how == "new"
        connection.rollback()
    assert table(database, orders) == []
    with writing(database._engine) as connection:
        told = track_in(connection, "acme", [NewOrder("1"), NewOrder("2")])
    assert [(one.key, one.order_id) for one in told] == [
        (row["id"], row["order_id"]) for row in table(database, orders)
    ]


def test_untracking_ends_the_order_and_its_refills_and_deletes_nothing(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    follow(database, "1", panel="other")
    poll(memory, {"1": PENDING})
    for panel, order_id, refill_id in (("acme", "1", "7"), ("acme", "2", "8"), ("other", "1", "9")):
        database.track_refill(panel, order_id, refill_id)
    assert database.untrack("acme", "1") == Untracked(was_followed=True, refills=1, children=0)
    assert database.untrack("acme", "1") == Untracked(was_followed=False, refills=0, children=0)
    check_history(database)
    row = order_row(database, "1")
    assert (row["state"], row["seq"], row["closed_at"] is None) == ("pending", 1, False)
    later = datetime.now(UTC) + timedelta(days=1)
    assert [one.order_id for one in memory.orders.load(memory.orders.plan(later, 1, 100).keys)] == ["2"]
    assert [one.refill_id for one in memory.refills.plan(later, 10).refills] == ["8"]
    assert memory.refills.reopen_orders(later) == 0, "its refill is closed with it"
    assert order_row(database, "1", "other")["closed_at"] is None


def test_untracking_tells_how_many_children_are_still_followed(database: Database) -> None:
    [parent] = follow(database, "1")
    follow(database, "2", "3", parent=parent)
    database.untrack("acme", "3")
    assert database.untrack("acme", "1") == Untracked(was_followed=True, refills=0, children=1)


def test_a_decision_in_flight_loses_against_untracking(database: Database, memory: Memory) -> None:
    follow(database, "1", "2")
    database.track_refill("acme", "1", "7")
    read = loaded(memory, "1", "2")
    [refill] = memory.refills.plan(datetime.now(UTC), 10).refills
    database.untrack("acme", "1")
    before = order_row(database, "1")
    written = memory.orders.apply(decisions(read, {"1": PENDING, "2": PENDING}), "round")
    assert [one.before.order_id for one in written] == ["2"]
    moment = Moment(datetime.now(UTC), Pacing())
    told = decide_refill(refill, RefillStatus("completed", "Completed"), moment)
    assert memory.refills.apply([told], moment.now, "round") == []
    assert order_row(database, "1") == before
    assert [row["state"] for row in table(database, refills)] == ["requested"]
    check_history(database)


def test_an_answer_that_waits_for_untracking_is_dropped_when_that_commits(
    database: Database, database_url: str, memory: Memory
) -> None:
    """Postgres lets both write at once, and the later one must look again; SQLite makes it wait at BEGIN."""
    [key] = follow(database, "1")
    told = decisions(loaded(memory, "1"), {"1": PENDING})
    with ThreadPoolExecutor(1) as pool:
        with writing(database._engine) as connection:
            connection.execute(update(orders).where(orders.c.id == key).values(closed_at=NOW))
            waiting = pool.submit(memory.orders.apply, told, "round")
            if database_url.startswith("postgresql"):
                until(lambda: sql(database_url, WAITING)[0][0] == 1, "the answer to wait for the row")
            assert not waiting.done()
        assert list(waiting.result(timeout=PATIENCE)) == []
    assert (order_row(database, "1")["state"], order_row(database, "1")["closed_at"]) == ("new", NOW)

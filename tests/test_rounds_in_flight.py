"""A round over real HTTP into a real database: requests are in flight together, no answer waits for another."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cli_setting import sql
from conftest import PANEL
from raw_panel import LONG, Asked, RawPanel, ok, until

from tracker.daemon.post import Post, connections
from tracker.model import OrderFilter
from tracker.settings import Every, PanelSettings, Secret
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease

IN_FLIGHT = 4


def pending(asked: Asked) -> bytes:
    return ok({order_id: {"status": "Pending"} for order_id in asked.fields["orders"].split(",")})


@contextmanager
def polling(panel: RawPanel, database: Database, lease: Lease) -> Iterator[Post]:
    stop = threading.Event()
    settings = PanelSettings(
        PANEL, panel.url, Secret("secret-key"), None, requests_per_minute=0, in_flight=IN_FLIGHT
    )
    with connections(stop) as connect:
        post = Post(settings, Every(), database, lease, connect=connect, stop=stop)
        try:
            yield post
        finally:
            stop.set()
            post.client.close()


def answered(database: Database) -> int:
    return sum(row["checked_at"] is not None for row in database.history.orders(OrderFilter(PANEL), limit=None))


def test_a_round_keeps_as_many_requests_in_flight_as_it_may(database: Database, lease: Lease) -> None:
    """Every request waits until as many are there as may be: fewer than that together, and none is answered."""
    together = threading.Barrier(IN_FLIGHT, timeout=LONG)
    lock = threading.Lock()
    now, most = 0, 0

    def answer(asked: Asked) -> bytes:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait()
        with lock:
            now -= 1
        return pending(asked)

    count = 100 * IN_FLIGHT * 4
    database.track(PANEL, [NewOrder(str(number)) for number in range(count)])
    with RawPanel(answer) as panel, polling(panel, database, lease) as post:
        report = post.tick("statuses", force=True)
    assert report is not None
    assert report.fault is None
    assert report.answered == count
    assert most == IN_FLIGHT


def test_what_was_answered_is_written_while_a_slow_reply_is_still_awaited(
    database: Database, lease: Lease
) -> None:
    slow = threading.Event()

    def answer(asked: Asked) -> bytes:
        if "0" in asked.fields["orders"].split(","):
            assert slow.wait(LONG)
        return pending(asked)

    database.track(PANEL, [NewOrder(str(number)) for number in range(300)])
    with RawPanel(answer) as panel, polling(panel, database, lease) as post:
        round_ = threading.Thread(target=post.tick, args=("statuses",), kwargs={"force": True})
        round_.start()
        try:
            until(lambda: answered(database) == 200)
        finally:
            slow.set()
            round_.join(LONG)
    assert answered(database) == 300


@pytest.mark.parametrize("closed_id", ["7", "1234"])
def test_an_order_that_was_closed_since_it_was_read_is_left_alone(
    database: Database, database_url: str, lease: Lease, closed_id: str
) -> None:
    """Orders are read ahead of their turn; the others of the same transaction are written all the same."""
    closed = threading.Event()

    def answer(asked: Asked) -> bytes:
        assert closed.wait(LONG)
        return pending(asked)

    count = 1500
    database.track(PANEL, [NewOrder(str(number)) for number in range(count)])
    with RawPanel(answer) as panel, polling(panel, database, lease) as post:
        round_ = threading.Thread(target=post.tick, args=("statuses",), kwargs={"force": True})
        round_.start()
        try:
            until(lambda: len(panel.asked) == IN_FLIGHT)
            sql(database_url, "UPDATE orders SET closed_at = tracked_at WHERE order_id = :id", id=closed_id)
        finally:
            closed.set()
            round_.join(LONG)
    assert answered(database) == count - 1
    [left] = sql(database_url, "SELECT checked_at FROM orders WHERE order_id = :id", id=closed_id)
    assert left.checked_at is None

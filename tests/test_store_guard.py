"""What is not written about orders: what moved on, what is not ours any more, what the database refuses."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from books import (
    NOW,
    PENDING,
    ago,
    decisions,
    everything,
    execute,
    follow,
    loaded,
    order_row,
    poll,
    table,
)
from sqlalchemy import exc, update

from tracker.errors import LeaseLost
from tracker.model import Answer, Odd, Status
from tracker.store.database import Database
from tracker.store.leases import Lease
from tracker.store.polling.memory import Memory
from tracker.store.schema import anomalies, orders, progress, transitions

HALF = Status("in_progress", "In progress", Decimal("0.27819"), "USD", 3572, 500)
MINUTE = timedelta(minutes=1)


MOVED: dict[str, dict[str, Any]] = {
    "was answered meanwhile": {"checked_at": NOW + MINUTE},
    "was answered for the first time": {"checked_at": ago(seconds=1)},
    "changed its state": {"seq": 1},
    "was closed": {"closed_at": NOW},
}


@pytest.mark.parametrize("values", MOVED.values(), ids=MOVED.keys())
@pytest.mark.parametrize("answer", [PENDING, HALF, HALF._replace(remains=1), Odd("bad_item", "17")])
def test_a_decision_about_an_order_that_moved_on_is_dropped_and_the_others_are_written(
    database: Database, memory: Memory, values: dict[str, Any], answer: Answer
) -> None:
    moved, still = follow(database, "moved", "still", state="in_progress", panel_status="In progress", seq=0)
    planned = decisions(loaded(memory, "moved", "still"), {"moved": answer, "still": HALF})
    execute(database, update(orders).where(orders.c.id == moved).values(**values))
    theirs = order_row(database, "moved")
    written = memory.orders.apply(planned, "round")
    assert [one.before.key for one in written] == [still]
    assert order_row(database, "moved") == theirs
    assert order_row(database, "still")["checked_at"] == NOW
    history = [*table(database, transitions), *table(database, progress)]
    assert {row["order_key"] for row in history} == {still}
    assert table(database, anomalies) == []


def test_the_same_decisions_are_written_once(database: Database, memory: Memory) -> None:
    follow(database, "1", "2", "3")
    planned = decisions(
        loaded(memory, "1", "2", "3"), {"1": HALF, "2": PENDING, "3": Status("active", "Active", children=("9",))}
    )
    memory.orders.apply(planned, "round")
    before = everything(database)
    assert list(memory.orders.apply(planned, "again")) == []
    assert everything(database) == before


def test_a_lost_lease_writes_nothing(database: Database) -> None:
    lease = database.acquire("acme", "first", 0)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    follow(database, "1", "2")
    planned = decisions(loaded(memory, "1", "2"), {"1": HALF, "2": Odd("bad_item", "17")})
    assert isinstance(database.acquire("acme", "second", 60), Lease)
    before = everything(database)
    with pytest.raises(LeaseLost, match=r"Panel acme.*first"):
        memory.orders.apply(planned, "round")
    assert everything(database) == before


def test_a_batch_that_the_database_refuses_is_not_half_written(database: Database, memory: Memory) -> None:
    follow(database, "1", "2", "3")
    told: dict[str, Answer] = {
        "1": HALF,
        "2": Status("active", "Active", children=("not an id",)),
        "3": Odd("bad_item", "17"),
    }
    before = everything(database)
    with pytest.raises(exc.IntegrityError):
        poll(memory, told)
    assert everything(database) == before

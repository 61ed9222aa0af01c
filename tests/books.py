"""What the tests of the store share: orders at known moments, polls without a panel, and raw looks at tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import Executable, Table, insert, select

from tracker.decide import Decision, decide
from tracker.grace import Moment
from tracker.model import Answer, Order, Status
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.engine import reading, writing
from tracker.store.polling.memory import Memory
from tracker.store.schema import orders, progress, transitions

PANEL = "acme"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PENDING = Status("pending", "Pending")


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def execute(database: Database, statement: Executable, rows: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Write as any other program might."""
    with writing(database._engine) as connection:
        connection.execute(statement, rows)


def follow(database: Database, *order_ids: str, panel: str = PANEL, **columns: object) -> list[int]:
    """Insert orders, newcomers due at `NOW` unless `columns` say otherwise; return their keys in turn."""
    times = {"tracked_at": NOW, "state_at": NOW, "next_poll_at": NOW}
    rows = [{"panel": panel, "order_id": one, **times, **columns} for one in order_ids]
    execute(database, insert(orders), rows)
    keys = {row["order_id"]: row["id"] for row in table(database, orders) if row["panel"] == panel}
    return [keys[one] for one in order_ids]


def table(database: Database, one: Table) -> list[dict[str, Any]]:
    """Return all rows of a table, in the order of its primary key."""
    with reading(database._engine) as connection:
        return [dict(row) for row in connection.execute(select(one).order_by(*one.primary_key)).mappings()]


def order_row(database: Database, order_id: str, panel: str = PANEL) -> dict[str, Any]:
    """Return the whole row of one order."""
    [row] = [row for row in table(database, orders) if (row["panel"], row["order_id"]) == (panel, order_id)]
    return row


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return every row of every table of ours."""
    return {one.name: table(database, one) for one in orders.metadata.sorted_tables}


def loaded(memory: Memory, *order_ids: str) -> list[Order]:
    return memory.orders.load(memory.orders.find(order_ids))


def decisions(
    read: Sequence[Order], told: Mapping[str, Answer], at: datetime = NOW, *, singly: bool = False
) -> list[Decision]:
    """Decide about the orders as they were read, each with its answer."""
    moment = Moment(at, Pacing(), singly=singly)
    return [decide(order, told[order.order_id], moment) for order in read]


def poll(
    memory: Memory,
    told: Mapping[str, Answer],
    at: datetime = NOW,
    *,
    singly: bool = False,
    round_id: str = "round",
) -> Sequence[Decision]:
    """Do what a round does with one batch of answers; return what was written."""
    return memory.orders.apply(decisions(loaded(memory, *told), told, at, singly=singly), round_id)


def check_history(database: Database) -> None:
    """Assert P2 and P3 over the whole database: no repeats, no gaps in `seq`, head equals tail."""
    figures = ("charge", "currency", "start_count", "remains")
    moved, went_on = table(database, transitions), table(database, progress)
    for order in table(database, orders):
        mine = [row for row in moved if row["order_key"] == order["id"]]
        assert [row["seq"] for row in mine] == list(range(1, order["seq"] + 1))
        steps: list[tuple[object, ...]] = []
        for row in mine:
            within = [one for one in went_on if (one["order_key"], one["seq"]) == (order["id"], row["seq"])]
            steps += [
                (row["to_state"], row["panel_status"], *(one[name] for name in figures)) for one in (row, *within)
            ]
        assert all(before != after for before, after in pairwise(steps))
        if steps:
            head = (order["state"], order["panel_status"], *(order[name] for name in figures))
            assert steps[-1] == head

"""A small history of everything that views and recipes ask about, polled by the real rules at known moments."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from books import execute, follow, poll
from sqlalchemy import insert

from tracker.catalog import Difference, ServiceChange
from tracker.decide import RefillDecision, decide_refill
from tracker.grace import Moment
from tracker.model import (
    Anomaly,
    Balance,
    Counts,
    Refill,
    RefillState,
    RefillStatus,
    RoundRow,
    Service,
    State,
    Status,
)
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.leases import Lease
from tracker.store.polling.memory import Memory
from tracker.store.schema import intents

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
"""When the account was looked at and prices moved; orders are recent, for views look at the last 30 days."""


def whole_second() -> datetime:
    """Return now without its fraction."""
    return datetime.now(UTC).replace(microsecond=0)


def status(
    state: State, remains: int | None = None, charge: str | None = None, currency: str | None = "USD"
) -> Status:
    """Return what a panel says, in its words."""
    word = state.replace("_", " ").capitalize()
    return Status(state, word, None if charge is None else Decimal(charge), currency, 10, remains)


def books(database: Database, panel: str) -> Memory:
    """Open the books of a panel."""
    lease = database.acquire(panel, "filling", 3600)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    memory.ledger.open(f"https://{panel}.example/api/v2")
    return memory


def live(
    database: Database,
    memory: Memory,
    panel: str,
    order_id: str,
    told: Mapping[datetime, Status],
    **columns: object,
) -> int:
    """Follow an order and have it answered at those moments; return its key."""
    begun = min(told) - HOUR
    [key] = follow(database, order_id, panel=panel, **{"tracked_at": begun, "ordered_at": begun, **columns})
    for at, answer in told.items():
        poll(memory, {order_id: answer}, at)
    return key


def fill(database: Database, now: datetime) -> None:
    """Fill an empty database with the history that the tests know."""
    acme, other = books(database, "acme"), books(database, "other")
    _orders(database, acme, now)
    euro = {now - HOUR: status("completed", 0, "4", None)}
    live(database, other, "other", "23501", euro, service_id="7", quantity=100)
    # Half of it never came, and nothing was given back.
    kept = {now - 3 * HOUR: status("pending", 100, "4", None), now - 2 * HOUR: status("partial", 50, "4", None)}
    live(database, other, "other", "77", kept, service_id="7", quantity=100)
    _refills(database, acme, now)
    _panels(acme, other)
    row = RoundRow("round", "statuses", MARCH, MARCH + timedelta(seconds=3), Counts(2, 150, 149, 3, 1), "ok")
    acme.ledger.finish_round(row, [Anomaly("23502", "bad_item", "17"), Anomaly("", "foreign_ids", "9")])
    execute(
        database,
        insert(intents),
        [
            {
                "uuid": "0b3c",
                "panel": "acme",
                "action": "add",
                "state": "unknown",
                "payload": "{}",
                "service_id": "412",
                "ref": "shop-9",
                "sent_at": now - HOUR,
                "deadline_at": now,
                "price": Decimal("0.9"),
                "currency": "USD",
            }
        ],
    )


def _orders(database: Database, memory: Memory, now: datetime) -> None:
    """Fill in the orders of `acme`; what each is for stands beside it."""

    def lived(order_id: str, told: Mapping[datetime, Status], **columns: object) -> int:
        return live(database, memory, "acme", order_id, told, **{"service_id": "412", "quantity": 1000, **columns})

    # A whole life: an hour until it is seen, one pending, two delivering.
    whole = {
        now - 6 * HOUR: status("pending", 1000, "0.9"),
        now - 5 * HOUR: status("in_progress", 1000, "0.9"),
        now - 4 * HOUR: status("in_progress", 600, "0.9"),
        now - 3 * HOUR: status("completed", 0, "0.9"),
    }
    lived("23501", whole, ref="shop-1", link="https://example.org/p/1")
    # Stuck for three days, after 300 of 500.
    lived(
        "23502",
        {now - 4 * DAY: status("pending"), now - 3 * DAY: status("in_progress", 200, "0.45")},
        quantity=500,
    )
    # Half of it came, half of the money came back.
    part = {now - 2 * DAY: status("in_progress", 1000, "2"), now - DAY: status("partial", 500, "1")}
    lived("23503", part, ordered_at=None)
    # Canceled, and the money is back.
    lived("23504", {now - 9 * HOUR: status("pending", 1000, "3"), now - 8 * HOUR: status("canceled", 1000, "0")})
    # Completed, and then not: a step backwards.
    back = {now - 2 * HOUR: status("completed", 0, "1.5"), now - HOUR: status("in_progress", 40, "1.5")}
    lived("23505", back, quantity=None)
    # Nothing is known of it yet.
    follow(database, "23506", tracked_at=now)
    # A drip-feed with two runs, which its own charge pays for.
    parent = lived("23507", {now - HOUR: status("active", None, "2")}, service_id="500", runs=2, interval=60)
    for child in ("23508", "23509"):
        lived(child, {now - HOUR / 2: status("completed", 0, "1")}, service_id="500", parent=parent)
    # Bought long before it was imported, and complete by then: nobody knows how long it took.
    lived("23510", {now - HOUR: status("completed", 0, "0.5")}, ordered_at=now - 20 * DAY)
    # Bought just now.
    lived("23511", {now: status("pending", None, "0.2")}, ordered_at=now, tracked_at=now)


def _refills(database: Database, memory: Memory, now: datetime) -> None:
    ended: tuple[tuple[str, str, RefillState], ...] = (("23501", "r1", "completed"), ("23503", "r2", "rejected"))
    for order_id, refill_id, state in ended:
        database.track_refill("acme", order_id, refill_id)
        plan = memory.refills.plan(now + DAY, 10, force=True)
        mine = [one for one in plan.refills if one.refill_id == refill_id]
        memory.refills.apply([_refilled(one, state, now) for one in mine], now, "round")


def _refilled(refill: Refill, state: RefillState, now: datetime) -> RefillDecision:
    return decide_refill(refill, RefillStatus(state, state.capitalize()), Moment(now, Pacing()))


def _panels(acme: Memory, other: Memory) -> None:
    """Tell the catalog, how prices moved, and the account over three days."""
    drip = Service("500", "Likes, slowly", rate=Decimal(2))
    acme.services.write(Difference([Service("412", "Likes", rate=Decimal("1.2")), drip], [], []), MARCH)
    changes = [
        ServiceChange("412", "rate", "0.9", "1.2"),
        ServiceChange("412", "name", "Likes!", "Likes"),
        ServiceChange("500", "rate", None, "2"),
        ServiceChange("411", "gone"),
    ]
    acme.services.write(Difference([], [], changes), MARCH + HOUR)
    for hours, amount in ((0, "10"), (1, "9.4"), (2, "8.7"), (13, "8.7"), (14, "20.000001"), (48, "19.5")):
        acme.ledger.snapshot(Balance(Decimal(amount), "USD"), MARCH + hours * HOUR)
    other.ledger.snapshot(Balance(Decimal(5), "EUR"), MARCH)

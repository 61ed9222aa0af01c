"""What the tests of deciding share: an order half done, and a decision about it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tracker.decide import Decision, decide
from tracker.grace import Moment
from tracker.model import (
    Answer,
    NotFound,
    Odd,
    Order,
    State,
    Status,
)
from tracker.pace import Pacing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACING = Pacing()
UNKNOWN_ID = NotFound("Incorrect order ID")
ABSENT = Odd("absent", "not in the reply")


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


HALF_DONE = Order(
    key=7,
    order_id="23501",
    state="in_progress",
    panel_status="In progress",
    charge=Decimal("0.27819"),
    currency="USD",
    start_count=3572,
    remains=500,
    quantity=1000,
    seq=2,
    state_at=ago(hours=1),
    state_remains=1000,
    changed_at=ago(minutes=5),
    was_checked_at="2026-03-01 11:55:00",
    settled_at=None,
    misses=0,
    missed_at=None,
)
NEW = HALF_DONE._replace(
    state="new", panel_status=None, charge=None, currency=None, start_count=None, remains=None, seq=0,
    state_remains=None, changed_at=None, was_checked_at=None,
)  # fmt: skip
SAME = Status("in_progress", "In progress", Decimal("0.27819"), "USD", 3572, 500)


def settled(state: State = "completed", *, since: datetime, **changes: Any) -> Order:  # noqa: ANN401 - fields
    """Return an order that settled at `since`."""
    done = HALF_DONE._replace(state=state, panel_status=state, remains=0, state_at=since, settled_at=since)
    return done._replace(**changes)


def decided(
    order: Order, answer: Answer, *, now: datetime = NOW, singly: bool = False, jitter: float = 0.0
) -> Decision:
    return decide(order, answer, Moment(now, PACING, singly=singly), jitter)

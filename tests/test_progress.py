"""P7 as a property: whatever is followed, however fast and in which dialect, nobody waits longer than promised."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from books import NOW, ago, follow
from hypothesis import HealthCheck, example, given, settings
from proof.progress import Case, cases, in_a_copy
from test_decide_histories import NEWCOMER, PACING, START

from tracker.decide import decide
from tracker.grace import Moment
from tracker.model import Odd
from tracker.store.database import Database
from tracker.store.polling.memory import Memory

pytestmark = pytest.mark.once


@settings(
    max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases(most=100))
@example(case=Case(per_minute=1, many=300))
@example(case=Case(per_minute=30, many=150, bogus=20))
@example(case=Case(per_minute=2, many=150, poison=1))
@example(case=Case(per_minute=10, many=300, bogus=75, poison=1))
@example(case=Case(per_minute=10, many=400, poison=3))
def test_every_open_order_is_answered_within_twice_its_pace_or_a_sweep(case: Case, migrated_file: Path) -> None:
    lag = in_a_copy(f"sqlite:///{migrated_file}", case, hours=0.5)
    assert lag.share <= 1, lag


def test_an_order_that_a_panel_refuses_alone_is_asked_alone_from_then_on() -> None:
    refused = decide(NEWCOMER, Odd("alone_refused", "no"), Moment(START, PACING, singly=True)).after
    assert refused.misses == 1
    assert decide(NEWCOMER, Odd("bad_item", "17"), Moment(START, PACING)).after == NEWCOMER


def test_a_suspected_order_that_is_not_due_fills_no_batch(database: Database, memory: Memory) -> None:
    known: dict[str, Any] = {"checked_at": ago(hours=1), "state": "pending", "panel_status": "Pending", "seq": 1}
    suspect = follow(database, "s", misses=1, next_poll_at=NOW + timedelta(minutes=1), **known)
    soon = follow(database, "n", next_poll_at=NOW + timedelta(minutes=2), **known)
    due = follow(database, "d", **known)
    assert list(memory.orders.plan(NOW, 4, 10).keys) == soon + due
    forced = memory.orders.plan(NOW, 4, 10, force=True)
    assert (list(forced.keys), list(forced.doubted)) == (soon + due, suspect)

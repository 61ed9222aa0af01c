"""Rows travel to the database spelled by us: whatever a panel may say comes back as it was said."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from cli_setting import sql
from conftest import PANEL

from tracker.decide import decide
from tracker.grace import Moment
from tracker.model import Status
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.polling.memory import Memory
from tracker.store.types import utc_moment, utc_text

NOW = datetime(2026, 3, 1, 12, 0, 0, 7, tzinfo=UTC)

WORDS = [
    'He said "no"', "back\\slash", "a,b", "{a}", "NULL", "null", "", " ", "'", "%s", "\\", '"', "Виконано ✓ 🎉",
    "tab\tand\nline", "[1]", "$[0]", ":name", "\\N",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_comes_back_as_it_was_said(
    database: Database, database_url: str, memory: Memory, word: str
) -> None:
    database.track(PANEL, [NewOrder("1"), NewOrder("2")])
    plan = memory.orders.plan(datetime.now(UTC) + timedelta(minutes=1), 1, 100)
    told = {"1": Status("unknown", word, currency=word), "2": Status("pending", "Pending")}
    orders = memory.orders.load(plan.keys)
    memory.orders.apply([decide(one, told[one.order_id], Moment(NOW, Pacing())) for one in orders], "round")
    first, second = memory.orders.load(plan.keys)
    assert (first.panel_status, first.currency) == (word, word or None)
    assert (second.panel_status, second.currency) == ("Pending", None)
    [row] = sql(
        database_url, "SELECT panel_status, currency FROM transitions WHERE order_key = :key", key=first.key
    )
    assert row == (word, word or None)


@pytest.mark.parametrize("amount", ["0", "-1.5", "0.00000001", "123456789012345", "1E+2", "99999.99999999"])
@pytest.mark.parametrize("remains", [0, -5, 2**63 - 1])
def test_figures_come_back_exactly(database: Database, memory: Memory, amount: str, remains: int) -> None:
    database.track(PANEL, [NewOrder("1")])
    [key] = memory.orders.plan(datetime.now(UTC) + timedelta(minutes=1), 1, 100).keys
    for state in ("pending", "in_progress", "in_progress"):  # a transition, another, and nothing new
        [order] = memory.orders.load([key])
        told = Status(state, state, Decimal(amount), "USD", remains, remains)
        [written] = memory.orders.apply([decide(order, told, Moment(NOW, Pacing()))], "round")
    assert not written.changed
    [order] = memory.orders.load([key])
    assert (order.charge, order.start_count, order.remains) == (Decimal(amount), remains, remains)
    assert order.state_at == order.changed_at == NOW


@pytest.mark.parametrize("offset", [0, 5.5, -11])
def test_moments_are_spelled_in_utc_with_six_digits_and_read_back(offset: float) -> None:
    moment = NOW.astimezone(timezone(timedelta(hours=offset)))
    assert utc_text(moment) == "2026-03-01 12:00:00.000007"
    assert utc_moment(utc_text(moment)) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-02-30 10:00:00", datetime(2026, 3, 2, 10, tzinfo=UTC)),
        ("2026-11-24 24:00:00.000001", datetime(2026, 11, 25, microsecond=1, tzinfo=UTC)),
        ("2026-13-00 29:59:59", datetime(2027, 1, 1, 5, 59, 59, tzinfo=UTC)),
        ("2026-00-39 00:00:00", datetime(2026, 1, 8, tzinfo=UTC)),
        ("0000-01-01 00:00:00", datetime.min.replace(tzinfo=UTC)),
        ("9999-19-39 29:59:59", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_that_no_calendar_has_is_carried_over(text: str, moment: datetime) -> None:
    """The constraints let it in; the order that it was written to must not stop all the others."""
    assert utc_moment(text) == moment

"""What an answer means for an order: every rule as a table."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from answers import HALF_DONE, NEW, NOW, PACING, SAME, ago, decided, later, settled

from tracker.decide import decide
from tracker.grace import Moment
from tracker.model import (
    OPEN_STATES,
    SETTLED_STATES,
    STATES,
    Answer,
    Odd,
    State,
    Status,
)

GRACE = PACING.grace


def test_the_first_answer_is_transition_number_one() -> None:
    decision = decided(NEW, SAME)
    after = decision.after
    assert (decision.transition, decision.progress, decision.answered) == (True, False, True)
    assert after == NEW._replace(
        state="in_progress", panel_status="In progress", charge=Decimal("0.27819"), currency="USD",
        start_count=3572, remains=500, seq=1, state_at=NOW, state_remains=500, changed_at=NOW,
    )  # fmt: skip


def test_an_answer_that_says_the_same_writes_no_history() -> None:
    decision = decided(HALF_DONE, SAME)
    assert not decision.changed
    assert decision.answered
    assert decision.after == HALF_DONE


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", [state for state in STATES if state not in {"new", "missing"}])
def test_any_other_state_is_a_transition_backward_ones_too(before: State, after: State) -> None:
    order = HALF_DONE._replace(state=before, panel_status="Before")
    decision = decided(order, Status(after, "After", None, None, None, 400))
    assert decision.transition
    assert not decision.progress
    assert (decision.after.state, decision.after.panel_status, decision.after.seq) == (after, "After", 3)
    if before != after:
        assert (decision.after.state_at, decision.after.state_remains) == (NOW, 400)


def test_another_word_for_the_same_state_is_a_transition_that_does_not_begin_the_state_anew() -> None:
    decision = decided(HALF_DONE, SAME._replace(panel_status="in_progress"))
    assert decision.transition
    assert decision.after == HALF_DONE._replace(panel_status="in_progress", seq=3, changed_at=NOW)


@pytest.mark.parametrize(
    ("before", "after", "backward"),
    [
        ("new", "pending", False),
        ("pending", "in_progress", False),
        ("in_progress", "completed", False),
        ("processing", "in_progress", False),
        ("in_progress", "pending", True),
        ("completed", "in_progress", True),  # a refill
        ("canceled", "pending", True),
        ("partial", "canceled", False),
        ("completed", "refunded", False),
        ("in_progress", "unknown", True),
        ("unknown", "in_progress", False),
        ("missing", "in_progress", True),
    ],
)
def test_a_move_backward_is_called_a_regression(before: State, after: State, *, backward: bool) -> None:
    order = HALF_DONE._replace(state=before, panel_status=before)
    assert decided(order, Status(after, after)).regression is backward


@pytest.mark.parametrize(
    "change",
    [
        {"charge": Decimal("0.3")},
        {"charge": Decimal(0)},
        {"currency": "EUR"},
        {"start_count": 3571},
        {"remains": 499},
        {"remains": 501},
        {"remains": -3},
    ],
)
def test_any_other_figure_is_progress_within_the_state(change: dict[str, Any]) -> None:
    decision = decided(HALF_DONE, SAME._replace(**change))
    assert (decision.transition, decision.progress) == (False, True)
    assert decision.after == HALF_DONE._replace(**change, changed_at=NOW)


@pytest.mark.parametrize("field", ["charge", "currency", "start_count", "remains"])
def test_a_figure_that_is_not_told_keeps_its_known_value(field: str) -> None:
    decision = decided(HALF_DONE, SAME._replace(**{field: None}))  # type: ignore[arg-type]  # any of its fields
    assert not decision.changed
    assert decision.after == HALF_DONE


def test_figures_that_are_not_told_survive_a_transition() -> None:
    after = decided(HALF_DONE, Status("completed", "Completed")).after
    assert (after.charge, after.currency, after.start_count, after.remains) == (
        Decimal("0.27819"),
        "USD",
        3572,
        500,
    )


def test_an_amount_spelled_with_more_zeros_is_no_progress() -> None:
    assert not decided(HALF_DONE, SAME._replace(charge=Decimal("0.278190"))).changed


def test_a_first_figure_within_the_state_counts_as_the_one_it_began_with() -> None:
    pending = HALF_DONE._replace(remains=None, state_remains=None)
    first = decided(pending, SAME)
    assert (first.progress, first.after.state_remains) == (True, 500)
    assert decided(first.after, SAME._replace(remains=300)).after.state_remains == 500


@pytest.mark.parametrize("state", [state for state in SETTLED_STATES if state != "missing"])
def test_a_settled_order_is_asked_again_after_six_hours_and_is_not_closed(state: State) -> None:
    decision = decided(HALF_DONE, Status(state, state, None, None, None, 0))
    assert decision.after.settled_at == NOW
    assert decision.next_poll_at == later(6 * 3600)
    assert decision.closed_at is None


@pytest.mark.parametrize("state", OPEN_STATES)
def test_an_open_state_is_never_settled_nor_closed(state: State) -> None:
    old = HALF_DONE._replace(state=state, panel_status=state, state_at=ago(days=90))
    decision = decided(old, Status(state, state))
    assert decision.after.settled_at is None
    assert decision.closed_at is None


def test_an_order_closes_once_it_has_been_settled_for_the_grace_time() -> None:
    told = Status("completed", "completed")
    assert decided(settled(since=ago(days=7, seconds=-1)), told).closed_at is None
    assert decided(settled(since=ago(days=7)), told).closed_at == NOW


def test_a_settled_order_is_asked_each_time_it_is_twice_as_old_and_closes_at_the_end_of_its_grace_time() -> None:
    told = Status("completed", "completed")
    order, now, asked = settled(since=NOW), NOW, []
    for early in (False, False, False, True, False, False):  # once it came into a batch that had room
        decision = decided(order, told, now=now)
        asked.append((now - NOW).total_seconds() / 3600)
        order = decision.after._replace(next_poll_at=decision.next_poll_at)
        now += (decision.next_poll_at - now) * (0.75 if early else 1)
    assert asked == [0, 6, 12, 24, 42, 84]
    last = decided(order, told, now=now)
    assert now == NOW + timedelta(seconds=GRACE) == last.closed_at


def test_another_settled_state_begins_the_grace_time_anew() -> None:
    decision = decided(settled("partial", since=ago(days=8)), Status("canceled", "Canceled"))
    assert decision.closed_at is None
    assert decision.after.settled_at == NOW


def test_another_word_for_a_settled_state_goes_on_with_its_grace_time() -> None:
    decision = decided(settled(since=ago(days=6)), Status("completed", "Complete"))
    assert decision.after.settled_at == ago(days=6)
    assert decision.transition


def test_a_completed_order_that_a_refill_reopens_is_open_again() -> None:
    decision = decided(settled(since=ago(days=8)), Status("in_progress", "In progress", remains=200))
    assert decision.after.settled_at is None
    assert decision.closed_at is None
    assert (decision.after.state_at, decision.after.state_remains) == (NOW, 200)


def test_the_children_that_an_order_has_placed_are_handed_on() -> None:
    assert decided(HALF_DONE, SAME._replace(children=("101", "102"))).children == ("101", "102")


@pytest.mark.parametrize(
    "answer", [SAME, SAME._replace(remains=400), Odd("bad_item", "17")], ids=["same", "progress", "odd"]
)
def test_the_factor_of_the_panel_and_the_jitter_move_the_next_poll(answer: Answer) -> None:
    plain = decide(HALF_DONE, answer, Moment(NOW, PACING)).next_poll_at - NOW
    moved = decide(HALF_DONE, answer, Moment(NOW, PACING, tightening=2.0), 0.5).next_poll_at - NOW
    assert moved / plain == pytest.approx(2.0 * 0.95)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"settled_at": ago(days=1)}, {}),
        ({"state_remains": None}, {"state_remains": 500}),
        ({"misses": 1}, {}),
    ],
    ids=["settled", "state_remains", "misses"],
)
def test_a_row_that_contradicts_itself_is_put_right_by_the_same_answer(
    wrong: dict[str, Any], right: dict[str, Any]
) -> None:
    decision = decided(HALF_DONE._replace(**wrong), SAME)
    assert decision.after == HALF_DONE._replace(**right)
    assert not decision.changed


def test_a_settled_order_of_which_nobody_knows_since_when_has_settled_now() -> None:
    done = settled(since=ago(days=9), settled_at=None)
    decision = decided(done, SAME._replace(state="completed", panel_status="completed", remains=0))
    assert (decision.after, decision.changed) == (done._replace(settled_at=NOW), False)


def test_an_order_that_settled_in_the_future_of_another_clock_has_settled_now() -> None:
    ahead = settled(since=later(3600))
    assert decided(ahead, Status("completed", "completed", *ahead[4:8])).after.settled_at == NOW

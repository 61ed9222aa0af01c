"""What an answer means for a refill: the rules of orders, without figures."""

from datetime import UTC, datetime, timedelta

import pytest

from tracker.decide import RefillDecision, decide_refill
from tracker.grace import Moment
from tracker.model import (
    REFILL_SETTLED,
    REFILL_STATES,
    Anomaly,
    NotFound,
    Odd,
    Refill,
    RefillAnswer,
    RefillState,
    RefillStatus,
)
from tracker.pace import Pacing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACING = Pacing()
UNKNOWN_ID = NotFound("Refill not found")
PENDING = Refill(3, "23501", "1", "pending", "Pending", 1, NOW - timedelta(hours=1), None, None, 0, None)


def decided(refill: Refill, answer: RefillAnswer, *, after: float = 0.0, singly: bool = False) -> RefillDecision:
    return decide_refill(refill, answer, Moment(NOW + timedelta(seconds=after), PACING, singly=singly))


def done(state: RefillState, days: float) -> Refill:
    """Return a refill that settled so many days ago."""
    since = NOW - timedelta(days=days)
    return PENDING._replace(state=state, panel_status=state, state_at=since, settled_at=since)


@pytest.mark.parametrize("state", [state for state in REFILL_STATES if state not in {"pending", "missing"}])
def test_another_state_is_a_transition(state: RefillState) -> None:
    decision = decided(PENDING, RefillStatus(state, state))
    assert decision.transition
    assert (decision.after.state, decision.after.seq) == (state, 2)
    assert (decision.after.state_at, decision.after.checked_at) == (NOW, NOW)
    assert (decision.after.settled_at == NOW) is (state in REFILL_SETTLED)


def test_another_word_for_the_same_state_is_a_transition_that_does_not_begin_it_anew() -> None:
    decision = decided(PENDING, RefillStatus("pending", "pending"))
    assert decision.transition
    assert decision.after.state_at == PENDING.state_at


def test_the_same_answer_is_no_transition_and_is_asked_again_after_a_tenth_of_its_age() -> None:
    decision = decided(PENDING, RefillStatus("pending", "Pending"))
    assert not decision.transition
    assert decision.next_poll_at == NOW + timedelta(minutes=6)


@pytest.mark.parametrize("state", sorted(REFILL_SETTLED - {"missing"}))
def test_a_settled_refill_is_asked_every_six_hours_until_its_grace_time_is_over(state: RefillState) -> None:
    for days, hours in ((0.5, 6), (6.75, 6), (6.875, 3)):
        young = decided(done(state, days), RefillStatus(state, state))
        assert (young.closed_at, young.next_poll_at) == (None, NOW + timedelta(hours=hours))
    assert decided(done(state, 7), RefillStatus(state, state)).closed_at == NOW


def test_a_rejected_refill_that_goes_on_is_open_again() -> None:
    decision = decided(done("rejected", 8), RefillStatus("in_progress", "In progress"))
    assert (decision.after.settled_at, decision.closed_at) == (None, None)


@pytest.mark.parametrize("answer", [Odd("absent", "left out"), Odd("bad_item", "17"), UNKNOWN_ID])
def test_what_is_no_answer_changes_no_state_and_is_an_anomaly_that_names_the_refill(
    answer: Odd | NotFound,
) -> None:
    decision = decided(PENDING, answer)
    assert not decision.transition
    assert decision.after._replace(misses=0) == PENDING
    assert decision.anomaly is not None
    assert decision.anomaly.order_id == "23501"
    assert decision.anomaly.detail.startswith("refill 1: ")
    assert decision.next_poll_at >= NOW


def test_a_refill_that_a_batch_left_out_or_did_not_know_is_asked_about_singly() -> None:
    assert decided(PENDING, Odd("absent", "left out")).after.misses == 1
    assert decided(PENDING, UNKNOWN_ID).after.misses == 1
    assert decided(PENDING, Odd("bad_item", "17")).after.misses == 0


def test_three_single_confirmations_ten_minutes_apart_make_a_refill_missing() -> None:
    once = decided(PENDING, UNKNOWN_ID, singly=True)
    assert once.next_poll_at == NOW + timedelta(minutes=10)
    too_soon = decided(once.after, UNKNOWN_ID, after=599, singly=True)
    assert too_soon.after == once.after
    twice = decided(once.after, UNKNOWN_ID, after=600, singly=True)
    assert not twice.transition
    thrice = decided(twice.after, UNKNOWN_ID, after=1200, singly=True)
    assert thrice.transition
    at = NOW + timedelta(seconds=1200)
    gone = PENDING._replace(
        state="missing", panel_status="Refill not found", seq=2, state_at=at, settled_at=at
    )  # a suspicion no more
    said = Anomaly("23501", "refill_not_found", "refill 1: Refill not found")
    assert thrice == RefillDecision(
        twice.after, gone, at + timedelta(hours=6), closed_at=None, transition=True, anomaly=said
    )


def test_a_missing_refill_closes_after_the_grace_time_and_an_answer_brings_it_back() -> None:
    young = done("missing", 6)
    said = Anomaly("23501", "refill_not_found", "refill 1: Refill not found")
    still = RefillDecision(young, young, NOW + timedelta(hours=6), anomaly=said)
    assert decided(young, UNKNOWN_ID, singly=True) == still
    assert decided(done("missing", 7), UNKNOWN_ID, singly=True).closed_at == NOW
    back = decided(done("missing", 6), RefillStatus("completed", "Completed"))
    assert (back.transition, back.after.state, back.after.settled_at) == (True, "completed", NOW)


@pytest.mark.parametrize("kind", ["absent", "bad_item", "item_error"])
def test_an_odd_answer_about_a_refill_is_an_anomaly_of_its_own_kind(kind: str) -> None:
    decision = decided(PENDING, Odd(kind, "17"))
    assert decision.anomaly == Anomaly("23501", f"refill_{kind}", "refill 1: 17")
    assert decision.next_poll_at == NOW + timedelta(minutes=6)


def test_an_odd_answer_closes_a_settled_refill_whose_grace_time_is_over() -> None:
    young = decided(done("completed", 6), Odd("bad_item", "17"))
    assert (young.closed_at, young.next_poll_at) == (None, NOW + timedelta(hours=6))
    assert decided(done("completed", 7), Odd("bad_item", "17")).closed_at == NOW


def test_an_answer_between_two_confirmations_clears_the_suspicion() -> None:
    suspected = PENDING._replace(misses=3, missed_at=NOW - timedelta(minutes=10))
    assert decided(suspected, RefillStatus("pending", "Pending")).after == PENDING._replace(checked_at=NOW)


@pytest.mark.parametrize(
    "answer", [RefillStatus("pending", "Pending"), Odd("bad_item", "17")], ids=["same", "odd"]
)
def test_jitter_brings_the_next_poll_forward(answer: RefillAnswer) -> None:
    decision = decide_refill(PENDING, answer, Moment(NOW, PACING), 0.5)
    assert decision.next_poll_at == NOW + timedelta(minutes=6) * 0.95

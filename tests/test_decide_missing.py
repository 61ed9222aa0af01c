"""What is no answer: suspicions, confirmations, and orders that are missing."""

import pytest
from answers import ABSENT, HALF_DONE, NOW, PACING, SAME, UNKNOWN_ID, ago, decided, later, settled

from tracker.decide import ALONE
from tracker.model import (
    Anomaly,
    NotFound,
    Odd,
)


@pytest.mark.parametrize("answer", [ABSENT, Odd("bad_item", "17"), Odd("item_error", "try later"), UNKNOWN_ID])
@pytest.mark.parametrize("singly", [False, True])
def test_what_is_no_answer_changes_neither_state_nor_figures_and_is_an_anomaly(
    answer: Odd | NotFound, *, singly: bool
) -> None:
    decision = decided(HALF_DONE, answer, singly=singly)
    assert (decision.changed, decision.answered, decision.closed_at) == (False, False, None)
    assert decision.after._replace(misses=0, missed_at=None) == HALF_DONE
    assert decision.anomaly is not None
    assert decision.anomaly.order_id == "23501"


def test_an_anomaly_keeps_its_kind_and_what_was_told() -> None:
    assert decided(HALF_DONE, Odd("bad_item", "17")).anomaly == Anomaly("23501", "bad_item", "17")
    assert decided(HALF_DONE, UNKNOWN_ID).anomaly == Anomaly("23501", "not_found", "Incorrect order ID")


@pytest.mark.parametrize("odd", [Odd("bad_item", "17"), ABSENT])
def test_an_odd_answer_closes_a_settled_order_whose_grace_time_is_over(odd: Odd) -> None:
    """Panels forget old orders in odd ways; each would cost a request for ever."""
    assert decided(settled(since=ago(days=30)), odd).closed_at == NOW
    assert decided(settled(since=ago(days=1)), odd).closed_at is None


def test_an_order_that_a_batch_left_out_is_asked_about_singly_at_once() -> None:
    decision = decided(HALF_DONE, ABSENT)
    assert (decision.after.misses, decision.next_poll_at) == (1, NOW)


@pytest.mark.parametrize(("misses", "then"), [(0, 1), (1, 1), (3, 3)])
def test_an_order_that_fails_alone_is_asked_singly_from_then_on(misses: int, then: int) -> None:
    before = HALF_DONE._replace(misses=misses)
    assert decided(before, Odd(f"{ALONE}timeout", "x"), singly=True).after == before._replace(misses=then)
    assert decided(before, Odd("bad_item", "x"), singly=True).after == before


def test_an_order_left_out_again_waits_like_any_other() -> None:
    decision = decided(HALF_DONE._replace(misses=1), ABSENT, singly=True)
    assert decision.after.misses == 1
    assert decision.next_poll_at >= later(PACING.shortest * 0.9)


def test_an_unknown_id_in_a_batch_is_a_suspicion_that_is_asked_about_singly_at_once() -> None:
    decision = decided(HALF_DONE, UNKNOWN_ID)
    assert (decision.after.misses, decision.after.missed_at, decision.next_poll_at) == (1, None, NOW)


def test_batches_alone_never_confirm_that_an_order_is_missing() -> None:
    order = HALF_DONE
    for hour in range(50):
        order = decided(order, UNKNOWN_ID, now=later(3600 * hour)).after
    assert (order.state, order.misses) == ("in_progress", 1)


def test_three_single_confirmations_ten_minutes_apart_make_an_order_missing() -> None:
    first = decided(HALF_DONE._replace(misses=1), UNKNOWN_ID, singly=True)
    assert (first.after.misses, first.next_poll_at) == (2, later(600))
    second = decided(first.after, UNKNOWN_ID, now=later(600), singly=True)
    assert (second.after.misses, second.next_poll_at, second.changed) == (3, later(1200), False)
    third = decided(second.after, UNKNOWN_ID, now=later(1200), singly=True)
    assert third.transition
    assert third.after == HALF_DONE._replace(
        state="missing", panel_status="Incorrect order ID", seq=3, state_at=later(1200), state_remains=500,
        changed_at=later(1200), settled_at=later(1200),
    )  # fmt: skip
    assert third.next_poll_at == later(1200 + PACING.settled)
    assert not third.answered
    assert third.anomaly == Anomaly("23501", "not_found", "Incorrect order ID")


def test_a_confirmation_within_ten_minutes_of_the_last_does_not_count() -> None:
    once = decided(HALF_DONE, UNKNOWN_ID, singly=True).after
    again = decided(once, UNKNOWN_ID, now=later(599), singly=True)
    assert again.after == once
    assert again.next_poll_at == later(600)


def test_an_answer_between_two_confirmations_clears_the_suspicion() -> None:
    suspected = HALF_DONE._replace(misses=3, missed_at=ago(minutes=10))
    decision = decided(suspected, SAME)
    assert decision.after == HALF_DONE
    assert not decision.changed


def test_a_missing_order_is_asked_like_a_settled_one_and_closes_after_the_grace_time() -> None:
    missing = settled("missing", since=ago(days=6))
    still = decided(missing, UNKNOWN_ID, singly=True)
    assert (still.changed, still.closed_at, still.after) == (False, None, missing)
    assert (still.at, still.next_poll_at) == (NOW, later(PACING.settled))
    assert still.anomaly == Anomaly("23501", "not_found", "Incorrect order ID")
    assert decided(settled("missing", since=ago(days=7)), UNKNOWN_ID).closed_at == NOW


def test_an_answer_brings_a_missing_order_back() -> None:
    decision = decided(settled("missing", since=ago(days=2)), SAME)
    assert decision.transition
    assert (decision.after.state, decision.after.settled_at) == ("in_progress", None)

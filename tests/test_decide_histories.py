"""What many answers in a row make of an order: the promises P2, P3 and P4 over random histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tracker.decide import Decision, RefillDecision, decide, decide_refill
from tracker.grace import CONFIRMATIONS, Moment
from tracker.model import (
    REFILL_SETTLED,
    REFILL_STATES,
    SETTLED,
    STATES,
    Answer,
    NotFound,
    Odd,
    Order,
    Refill,
    RefillAnswer,
    RefillStatus,
    Status,
)
from tracker.pace import Pacing

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACING = Pacing()
NEWCOMER = Order(7, "23501", "new", None, None, None, None, None, 1000, 0, START, None, None, None, None, 0, None)
REQUESTED = Refill(3, "23501", "1", "requested", None, 0, START, None, None, 0, None)


class Asked(NamedTuple):
    """One answer, so many seconds after the one before."""

    wait: int
    answer: Answer | RefillAnswer
    singly: bool
    jitter: float


def few(figures: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | figures


words = st.sampled_from(["A", "B"])
statuses = st.builds(
    Status,
    st.sampled_from([state for state in STATES if state not in {"new", "missing"}]),
    words,
    st.none() | st.sampled_from([Decimal("0.10"), Decimal("0.1"), Decimal("0.2"), Decimal(0)]),
    st.none() | st.sampled_from(["USD", "EUR"]),
    few(st.integers(0, 1)),
    few(st.integers(-1, 2)),
)
refill_statuses = st.builds(
    RefillStatus, st.sampled_from([s for s in REFILL_STATES if s not in {"requested", "missing"}]), words
)
not_found = st.builds(NotFound, st.just("Incorrect order ID"))
odd = st.builds(Odd, st.sampled_from(["absent", "bad_item", "item_error"]), st.just("17"))
waits = st.sampled_from([0, 60, 599, 600, 3600, 6 * 3600, 8 * 86400])


def histories(
    answers: st.SearchStrategy[Answer] | st.SearchStrategy[RefillAnswer],
) -> st.SearchStrategy[list[Asked]]:
    # Runs of "no such id" are made likely: three of them in a row matter.
    told = answers | not_found | not_found | odd
    return st.lists(st.builds(Asked, waits, told, st.booleans(), st.floats(0, 1, exclude_max=True)), max_size=25)


def decisions_of(history: Sequence[Asked]) -> list[Decision]:
    """Return what is decided about an order that gets these answers in turn."""
    order, now, decisions = NEWCOMER, START, []
    for asked in history:
        now += timedelta(seconds=asked.wait)
        moment = Moment(now, PACING, singly=asked.singly)
        decisions.append(decide(order, asked.answer, moment, asked.jitter))  # type: ignore[arg-type]  # an Answer
        order = decisions[-1].after
    return decisions


def refill_decisions_of(history: Sequence[Asked]) -> list[RefillDecision]:
    refill, now, decisions = REQUESTED, START, []
    for asked in history:
        now += timedelta(seconds=asked.wait)
        moment = Moment(now, PACING, singly=asked.singly)
        decisions.append(
            decide_refill(refill, asked.answer, moment, asked.jitter)  # type: ignore[arg-type]  # a RefillAnswer
        )
        refill = decisions[-1].after
    return decisions


def figures(order: Order) -> tuple[object, ...]:
    return order.charge, order.currency, order.start_count, order.remains


def said(order: Order) -> tuple[object, ...]:
    return order.state, order.panel_status, *figures(order)


@given(histories(statuses))
def test_no_two_neighbors_in_a_history_say_the_same(history: list[Asked]) -> None:
    rows = [said(one.after) for one in decisions_of(history) if one.changed]
    assert all(before != after for before, after in pairwise(rows))


@given(histories(statuses))
def test_transitions_are_numbered_from_one_without_a_gap(history: list[Asked]) -> None:
    moved = [one for one in decisions_of(history) if one.transition]
    assert [one.after.seq for one in moved] == list(range(1, len(moved) + 1))
    assert all(said(one.before)[:2] != said(one.after)[:2] for one in moved)


@given(histories(statuses))
def test_the_head_always_equals_the_tail_of_the_history(history: list[Asked]) -> None:
    seq, tail = 0, said(NEWCOMER)
    for one in decisions_of(history):
        assert not (one.transition and one.progress)
        if one.transition:
            seq, tail = one.after.seq, said(one.after)
        elif one.progress:
            tail = (*tail[:2], *figures(one.after))
        assert (one.after.seq, said(one.after)) == (seq, tail)
        assert one.after.changed_at == (one.at if one.changed else one.before.changed_at)


@given(histories(statuses))
def test_the_history_equals_what_was_told_with_repeats_removed(history: list[Asked]) -> None:
    """P1, but for `missing`, which is ours: a model that only merges what was told knows every row."""
    told: list[tuple[object, ...]] = []
    known: tuple[object, ...] = figures(NEWCOMER)
    last: tuple[object, ...] = said(NEWCOMER)
    for one, asked in zip(decisions_of(history), history, strict=True):
        if isinstance(asked.answer, Status):
            new = asked.answer[2:6]
            known = tuple(old if value is None else value for old, value in zip(known, new, strict=True))
            if (row := (*asked.answer[:2], *known)) != last:
                told.append(row)
            last = row
        elif one.transition:
            last = said(one.after)
            told.append(last)
    assert [said(one.after) for one in decisions_of(history) if one.changed] == told


@given(histories(statuses))
def test_what_is_no_answer_changes_nothing_until_a_third_confirmation(history: list[Asked]) -> None:
    """P4: the confirmations are counted here once more, from the answers alone."""
    confirmed: list[datetime] = []
    for one, asked in zip(decisions_of(history), history, strict=True):
        assert one.answered is isinstance(asked.answer, Status)
        assert (one.anomaly is None) is one.answered
        if one.answered:
            confirmed = []
            continue
        spaced = not confirmed or (one.at - confirmed[-1]).total_seconds() >= PACING.confirm
        if isinstance(asked.answer, NotFound) and asked.singly and spaced and one.before.state != "missing":
            confirmed.append(one.at)
        believed = len(confirmed) == CONFIRMATIONS
        assert one.transition is believed
        assert figures(one.after) == figures(one.before)
        assert one.after.state == ("missing" if believed else one.before.state)
        confirmed = [] if believed else confirmed


@given(histories(statuses))
def test_nothing_is_due_before_now_and_only_what_is_settled_for_the_grace_time_closes(
    history: list[Asked],
) -> None:
    for one in decisions_of(history):
        assert one.next_poll_at >= one.at
        assert (one.after.settled_at is not None) is (one.after.state in SETTLED)
        if one.closed_at is not None:
            assert one.closed_at == one.at
            assert one.after.settled_at is not None
            assert (one.at - one.after.settled_at).total_seconds() >= PACING.grace


@given(histories(refill_statuses))
def test_the_same_holds_for_refills(history: list[Asked]) -> None:
    decisions, now = refill_decisions_of(history), START
    moved = [one for one in decisions if one.transition]
    assert [one.after.seq for one in moved] == list(range(1, len(moved) + 1))
    assert all(one.before[3:5] != one.after[3:5] for one in moved)
    for one, asked in zip(decisions, history, strict=True):
        now += timedelta(seconds=asked.wait)
        assert one.next_poll_at >= now
        assert (one.after.settled_at is not None) is (one.after.state in REFILL_SETTLED)
        assert one.transition or one.after[3:5] == one.before[3:5]
        if not isinstance(asked.answer, RefillStatus):
            assert not one.transition or one.after.state == "missing"
            assert one.anomaly is not None
        if one.closed_at is not None:
            assert one.after.settled_at is not None
            assert (now - one.after.settled_at).total_seconds() >= PACING.grace

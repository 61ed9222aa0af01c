"""How long what has settled is asked: for a grace time, of which counts only what passed with asks."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from answers import ABSENT, NOW, PACING, UNKNOWN_ID, ago, decided, later, settled
from hypothesis import given
from hypothesis import strategies as st

from tracker.decide import decide_refill
from tracker.grace import Moment, ended, granted
from tracker.model import NotFound, Odd, Order, Refill, RefillStatus, Status

GRACE = timedelta(seconds=PACING.grace)
DAY = timedelta(days=1)
DONE = Status("completed", "completed")
ANSWERS = [DONE, ABSENT, UNKNOWN_ID, Odd("bad_item", "17"), Odd("alone_bad_json", "?")]


def at(now: datetime) -> Moment:
    return Moment(now, PACING)


@pytest.mark.parametrize(
    ("since", "due", "begun"),
    [
        (ago(days=8), NOW, False),
        (ago(days=8), None, False),
        (ago(days=8), later(60), False),
        (ago(days=8), ago(days=4), False),
        (ago(days=8), ago(days=4, seconds=1), True),
        (ago(days=3.5), ago(days=1.75), False),
        (ago(days=3.5), ago(days=1.75, seconds=1), True),
        (ago(days=3.5, seconds=-1), ago(days=3), False),
        (ago(days=20000), ago(days=19999), True),
    ],
)
def test_the_grace_time_begins_anew_where_most_of_it_passed_without_asks(
    since: datetime, due: datetime | None, *, begun: bool
) -> None:
    known = settled(since=since, next_poll_at=due)
    after = granted(known, at(NOW))
    assert after == (known._replace(settled_at=NOW, next_poll_at=NOW + GRACE) if begun else known)


def test_what_settled_later_than_now_has_settled_now_and_keeps_its_pace() -> None:
    ahead = settled(since=later(1), next_poll_at=later(6))
    assert granted(ahead, at(NOW)) == ahead._replace(settled_at=NOW)
    assert granted(settled(since=NOW, next_poll_at=NOW), at(NOW)) == settled(since=NOW, next_poll_at=NOW)


def test_it_is_asked_at_the_end_at_the_latest_and_never_sooner_than_it_was_due() -> None:
    known, end = settled(since=ago(days=6)), NOW + DAY
    assert ended(known, later(60), at(NOW)) == (later(60), None)
    assert ended(known, NOW + 2 * DAY, at(NOW)) == (end, None)
    assert ended(known._replace(next_poll_at=later(90)), later(60), at(NOW)) == (later(90), None)
    assert ended(known, later(60), at(end)) == (later(60), end)
    assert ended(known._replace(settled_at=None), NOW + 30 * DAY, at(NOW)) == (NOW + 30 * DAY, None)


@pytest.mark.parametrize("state", ["completed", "missing"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_no_answer_closes_an_order_by_time_that_passed_without_asks(answer: Any, state: Any) -> None:  # noqa: ANN401
    long_ago = settled(state, since=ago(days=20000), next_poll_at=ago(days=19999))
    decision = decided(long_ago, answer)
    assert decision.before == long_ago  # the guard of the write
    assert decision.closed_at is None
    assert decision.after.settled_at == NOW
    if decision.transition:  # from missing to completed
        assert decision.next_poll_at == later(PACING.settled)
    elif state == "completed" and answer in (ABSENT, UNKNOWN_ID):  # a suspicion is asked about at once
        assert decision.next_poll_at == NOW
    else:
        assert decision.next_poll_at == (NOW if answer == ABSENT else NOW + GRACE)


@pytest.mark.parametrize("answer", [RefillStatus("completed", "completed"), ABSENT, UNKNOWN_ID])
def test_nor_does_one_close_a_refill(answer: RefillStatus | Odd | NotFound) -> None:
    state: Any = "missing" if answer is UNKNOWN_ID else "completed"
    since, due = ago(days=20000), ago(days=19999)
    refill = Refill(3, "23501", "1", state, state, 1, since, since, since, 0, None, next_poll_at=due)
    decision = decide_refill(refill, answer, at(NOW))
    assert (decision.before, decision.closed_at, decision.after.settled_at) == (refill, None, NOW)
    assert decision.next_poll_at == NOW + GRACE


def test_another_settled_state_is_asked_at_its_pace_and_another_word_for_one_keeps_the_end_of_its_time() -> None:
    early = settled("partial", since=ago(days=5), next_poll_at=later(2 * 86400))
    assert decided(early, Status("canceled", "Canceled")).next_poll_at == later(PACING.settled)
    long_ago = settled(since=ago(days=366), next_poll_at=ago(days=365))
    assert decided(long_ago, Status("completed", "Complete")).next_poll_at == NOW + GRACE


def test_the_pace_of_a_settled_refill_is_shortened_by_chance_as_well() -> None:
    refill = Refill(3, "23501", "1", "completed", "Completed", 1, NOW, NOW, NOW, 0, None, next_poll_at=NOW)
    decision = decide_refill(refill, RefillStatus("completed", "Completed"), at(NOW), 0.5)
    assert decision.next_poll_at == later(0.95 * PACING.settled)


@dataclass
class Followed:
    """An order that settled at NOW, and the true time since; `ahead` is how far the wall clock stands ahead."""

    order: Order
    passed: timedelta = timedelta(0)
    ahead: timedelta = timedelta(0)
    asks: int = 0
    closed: bool = False

    def ask(self, answer: Any = DONE, jitter: float = 0.0) -> None:  # noqa: ANN401
        now = NOW + self.passed + self.ahead
        decision = decided(self.order, answer, now=now, singly=bool(self.order.misses), jitter=jitter)
        self.order = decision.after._replace(next_poll_at=decision.next_poll_at)
        self.asks += 1
        self.closed = decision.closed_at is not None

    def when_due(self) -> timedelta:
        """Return when it is due, in true time since it settled."""
        assert self.order.next_poll_at is not None
        return max(self.order.next_poll_at - NOW - self.ahead, self.passed)


def just_settled() -> Followed:
    return Followed(settled(since=NOW, next_poll_at=later(PACING.settled)))


def to_the_end(one: Followed, every: timedelta = timedelta(0), jitter: float = 0.0) -> Followed:
    """Ask whenever it is due; with `every`, at the next multiple of that."""
    for _ in range(200):
        if one.closed:
            break
        due = one.when_due()
        one.passed = max(every * -(-due // every), one.passed) if every else due
        one.ask(jitter=jitter)
    return one


@pytest.mark.parametrize(("jitter", "most"), [(0.0, 6), (0.999, 7)])
def test_it_closes_at_the_end_of_its_grace_time_after_a_few_asks(jitter: float, most: int) -> None:
    one = to_the_end(just_settled(), jitter=jitter)
    assert (one.passed, one.closed) == (GRACE, True)
    assert one.asks <= most


@pytest.mark.parametrize("days", range(1, 15))
def test_one_that_is_asked_every_few_days_alone_is_closed_nevertheless(days: int) -> None:
    assert to_the_end(just_settled(), every=days * DAY).passed <= 4 * days * DAY + GRACE


LEAPS = [timedelta(hours=hours) for hours in range(12, 24 * 24, 7)] + [366 * DAY, 56 * 366 * DAY]
BEFORE = [timedelta(hours=hours) for hours in (0.5, 1, 5, 7, 13, 30, 49, 97, 150)]


@pytest.mark.parametrize("before", BEFORE, ids=str)
@pytest.mark.parametrize("leap", LEAPS, ids=str)
def test_a_leap_leaves_it_42_hours_at_least(leap: timedelta, before: timedelta) -> None:
    one = just_settled()
    while one.when_due() < before:
        one.passed = one.when_due()
        one.ask()
    one.passed, one.ahead = before, leap
    assert timedelta(hours=42) <= to_the_end(one).passed <= 2 * GRACE


@given(
    st.lists(st.sampled_from(["early", "wish", "absent", "unknown", "hour back"]), max_size=4),
    st.sampled_from([366 * DAY, 56 * 366 * DAY]),
)
def test_whatever_comes_after_a_long_leap_it_is_followed_for_a_grace_time(
    then: list[str], leap: timedelta
) -> None:
    """By chance in a batch that had room, by a wish, with a suspicion, with the clock set back a little."""
    one = just_settled()
    one.passed, one.ahead = timedelta(hours=1), leap
    one.ask(UNKNOWN_ID if then[:1] == ["unknown"] else DONE)
    for what in then:
        one.passed += timedelta(minutes=1)
        if what == "wish":
            one.order = one.order._replace(next_poll_at=NOW + one.passed + one.ahead)
        if what == "hour back":
            one.ahead -= timedelta(hours=1)
        one.ask({"absent": ABSENT, "unknown": UNKNOWN_ID}.get(what, DONE))
        assert not one.closed
    assert to_the_end(one).passed >= GRACE

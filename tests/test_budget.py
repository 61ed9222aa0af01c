"""The request budget, on a clock of its own."""

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_panel import LONG, until

from tracker.panel import Budget


class Clock(threading.Event):
    """A clock that only waiting moves: an event whose `wait` lets that much time pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.now += timeout
        return self.is_set()


def granted(budget: Budget, clock: Clock, count: int) -> list[float]:
    moments = []
    for _ in range(count):
        assert budget.acquire(clock)
        moments.append(clock.now)
    return moments


def fullest_minute(moments: list[float]) -> int:
    return max(sum(1 for other in moments if first <= other <= first + 60.0) for first in moments)


@given(
    st.sampled_from([1.0, 5.0, 60.0, 90.0, 120.0]),
    st.lists(st.floats(0, 100) | st.just(0.0), min_size=20, max_size=150),
)
def test_no_minute_holds_more_than_the_allowance_however_requests_arrive(
    per_minute: float, gaps: list[float]
) -> None:
    clock = Clock()
    budget = Budget(per_minute, clock)
    moments = []
    for gap in gaps:
        clock.now += gap
        moments += granted(budget, clock, 1)
    assert fullest_minute(moments) <= per_minute
    assert budget.used() == len(gaps)


def test_slots_are_evenly_spaced_and_nearly_all_of_the_allowance_is_given() -> None:
    clock = Clock()
    moments = granted(Budget(60, clock), clock, 60)
    spaces = {round(later - sooner, 6) for sooner, later in pairwise(moments)}
    assert spaces == {1.01}
    assert moments[-1] - 1000.0 < 61


def test_it_starts_empty_and_saves_nothing_up() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    assert granted(budget, clock, 1)[0] > 1001.0
    clock.now += 3600
    moments = granted(budget, clock, 3)
    assert moments[2] - moments[0] > 2.0


def test_it_says_how_long_whoever_waits_may_have_to() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    granted(budget, clock, 1)
    assert 0 < budget.wait() <= 1.01
    budget.pause(3600)
    assert 3599 < budget.wait() <= 3602
    clock.now += 3602
    assert budget.wait() <= 0
    assert Budget(None, clock).wait() <= 0


def test_a_pause_moves_every_slot_and_two_pauses_at_once_do_not_add_up() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    granted(budget, clock, 1)
    paused_at = clock.now
    budget.pause(30)
    budget.pause(20)
    budget.pause(30)
    moments = granted(budget, clock, 2)
    assert 30 <= moments[0] - paused_at < 32
    assert 1.0 < moments[1] - moments[0] < 1.1


def test_a_pause_holds_a_lifted_budget_too() -> None:
    clock = Clock()
    budget = Budget(None, clock)
    assert granted(budget, clock, 3) == [1000.0] * 3
    budget.pause(30)
    assert granted(budget, clock, 3) == [1030.0] * 3
    assert budget.per_minute is None


def test_a_pause_after_a_rest_is_as_long_as_any() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    clock.now += 600
    budget.pause(30)
    clock.now += 10
    moments = granted(budget, clock, 2)
    assert moments == pytest.approx([1630.0, 1631.01])


def test_who_cannot_wait_is_told_at_once_and_takes_no_slot() -> None:
    clock = Clock()
    budget = Budget(60, clock)
    budget.pause(30)
    assert not budget.acquire(clock, clock.now + 30)
    assert (clock.now, budget.used()) == (1000.0, 0)
    assert budget.acquire(clock, clock.now + 32)
    assert clock.now == pytest.approx(1031.01)


def test_a_pause_ends_the_waiting_of_who_cannot_wait_for_its_end() -> None:
    class Interrupting(Clock):
        def wait(self, timeout: float | None = None) -> bool:
            budget.pause(30)
            return super().wait(timeout)

    clock = Interrupting()
    budget = Budget(60, clock)
    assert not budget.acquire(clock, clock.now + 2)
    assert clock.now < 1002
    assert budget.used() == 0


def test_a_stop_gives_no_slot_and_wakes_who_waits() -> None:
    stop = threading.Event()
    budget = Budget(0.01)
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(budget.acquire(stop))) for _ in range(3)]
    for thread in threads:
        thread.start()
    stop.set()
    for thread in threads:
        thread.join(LONG)
    assert outcomes == [False] * 3
    assert budget.used() == 0


def test_a_pause_reaches_those_who_wait_already() -> None:
    stop = threading.Event()
    budget = Budget(600)
    budget.pause(0.2)
    outcomes: list[bool] = []
    thread = threading.Thread(target=lambda: outcomes.append(budget.acquire(stop)))
    thread.start()
    budget.pause(3600)
    until(lambda: not thread.is_alive() or budget._next > budget._paused_until - budget._paused)
    assert not outcomes
    stop.set()
    thread.join(LONG)
    assert outcomes == [False]


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="lets nothing through"):
        Budget(0)
    with pytest.raises(ValueError, match="lets nothing through"):
        Budget(float("nan"))

"""When an order is asked next: the rule as tables, its bounds and its steering as properties."""

from datetime import UTC, datetime, timedelta

import pytest
from bench.pace import compare
from hypothesis import given
from hypothesis import strategies as st

from tracker import pace
from tracker.model import OPEN_STATES, SETTLED_STATES, STATES, Order, State
from tracker.pace import FACTORS, LONGEST_BACKOFF, TARGET_USE, Pacing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PACING = Pacing()
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


def order(
    state: State, age: float, *, began: int | None = None, remains: int | None = None, quiet: float = 0.0
) -> Order:
    """Return an order whose state is `age` seconds old and whose figures moved `quiet` seconds ago."""
    since, changed = NOW - timedelta(seconds=age), NOW - timedelta(seconds=quiet)
    return Order(
        1, "23501", state, state, None, None, None, remains, 1000, 1, since, began, changed, NOW, None, 0, None
    )


factors = st.floats(*FACTORS)
ages = st.floats(-HOUR, 60 * DAY)
figures = st.none() | st.integers(-(10**4), 10**7)
any_order = st.builds(
    order, st.sampled_from(STATES), ages, began=figures, remains=figures, quiet=st.floats(-HOUR, 30 * DAY)
)


@pytest.mark.parametrize(
    ("state", "age", "minutes"),
    [
        ("pending", 0.0, 2.24),  # the geometric mean of a minute and five
        ("pending", 11 * MINUTE, 4.0),
        ("pending", 95 * MINUTE, 10.0),
        ("paused", DAY, 38.0),
        ("unknown", 95 * MINUTE, 10.0),
        ("active", 95 * MINUTE, 10.0),
        ("processing", 95 * MINUTE, 6.0),  # it ends next, which is worth more requests
        ("in_progress", 95 * MINUTE, 6.0),
        ("pending", 30 * DAY, 120.0),  # the longest
    ],
)
def test_an_order_that_does_not_deliver_is_asked_by_the_root_of_its_age(
    state: State, age: float, minutes: float
) -> None:
    assert pace.interval(order(state, age), NOW, PACING) / MINUTE == pytest.approx(minutes, abs=0.05)


def test_a_state_that_a_clock_set_back_began_in_the_future_is_new() -> None:
    assert pace.interval(order("pending", -HOUR), NOW, PACING) == pytest.approx((60 * 300) ** 0.5)


@pytest.mark.parametrize(
    ("age", "began", "remains", "quiet", "minutes"),
    [
        (HOUR, 1000, 500, 0.0, 0.3 * 62),  # half in an hour: an hour to go
        (HOUR, 1000, 900, 0.0, 2.5 * 65**0.5),  # nine hours to go, but it may end early
        (HOUR, 1000, 100, 0.0, 0.3 * (60 / 9 + 2)),
        (HOUR, 1000, 1, 0.0, 1.0),  # near its end: the shortest
        (HOUR, 500, 250, 0.0, 0.3 * 62),  # by its own rate since its state began, not by the quantity
        (DAY, 1000, 1, 10 * HOUR, 60 + 0.3 * (1440 / 999 + 2)),  # stuck at its end
        (DAY, 1000, 0, 10 * HOUR, 60 + 0.3 * 2),  # nothing remains, yet it is not called completed
        (DAY, 1000, -3, 10 * HOUR, 60 + 0.3 * 2),
    ],
)
def test_a_delivering_order_is_asked_by_the_time_to_its_end(
    age: float, began: int, remains: int, quiet: float, minutes: float
) -> None:
    delivering = order("in_progress", age, began=began, remains=remains, quiet=quiet)
    assert pace.interval(delivering, NOW, PACING) / MINUTE == pytest.approx(minutes, rel=1e-3)


@pytest.mark.parametrize(
    ("began", "remains"), [(None, None), (1000, None), (None, 400), (1000, 1000), (400, 1000)]
)
def test_figures_that_are_absent_still_or_running_backwards_tell_no_rate(
    began: int | None, remains: int | None
) -> None:
    told = order("in_progress", HOUR, began=began, remains=remains)
    assert pace.interval(told, NOW, PACING) == pace.interval(order("in_progress", HOUR), NOW, PACING)


def test_a_settled_order_is_asked_six_times_and_then_its_grace_is_over() -> None:
    hours, age = [], 0.0
    while age < PACING.grace:
        age += pace.interval(order("completed", age), NOW, PACING)
        hours.append(age / HOUR)
    assert hours == [6, 12, 24, 48, 96, 192]


@given(st.sampled_from(SETTLED_STATES), ages, factors)
def test_a_settled_order_is_never_hurried_and_never_forgotten(state: State, age: float, factor: float) -> None:
    seconds = pace.interval(order(state, age), NOW, PACING, factor)
    assert PACING.settled <= seconds <= PACING.grace


@given(any_order, factors, st.floats(1.0, HOUR))
def test_no_order_is_asked_more_often_than_the_shortest(one: Order, factor: float, shortest: float) -> None:
    assert pace.interval(one, NOW, Pacing(shortest=shortest), factor) >= shortest


@given(st.sampled_from(OPEN_STATES), ages, figures, figures, factors)
def test_no_open_order_is_asked_more_rarely_than_the_longest_times_the_factor(
    state: State, age: float, began: int | None, remains: int | None, factor: float
) -> None:
    seconds = pace.interval(order(state, age, began=began, remains=remains), NOW, PACING, factor)
    assert seconds <= max(PACING.shortest, PACING.longest * factor)


@given(any_order, factors, factors)
def test_a_larger_factor_never_makes_an_interval_shorter(one: Order, a: float, b: float) -> None:
    less, more = sorted((a, b))
    assert pace.interval(one, NOW, PACING, less) <= pace.interval(one, NOW, PACING, more)


@given(st.sampled_from(STATES), ages, ages)
def test_an_older_state_is_never_asked_more_often(state: State, a: float, b: float) -> None:
    younger, older = sorted((a, b))
    assert pace.interval(order(state, younger), NOW, PACING) <= pace.interval(order(state, older), NOW, PACING)


@given(st.integers(0, 999), st.integers(0, 999), st.floats(MINUTE, 7 * DAY))
def test_of_two_delivering_orders_the_one_nearer_its_end_is_asked_first(a: int, b: int, age: float) -> None:
    near, far = (order("in_progress", age, began=1000, remains=remains) for remains in sorted((a, b)))
    assert pace.interval(near, NOW, PACING) <= pace.interval(far, NOW, PACING)


@given(st.floats(0.0, 30 * DAY), st.floats(0.0, 1.0, exclude_max=True))
def test_jitter_only_shortens_and_by_no_more_than_a_tenth(seconds: float, jitter: float) -> None:
    waited = (pace.due(NOW, seconds, jitter) - NOW).total_seconds()
    assert 0.9 * seconds - 1e-6 <= waited <= seconds + 1e-6


def test_an_order_without_jitter_is_due_exactly_after_its_interval() -> None:
    assert pace.due(NOW, 90.0) == NOW + timedelta(seconds=90)


def test_failures_back_off_by_doubling_up_to_an_hour() -> None:
    assert [pace.backed_off(n, PACING) for n in (1, 2, 3, 6, 7, 8, 10**9)] == [
        60,
        120,
        240,
        1920,
        3600,
        3600,
        3600,
    ]


@given(st.integers(1, 100), st.floats(1.0, 2 * HOUR))
def test_backing_off_never_shrinks_and_never_undercuts_the_shortest(failures: int, shortest: float) -> None:
    pacing = Pacing(shortest=shortest)
    now, later = pace.backed_off(failures, pacing), pace.backed_off(failures + 1, pacing)
    assert shortest <= now <= later <= max(shortest, LONGEST_BACKOFF)


@pytest.mark.parametrize(
    ("orders", "seconds", "ids_per_second", "share"),
    [
        (10, 0.5, 1.0, 20.0),
        (6000, 60.0, 100.0, 1.0),
        (6000, 120.0, 100.0, 0.5),
        (12000, 60.0, 100.0, 2.0),
        (0, 60.0, 100.0, 0.0),
    ],
)
def test_demand_is_orders_over_mean_interval_over_allowance(
    orders: int, seconds: float, ids_per_second: float, share: float
) -> None:
    assert pace.demand(orders, seconds, ids_per_second) == pytest.approx(share)


def test_a_round_that_only_closed_orders_asks_for_a_larger_factor() -> None:
    assert pace.tightened(1.0, pace.demand(10, 0.0, 100.0)) > 1.0


@given(factors, st.floats(0.0, 1e12))
def test_the_factor_stays_in_its_bounds_and_moves_by_a_tenth_at_most(factor: float, used: float) -> None:
    after = pace.tightened(factor, used)
    assert FACTORS[0] <= after <= FACTORS[1]
    assert factor / 1.1 - 1e-9 <= after <= factor * 1.1 + 1e-9


@given(st.floats(0.05, 20.0), factors)
def test_the_factor_settles_where_the_target_is_used(wanted: float, factor: float) -> None:
    for _ in range(200):
        factor = pace.tightened(factor, TARGET_USE * wanted / factor)
    assert factor == pytest.approx(wanted, rel=1e-6)


@given(st.lists(st.floats(0.0, 20 * DAY), min_size=20, max_size=200), st.floats(0.02, 0.5))
def test_steering_by_demand_fits_any_orders_into_a_budget_that_can_carry_them(
    some_ages: list[float], share: float
) -> None:
    """The budget carries this share of all orders every minute; each round deals intervals to all of them."""
    waiting = [order("pending", age) for age in some_ages]
    allowance, factor, used = share * len(waiting) / MINUTE, 1.0, 0.0
    for _ in range(120):
        dealt = [pace.interval(one, NOW, PACING, factor) for one in waiting]
        used = pace.demand(len(waiting), sum(dealt) / len(dealt), allowance)
        factor = pace.tightened(factor, used)
    assert used == pytest.approx(TARGET_USE, rel=0.01)


def test_in_virtual_time_changes_are_seen_at_least_twice_as_soon_as_by_asking_in_turn() -> None:
    times_sooner = compare("mixed", open_orders=5000, budget=6, seed=1, asks=60_000)["times_sooner"]
    assert times_sooner["end_mean"] > 2
    assert times_sooner["start_mean"] > 2


@pytest.mark.parametrize(
    ("orders", "per_minute", "bulk_status", "seconds"),
    [
        (540_000, 600.0, True, 600.0),
        (540_000, 60.0, None, 6000.0),
        (901, 10.0, None, 66.666667),  # ten requests, of which nine tenths a minute may be for statuses
        (900, 60.0, False, 1000.0),
        (0, 60.0, True, 0.0),
        (540_000, None, True, 0.0),
    ],
)
def test_a_sweep_takes_what_the_share_of_statuses_allows(
    orders: int,
    per_minute: float | None,
    bulk_status: bool | None,  # noqa: FBT001  # as it is learned
    seconds: float,
) -> None:
    assert pace.sweep(orders, per_minute, bulk_status) == pytest.approx(seconds)


def test_the_patience_with_a_panel_is_a_sweep_but_no_less_than_an_interval() -> None:
    assert pace.patience(7, 60.0, bulk_status=False, shortest=60.0) == 60.0
    assert pace.patience(900, 60.0, bulk_status=False, shortest=60.0) == 1000.0
    assert pace.patience(0, 60.0, bulk_status=None, shortest=1.0) == 30.0

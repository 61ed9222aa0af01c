"""The lives that the simulator gives to orders: believable, exact, and always ending."""

import random
from collections import Counter
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tracker.simulator import lifecycle
from tracker.simulator.lifecycle import RUNNING, Life, Step, live, part, step_at

PRICE = Decimal("12.34567")
ENDS = {"Completed", "Partial", "Canceled"}

seeds = st.integers(0, 2**32)
quantities = st.integers(1, 100_000)


def life(seed: int, quantity: int) -> Life:
    return live(random.Random(seed), quantity, PRICE, 3572)


def check(steps: Life, quantity: int) -> None:
    ages = [step.at for step in steps]
    assert ages[0] == 0.0
    assert ages == sorted(set(ages))
    for step in steps:
        assert step.remains is not None
        assert 0 <= step.remains <= quantity
        if step.status == "Completed":
            assert (step.remains, step.charge) == (0, PRICE)
        elif step.status == "Partial":
            assert 0 < step.remains < quantity
            assert step.charge == part(PRICE, quantity, step.remains)
        elif step.status == "Canceled":
            assert step.remains == quantity
            assert step.charge == 0
        else:
            assert step.charge == PRICE
    assert steps[-1].status in ENDS


@given(seeds, quantities)
def test_a_life_goes_forward_keeps_its_figures_in_bounds_and_ends(seed: int, quantity: int) -> None:
    check(life(seed, quantity), quantity)


@given(seeds, quantities)
def test_remains_only_fall_while_an_order_is_delivered(seed: int, quantity: int) -> None:
    steps = life(seed, quantity)
    for before, after in pairwise(steps):
        if before.status == after.status == "In progress":
            assert (before.remains or 0) > (after.remains or 0)


@given(seeds, quantities, st.floats(0.001, 1e6))
def test_a_canceled_life_keeps_its_past_and_ends_where_it_was_cut(seed: int, quantity: int, at: float) -> None:
    whole = life(seed, quantity)
    cut = lifecycle.canceled(whole, at, quantity)
    check(cut, quantity)
    past = tuple(step for step in whole if step.at < at)
    assert cut[: len(past)] == past
    if past[-1].status in RUNNING:
        assert (cut[-1].at, len(cut)) == (at, len(past) + 1)
    else:
        assert cut == whole


@given(seeds, quantities)
def test_a_refill_reopens_and_completes_its_order_or_is_rejected(seed: int, quantity: int) -> None:
    steps = (Step(0.0, "Pending", PRICE, 0, quantity), Step(9.0, "Completed", PRICE, 5, 0))
    refill, after = lifecycle.refill(random.Random(seed), steps, 100.0, quantity)
    assert after[:2] == steps
    check(after, quantity)
    if refill[-1].status == "Rejected":
        assert after == steps
    else:
        assert [step.status for step in refill] == ["Pending", "In progress", "Completed"]
        assert after[2].status == "In progress"
        assert after[2].at == 100.0 + refill[1].at
        assert after[-1].at == 100.0 + refill[2].at


@given(seeds, quantities, st.floats(0, 1e7))
def test_the_present_is_the_last_step_that_has_come(seed: int, quantity: int, age: float) -> None:
    steps = life(seed, quantity)
    assert step_at(steps, age) == [step for step in steps if step.at <= age][-1]


def test_of_many_lives_most_complete_and_every_fate_occurs() -> None:
    rng = random.Random(1)
    lives = [live(rng, 1000, PRICE, 0) for _ in range(4000)]
    ends = Counter(steps[-1].status for steps in lives)
    assert 0.83 < ends["Completed"] / 4000 < 0.89
    assert 0.06 < ends["Partial"] / 4000 < 0.10
    assert 0.04 < ends["Canceled"] / 4000 < 0.08
    reopened = [steps for steps in lives if [step.status for step in steps].count("Completed") == 2]
    assert 0.02 < len(reopened) / 4000 < 0.06
    waits = sorted(next(step.at for step in steps if step.status != "Pending") for steps in lives)
    assert waits[400] < 180
    assert 300 < waits[2000] < 1200
    assert waits[3800] > 3600


def test_the_same_seed_gives_the_same_life() -> None:
    assert life(7, 500) == life(7, 500) != life(8, 500)

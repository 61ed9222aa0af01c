"""The whole life of an order, decided when it is placed. Pure: a random source and figures in, steps out.

A life is a tuple of steps; what the panel knows at an age is the last step not younger than it, so the present is
a lookup and the truth is exact. Only two things change a life later, and only its
future: a cancel request and a refill request.
"""

import random
from bisect import bisect_right
from decimal import Decimal
from operator import itemgetter
from typing import Final, NamedTuple, TypeAlias

QUANTUM: Final = Decimal("0.00001")
"""Panels count money to five decimals."""

NOTHING: Final = Decimal(0)
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

RUNNING: Final = frozenset({"Pending", "Processing", "In progress", "Active"})

FATES: Final = {"completed": 82, "partial": 8, "canceled": 6, "dropped": 4}
"""Of 100 orders. "dropped" is completed, loses a part of it days later, and is repaired by a refill."""

STUCK_SHARE: Final = 0.07
"""Deliveries that stop for days before they go on."""

MOST_BURSTS: Final = 24
"""Bounds the steps of a life, so that a hundred thousand orders fit into memory."""


class Step(NamedTuple):
    """From `at` virtual seconds after the order was placed, the panel knows this. Parents have no figures."""

    at: float
    status: str
    charge: Decimal | None = None
    start_count: int | None = None
    remains: int | None = None


class RefillStep(NamedTuple):
    """From `at` virtual seconds after the refill was asked for, its status is this."""

    at: float
    status: str


Life: TypeAlias = tuple[Step, ...]
RefillLife: TypeAlias = tuple[RefillStep, ...]

_at = itemgetter(0)


def step_at(life: Life, age: float) -> Step:
    """Return what the panel knows of an order `age` (>= 0) virtual seconds old."""
    return life[bisect_right(life, age, key=_at) - 1]


def word_at(life: RefillLife, age: float) -> str:
    """Return the status of a refill `age` (>= 0) virtual seconds old."""
    return life[bisect_right(life, age, key=_at) - 1].status


def part(price: Decimal, quantity: int, remains: int) -> Decimal:
    """Return the price of what was delivered."""
    return (price * (quantity - remains) / quantity).quantize(QUANTUM)


def live(rng: random.Random, quantity: int, price: Decimal, start_count: int) -> Life:
    """Return the life of an ordinary order of `quantity` (>= 1) pieces."""
    fate = rng.choices(list(FATES), list(FATES.values()))[0]
    if fate == "partial" and quantity == 1:
        fate = "canceled"  # one piece has no part
    at = min(rng.lognormvariate(6.5, 1.5), 3 * DAY)  # median 11 minutes, one in ten beyond an hour
    steps = [Step(0.0, "Pending", price, 0, quantity)]
    if rng.random() < 0.2:
        steps.append(Step(at * 0.8, "Processing", price, 0, quantity))
    if fate == "canceled":
        return (*steps, Step(at, "Canceled", NOTHING, 0, quantity))
    left = rng.randint(1, quantity - 1) if fate == "partial" else 0
    steps += _delivery(rng, at, Step(0.0, "In progress", price, start_count, quantity), left)
    if fate == "partial":
        return (*steps[:-1], Step(steps[-1].at, "Partial", part(price, quantity, left), start_count, left))
    if fate == "dropped":
        return reopened(rng, tuple(steps), steps[-1].at + rng.uniform(0.2, 10) * DAY, quantity)
    return tuple(steps)


def _delivery(rng: random.Random, at: float, start: Step, left: int) -> list[Step]:
    """Return `start` moved to `at`, `remains` falling in bursts, and Completed with `left` still to deliver."""
    remains = start.remains or 0
    bursts = min(1 + int(rng.expovariate(1 / 7)), remains - left, MOST_BURSTS)
    levels = sorted(rng.sample(range(left + 1, remains), bursts - 1), reverse=True)
    length = rng.lognormvariate(8.6, 1.2)  # median an hour and a half, one in ten beyond seven
    gaps = [rng.expovariate(1.0) ** 2 for _ in range(bursts)]  # squared: bursts come in clusters
    stretch = length / max(sum(gaps), 1e-9)
    pauses = [1.0 + gap * stretch for gap in gaps]
    if rng.random() < STUCK_SHARE:
        pauses[rng.randrange(bursts)] += rng.uniform(0.5, 5) * DAY
    steps = [start._replace(at=at)]
    for pause, level in zip(pauses, [*levels, left], strict=True):
        at += pause
        steps.append(start._replace(at=at, remains=level))
    steps[-1] = steps[-1]._replace(status="Completed")
    return steps


def reopened(rng: random.Random, life: Life, at: float, quantity: int) -> Life:
    """Return a Completed life that is In progress again from `at`, up to a fifth of it to be repaired."""
    kept = tuple(step for step in life if step.at < at)
    dropped = rng.randint(1, max(1, quantity // 5))
    return (*kept, *_delivery(rng, at, kept[-1]._replace(status="In progress", remains=dropped), 0))


def canceled(life: Life, at: float, quantity: int) -> Life:
    """Return a life cut at `at`: Canceled and free if nothing was delivered, else Partial.

    One that has ended by then stays as it is.
    """
    kept = tuple(step for step in life if step.at < at)
    last = kept[-1]
    if last.status not in RUNNING:
        return life
    if last.charge is None:
        return (*kept, Step(at, "Canceled"))
    remains = quantity if last.remains is None else last.remains
    if remains >= quantity:
        return (*kept, last._replace(at=at, status="Canceled", charge=NOTHING))
    price = next(step.charge for step in life if step.charge is not None)
    return (*kept, last._replace(at=at, status="Partial", charge=part(price, quantity, remains)))


def refill(rng: random.Random, life: Life, age: float, quantity: int) -> tuple[RefillLife, Life]:
    """Return the life of a refill asked for at `age` of a Completed order, and the order's life with it.

    One in seven is rejected and leaves the order as it is.
    """
    wait = rng.lognormvariate(6.5, 1.0)
    if rng.random() < 1 / 7:
        return (RefillStep(0.0, "Pending"), RefillStep(wait, "Rejected")), life
    kept = tuple(step for step in life if step.at <= age)
    after = reopened(rng, kept, age + wait, quantity)
    done = after[-1].at - age
    return (RefillStep(0.0, "Pending"), RefillStep(wait, "In progress"), RefillStep(done, "Completed")), after


def parent(ends_at: float, *, word: str = "In progress", end: str = "Completed") -> Life:
    """Return the life of a drip-feed or a subscription: it has children instead of figures."""
    return (Step(0.0, word), Step(ends_at, end))

"""Simulated orders for the bench of `pace`: waiting, bursty delivery, and what goes wrong. Times in minutes."""

import random
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, NamedTuple

DAY: Final = 1440.0

STUCK: Final = 0.04
"""Of the open orders: half of them never start, half never end. Up to 30 days old."""


class Life(NamedTuple):
    """What happens to one order, in minutes after it was bought."""

    kind: str
    """`delivered`; `partial` (ends early); `silent` (no figures); `canceled` while it waits; `stuck`."""
    start: float
    end: float
    span: float
    quantity: int
    moments: Sequence[float] = (0.0, 1.0)
    """Shares of `span`, and what is delivered by then."""
    delivered: Sequence[float] = (0.0, 0.0)

    def remains(self, minutes: float) -> int:
        """Return what remains to be delivered `minutes` after the order was bought."""
        share = (minutes - self.start) / self.span
        right = bisect_right(self.moments, share)
        if right == len(self.moments):
            return int(self.quantity * (1 - self.delivered[-1]))
        left, a, b = right - 1, self.delivered[right - 1], self.delivered[right]
        within = (share - self.moments[left]) / (self.moments[right] - self.moments[left])
        return int(self.quantity * (1 - a - (b - a) * within))


@dataclass(frozen=True)
class Population:
    """Waiting times (median and sigma of a log-normal, or scale and shape of a Pareto) and deliveries."""

    waiting: tuple[float, float]
    pareto: bool
    deliveries: Sequence[tuple[float, float, float]]
    """(share, median in minutes, sigma of a log-normal)."""

    def lives(self, rng: random.Random, count: int) -> Iterator[Life]:
        """Yield `count` lives, and beside every tenth delivered one two that get stuck."""
        for number in range(count):
            scale, shape = self.waiting
            law = rng.paretovariate(shape) - 1 if self.pareto else rng.lognormvariate(0, shape)
            start, quantity = min(scale * law, 7 * DAY), int(10 ** rng.uniform(2, 4.5))
            _, median, sigma = rng.choices(self.deliveries, [share for share, *_ in self.deliveries])[0]
            span = 1 + median * rng.lognormvariate(0, sigma)
            end, draw = start + span, rng.random()
            if draw < 0.05:
                yield Life("canceled", inf, min(5 + 3 * start, 7 * DAY), 1, quantity)
            elif draw < 0.13:
                bursts = _bursts(rng, rng.uniform(0.3, 0.9), rng.uniform(0.1, 0.97))
                yield Life("partial", start, end, span, quantity, *bursts)
            elif draw < 0.23:
                yield Life("silent", start, end, span, quantity)
            else:
                yield Life("delivered", start, end, span, quantity, *_bursts(rng, 1.0, 1.0))
                if number % 10 == 0:
                    yield Life("stuck", inf, inf, 1, quantity)
                    yield Life("stuck", start, inf, span, quantity, *_bursts(rng, 0.9, rng.uniform(0.1, 0.999)))


def _bursts(rng: random.Random, until: float, amount: float) -> tuple[list[float], list[float]]:
    """Return moments and what is delivered by then: 1 to 15 bursts of uneven length and speed, pauses between."""
    count = 1 + min(int(rng.expovariate(0.25)), 14)
    lengths = [
        rng.lognormvariate(0, 1) if n % 2 == 0 else rng.lognormvariate(-0.7, 1.3) for n in range(2 * count - 1)
    ]
    amounts = [length * rng.lognormvariate(0, 0.5) if n % 2 == 0 else 0.0 for n, length in enumerate(lengths)]
    moments, delivered = [0.0], [0.0]
    for length, part in zip(lengths, amounts, strict=True):
        moments.append(moments[-1] + until * length / sum(lengths))
        delivered.append(delivered[-1] + amount * part / sum(amounts))
    return [*moments, 1.0 + 1e-9], [*delivered, delivered[-1]]


POPULATIONS: Final = {
    "mixed": Population((12, 1.15), True, ((0.6, 30, 1.2), (0.3, 360, 1.0), (0.1, 3 * DAY, 0.8))),
    "quick": Population((6, 1.6), False, ((0.9, 20, 1.1), (0.1, 240, 1.0))),
    "long": Population((60, 1.8), False, ((0.25, 480, 1.0), (0.75, 3 * DAY, 0.8))),
}


class World:
    """Orders in a steady state: `bought` holds (minute, life), the first `open` of them before minute 0."""

    def __init__(self, name: str, open_orders: int, seed: int) -> None:
        self.rng = random.Random(f"{name} {open_orders} {seed}")
        lives = list(POPULATIONS[name].lives(self.rng, 6000))
        self.pool = [life for life in lives if life.kind != "stuck"]
        lengths = [life.end for life in self.pool]
        stuck = int(open_orders * STUCK)
        # Who is open at a moment was drawn in proportion to how long it is open, and is anywhere in its life.
        moving = self.rng.choices(self.pool, lengths, k=open_orders - stuck)
        still = self.rng.choices([life for life in lives if life.kind == "stuck"], k=stuck)
        self.bought = [(-self.rng.random() * min(life.end, 30 * DAY), life) for life in moving + still]
        self.rng.shuffle(self.bought)
        self.open = open_orders
        self.per_minute = (open_orders - stuck) * len(self.pool) / sum(lengths)

    def run_until(self, minutes: int) -> None:
        """Let orders be bought until minute `minutes`, in groups of about ten."""
        at = self.rng.expovariate(self.per_minute / 10.5)
        while at < minutes:
            group = self.rng.choices(self.pool, k=min(1 + int(self.rng.expovariate(0.1)), 100))
            self.bought += [(at, life) for life in group]
            at += self.rng.expovariate(self.per_minute / 10.5)

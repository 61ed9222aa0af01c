"""The books of the simulated account: its orders, and the balance that their charges move."""

import heapq
from dataclasses import dataclass
from decimal import Decimal
from math import isinf
from typing import Final, NamedTuple

from tracker.simulator.lifecycle import HOUR, NOTHING, Life, RefillLife, Step, step_at

OPENING: Final = Decimal(500)
TOP_UP: Final = Decimal(1000)
TOP_UP_BELOW: Final = Decimal(100)
TOP_UP_AFTER: Final = 2 * HOUR
"""An account opens with `OPENING`; below `TOP_UP_BELOW` its owner adds `TOP_UP`, so many virtual seconds later."""


@dataclass(slots=True)
class Order:
    """An order of the panel. A drip-feed or subscription has children, and they have the figures."""

    order_id: str
    service_id: str
    link: str
    quantity: int
    born: float
    """Virtual moment from which the panel knows it; infinite for a child that a cancel has prevented."""
    life: Life = ()
    runs: int = 0
    posts: int = 0
    children: tuple[str, ...] = ()
    booked: Decimal = NOTHING
    """How much of its charge the balance knows of."""
    cancel_asked: bool = False
    refill_id: str | None = None
    """Its newest refill."""


class RefillRequest(NamedTuple):
    """A refill of the panel."""

    order_id: str
    born: float
    life: RefillLife


class Placed(NamedTuple):
    """What a client that placed an order knows of it."""

    order_id: str
    service_id: str
    link: str
    quantity: int | None
    age: float
    """Virtual seconds since it was placed."""


class Look(NamedTuple):
    """An order as of now."""

    order: Order
    step: Step
    children: tuple[str, ...]
    """Those that exist by now."""


class Ledger:
    """The balance: falls as orders are placed, rises with refunds and top-ups. Not locked: the world is."""

    def __init__(self) -> None:
        self.balance = OPENING
        self._topping_up = False
        self._due: list[tuple[float, int, Order | None]] = []
        """Heap of (moment, tie-breaker, order whose charge moves then); None is a top-up."""
        self._pushed = 0

    def expect(self, order: Order, paid_at: float) -> None:
        """Follow the charge of `order`, paid as a whole at `paid_at` (children with their parent).

        After a change of its life, call it again: moments that the change made idle do no harm.
        """
        self._push(paid_at, order)
        known = order.life[0].charge
        for step in order.life:
            if step.charge != known:
                self._push(order.born + step.at, order)
                known = step.charge

    def settle(self, now: float) -> None:
        """Bring the balance to `now`."""
        while self._due and self._due[0][0] <= now:
            at, _, order = heapq.heappop(self._due)
            if order is None:
                self.balance += TOP_UP
                self._topping_up = False
            else:
                charge = _charge(order, at)
                self.balance += order.booked - charge
                order.booked = charge
            if self.balance < TOP_UP_BELOW:
                self.ask_owner(at)

    def ask_owner(self, now: float) -> None:
        """Have the owner top up in a while, unless asked already."""
        if not self._topping_up:
            self._topping_up = True
            self._push(now + TOP_UP_AFTER, None)

    def _push(self, at: float, order: Order | None) -> None:
        self._pushed += 1
        heapq.heappush(self._due, (at, self._pushed, order))


def _charge(order: Order, at: float) -> Decimal:
    if isinf(order.born):
        return NOTHING
    # A millisecond later, because `born + step.at - born` may come out a trifle below `step.at`.
    return step_at(order.life, max(at - order.born, 0.0) + 0.001).charge or NOTHING

"""When to ask next. Pure: times and figures in, a time out.

What matters is how soon a change of *state* is seen for the requests that a panel allows. Where a change comes
with probability h a minute, intervals in proportion to 1 / sqrt(h) make the sum of all delays the smallest. The
longer an order has waited, the longer it will still wait (h falls with 1 / age), so its interval grows with the
square root of the age; a delivering one tells by its own rate when it ends. One factor per panel scales all
intervals, so that together they use what the panel allows. `tests/bench/pace.py` prints what this brings.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, sqrt
from typing import Final

from tracker.model import BATCH, SETTLED, Order

JITTER: Final = 0.1
"""An interval is shortened by up to this share, so that orders placed together do not stay together."""

TARGET_USE: Final = 0.95
"""The share of a round's allowance that the factor steers to; the rest absorbs arrivals and repeats."""

STEP: Final = 1.1
"""The factor moves by at most this ratio a round, so that one burst of arrivals does not swing it."""

FACTORS: Final = (0.01, 30.0)
"""Beyond the lower bound every interval is the shortest, beyond the upper one everything waits alike."""

LONGEST_BACKOFF: Final = 3600.0
"""Seconds: a panel that was down is found again within the hour."""

SHARE_OF_STATUSES: Final = 0.9
"""Of a panel's requests; the rest is kept for refills, balance and catalog."""

LEAST_PATIENCE: Final = 30.0
"""Seconds: nobody is woken for an answer that is less late than twice this."""

WORKING: Final = frozenset({"in_progress", "processing"})
"""States that end next: worth more requests than those that only start next."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """The numbers behind the rules, in seconds where no other unit is named. Only `shortest` is configured."""

    shortest: float = 60.0
    """The statuses interval (`every.statuses`): no order is asked more often."""
    longest: float = 7200.0
    """No open order is asked more rarely, before the panel's factor."""
    settled: float = 6 * 3600.0
    """A settled order is first asked after this time, then each time its state has become twice as old."""
    grace: float = 7 * 86400.0
    """How long a settled order is still asked, for panels reopen them."""
    confirm: float = 600.0
    """Between two single answers "no such id": a panel that restarts is back by then."""
    youth: float = 300.0
    """Added to every age: an order's first minutes tell little."""
    working_share: float = 0.6
    """Of the interval of an order that waits: one that works, but whose figures have not moved yet."""
    delivering_most: float = 2.5
    """Times the same interval: the most for one that delivers, for it may end early as partial or canceled."""
    end_share: float = 0.3
    """A delivering order is asked after this share of the estimated time to its end …"""
    end_slack: float = 120.0
    """… which is taken to be this much longer …"""
    quiet_share: float = 0.1
    """… plus this share of the time since its figures moved: one stuck at its end must not eat the budget."""
    state_share: float = 0.1
    """A refill, which has no figures, is asked after this share of the age of its state."""


def interval(order: Order, now: datetime, pacing: Pacing, tightening: float = 1.0) -> float:
    """Return the seconds until `order`, as it is after an answer at `now`, should be asked again.

    `tightening` is the panel's factor: below 1 while the budget has room, above 1 where it is short. It never
    hurries a settled order. The result is never less than `pacing.shortest`.
    """
    if order.state in SETTLED:
        # Since it settled, or since a new refill began to count as that.
        age = max((now - (order.settled_at or order.state_at)).total_seconds(), 0.0)
        return min(max(pacing.settled, age) * max(tightening, 1.0), pacing.grace)
    age = max((now - order.state_at).total_seconds(), 0.0)
    wanted = sqrt(pacing.shortest * (age + pacing.youth))
    if order.state in WORKING:
        remains = order.remains
        delivered = 0 if remains is None or order.state_remains is None else order.state_remains - remains
        if delivered > 0 and remains is not None:
            quiet = (now - (order.changed_at or now)).total_seconds()
            end = max(remains, 0) * age / delivered
            soon = pacing.end_share * (end + pacing.end_slack) + pacing.quiet_share * quiet
            wanted = min(soon, pacing.delivering_most * wanted)
        else:
            wanted *= pacing.working_share
    return max(pacing.shortest, min(wanted, pacing.longest) * tightening)


def due(now: datetime, seconds: float, jitter: float = 0.0) -> datetime:
    """Return the moment `seconds` after `now`, sooner by `jitter` (0 <= j < 1) times a tenth."""
    return now + timedelta(seconds=seconds * (1.0 - JITTER * jitter))


def backed_off(failures: int, pacing: Pacing) -> float:
    """Return the seconds to wait after `failures` (>= 1) faults in a row: doubling, at most `LONGEST_BACKOFF`."""
    return max(pacing.shortest, min(pacing.shortest * 2.0 ** min(failures - 1, 16), LONGEST_BACKOFF))


def demand(orders: int, mean_seconds: float, ids_per_second: float) -> float:
    """Return the share of an allowance of `ids_per_second` that `orders` orders take; above 1: more than there is.

    `mean_seconds` is the mean of the intervals dealt to all that a round asked (0 for what it closed): by Little's
    law, orders = asked per second x mean time between. The requests really used would follow a change of the
    factor only a sweep later, and steering by them swings.
    """
    return orders / max(mean_seconds * ids_per_second, 1e-9)


def tightened(factor: float, used: float) -> float:
    """Return the panel's next factor where `factor` uses the share `used` of a round's allowance (`demand`)."""
    step = min(max(used / TARGET_USE, 1 / STEP), STEP)
    return min(max(factor * step, FACTORS[0]), FACTORS[1])


def sweep(orders: int, per_minute: float | None, bulk_status: bool | None) -> float:  # noqa: FBT001  # as it is learned
    """Return the seconds that asking about `orders` orders once takes; 0 where there is no limit a minute."""
    if per_minute is None:
        return 0.0
    return ceil(orders / (1 if bulk_status is False else BATCH)) * 60.0 / (per_minute * SHARE_OF_STATUSES)


def patience(orders: int, per_minute: float | None, bulk_status: bool | None, shortest: float) -> float:  # noqa: FBT001  # as it is learned
    """Return the seconds of which an answer may take twice as many (P7): a sweep, but no less than an interval."""
    return max(sweep(orders, per_minute, bulk_status), shortest, LEAST_PATIENCE)

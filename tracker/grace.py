"""How long an order or a refill is still asked that has settled, or that its panel does not know. Pure.

Panels reopen what looked final, so it is asked for a grace time before it is closed. Only time in which it could
be asked counts for that: a daemon stands still for a week, a clock that starts in 1970 leaps.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from tracker.model import Order, Refill
from tracker.pace import Pacing

CONFIRMATIONS: Final = 3
"""Single answers "no such id", `Pacing.confirm` apart, until the panel is believed (docs/architecture.md)."""

_Known = TypeVar("_Known", Order, Refill)


class Moment(NamedTuple):
    """What deciding needs beside the order and the answer; one for a whole batch but for `jitter`."""

    now: datetime
    pacing: Pacing
    tightening: float = 1.0
    singly: bool = False
    """Whether the order was asked about alone, which alone can confirm that it is missing."""


def granted(known: _Known, moment: Moment) -> _Known:
    """Return one that has settled, its grace time begun anew where most of it passed without asks.

    That is so after a long stop and after a leap of the clock; it is then due at the end of that time. One that
    settled later than now did so by a clock that stood ahead, and has settled now.
    """
    now, grace = moment.now, timedelta(seconds=moment.pacing.grace)
    settled = now - (known.settled_at or now)
    if settled < timedelta(0):
        return known._replace(settled_at=now)
    if settled >= grace / 2 and now - (known.next_poll_at or now) > settled / 2:
        return known._replace(settled_at=now, next_poll_at=now + grace)
    return known


def ended(known: Order | Refill, due: datetime, moment: Moment) -> tuple[datetime, datetime | None]:
    """Return when one is asked next (by its pace: `due`), and when it closed: now, once its grace time is over."""
    if known.settled_at is None:
        return due, None
    end = known.settled_at + timedelta(seconds=moment.pacing.grace)
    if end <= moment.now:
        return due, moment.now
    return max(min(due, end), known.next_poll_at or moment.now), None


def missed(known: Order | Refill, moment: Moment) -> tuple[int, datetime | None]:
    """Count one more "no such id": a batch only raises the suspicion, a single answer confirms it."""
    if not moment.singly:
        return max(known.misses, 1), known.missed_at
    if known.missed_at is not None and (moment.now - known.missed_at).total_seconds() < moment.pacing.confirm:
        return known.misses, min(known.missed_at, moment.now)  # later than now where the clock was set back
    return max(known.misses, 1) + 1, moment.now


def again(missed_at: datetime | None, moment: Moment) -> datetime:
    """Return when one is asked singly that a reply did not know: at once, then when that can be confirmed."""
    return max(moment.now, missed_at + timedelta(seconds=moment.pacing.confirm)) if missed_at else moment.now

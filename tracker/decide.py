"""What an answer means for an order: old order + answer + now -> what to write. Pure.

Each order is decided alone, so one odd answer never spoils its neighbours in the batch. Nothing is invented: an
answer that could not be believed changes no figure and no state, it only becomes an anomaly (promise P4).
"""

from datetime import datetime
from typing import Final, NamedTuple

from tracker import grace, pace
from tracker.grace import Moment
from tracker.model import (
    REFILL_SETTLED,
    SETTLED,
    Anomaly,
    Answer,
    NotFound,
    Odd,
    Order,
    Refill,
    RefillAnswer,
    RefillStatus,
    Status,
)

ALONE: Final = "alone_"
"""Begins the kind of an `Odd` that stands for a request about one id that failed; the fault's kind follows."""

RANK: Final = {"new": 0, "pending": 1, "unknown": 1, "processing": 2, "in_progress": 2, "active": 2, "paused": 2}
"""How far an open state has come; every settled state counts as 3."""


# `tuple.__new__` makes a named tuple in half the time; this is done for each order of each poll.
_new: Final = tuple.__new__

_TOLD: Final = slice(0, Status._fields.index("remains") + 1)
_KNOWN: Final = slice(Order._fields.index("state"), Order._fields.index("remains") + 1)
"""The same six fields, in the same order."""
_FIGURES: Final = slice(Order._fields.index("charge"), Order._fields.index("remains") + 1)


class Decision(NamedTuple):
    """What to write for one order. `before` is the row as read, and so the guard of the write."""

    before: Order
    after: Order
    at: datetime
    next_poll_at: datetime
    answered: bool = False
    """Whether there was an answer that could be believed; only then it counts as checked `at`."""
    closed_at: datetime | None = None
    transition: bool = False
    progress: bool = False
    anomaly: Anomaly | None = None
    children: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether the history gains a row."""
        return self.transition or self.progress

    @property
    def regression(self) -> bool:
        """Whether the state moved backwards; recorded like any move, and logged louder."""
        return RANK.get(self.after.state, 3) < RANK.get(self.before.state, 3)


class RefillDecision(NamedTuple):
    """What to write for one refill."""

    before: Refill
    after: Refill
    next_poll_at: datetime
    closed_at: datetime | None = None
    transition: bool = False
    anomaly: Anomaly | None = None


def decide(order: Order, answer: Answer, moment: Moment, jitter: float = 0.0) -> Decision:
    """Return what `answer`, received at `moment.now`, means for `order`. `jitter` is random in [0, 1)."""
    known = order if order.settled_at is None else grace.granted(order, moment)
    if isinstance(answer, Status):
        decision = _answered(known, answer, moment, jitter)
    elif isinstance(answer, NotFound):
        decision = _not_found(known, answer.text, moment)
    else:
        decision = _odd(known, answer, moment, jitter)
    return decision if known is order else decision._replace(before=order)


def _answered(order: Order, told: Status, moment: Moment, jitter: float) -> Decision:
    now = moment.now
    after = order if _is_known(order, told) else _after(order, told, now)
    transition = after.seq != order.seq
    progress = not transition and after is not order and after[_FIGURES] != order[_FIGURES]
    due = pace.due(now, pace.interval(after, now, moment.pacing, moment.tightening), jitter)
    due, closed_at = (due, None) if after.settled_at is None else grace.ended(after, due, moment)
    return _new(
        Decision,
        (
            order,
            after,
            now,
            due,
            True,
            closed_at,
            transition,
            progress,
            None,
            told.children,
        ),
    )


def _is_known(order: Order, told: Status) -> bool:
    """Whether the answer repeats what is known, as most do, and leaves nothing to put right."""
    return (
        told[_TOLD] == order[_KNOWN]
        and not order.misses
        and (order.settled_at is None) == (order.state not in SETTLED)
        and (order.state_remains is not None or order.remains is None)
    )


def _after(order: Order, told: Status, now: datetime) -> Order:
    """Return `order` as it is once `told` is believed."""
    (state, panel_status, charge, currency, start_count, remains, _) = told
    charge = order.charge if charge is None else charge
    currency = currency or order.currency
    start_count = order.start_count if start_count is None else start_count
    remains = order.remains if remains is None else remains
    entered = state != order.state
    transition = entered or panel_status != order.panel_status
    moved = transition or (charge, currency, start_count, remains) != order[_FIGURES]
    settled_at = (now if entered else order.settled_at or now) if state in SETTLED else None
    return _new(
        Order,
        (
            order.key,
            order.order_id,
            state,
            panel_status,
            charge,
            currency,
            start_count,
            remains,
            order.quantity,
            order.seq + transition,
            now if entered else order.state_at,
            # A first figure that arrives within the state counts as the one it began with.
            remains if entered or order.state_remains is None else order.state_remains,
            now if moved else order.changed_at,
            order.was_checked_at,
            settled_at,
            0,
            None,
            None if entered else order.next_poll_at,
        ),
    )


def _not_found(order: Order, text: str, moment: Moment) -> Decision:
    now, pacing = moment.now, moment.pacing
    anomaly = Anomaly(order.order_id, "not_found", text)
    if order.state == "missing":
        due, closed_at = grace.ended(order, pace.due(now, pacing.settled), moment)
        return Decision(order, order, now, due, closed_at=closed_at, anomaly=anomaly)
    misses, missed_at = grace.missed(order, moment)
    if misses <= grace.CONFIRMATIONS:
        after = order._replace(misses=misses, missed_at=missed_at)
        return Decision(order, after, now, grace.again(missed_at, moment), anomaly=anomaly)
    after = order._replace(
        state="missing",
        panel_status=text,
        seq=order.seq + 1,
        state_at=now,
        state_remains=order.remains,
        changed_at=now,
        settled_at=now,
        misses=0,
        missed_at=None,
    )
    return Decision(order, after, now, pace.due(now, pacing.settled), transition=True, anomaly=anomaly)


def _odd(order: Order, odd: Odd, moment: Moment, jitter: float) -> Decision:
    now, anomaly = moment.now, Anomaly(order.order_id, odd.kind, odd.detail)
    seconds = pace.interval(order, now, moment.pacing, moment.tightening)
    due, closed_at = grace.ended(
        order, pace.due(now, seconds, jitter), moment
    )  # panels forget old orders in odd ways
    after = order
    if odd.kind == "absent" and not order.misses:  # some panels leave ids out of a batch that they answer alone
        after, due = order._replace(misses=1), now
    elif odd.kind.startswith(ALONE):  # it spoils every batch that it is in, so from now on it is asked singly
        after = order._replace(misses=max(order.misses, 1))
    return Decision(order, after, now, due, closed_at=closed_at, anomaly=anomaly)


def decide_refill(refill: Refill, answer: RefillAnswer, moment: Moment, jitter: float = 0.0) -> RefillDecision:
    """Return what `answer` means for `refill`; the same rules as for orders, without figures."""
    known = refill if refill.settled_at is None else grace.granted(refill, moment)
    if isinstance(answer, RefillStatus):
        decision = _refill_answered(known, answer, moment, jitter)
    else:
        decision = _refill_not_answered(known, answer, moment, jitter)
    return decision if known is refill else decision._replace(before=refill)


def _refill_not_answered(refill: Refill, answer: Odd | NotFound, moment: Moment, jitter: float) -> RefillDecision:
    now, pacing = moment.now, moment.pacing
    if isinstance(answer, Odd):
        spoils = answer.kind == "absent" or answer.kind.startswith(ALONE)
        misses = max(refill.misses, 1) if spoils else refill.misses
        anomaly = Anomaly(refill.order_id, f"refill_{answer.kind}", f"refill {refill.refill_id}: {answer.detail}")
        due, closed_at = grace.ended(refill, _refill_due(refill, moment, jitter), moment)
        return RefillDecision(refill, refill._replace(misses=misses), due, closed_at, anomaly=anomaly)
    anomaly = Anomaly(refill.order_id, "refill_not_found", f"refill {refill.refill_id}: {answer.text}")
    if refill.state == "missing":
        due, closed_at = grace.ended(refill, pace.due(now, pacing.settled), moment)
        return RefillDecision(refill, refill, due, closed_at, anomaly=anomaly)
    misses, missed_at = grace.missed(refill, moment)
    if misses <= grace.CONFIRMATIONS:
        after = refill._replace(misses=misses, missed_at=missed_at)
        return RefillDecision(refill, after, grace.again(missed_at, moment), anomaly=anomaly)
    after = refill._replace(
        state="missing",
        panel_status=answer.text,
        seq=refill.seq + 1,
        state_at=now,
        settled_at=now,
        misses=0,
        missed_at=None,
    )
    return RefillDecision(refill, after, pace.due(now, pacing.settled), transition=True, anomaly=anomaly)


def _refill_answered(refill: Refill, told: RefillStatus, moment: Moment, jitter: float) -> RefillDecision:
    now = moment.now
    transition = told.state != refill.state or told.panel_status != refill.panel_status
    entered = told.state != refill.state
    settled_at = (now if entered else refill.settled_at or now) if told.state in REFILL_SETTLED else None
    after = refill._replace(
        state=told.state,
        panel_status=told.panel_status,
        seq=refill.seq + transition,
        state_at=now if entered else refill.state_at,
        checked_at=now,
        settled_at=settled_at,
        misses=0,
        missed_at=None,
    )
    due, closed_at = grace.ended(after, _refill_due(after, moment, jitter), moment)
    return RefillDecision(refill, after, due, closed_at, transition)


def _refill_due(refill: Refill, moment: Moment, jitter: float) -> datetime:
    """Return when it is asked again: as an order that is not delivering is."""
    now, pacing = moment.now, moment.pacing
    if refill.state in REFILL_SETTLED:
        return pace.due(now, pacing.settled, jitter)
    age = (now - refill.state_at).total_seconds()
    return pace.due(now, max(pacing.shortest, min(pacing.state_share * age, pacing.longest)), jitter)

"""One round of statuses: plan, load, ask, decide, write, batch by batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from structlog.typing import FilteringBoundLogger

from tracker.decide import ALONE, Decision, decide
from tracker.errors import (
    BadReply,
    Interrupted,
    KeyRefused,
    PanelFault,
    RateLimited,
    Refused,
    ServerFault,
    Stopped,
    TimedOut,
)
from tracker.grace import Moment
from tracker.model import BATCH, Anomaly, Answer, Odd, Order, Plan
from tracker.rounds.desk import FAULTS_IN_A_ROW, TO_BLAME, Desk, Report, log, run

READ_AHEAD: Final = 10
"""Batches whose orders are read at once: a transaction of its own costs as much as reading 100 orders. Where one
moves on until it is answered, what was decided about it is dropped."""

WRITTEN_TOGETHER: Final = 10
"""Batches in one transaction, at most, where they come faster than they are written."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The orders of one request, as they were when they were read."""

    orders: Sequence[Order]
    doubted: bool = False
    """Each is suspected and will be asked about singly: where this is refused, it is not worth taking apart."""
    ids: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", [order.order_id for order in self.orders])

    def without(self, told: Iterable[Order]) -> "Batch":
        """Return what is left of it once `told` were answered."""
        keys = {order.key for order in told}
        return Batch([order for order in self.orders if order.key not in keys], self.doubted)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return its two halves."""
        middle = len(self.orders) // 2
        return Batch(self.orders[:middle], self.doubted), Batch(self.orders[middle:], self.doubted)


class Allowance:
    """What a round may spend: so many requests, begun only while `may_go_on()`."""

    def __init__(self, desk: Desk, requests: int, may_go_on: Callable[[], bool]) -> None:
        self._panel = desk.panel
        self._before = desk.panel.requests
        self._requests = requests
        self._may_go_on = may_go_on
        self.begun = 0
        """Batches handed out: the panel does not count a request that is still under way."""

    def left(self) -> bool:
        """Whether one more request may begin."""
        sent = max(self.begun, self._panel.requests - self._before)
        return sent < self._requests and self._may_go_on()


class Queue:
    """What is still to be asked in this round, and whether it may be.

    A batch that the panel refuses as a whole is halved at once, until the poison id stands alone. After any other
    fault it is halved too, but last, and only once the panel answered others: then it is the batch, not the panel.
    That suspected orders are refused while others are answered says nothing about the panel either.
    """

    def __init__(self, desk: Desk, plan: Plan, allowance: Allowance) -> None:
        self._desk = desk
        self._allowance = allowance
        self._planned = self._chunks(plan, desk.status_batch)
        self._ready: deque[Batch] = deque()
        self._first: deque[Batch] = deque()
        self._last: deque[Batch] = deque()
        self._faults = 0
        self.answered = False
        self.closed = False
        self.fault: PanelFault | None = None

    @staticmethod
    def _chunks(plan: Plan, size: int) -> Iterator[tuple[Sequence[int], int, bool]]:
        # Suspected orders come last, so that trouble with them keeps no healthy one waiting.
        for keys, each, doubted in (
            (plan.keys, size, False),
            (plan.singles, 1, False),
            (plan.doubted, size, True),
        ):
            for start in range(0, len(keys), each * READ_AHEAD):
                yield keys[start : start + each * READ_AHEAD], each, doubted

    def read_ahead(self) -> None:
        """Read the next orders where few are left to be asked about; best while there is nothing else to do."""
        while not self.closed and len(self._ready) < READ_AHEAD // 2:
            chunk = next(self._planned, None)
            if chunk is None:
                return
            keys, size, doubted = chunk
            orders = self._desk.store.orders.load(keys)
            batches = (orders[start : start + size] for start in range(0, len(orders), size))
            self._ready.extend(Batch(batch, doubted) for batch in batches)

    def next(self) -> Batch | None:
        """Return the next batch; None where nothing may be asked at this moment."""
        if self.closed or not self._allowance.left():
            return None
        if not self._first and not self._ready:
            self.read_ahead()
        waiting = self._first or self._ready or (self._last if self.answered else None)
        if not waiting:
            return None
        self._allowance.begun += 1
        return waiting.popleft()

    def failed(self, batch: Batch, fault: PanelFault) -> None:
        """Take back a batch that brought no answer."""
        self.fault = fault
        if isinstance(fault, KeyRefused | RateLimited | Stopped):
            self.closed = True
            return
        refused = isinstance(fault, Refused | BadReply)
        if len(batch.orders) > 1 and refused and not batch.doubted:
            # Depth first: a panel that refuses everything shows it after ten requests, not after a hundred.
            self._first.extendleft(reversed(batch.halves()))
        elif len(batch.orders) > 1 and not refused:
            self._last.extend(batch.halves())
        expected = refused and self.answered and batch.orders[0].misses > 0
        if (len(batch.orders) == 1 and not expected) or not refused:
            self._faults += 1
            self.closed = self._faults >= FAULTS_IN_A_ROW

    @property
    def unfinished(self) -> int | None:
        """Ids in the smallest half that a refused batch left unasked; None where there is none."""
        return min((len(batch.orders) for batch in self._first), default=None)

    def succeeded(self) -> None:
        """Note that the panel answers."""
        self.answered = True
        self.fault = None
        self._faults = 0


def statuses(desk: Desk, requests: int, *, may_go_on: Callable[[], bool], force: bool = False) -> Report:
    """Run one round of at most `requests` requests, begun only while `may_go_on()`.

    `force` asks about what is not due as well. What did not fit is the earliest due of the next round.
    """

    def body(report: Report, round_id: str) -> None:
        plan = desk.store.orders.plan(desk.clock(), requests, desk.status_batch, force=force)
        _ask(desk, plan, report, round_id, Allowance(desk, requests, may_go_on))

    return run(desk, "statuses", body)


def statuses_of(desk: Desk, keys: Sequence[int], *, may_go_on: Callable[[], bool]) -> Report:
    """Run one round about the open orders `keys`, due or not."""

    def body(report: Report, round_id: str) -> None:
        _ask(desk, Plan(sorted(keys)), report, round_id, Allowance(desk, 2 * len(keys) + 1, may_go_on))

    return run(desk, "statuses", body)


class Book:
    """Decides what was told, and writes what is ready in one transaction."""

    def __init__(self, desk: Desk, report: Report, round_id: str) -> None:
        self._desk = desk
        self._report = report
        self._round_id = round_id
        self._held: list[Decision] = []
        self._batches = 0

    def take(self, told: Sequence[tuple[Order, Answer]], *, singly: bool) -> None:
        """Decide each order by itself, at the moment that it was answered."""
        desk = self._desk
        moment = Moment(desk.clock(), desk.pacing, desk.tightening, singly)
        draw = desk.random.random
        self._held += [decide(order, answer, moment, draw()) for order, answer in told]
        self._batches += 1
        if self._batches == WRITTEN_TOGETHER:
            self.write()

    def write(self) -> None:
        """Write what was decided and not written yet."""
        if not self._held:
            return
        desk, report, decisions = self._desk, self._report, self._held
        self._held, self._batches = [], 0
        written = desk.store.orders.apply(decisions, self._round_id)
        if len(written) < len(decisions):
            log.warning("orders.moved_on", panel=desk.name, dropped=len(decisions) - len(written))
        report.dealt += sum(
            (one.next_poll_at - one.at).total_seconds() for one in written if one.closed_at is None
        )
        report.decided += len(written)
        report.answered += sum(one.answered for one in written)
        report.anomalies += sum(one.anomaly is not None for one in written)
        changed = [one for one in written if one.transition or one.progress]
        report.changed += len(changed)
        say = log.bind(panel=desk.name)
        for decision in changed:
            if decision.transition:
                _log_transition(say, decision)


def _ask(desk: Desk, plan: Plan, report: Report, round_id: str, allowance: Allowance) -> None:
    if not any(plan):
        report.idle = True
        return
    queue, book = Queue(desk, plan, allowance), Book(desk, report, round_id)

    def before_waiting() -> None:
        book.write()
        queue.read_ahead()

    for batch, outcome in desk.panel.statuses(queue.next, before_waiting):
        report.asked += len(batch.orders)
        if isinstance(outcome, PanelFault):
            _no_answer(queue, batch, outcome, book, report)
            continue
        queue.succeeded()
        if outcome.foreign:
            report.odd.append(Anomaly("", "foreign_ids", f"not asked for: {', '.join(outcome.foreign[:5])}"))
        told = [(one, answer) for one in batch.orders if (answer := outcome.get(one.order_id)) is not None]
        book.take(told, singly=len(batch.orders) == 1)
        if outcome.fault is not None:
            _no_answer(queue, batch.without(order for order, _ in told), outcome.fault, book, report)
    book.write()
    if queue.closed or not queue.answered:
        report.fault = queue.fault
    report.taking_apart = queue.unfinished is not None and not queue.closed
    desk.status_limit = _next_limit(queue, desk.status_limit)


def _next_limit(queue: Queue, limit: int) -> int:
    """Return how many ids the next round puts into a request.

    A panel that answers nothing at all may be choking on one order: smaller batches find it, round by round. They
    also do where a round's requests ended before a refused batch was taken apart.
    """
    if queue.unfinished is not None:
        return min(queue.unfinished, limit)
    choking = isinstance(queue.fault, TimedOut | Interrupted | ServerFault) and not queue.answered
    return max(limit // 2, 1) if choking else min(limit * 2, BATCH)


def _no_answer(queue: Queue, batch: Batch, fault: PanelFault, book: Book, report: Report) -> None:
    queue.failed(batch, fault)
    if isinstance(fault, Refused | BadReply):
        report.odd.append(Anomaly("", f"statuses_{fault.kind}", str(fault)))
    hopeless = isinstance(fault, KeyRefused | RateLimited | Stopped)
    if len(batch.orders) == 1 and not hopeless and (isinstance(fault, TO_BLAME) or queue.answered):
        # Written even if the panel answers no other: what stays due would head the next round, and the next.
        book.take([(batch.orders[0], Odd(f"{ALONE}{fault.kind}", str(fault)))], singly=True)


def _log_transition(voice: FilteringBoundLogger, decision: Decision) -> None:
    before, after = decision.before, decision.after
    say = voice.warning if decision.regression or after.state in {"unknown", "missing"} else voice.info
    say(
        "order.transition",
        order=after.order_id,
        seq=after.seq,
        from_state=before.state,
        to_state=after.state,
        panel_status=after.panel_status,
        charge=after.charge,
        currency=after.currency,
        start_count=after.start_count,
        remains=after.remains,
        regression=decision.regression,
    )

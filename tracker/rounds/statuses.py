"""One round of statuses: plan, load, ask, decide, write, batch by batch."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tracker.decide import Decision, Moment, decide
from tracker.errors import BadReply, KeyRefused, PanelFault, RateLimited, Refused, Stopped
from tracker.model import BATCH, Anomaly, Answer, Odd, Order, Plan
from tracker.rounds.desk import Desk, Report, log, run

FAULTS_IN_A_ROW: Final = 3
"""Faults without an answer between them that end a round: the panel is in trouble, not a batch."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The orders of one request, as they were when they were read."""

    orders: Sequence[Order]
    ids: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", [order.order_id for order in self.orders])

    def without(self, told: Iterable[Order]) -> "Batch":
        """Return what is left of it once `told` were answered."""
        keys = {order.key for order in told}
        return Batch([order for order in self.orders if order.key not in keys])

    def halves(self) -> tuple["Batch", "Batch"]:
        """Return its two halves."""
        middle = len(self.orders) // 2
        return Batch(self.orders[:middle]), Batch(self.orders[middle:])


class Queue:
    """What is still to be asked in this round, and whether it may be.

    A batch that the panel refuses as a whole is halved at once, until the poison id stands alone. After any other
    fault it is halved too, but last, and only once the panel answered others: then it is the batch, not the panel.
    """

    def __init__(self, desk: Desk, plan: Plan, may_ask: Callable[[], bool]) -> None:
        self._desk = desk
        self._may_ask = may_ask
        self._planned = self._cut(plan, desk.status_batch)
        self._first: deque[Batch] = deque()
        self._last: deque[Batch] = deque()
        self._faults = 0
        self.answered = False
        self.closed = False
        self.fault: PanelFault | None = None

    @staticmethod
    def _cut(plan: Plan, size: int) -> Iterator[Sequence[int]]:
        yield from ([key] for key in plan.singles)
        yield from (plan.keys[start : start + size] for start in range(0, len(plan.keys), size))

    def next(self) -> Batch | None:
        """Return the next batch, its orders read just now; None where nothing may be asked at this moment."""
        if self.closed or not self._may_ask():
            return None
        if self._first:
            return self._first.popleft()
        for keys in self._planned:
            if orders := self._desk.store.orders.load(keys):
                return Batch(orders)
        return self._last.popleft() if self._last and self.answered else None

    def failed(self, batch: Batch, fault: PanelFault) -> None:
        """Take back a batch that brought no answer."""
        self.fault = fault
        if isinstance(fault, KeyRefused | RateLimited | Stopped):
            self.closed = True
            return
        refused = isinstance(fault, Refused | BadReply)
        if len(batch.orders) > 1:
            (self._first if refused else self._last).extend(batch.halves())
        if len(batch.orders) == 1 or not refused:
            self._faults += 1
            self.closed = self._faults >= FAULTS_IN_A_ROW

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
        _ask(desk, plan, report, round_id, _within(desk, requests, may_go_on))

    return run(desk, "statuses", body)


def statuses_of(desk: Desk, keys: Sequence[int], *, may_go_on: Callable[[], bool]) -> Report:
    """Run one round about the open orders `keys`, due or not."""

    def body(report: Report, round_id: str) -> None:
        _ask(desk, Plan(sorted(keys)), report, round_id, may_go_on)

    return run(desk, "statuses", body)


def _within(desk: Desk, requests: int, may_go_on: Callable[[], bool]) -> Callable[[], bool]:
    before, begun = desk.panel.requests, 0

    def may_ask() -> bool:
        nonlocal begun
        begun += 1
        # Requests under way are not counted by the panel yet, so the batches handed out are counted as well.
        return begun <= requests and desk.panel.requests - before < requests and may_go_on()

    return may_ask


def _ask(desk: Desk, plan: Plan, report: Report, round_id: str, may_ask: Callable[[], bool]) -> None:
    if not plan.keys and not plan.singles:
        report.idle = True
        return
    queue = Queue(desk, plan, may_ask)
    for batch, outcome in desk.panel.statuses(queue.next):
        report.asked += len(batch.orders)
        if isinstance(outcome, PanelFault):
            _no_answer(desk, queue, batch, outcome, report, round_id)
            continue
        queue.succeeded()
        if outcome.foreign:
            report.odd.append(Anomaly("", "foreign_ids", f"not asked for: {', '.join(outcome.foreign[:5])}"))
        told = [(one, answer) for one in batch.orders if (answer := outcome.get(one.order_id)) is not None]
        _write(desk, told, report, round_id, singly=len(batch.orders) == 1)
        if outcome.fault is not None:
            rest = batch.without(order for order, _ in told)
            _no_answer(desk, queue, rest, outcome.fault, report, round_id)
    if queue.closed or not queue.answered:
        report.fault = queue.fault
    # A panel that answers nothing at all may be choking on one order: smaller batches find it, round by round.
    desk.status_limit = BATCH if queue.answered else max(desk.status_limit // 2, 1)


def _no_answer(desk: Desk, queue: Queue, batch: Batch, fault: PanelFault, report: Report, round_id: str) -> None:
    queue.failed(batch, fault)
    refused = isinstance(fault, Refused | BadReply)
    if len(batch.orders) == 1 and (refused or queue.answered) and not queue.closed:
        # It stands alone: the trouble is its own. Written, so that it backs off and starves nobody.
        odd = Odd(f"alone_{fault.kind}", str(fault))
        _write(desk, [(batch.orders[0], odd)], report, round_id, singly=True)


def _write(
    desk: Desk, told: Sequence[tuple[Order, Answer]], report: Report, round_id: str, *, singly: bool
) -> None:
    """Decide each order by itself and write the batch in one transaction, at the moment that it was answered."""
    now = desk.clock()
    moment = Moment(now, desk.pacing, desk.tightening, singly)
    draw = desk.random.random
    decisions = [decide(order, answer, moment, draw()) for order, answer in told]
    written = desk.store.orders.apply(decisions, round_id)
    if len(written) < len(decisions):
        log.warning("orders.moved_on", panel=desk.name, dropped=len(decisions) - len(written))
    report.dealt += sum((one.next_poll_at - now).total_seconds() for one in written if one.closed_at is None)
    for decision in written:
        report.answered += decision.answered
        report.changed += decision.changed
        report.anomalies += decision.anomaly is not None
        if decision.transition:
            _log_transition(desk.name, decision)


def _log_transition(panel: str, decision: Decision) -> None:
    before, after = decision.before, decision.after
    say = log.warning if decision.regression or after.state in {"unknown", "missing"} else log.info
    say(
        "order.transition",
        panel=panel,
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

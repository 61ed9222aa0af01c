"""One round of refills."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from tracker.decide import ALONE, decide_refill
from tracker.errors import BadReply, Refused
from tracker.grace import Moment
from tracker.model import Odd, Refill, RefillAnswer, RefillPlan
from tracker.rounds.desk import FAULTS_IN_A_ROW, TO_BLAME, Desk, Report, log, run


def refills(desk: Desk, requests: int, *, may_go_on: Callable[[], bool], force: bool = False) -> Report:
    """Run one round of at most `requests` requests, begun only while `may_go_on()`.

    A batch without an answer is halved, at once where the panel refused it and last otherwise, until the poison id
    stands alone.
    """

    def body(report: Report, round_id: str) -> None:
        now = desk.clock()
        desk.store.refills.reopen_orders(now)
        size, before, faults = desk.refill_batch, desk.panel.requests, 0
        plan = desk.store.refills.plan(now, requests * size, force=force)
        work = deque(_cut(plan, size))
        report.idle = not work
        while work and desk.panel.requests - before < requests and may_go_on():
            batch = work.popleft()
            try:
                _ask(desk, batch, report, round_id)
                faults = 0
            except TO_BLAME as fault:
                refused = isinstance(fault, Refused | BadReply)
                if len(batch) == 1:
                    _write(desk, [(batch[0], Odd(f"{ALONE}{fault.kind}", str(fault)))], report, round_id)
                elif refused:
                    work.extendleft(reversed(_halves(batch)))
                else:
                    work.extend(_halves(batch))
                faults += len(batch) == 1 or not refused
                if faults >= FAULTS_IN_A_ROW:
                    raise

    return run(desk, "refills", body)


def _cut(plan: RefillPlan, size: int) -> Iterator[Sequence[Refill]]:
    # Suspected ones come last, so that trouble with them keeps no healthy one waiting.
    yield from (plan.refills[start : start + size] for start in range(0, len(plan.refills), size))
    yield from ([single] for single in plan.singles)


def _halves(batch: Sequence[Refill]) -> tuple[Sequence[Refill], Sequence[Refill]]:
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]


def _ask(desk: Desk, batch: Sequence[Refill], report: Report, round_id: str) -> None:
    answers = desk.panel.refill_statuses([one.refill_id for one in batch])
    told = [(one, answer) for one in batch if (answer := answers.get(one.refill_id)) is not None]
    _write(desk, told, report, round_id)
    if answers.fault is not None:
        report.fault = answers.fault  # those without an answer are still due
        if not isinstance(answers.fault, TO_BLAME):
            raise answers.fault  # a refused key, say: no further request


def _write(desk: Desk, told: Sequence[tuple[Refill, RefillAnswer]], report: Report, round_id: str) -> None:
    report.asked += len(told)
    now = desk.clock()
    moment = Moment(now, desk.pacing, singly=len(told) == 1)
    decisions = [decide_refill(refill, answer, moment, desk.random.random()) for refill, answer in told]
    for decision in desk.store.refills.apply(decisions, now, round_id):
        before, after = decision.before, decision.after
        report.answered += after.checked_at is now
        report.changed += decision.transition
        report.anomalies += decision.anomaly is not None
        if decision.transition:
            log.info(
                "refill.transition",
                panel=desk.name,
                order=after.order_id,
                refill=after.refill_id,
                seq=after.seq,
                from_state=before.state,
                to_state=after.state,
                panel_status=after.panel_status,
            )

"""One round of refills."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from tracker.decide import Moment, decide_refill
from tracker.errors import BadReply, Refused
from tracker.model import Odd, Refill, RefillAnswer, RefillPlan
from tracker.rounds.desk import Desk, Report, log, run

REFUSED_ALONE: Final = 3
"""Refills refused one by one, with none answered, that end a round: the panel is in trouble, not a refill."""


def refills(desk: Desk, requests: int, *, may_go_on: Callable[[], bool], force: bool = False) -> Report:
    """Run one round of at most `requests` requests, begun only while `may_go_on()`.

    A batch that is refused as a whole is halved until the poison id stands alone.
    """

    def body(report: Report, round_id: str) -> None:
        now = desk.clock()
        desk.store.refills.reopen_orders(now)
        size, before, refused = desk.refill_batch, desk.panel.requests, 0
        plan = desk.store.refills.plan(now, requests * size, force=force)
        work = deque(_cut(plan, size))
        report.idle = not work
        while work and desk.panel.requests - before < requests and may_go_on():
            batch = work.popleft()
            try:
                answers = desk.panel.refill_statuses([one.refill_id for one in batch])
            except (Refused, BadReply) as fault:
                if len(batch) > 1:
                    middle = len(batch) // 2
                    work.extendleft((batch[middle:], batch[:middle]))
                    continue
                refused += 1
                if refused >= REFUSED_ALONE and not report.answered:
                    raise
                _write(desk, [(batch[0], Odd(f"alone_{fault.kind}", str(fault)))], report, round_id)
                continue
            told = [(one, answer) for one in batch if (answer := answers.get(one.refill_id)) is not None]
            _write(desk, told, report, round_id)
            if answers.fault is not None:
                raise answers.fault

    return run(desk, "refills", body)


def _cut(plan: RefillPlan, size: int) -> Iterator[Sequence[Refill]]:
    yield from ([single] for single in plan.singles)
    yield from (plan.refills[start : start + size] for start in range(0, len(plan.refills), size))


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

"""What every kind of round shares: its panel and store, its number, its row at the end and its line in the log."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.errors import BadReply, Interrupted, KeyRefused, PanelFault, Refused, ServerFault, Stopped, TimedOut
from tracker.model import BATCH, Anomaly, Counts, Kind, Learned, RoundRow
from tracker.pace import Pacing
from tracker.rounds.ports import Abilities, Panel, Store

log: FilteringBoundLogger = structlog.get_logger()


TO_BLAME: Final = (Refused, BadReply, ServerFault, TimedOut, Interrupted)
"""Faults that one odd order can bring about; the batch is taken apart, and what stands alone backs off."""

FAULTS_IN_A_ROW: Final = 3
"""Faults without an answer between them that end a round: the panel is in trouble, not a batch."""


@dataclass(slots=True)
class Desk:
    """One panel's place of work: who is asked, where it is written, and by which clock."""

    name: str
    panel: Panel
    store: Store
    clock: Callable[[], datetime]
    abilities: Abilities
    pacing: Pacing = field(default_factory=Pacing)
    random: Random = field(default_factory=Random)
    tightening: float = 1.0
    status_limit: int = BATCH
    """Ids in one status request: fewer while the panel answers none at all."""

    @property
    def status_batch(self) -> int:
        """Ids in one status request right now."""
        return 1 if self.abilities.bulk_status is False else self.status_limit

    @property
    def refill_batch(self) -> int:
        """Ids in one refill_status request."""
        return 1 if self.abilities.bulk_refill is False else BATCH

    def learned(self) -> Learned:
        """Return what the panel is known to understand by now."""
        return Learned(self.abilities.bulk_status, self.abilities.bulk_refill)


@dataclass(slots=True)
class Report:
    """What a round did, as it grows; `fault` is what ended it."""

    asked: int = 0
    answered: int = 0
    changed: int = 0
    anomalies: int = 0
    requests: int = 0
    decided: int = 0
    dealt: float = 0.0
    """Seconds until the orders that were decided are asked again, added up; 0 for closed ones."""
    fault: PanelFault | None = None
    odd: list[Anomaly] = field(default_factory=list)
    """What was odd about whole replies."""
    idle: bool = False
    """Nothing was to be done: such a round leaves no row."""
    taking_apart: bool = False
    """Its requests ended before a refused batch was taken apart: the panel is well, one of these orders is not."""


def run(desk: Desk, kind: Kind, body: Callable[[Report, str], None]) -> Report:
    """Run `body(report, round_id)` as one round of `kind`: count, write the row, log the line.

    A `PanelFault` ends the round and is its outcome; `LeaseLost` and `DatabaseUnreachable` go up. A crash before
    the row is written loses that row only: everything that was told is in the transactions of its batches.
    """
    report, round_id, started = Report(), str(uuid.uuid4()), desk.clock()
    before, learned = desk.panel.requests, desk.learned()
    try:
        body(report, round_id)
    except PanelFault as fault:
        report.fault = fault
        if isinstance(fault, BadReply | Refused):
            report.odd.append(Anomaly("", f"{kind}_{fault.kind}", str(fault)))
    report.requests = desk.panel.requests - before
    if report.idle:
        return report
    report.anomalies += len(report.odd)
    finished = desk.clock()
    if desk.learned() != learned:
        desk.store.ledger.learn(desk.learned()._replace(learned_at=finished))
    error = None if report.fault is None or isinstance(report.fault, Stopped) else str(report.fault)
    counts = Counts(report.requests, report.asked, report.answered, report.changed, report.anomalies)
    outcome = "ok" if report.fault is None else report.fault.kind
    row = RoundRow(round_id, kind, started, finished, counts, outcome, error)
    desk.store.ledger.finish_round(row, report.odd)
    _log(desk, row)
    return report


def _log(desk: Desk, row: RoundRow) -> None:
    measured = {
        "panel": desk.name,
        "kind": row.kind,
        "round": row.round_id,
        "seconds": round((row.finished_at - row.started_at).total_seconds(), 3),
        **row.counts._asdict(),
    }
    if row.error is None:
        log.info("round.finished", outcome=row.outcome, **measured)
    elif row.outcome == KeyRefused.kind:
        log.error("round.failed", outcome=row.outcome, error=row.error, **measured)
    else:
        log.warning("round.failed", outcome=row.outcome, error=row.error, **measured)

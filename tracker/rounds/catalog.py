"""One round of the catalog."""

from tracker.catalog import Doubt, compare
from tracker.model import Anomaly
from tracker.rounds.desk import Desk, Report, log, run


def catalog(desk: Desk) -> Report:
    """Fetch the catalog once and write how it differs from the last one; a shrunken one is doubted first."""

    def body(report: Report, _round_id: str) -> None:
        told = desk.panel.services()
        report.asked, report.answered = 1, 1
        report.odd += [Anomaly("", "catalog_item", one.detail) for one in told.odd]
        known = desk.store.services.known()
        outcome = compare(known, list(told), desk.store.services.doubt())
        now = desk.clock()
        if isinstance(outcome, Doubt):
            present = sum(not one.gone for one in known.values())
            detail = f"{len(told)} services where {present} were known (seen {outcome.times} times in a row)"
            desk.store.services.write_doubt(outcome, detail, now)
            report.anomalies += 1
            log.warning("catalog.doubted", panel=desk.name, told=len(told), known=present, times=outcome.times)
            return
        desk.store.services.write(outcome, now)
        report.changed = len(outcome.changes)
        for change in outcome.changes:
            log.info("service.changed", panel=desk.name, **change._asdict())

    return run(desk, "catalog", body)

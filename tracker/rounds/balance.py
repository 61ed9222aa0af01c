"""One round of the balance."""

from tracker.rounds.desk import Desk, Report, log, run


def balance(desk: Desk) -> Report:
    """Fetch the balance once and write a snapshot of it."""

    def body(report: Report, _round_id: str) -> None:
        told = desk.panel.balance()
        report.asked, report.answered = 1, 1
        desk.store.ledger.snapshot(told, desk.clock())
        log.info("balance.snapshot", panel=desk.name, balance=told.balance, currency=told.currency)

    return run(desk, "balance", body)

"""`tracker refills`, `tracker rounds`, `tracker anomalies`: what was asked beside orders, and what was odd."""

from typing import Final

import click

from tracker.cli.columns import Column
from tracker.cli.options import Asked, asking, database

REFILLS: Final = (
    Column("panel", rank=2),
    Column("order_id", "order"),
    Column("refill_id", "refill"),
    Column("state", state=True),
    Column("panel_status", "panel says", rank=3),
    Column("service_id", "service", rank=7),
    Column("tracked_at", "tracked", rank=5),
    Column("state_at", "since", rank=1),
    Column("checked_at", "checked", rank=4),
    Column("closed_at", "closed", rank=6),
    Column("note", fold=True, made=True),
)


@click.command()
@click.option("--service", help="Only refills of orders of this service.")
@asking(*REFILLS)
def refills(asked: Asked, *, service: str | None) -> None:
    """List refills, newest first; of a period those that moved in it."""
    how = asked.how(REFILLS)
    found = database(asked.config).history.refills(asked.panel, service=service, **asked.span, **how)
    why = "not asked about: another order's refill has this id too"
    rows = [{**row, "note": why if row["shared_id"] else None} for row in found]
    of = f" of service {service}" if service else ""
    moved = f" that moved{asked.period}" if asked.period else ""
    asked.show(rows, REFILLS, f"No refill{asked.where}{of}{moved} is known.")


ROUNDS: Final = (
    Column("started_at", "started"),
    Column("panel", rank=2),
    Column("kind"),
    Column("requests", right=True, rank=4),
    Column("asked", right=True, rank=5),
    Column("answered", right=True),
    Column("changed", right=True),
    Column("anomalies", right=True, rank=3),
    Column("took", right=True, rank=6, made=True),
    Column("outcome"),
    Column("error", fold=True, rank=1),
    Column("round", more=True),
)


@click.command()
@asking(*ROUNDS)
def rounds(asked: Asked) -> None:
    """List rounds, newest first: what was asked, what came of it, what it cost."""
    how = asked.how(ROUNDS)
    found = database(asked.config).history.rounds(asked.panel, **asked.span, **how)
    rows = [{**row, "took": row["finished_at"] - row["started_at"]} for row in found]
    asked.show(rows, ROUNDS, f"No round{asked.where} has been run{asked.period or ' yet'}.")


ANOMALIES: Final = (
    Column("last_at", "last"),
    Column("panel", rank=1),
    Column("order_id", "order"),
    Column("kind"),
    Column("count", right=True),
    Column("first_at", "first", rank=2),
    Column("detail", fold=True),
)


@click.command()
@asking(*ANOMALIES)
def anomalies(asked: Asked) -> None:
    """List replies that could not be believed, by panel, order and kind; the last seen first."""
    how = asked.how(ANOMALIES)
    rows = database(asked.config).history.anomalies(asked.panel, **asked.span, **how)
    asked.show(rows, ANOMALIES, f"No anomaly{asked.where} has been seen{asked.period}.")

"""`tracker orders`: orders as last seen, chosen by anything that is known of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import click

from tracker.cli.acting.journal import unknown_note
from tracker.cli.columns import Column
from tracker.cli.options import Asked, Span, asking, database
from tracker.cli.quantities import duration
from tracker.model import STATES, OrderFilter

STUCK: Final = "stuck"

ORDERS: Final = (
    Column("panel", rank=1),
    Column("order_id", "order"),
    Column("state", state=True),
    Column("panel_status", "panel says", rank=5),
    Column("quantity", right=True, rank=6),
    Column("delivered_share", right=True, rank=4),
    Column("remains", right=True),
    Column("charge", right=True),
    Column("currency", rank=3),
    Column("service_id", "service", rank=7),
    Column("ref", rank=8),
    Column("silent_seconds", right=True, rank=9),
    Column("changed_at", "changed", rank=2),
    Column("checked_at", "checked", rank=10),
    Column("link", rank=11),
    Column("start_count", right=True, more=True),
    Column("runs", right=True, more=True),
    Column("interval", "minutes apart", right=True, more=True),
    Column("ordered_at", "ordered", more=True),
    Column("tracked_at", "tracked", more=True),
    Column("state_at", "state since", more=True),
    Column("next_poll_at", "next poll", more=True),
    Column("settled_at", "settled", more=True),
    Column("closed_at", "closed", more=True),
    Column("seq", right=True, more=True),
)
SILENT: Final = tuple(
    replace(column, rank={"silent_seconds": 0, "changed_at": 9}.get(column.name, column.rank)) for column in ORDERS
)
"""Where silence is what was asked for, it takes the place of the moment."""


@click.command()
@click.option(
    "--state",
    "states",
    type=click.Choice((*STATES, STUCK)),
    multiple=True,
    metavar="STATE",
    help=f"Only orders in this state (or one of several): {', '.join(STATES)}; stuck: open, and silent for a day.",
)
@click.option("--open", "open_only", is_flag=True, help="Only orders that are not settled.")
@click.option("--silent", type=Span(), help="Only open orders without any change for so long: 6h, 3d.")
@click.option("--service", "services", multiple=True, help="Only orders of this service (or one of several).")
@click.option("--ref", "refs", multiple=True, help="Only orders with this reference of yours.")
@click.option("--link", metavar="TEXT", help="Only orders whose link holds this text.")
@asking(*ORDERS)
def orders(
    asked: Asked,
    *,
    states: tuple[str, ...],
    open_only: bool,
    silent: timedelta | None,
    services: tuple[str, ...],
    refs: tuple[str, ...],
    link: str | None,
) -> None:
    """List orders as last seen: those that changed last first, stuck ones by their silence.

    \b
    What is stuck?           tracker orders --state stuck
    What came of a batch?    tracker orders --ref spring --columns order,state,charge
    What do I pay for now?   tracker orders --open --sort -charge
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    wanted = OrderFilter(
        asked.panel,
        tuple(state for state in states if state != STUCK),
        services,
        refs,
        link,
        open_only,
        silent,
        **asked.span,
    )
    quiet = STUCK in states or silent is not None
    columns = SILENT if quiet else ORDERS
    opened = database(asked.config)
    read = opened.history.stuck if quiet else opened.history.orders
    rows = read(wanted, **asked.how(columns))
    asked.show(rows, columns, f"No {_said(wanted, asked, stuck=STUCK in states)} are known.")
    if note := unknown_note(opened):
        click.echo(note, err=True)


def _said(wanted: OrderFilter, asked: Asked, *, stuck: bool) -> str:
    """Return what was looked for, as a sentence says it."""
    words = [STUCK] if stuck else []
    words += ["open"] if wanted.open_only else []
    words += [" or ".join(wanted.states)] if wanted.states else []
    said = " ".join([*words, "orders"]) + asked.where
    said += f" silent for {duration(wanted.silent.total_seconds())}" if wanted.silent is not None else ""
    said += f" of service {' or '.join(wanted.services)}" if wanted.services else ""
    said += f" with the reference {' or '.join(wanted.refs)}" if wanted.refs else ""
    said += f" with {wanted.link!r} in the link" if wanted.link else ""
    return said + (f" that changed{asked.period}" if asked.period else "")

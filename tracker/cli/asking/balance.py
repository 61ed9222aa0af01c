"""`tracker balance`: what the accounts held, as rows, by day, or as a curve."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, Final

import click

from tracker.cli.asking.plot import Point, curve, paper_of, worth_drawing
from tracker.cli.columns import Column
from tracker.cli.options import Asked, asking, database
from tracker.cli.out import show_picture, show_text
from tracker.cli.quantities import money
from tracker.errors import UsageFault

SNAPSHOTS: Final = (Column("at"), Column("panel"), Column("balance", right=True), Column("currency"))
DAYS: Final = (
    Column("day"),
    Column("panel", rank=2),
    Column("opening", right=True, rank=3),
    Column("closing", right=True),
    Column("lowest", right=True, rank=5),
    Column("highest", right=True, rank=4),
    Column("spent", right=True),
    Column("added", right=True),
    Column("currency", rank=1),
    Column("snapshots", right=True, more=True),
)


@click.command()
@click.option("--daily", is_flag=True, help="A row a day (UTC): what the account held, what went out and came in.")
@click.option("--plot", is_flag=True, help="Draw the curve of each account instead.")
@asking(*SNAPSHOTS, *DAYS)
def balance(asked: Asked, *, daily: bool, plot: bool) -> None:
    """List balance snapshots, newest first; by day; or as a curve."""
    empty = f"No balance{asked.where} has been seen{asked.period or ' yet'}."
    if daily and plot:
        raise UsageFault("Say --daily or --plot: the curve shows every snapshot.")
    if plot:
        _draw(asked, empty)
        return
    columns = DAYS if daily else SNAPSHOTS
    how = asked.how(columns)
    history = database(asked.config).history
    read = history.balance_daily if daily else history.balances
    asked.show(read(asked.panel, **asked.span, **how), columns, empty)


def _draw(asked: Asked, empty: str) -> None:
    """Draw each account's snapshots of the period, all of them."""
    if asked.format_ != "table":
        raise UsageFault("--plot is a picture: leave --format out, or --plot.")
    rows = database(asked.config).history.balances(asked.panel, **asked.span, limit=None)
    if not rows:
        click.echo(empty)
    rows.sort(key=_account)
    for (panel, currency), snapshots in groupby(rows, key=_account):
        _draw_one(panel, currency, sorted(snapshots, key=lambda row: row["at"]))


def _account(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["panel"], row["currency"]


def _draw_one(panel: str, currency: str, rows: Sequence[Mapping[str, Any]]) -> None:
    newest = rows[-1]["balance"]
    show_text(f"Balance of {panel}: {money(newest, currency)}")
    points = [Point(row["at"], row["balance"]) for row in rows]
    if worth_drawing(points):
        paper = paper_of(sys.stdout, datetime.now(UTC))
        show_picture(curve(points, paper, partial(money, currency=currency)))
    else:
        click.echo("It has not changed in all that was seen of it: there is no curve to draw.")

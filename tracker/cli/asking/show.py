"""`tracker show`: one order, its head, its delivery as a curve, and its timeline."""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from tracker.cli.acting.journal import intent_row, told_of
from tracker.cli.asking.orders import ORDERS
from tracker.cli.asking.plot import Point, curve, paper_of, worth_drawing
from tracker.cli.columns import Column, Format
from tracker.cli.completion import complete_panels
from tracker.cli.options import config_option, database, find_order, format_options, show_rows
from tracker.cli.out import show_facts, show_json, show_picture, show_text
from tracker.cli.quantities import duration, money
from tracker.errors import UsageFault

TIMELINE: Final = (
    Column("at"),
    Column("after_seconds", right=True, rank=2),
    Column("event", rank=5),
    Column("state", state=True),
    Column("lasted_seconds", right=True, rank=1),
    Column("panel_status", "panel says", rank=4),
    Column("remains", right=True),
    Column("start_count", "start count", right=True, rank=6),
    Column("charge", right=True),
    Column("currency", rank=3),
)
UNTOLD: Final = ("panel", "order_id", "currency", "seq")
"""What the heading or the charge tells, or only programs need."""


@click.command()
@click.argument("order")
@click.option(
    "--panel",
    shell_complete=complete_panels,
    help="The panel, where two of them have this id; PANEL/ORDER says the same.",
)
@click.option("--plot/--no-plot", default=None, help="Draw the delivery. [default: on a terminal]")
@format_options
@config_option
def show(order: str, panel: str | None, format_: Format, config: Path | None, *, plot: bool | None) -> None:
    """Show one order: what is known of it, and everything that happened to it.

    In csv and jsonl it is the timeline alone.
    """
    if plot and format_ != "table":
        raise UsageFault("--plot is a picture: leave --format out, or --plot.")
    now, opened = datetime.now(UTC), database(config)
    head = find_order(opened, order, panel)
    timeline = [{**row, "state": row["to_state"]} for row in opened.history.timeline(head["id"])]
    intents = opened.intents.of_order(head["id"])
    refills = opened.history.refills(head["panel"], order_id=head["order_id"], limit=None)[::-1]
    name = f"{head['panel']}/{head['order_id']}"
    if format_ == "json":
        known = {column.name: head[column.name] for column in ORDERS}
        rows = [{column.name: row[column.name] for column in TIMELINE} for row in timeline]
        asked = [intent_row(intent) for intent in intents]
        show_json({"order": known, "timeline": rows, "refills": refills, "intents": asked})
        return
    if format_ == "table":
        _tell_head(name, head, [*told_of(intents, head, now), *_told_of_refills(refills, now)])
        if sys.stdout.isatty() if plot is None else plot:
            _draw(head, timeline, now, wanted=bool(plot))
        click.echo()
    show_rows(timeline, TIMELINE, format_, f"Order {name} has not been answered yet.")


def _tell_head(name: str, head: Mapping[str, Any], asked: Sequence[tuple[str, str]]) -> None:
    show_text(f"Order {name}")
    charge = head["charge"]
    known = {**head, "charge": None if charge is None else money(charge, head["currency"])}
    told = [(column, known[column.name]) for column in ORDERS if column.name not in UNTOLD]
    show_facts([*told, *((Column(label), value) for label, value in asked)])


def _told_of_refills(refills: Sequence[Mapping[str, Any]], now: datetime) -> list[tuple[str, str]]:
    """Return the state of each refill as (label, value), oldest first."""
    return [
        (f"refill {row['refill_id']}", f"{row['state']}, {duration((now - row['state_at']).total_seconds())} ago")
        if row["seq"]
        else (f"refill {row['refill_id']}", "requested, not answered yet")
        for row in refills
    ]


def _draw(head: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]], now: datetime, *, wanted: bool) -> None:
    """Draw how much was delivered when; two figures are no curve, unless one is `wanted`."""
    told = [row for row in timeline if row["remains"] is not None]
    whole = head["quantity"] or max((row["remains"] for row in told), default=0)
    points = [Point(row["at"], whole - row["remains"]) for row in told]
    if told and head["checked_at"] and head["checked_at"] > points[-1].at:
        points.append(Point(head["checked_at"], points[-1].value))  # the last answer said the same again
    if worth_drawing(points) and (wanted or len(told) > 2):
        click.echo(f"\nDelivered of {whole}:")
        show_picture(curve(points, paper_of(sys.stdout, now), str))
    elif wanted:
        click.echo("\nThere is no curve to draw: its figures have not moved in all that was seen of it.")

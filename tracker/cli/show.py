"""`tracker show`: one order, its head and its timeline."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from tracker.cli.options import config_option, database, find_order, format_options, show_rows
from tracker.cli.render import Column, Format, facts, to_json
from tracker.store.history import HIDDEN

TIMELINE: Final = (
    Column("at"),
    Column("after", rank=2),
    Column("event", rank=5),
    Column("state", state=True),
    Column("panel_status", "panel says", rank=4),
    Column("remains", right=True),
    Column("start_count", "start count", right=True, rank=3),
    Column("charge", right=True),
    Column("currency", rank=1),
)
NAMED: Final = {"id", "panel", "order_id", "seq"}


@click.command()
@click.argument("order")
@click.option("--panel", help="The panel, where two of them have this id; PANEL/ORDER says the same.")
@format_options
@config_option
def show(order: str, panel: str | None, format_: Format, config: Path | None) -> None:
    """Show one order: what is known of it, and everything that happened to it.

    In csv and jsonl it is the timeline alone.
    """
    opened = database(config)
    head = find_order(opened, order, panel)
    timeline = _timeline(opened.history.timeline(head["id"]))
    name = f"{head['panel']}/{head['order_id']}"
    if format_ == "json":
        known = {key: value for key, value in head.items() if key not in HIDDEN | {"id"}}
        rows = [{column.name: row[column.name] for column in TIMELINE} for row in timeline]
        click.echo(to_json({"order": known, "timeline": rows}))
        return
    if format_ == "table":
        click.echo(f"Order {name}")
        known = {key.replace("_", " "): value for key, value in head.items() if key not in HIDDEN | NAMED}
        facts(known, sys.stdout, datetime.now(UTC))
        click.echo()
    show_rows(timeline, TIMELINE, format_, f"Order {name} has not been answered yet.")


def _timeline(rows: list[Any]) -> list[Mapping[str, object]]:
    told: list[Mapping[str, object]] = []
    before: datetime | None = None
    for row in rows:
        event = "state" if row["to_state"] else "progress"
        after = None if before is None else row["at"] - before
        told.append({**row, "event": event, "state": row["to_state"], "after": after})
        before = row["at"].astimezone(UTC)
    return told

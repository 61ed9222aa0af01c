"""`tracker track`: start following orders, or a refill."""

from datetime import UTC, datetime
from pathlib import Path

import click

from tracker.cli.options import config_option, open_database, require_panel, settings
from tracker.errors import UsageFault
from tracker.store.tracking import NewOrder


@click.command()
@click.argument("order_ids", metavar="ORDER...", nargs=-1, required=True)
@click.option("--panel", required=True, help="The panel that gave the ids.")
@click.option("--service", help="Its service: spend and tempo are told by service.")
@click.option("--quantity", type=click.IntRange(min=1), help="How many were ordered.")
@click.option("--link", help="What it was ordered for.")
@click.option("--ref", help="Your own name for it.")
@click.option("--ordered-at", help="When it was ordered (ISO 8601; UTC where no offset is given).")
@click.option("--refill", help="Follow this refill of the (one) order as well.")
@config_option
def track(
    order_ids: tuple[str, ...],
    *,
    panel: str,
    service: str | None,
    quantity: int | None,
    link: str | None,
    ref: str | None,
    ordered_at: str | None,
    refill: str | None,
    config: Path | None,
) -> None:
    """Start following orders of a panel.

    Any other program can do the same in SQL: INSERT INTO orders (panel, order_id) VALUES ('PANEL', 'ORDER')
    """
    ids = [_an_id(one) for one in order_ids]
    if refill is not None and len(ids) != 1:
        raise UsageFault("--refill belongs to one order: name exactly one.")
    found = settings(config, need_panels=False)
    if found.panels:
        require_panel(found, panel)
    database = open_database(found.database_url, create=True)
    database.upgrade()
    moment = None if ordered_at is None else _moment(ordered_at)
    added = database.track(panel, [NewOrder(one, service, link, quantity, ref, moment) for one in ids])
    for one in ids:
        click.echo(f"{panel}/{one}: " + ("followed from now on" if one in added else "was tracked before"))
    if refill is not None:
        new = database.track_refill(panel, ids[0], _an_id(refill))
        click.echo(
            f"{panel}/{ids[0]} refill {refill}: " + ("followed from now on" if new else "was tracked before")
        )


def _an_id(text: str) -> str:
    if not text or "," in text or any(not one.isprintable() or one.isspace() for one in text):
        raise UsageFault(f"{text!r} cannot be the id of an order: no comma, no space.")
    return text


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageFault(f"--ordered-at {text!r} is no time like 2026-11-23T10:15:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

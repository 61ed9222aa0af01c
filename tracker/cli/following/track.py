"""`tracker track` and `tracker untrack`: start following orders, or a refill, and stop it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracker.cli.completion import complete_panels
from tracker.cli.following.given import given, id_of, past, ref_of, shown, text_of
from tracker.cli.options import config_option, database, find_order, open_database, require_panel, settings
from tracker.errors import UsageFault

if TYPE_CHECKING:
    from tracker.store.following.tracking import Untracked

SAID: Final = {
    "new": "followed from now on",
    "again": "was closed, followed again from now on",
    "before": "was tracked before",
}


@click.command()
@click.argument("order_ids", metavar="ORDER...", nargs=-1, required=True)
@click.option("--panel", required=True, shell_complete=complete_panels, help="The panel that gave the ids.")
@click.option("--service", help="Its service: spend and tempo are told by service.")
@click.option("--quantity", type=click.IntRange(min=1), help="How many were ordered; of a drip-feed in each run.")
@click.option("--runs", type=click.IntRange(min=1), help="Runs of a drip-feed.")
@click.option("--interval", type=click.IntRange(min=1), help="Minutes between two runs.")
@click.option("--link", help="What it was ordered for.")
@click.option("--ref", help="Your own name for it.")
@click.option("--ordered-at", help="When it was ordered (ISO 8601; UTC where no offset is given).")
@click.option("--refill", help="Follow this refill of the (one) order as well.")
@config_option
def track(
    order_ids: tuple[str, ...],
    *,
    panel: str,
    ordered_at: str | None,
    refill: str | None,
    config: Path | None,
    service: str | None,
    link: str | None,
    ref: str | None,
    **numbers: int | None,
) -> None:
    """Start following orders of a panel; one that was closed is followed again.

    Any other program can do the same in SQL: INSERT INTO orders (panel, order_id) VALUES ('PANEL', 'ORDER')
    """
    from tracker.settings.values import is_panel_name  # noqa: PLC0415  # see `tracker.cli.options`
    from tracker.store.following.tracking import NewOrder  # noqa: PLC0415  # see `tracker.cli.options`

    for one in (*order_ids, refill):
        given(id_of, one)
    if refill is not None and len(order_ids) != 1:
        raise UsageFault("--refill belongs to one order: name exactly one.")
    known: dict[str, Any] = {
        "service_id": given(partial(id_of, of="a service"), service or None, "--service "),
        "link": given(text_of, link or None, "--link "),
        "ref": given(ref_of, ref or None, "--ref "),
        "ordered_at": given(past, ordered_at, "--ordered-at "),
        **numbers,
    }
    found = settings(config, need_panels=False)
    if not is_panel_name(panel):
        raise UsageFault(f"{shown(panel)} cannot be the name of a panel.")
    if found.panels:
        require_panel(found, panel)
    opened = open_database(found.database_url, create=True)
    opened.upgrade()
    for _, order_id, how in opened.track(panel, [NewOrder(order_id=one, **known) for one in order_ids]):
        click.echo(f"{panel}/{order_id}: {SAID[how]}")
    if refill is not None:
        is_new = opened.track_refill(panel, order_ids[0], refill)
        click.echo(f"{panel}/{order_ids[0]} refill {refill}: {SAID['new' if is_new else 'before']}")


@click.command()
@click.argument("names", metavar="ORDER...", nargs=-1, required=True)
@click.option("--panel", shell_complete=complete_panels, help="The panel; PANEL/ORDER says the same.")
@config_option
def untrack(names: tuple[str, ...], *, panel: str | None, config: Path | None) -> None:
    """Stop following orders, and their refills; what was recorded stays.

    Nothing is sent to the panel: there the order goes on. `tracker track` follows it again.
    """
    opened = database(config)
    rows = [find_order(opened, name, panel) for name in names]
    for row in rows:
        done = opened.untrack(row["panel"], row["order_id"])
        click.echo(f"{row['panel']}/{row['order_id']}: {_untracked(done, row['state'])}")


def _untracked(done: "Untracked", state: str) -> str:
    said = f"not followed from now on (last seen {state})" if done.was_followed else "was not followed any more"
    if done.refills:
        said += f", nor {_counted(done.refills, 'refill')} of it"
    if done.children:
        be = "is" if done.children == 1 else "are"
        said += f"; {_counted(done.children, 'order')} that it placed still {be}"
    return said


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

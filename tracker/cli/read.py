"""Commands that print what is known: orders, services, balance, refills, rounds, anomalies."""

from pathlib import Path
from typing import Final

import click

from tracker.cli.options import config_option, database, format_options, limit_option, panel_option, show_rows
from tracker.cli.render import Column, Format
from tracker.model import STATES, OrderFilter

ORDERS: Final = (
    Column("panel", rank=1),
    Column("order_id", "order"),
    Column("state", state=True),
    Column("panel_status", "panel says", rank=4),
    Column("quantity", right=True, rank=5),
    Column("remains", right=True),
    Column("charge", right=True),
    Column("currency", rank=3),
    Column("service_id", "service", rank=7),
    Column("ref", rank=6),
    Column("changed_at", "changed", rank=2),
    Column("checked_at", "checked", rank=8),
    Column("link", rank=9),
)
MORE_OF_ORDERS: Final = (
    Column("start_count"),
    Column("runs"),
    Column("interval"),
    Column("ordered_at"),
    Column("tracked_at"),
    Column("state_at"),
    Column("next_poll_at"),
    Column("settled_at"),
    Column("closed_at"),
    Column("seq"),
)


def _for(panel: str | None) -> str:
    return "" if panel is None else f" of panel {panel}"


@click.command()
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only orders in this state.")
@click.option("--open", "open_only", is_flag=True, help="Only orders that are not settled.")
@panel_option
@limit_option
@format_options
@config_option
def orders(
    states: tuple[str, ...],
    panel: str | None,
    limit: int,
    format_: Format,
    config: Path | None,
    *,
    open_only: bool,
) -> None:
    """List orders as last seen, those that changed last first."""
    wanted_orders = OrderFilter(panel, states, open_only=open_only)
    rows = database(config).history.orders(wanted_orders, limit=limit)
    columns = ORDERS if format_ == "table" else (*ORDERS, *MORE_OF_ORDERS)
    wanted = " or ".join(states) or ("open" if open_only else "")
    show_rows(rows, columns, format_, f"No {wanted + ' ' if wanted else ''}orders{_for(panel)} are known.")


SERVICES: Final = (
    Column("panel", rank=3),
    Column("service_id", "service", right=True),
    Column("name", fold=True),
    Column("type", rank=5),
    Column("category", rank=6),
    Column("rate", right=True),
    Column("min", right=True, rank=1),
    Column("max", right=True, rank=1),
    Column("refill", rank=2),
    Column("cancel", rank=2),
    Column("first_seen_at", "first seen", rank=8),
    Column("last_seen_at", "last seen", rank=7),
    Column("gone_at", "gone", rank=4),
)
CHANGES: Final = (
    Column("at"),
    Column("panel", rank=1),
    Column("service_id", "service", right=True),
    Column("name", fold=True, rank=2),
    Column("field"),
    Column("old"),
    Column("new"),
)


@click.command()
@click.option("--changes", is_flag=True, help="What changed instead: prices, limits, services that came and went.")
@panel_option
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows. [default: all; 50 changes]")
@format_options
@config_option
def services(panel: str | None, limit: int | None, format_: Format, config: Path | None, *, changes: bool) -> None:
    """List the catalog as last seen, or what changed in it."""
    history = database(config).history
    if changes:
        rows = history.service_changes(panel, limit=limit or 50)
        show_rows(rows, CHANGES, format_, f"No change of a service{_for(panel)} has been seen yet.")
        return
    show_rows(
        history.services(panel, limit=limit), SERVICES, format_, f"No service{_for(panel)} has been seen yet."
    )


@click.command()
@panel_option
@limit_option
@format_options
@config_option
def balance(panel: str | None, limit: int, format_: Format, config: Path | None) -> None:
    """List balance snapshots, newest first."""
    columns = (Column("at"), Column("panel"), Column("balance", right=True), Column("currency"))
    rows = database(config).history.balances(panel, limit=limit)
    show_rows(rows, columns, format_, f"No balance{_for(panel)} has been seen yet.")


REFILLS: Final = (
    Column("panel", rank=2),
    Column("order_id", "order"),
    Column("refill_id", "refill"),
    Column("state", state=True),
    Column("panel_status", "panel says", rank=3),
    Column("tracked_at", "tracked", rank=5),
    Column("state_at", "since", rank=1),
    Column("checked_at", "checked", rank=4),
    Column("closed_at", "closed", rank=6),
    Column("note", fold=True),
)


@click.command()
@panel_option
@limit_option
@format_options
@config_option
def refills(panel: str | None, limit: int, format_: Format, config: Path | None) -> None:
    """List refills, newest first."""
    why = "not asked about: another order's refill has this id too"
    rows = [
        {**row, "note": why if row["shared_id"] else None}
        for row in database(config).history.refills(panel, limit=limit)
    ]
    show_rows(rows, REFILLS, format_, f"No refill{_for(panel)} is known.")


ROUNDS: Final = (
    Column("started_at", "started"),
    Column("panel", rank=2),
    Column("kind"),
    Column("requests", right=True, rank=4),
    Column("asked", right=True, rank=5),
    Column("answered", right=True),
    Column("changed", right=True),
    Column("anomalies", right=True, rank=3),
    Column("took", rank=6),
    Column("outcome"),
    Column("error", fold=True, rank=1),
    Column("round"),
)


@click.command()
@panel_option
@limit_option
@format_options
@config_option
def rounds(panel: str | None, limit: int, format_: Format, config: Path | None) -> None:
    """List rounds, newest first: what was asked, what came of it, what it cost."""
    rows = [
        {**row, "took": row["finished_at"] - row["started_at"]}
        for row in database(config).history.rounds(panel, limit=limit)
    ]
    columns = ROUNDS[:-1] if format_ == "table" else ROUNDS
    show_rows(rows, columns, format_, f"No round{_for(panel)} has been run yet.")


@click.command()
@panel_option
@limit_option
@format_options
@config_option
def anomalies(panel: str | None, limit: int, format_: Format, config: Path | None) -> None:
    """List replies that could not be believed, by panel, order and kind; the last seen first."""
    columns = (
        Column("last_at", "last"),
        Column("panel", rank=1),
        Column("order_id", "order"),
        Column("kind"),
        Column("count", right=True),
        Column("first_at", "first", rank=2),
        Column("detail", fold=True),
    )
    rows = database(config).history.anomalies(panel, limit=limit)
    show_rows(rows, columns, format_, f"No anomaly{_for(panel)} has been seen.")

"""`tracker services`: the catalog as last seen, how it changed, and how prices moved."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from tracker.cli.columns import Column
from tracker.cli.options import Asked, asking, database
from tracker.errors import UsageFault

if TYPE_CHECKING:
    from tracker.store.reading.history import History

TREND: Final = timedelta(days=30)

SERVICES: Final = (
    Column("panel", rank=3),
    Column("service_id", "service", right=True),
    Column("name", fold=True),
    Column("type", rank=5),
    Column("category", rank=6),
    Column("rate", right=True),
    Column("rate_change_share", "in 30d", right=True, rank=4, made=True),
    Column("min", right=True, rank=1),
    Column("max", right=True, rank=1),
    Column("refill", rank=2),
    Column("cancel", rank=2),
    Column("first_seen_at", "first seen", rank=9),
    Column("last_seen_at", "last seen", rank=8),
    Column("gone_at", "gone", rank=7),
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
PRICES: Final = (
    Column("at"),
    Column("panel", rank=2),
    Column("service_id", "service", right=True),
    Column("name", fold=True, rank=3),
    Column("old_rate", "old", right=True),
    Column("new_rate", "new", right=True),
    Column("change_share", "change", right=True),
    Column("currency", rank=1),
)


@click.command()
@click.option("--changes", is_flag=True, help="What changed instead: prices, limits, services that came and went.")
@click.option("--prices", is_flag=True, help="How prices moved instead.")
@click.option("--service", help="Only this service.")
@click.option("--find", metavar="TEXT", help="Only services with this text in their name or category.")
@asking(*SERVICES, *CHANGES, *PRICES, limit=None, most="[default: all; 50 changes]")
def services(asked: Asked, *, changes: bool, prices: bool, service: str | None, find: str | None) -> None:
    """List the catalog as last seen, or what changed in it.

    \b
    When did its price rise?    tracker services --prices --service 412
    What changed this week?     tracker services --changes --since 1w
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    if changes and prices:
        raise UsageFault("Say --changes or --prices: prices are changes too.")
    if changes or prices:
        if find is not None:
            raise UsageFault("--find looks in the catalog; of changes say --service.")
        _moved(asked.at_most(50), service, prices=prices)
        return
    if asked.since or asked.until:
        raise UsageFault("--since and --until are about changes: add --changes or --prices.")
    how = asked.how(SERVICES)
    limit, history = how.pop("limit"), database(asked.config).history
    rows = [row for row in history.services(asked.panel, limit=None, **how) if _is_meant(row, service, find)]
    shown = _with_trend(history, asked, rows[:limit])
    which = f" {service}" if service else ""
    which += f" with {find!r} in its name or category" if find else ""
    asked.show(shown, SERVICES, f"No service{which}{asked.where} has been seen yet.")


def _moved(asked: Asked, service: str | None, *, prices: bool) -> None:
    columns, what = (PRICES, "the price of") if prices else (CHANGES, "")
    how = asked.how(columns)
    history = database(asked.config).history
    read = history.price_changes if prices else history.service_changes
    rows = read(asked.panel, service=service, **asked.span, **how)
    which = f"service {service}" if service else "a service"
    said = " ".join(filter(None, ("No change of", what, which)))
    asked.show(rows, columns, f"{said}{asked.where} has been seen{asked.period or ' yet'}.")


def _is_meant(row: Mapping[str, Any], service: str | None, find: str | None) -> bool:
    if service is not None and row["service_id"] != service:
        return False
    told = f"{row['name']}\n{row['category'] or ''}"
    return find is None or find.casefold() in told.casefold()


def _with_trend(history: "History", asked: Asked, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each service by how much its price has grown within `TREND`."""
    since = datetime.now(UTC) - TREND
    before = {
        (change["panel"], change["service_id"]): change["old_rate"]
        for change in history.price_changes(asked.panel, since=since, limit=None)  # newest first: the oldest stays
    }
    for row in rows:
        old = before.get((row["panel"], row["service_id"]))
        row["rate_change_share"] = float(row["rate"] / old - 1) if old and row["rate"] is not None else None
    return rows

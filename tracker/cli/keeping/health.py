"""`tracker health`: does the work go on? From the database alone, beside a daemon or without one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from tracker.cli.columns import Column
from tracker.cli.options import config_option, open_database, settings
from tracker.cli.out import show_json, show_rows
from tracker.errors import EXIT_FAILED, EXIT_OK, ConfigurationFault, TrackerError

if TYPE_CHECKING:
    from tracker.daemon.health.vitality import Health
    from tracker.settings import Settings

PANELS: Final = (
    Column("panel"),
    Column("polled_by", "polled by"),
    Column("open", "followed", right=True),
    Column("due", right=True),
    Column("late", right=True),
    Column("lag_seconds", "first due for", right=True),
    Column("sweep_seconds", "a sweep takes", right=True),
)
KINDS: Final = (
    Column("panel"),
    Column("kind"),
    Column("last_success_seconds", "last success", right=True),
    Column("last_error_seconds", "last error", right=True),
    Column("last_error", "which was", fold=True),
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def health(config: Path | None, *, as_json: bool) -> int:
    """Say whether the work goes on: what succeeded last, what waits for too long, and what to do.

    Reads the database alone. Exit code 0: all is well; 1: it is not, or the database does not answer.
    """
    found = settings(config, need_panels=False)
    if not found.panels and found.source is not None:
        raise ConfigurationFault(f"{found.source}: there is no panel whose health could be told.")
    told = _examine(found)
    if as_json:
        show_json(told.as_json())
    else:
        _print(told)
    return EXIT_OK if told.healthy else EXIT_FAILED


def _examine(found: "Settings") -> "Health":
    from tracker.daemon.health.vitality import Configured, Health, examine, unreachable  # noqa: PLC0415  # as above
    from tracker.pace import patience  # noqa: PLC0415  # as above

    now = datetime.now(UTC)
    panels = {
        one.name: Configured(one.name, one.requests_per_minute, one.paused, found.every) for one in found.panels
    }

    def patience_with(name: str, orders: int, bulk_status: bool | None) -> float:  # noqa: FBT001  # as it is learned
        one = panels.get(name) or Configured(name)
        return patience(orders, one.per_minute, bulk_status, one.every.statuses)

    try:
        database = open_database(found.database_url)
        database.require()
        vitals = database.vitals(now, patience_with)
    except TrackerError as error:
        return Health(now, (unreachable(str(error)),))
    if found.source is None:  # the database's URL is all that we were given: whatever is in it should be polled
        panels = {one.seen.name: Configured(one.seen.name) for one in vitals}
    return examine(vitals, list(panels.values()), now)


def _print(told: "Health") -> None:
    followed = sum(one.open for one in told.panels)
    polled = sum(one.polled_by is not None for one in told.panels)
    verdict = "healthy" if told.healthy else "not healthy, but the work goes on" if told.working else "NOT HEALTHY"
    click.echo(f"{verdict}: {polled} of {len(told.panels)} panels polled, {followed:,} orders followed")
    for finding in told.findings:
        where = "" if finding.panel is None else f"{finding.panel}: "
        click.echo(f"\n{finding.level}: {where}{finding.what}\n  {finding.remedy}")
    if not told.panels:
        return
    click.echo()
    rows = [{column.name: getattr(one, column.name) for column in PANELS} for one in told.panels]
    for row, one in zip(rows, told.panels, strict=True):
        row["polled_by"] = "paused" if one.paused else one.polled_by or "nobody"
    show_rows(rows, PANELS, "table", "")
    click.echo()
    show_rows(list(_kinds(told)), KINDS, "table", "")


def _kinds(told: "Health") -> Iterator[dict[str, object]]:
    """Return a row for each kind of work that was ever done at each panel."""
    for panel in told.panels:
        for kind, one in panel.kinds.items():
            since = {
                f"last_{name}_seconds": None if at is None else max((told.at - at).total_seconds(), 0.0)
                for name, at in (("success", one.last_success_at), ("error", one.last_error_at))
            }
            yield {"panel": panel.panel, "kind": kind, **since, "last_error": one.last_error}

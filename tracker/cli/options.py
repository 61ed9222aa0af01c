"""What many commands share: the configuration, the database, the four formats, and how an order is named."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from tracker import logs
from tracker.cli.render import FORMATS, Column, Format, render
from tracker.errors import ConfigurationFault, TrackerError, UsageFault
from tracker.settings import Settings, load
from tracker.store.database import Database

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. [default: $TRACKER_CONFIG, ./tracker.toml]",
)
panel_option = click.option("--panel", help="Only this panel.")
limit_option = click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many rows."
)


def format_options(command: F) -> F:
    """Add --format and --json."""
    as_json = click.option("--json", "format_", flag_value="json", help="The same as --format json.")
    return as_json(
        click.option(
            "--format",
            "format_",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="How to print.",
        )(command)
    )


def settings(config: Path | None, *, need_panels: bool) -> Settings:
    """Load the configuration and set up quiet logging: warnings only, and no secret in them."""
    found = load(config, os.environ, need_panels=need_panels)
    logs.configure(sys.stderr, secrets=found.secrets, level="warning")
    return found


def open_database(url: str, *, create: bool = False) -> Database:
    """Open a database until the command ends, however it ends."""
    opened = Database(url, create=create)
    click.get_current_context().call_on_close(opened.close)
    return opened


def database(config: Path | None) -> Database:
    """Open the configured database for reading. Raises `DatabaseUnfit` with the remedy."""
    opened = open_database(settings(config, need_panels=False).database_url)
    opened.require()
    return opened


def require_panel(found: Settings, name: str) -> None:
    """Raise `ConfigurationFault`, with the nearest name, unless the panel is configured."""
    names = [panel.name for panel in found.panels]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Configured: {', '.join(names)}."
        raise ConfigurationFault(f"There is no panel {name} in {found.source}. {hint}")


def show_rows(
    rows: Iterable[Mapping[str, object]], columns: Sequence[Column], format_: Format, empty: str
) -> None:
    """Print rows on stdout in the wanted format."""
    render(rows, columns, format=format_, stream=sys.stdout, now=datetime.now(UTC), empty=empty)


def split_name(name: str) -> tuple[str | None, str]:
    """Split `PANEL/ID` or `ID` as people type it."""
    panel, slash, order_id = name.partition("/")
    return (panel, order_id) if slash else (None, name)


def find_order(opened: Database, name: str, panel: str | None = None) -> Mapping[str, Any]:
    """Return the row of the order that `name` means. Raises where there is none, or more than one."""
    named, order_id = split_name(name)
    found = opened.history.find(order_id, named or panel)
    if not found:
        where = f" of panel {named or panel}" if named or panel else ""
        raise TrackerError(
            f"No order {order_id}{where} is known. `tracker orders` lists them; "
            f"`tracker track --panel PANEL {order_id}` starts following it."
        )
    if len(found) > 1:
        candidates = " or ".join(f"{row['panel']}/{order_id}" for row in found)
        raise UsageFault(f"Order {order_id} is known at {len(found)} panels: say {candidates}.")
    return found[0]

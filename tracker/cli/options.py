"""What many commands share: the configuration, the database, how lists are asked for, and how an order is named.

What takes long to import (the database's driver, the configuration's checks, tables) is imported where it is used:
`--help` and the completion of a word at the shell's prompt go through here.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from tracker.cli.columns import FORMATS, Column, Format, choose, sorting, usual
from tracker.cli.completion import column_completer, complete_panels
from tracker.cli.out import show_rows
from tracker.cli.quantities import moment_of, period, span_of
from tracker.errors import ConfigurationFault, TrackerError, UsageFault

__all__ = [
    "Asked",
    "Bound",
    "asking",
    "config_option",
    "database",
    "find_order",
    "format_options",
    "open_database",
    "panel_option",
    "require_panel",
    "settings",
    "show_rows",
    "since_option",
    "split_name",
    "until_option",
]

if TYPE_CHECKING:
    from tracker.settings import Settings
    from tracker.store.database import Database

F = TypeVar("F", bound=Callable[..., Any])


class Bound(NamedTuple):
    """An end of a period: what was typed, and the moment that it means."""

    text: str
    at: datetime


class Moment(click.ParamType[Any]):
    """`--since` and `--until`: a span that is past, a day, a month or a moment."""

    name = "when"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Bound:
        """Return what was typed and what it means now."""
        try:
            return Bound(str(value), moment_of(str(value), datetime.now(UTC)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Span(click.ParamType[Any]):
    """A time span such as `6h`."""

    name = "span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> object:
        """Return it as a timedelta."""
        try:
            return span_of(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file. [default: $TRACKER_CONFIG, ./tracker.toml]",
)
panel_option = click.option("--panel", shell_complete=complete_panels, help="Only this panel.")
since_option = click.option(
    "--since", type=Moment(), help="Only from then on: 2h, 3d, 1w, 2026-11-23, 2026-11, an ISO moment (UTC)."
)
until_option = click.option("--until", type=Moment(), help="Only before then, written alike.")
LIMIT = click.IntRange(1, 1_000_000_000)


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


@dataclass(frozen=True, slots=True)
class Asked:
    """How a list was asked for."""

    config: Path | None
    panel: str | None
    since: Bound | None
    until: Bound | None
    limit: int | None
    sort: str | None
    columns: str | None
    format_: Format

    @property
    def where(self) -> str:
        """Return ` of panel acme`, for a sentence."""
        return "" if self.panel is None else f" of panel {self.panel}"

    @property
    def period(self) -> str:
        """Return ` in the last 3d` or so, for a sentence."""
        return period(*(None if bound is None else bound.text for bound in (self.since, self.until)))

    @property
    def span(self) -> dict[str, Any]:
        """Return the arguments of a read that say from when until when."""
        return {"since": self.since and self.since.at, "until": self.until and self.until.at}

    def at_most(self, limit: int) -> "Asked":
        """Return the same with a limit, unless one was typed."""
        return self if self.limit is not None else replace(self, limit=limit)

    def how(self, columns: Sequence[Column]) -> dict[str, Any]:
        """Return the arguments of a read that say in which order and how many: one more than is shown.

        Raises `UsageFault`, with the columns that there are, before anything is read.
        """
        self.chosen(columns)
        try:
            sort = None if self.sort is None else sorting(columns, self.sort)
        except ValueError as error:
            raise UsageFault(f"--sort: {error}") from None
        return {"sort": sort, "limit": None if self.limit is None else self.limit + 1}

    def chosen(self, columns: Sequence[Column]) -> list[Column]:
        """Return those of `columns` that are printed. Raises `UsageFault`, with those that there are."""
        if self.columns is None:
            return usual(columns, self.format_)
        try:
            return choose(columns, self.columns)
        except ValueError as error:
            raise UsageFault(f"--columns: {error}") from None

    def show(self, rows: Sequence[Mapping[str, object]], columns: Sequence[Column], empty: str) -> None:
        """Print what was read as `how` says, and on stderr whether there would be more."""
        show_rows(rows[: self.limit], self.chosen(columns), self.format_, empty)
        if self.limit is not None and len(rows) > self.limit:
            click.echo(f"(The first {self.limit}; there are more: --limit)", err=True)


def asking(*columns: Column, limit: int | None = 50, most: str = "[default: 50]") -> Callable[[F], F]:
    """Add the options of every list, and pass them to the command as one `Asked`.

    `columns` are offered when the shell completes a word; `most` tells the default of --limit.
    """
    complete = column_completer(columns)
    options = [
        panel_option,
        since_option,
        until_option,
        click.option("--limit", type=LIMIT, default=limit, help=f"At most so many rows. {most}"),
        click.option(
            "--sort", metavar="COLUMN", shell_complete=complete, help="By this column; -COLUMN: largest first."
        ),
        click.option(
            "--columns", metavar="A,B,…", shell_complete=complete, help="Only these columns, in this order."
        ),
        format_options,
        config_option,
    ]

    def decorate(command: F) -> F:
        @wraps(command)
        def asked(**given: Any) -> object:  # noqa: ANN401  # whatever else the command takes
            shared = {name: given.pop(name, None) for name in Asked.__slots__}
            return command(Asked(**shared), **given)

        for option in reversed(options):
            asked = option(asked)
        return asked  # type: ignore[return-value]  # click calls it with keywords only

    return decorate


def settings(config: Path | None, *, need_panels: bool) -> "Settings":
    """Load the configuration and set up quiet logging: warnings only, and no secret in them."""
    from tracker import logs  # noqa: PLC0415  # see above
    from tracker.settings import load  # noqa: PLC0415  # see above

    found = load(config, os.environ, need_panels=need_panels)
    logs.configure(sys.stderr, secrets=found.secrets, level="warning")
    return found


def open_database(url: str, *, create: bool = False) -> "Database":
    """Open a database until the command ends, however it ends."""
    from tracker.store.database import Database  # noqa: PLC0415  # see above

    opened = Database(url, create=create)
    click.get_current_context().call_on_close(opened.close)
    return opened


def database(config: Path | None) -> "Database":
    """Open the configured database for reading. Raises `DatabaseUnfit` with the remedy."""
    opened = open_database(settings(config, need_panels=False).database_url)
    opened.require()
    return opened


def require_panel(found: "Settings", name: str) -> None:
    """Raise `ConfigurationFault`, with the nearest name, unless the panel is configured."""
    names = [panel.name for panel in found.panels]
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Configured: {', '.join(names)}."
        raise ConfigurationFault(f"There is no panel {name} in {found.source}. {hint}")


def split_name(name: str) -> tuple[str | None, str]:
    """Split `PANEL/ID` or `ID` as people type it."""
    panel, slash, order_id = name.partition("/")
    return (panel, order_id) if slash else (None, name)


def find_order(opened: "Database", name: str, panel: str | None = None) -> Mapping[str, Any]:
    """Return the row of the order that `name` means. Raises where there is none, or more than one."""
    named, order_id = split_name(name)
    if named and panel and named != panel:
        raise UsageFault(f"--panel {panel}, but the order is named {name}: say one of them.")
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

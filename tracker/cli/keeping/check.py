"""`tracker check`: tell whether this installation is sound, and what to do where it is not."""

import os
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Final, get_args

import click

from tracker import logs
from tracker.checks import Finding, How, Result, configuration, examine, exit_code
from tracker.cli.columns import Column, Format
from tracker.cli.options import config_option, format_options, panel_option, require_panel, show_rows
from tracker.logs import visible

COLUMNS: Final = (
    Column("panel"),
    Column("check"),
    Column("result", state=True),
    Column("said", fold=True),
    Column("remedy", fold=True),
)
_STYLES: Final[dict[Result, str]] = {"ok": "green", "warning": "yellow", "failed": "bold red", "not_run": "dim"}
_INDENT: Final = " " * 26
"""Where sentences begin: behind two spaces, the result and the name of the check."""


@click.command()
@panel_option
@click.option("--offline", is_flag=True, help="Send nothing to panels.")
@format_options
@config_option
def check(panel: str | None, format_: Format, config: Path | None, *, offline: bool) -> int:
    """Check configuration, keys, database, disk, the way to each panel, and how polling goes.

    Changes nothing: the database is written in a transaction that is rolled back, and each panel is asked for its
    balance, once. What is wrong comes with its remedy. Exit code: 0 where nothing failed, whatever the warnings;
    else that of the first failure: 78 configuration, 10 database, 5 panel unreachable, 4 key refused, 1 other.
    """
    found, told = configuration(config, os.environ)
    if found is not None:
        logs.configure(sys.stderr, secrets=found.secrets, level="warning")
        if panel is not None:
            require_panel(found, panel)
    how = How(datetime.now(UTC), panel, offline)
    findings = chain(told, examine(found, how, _tell))
    if format_ == "table":
        seen = list(_printed(findings))
        click.echo(f"\n{_summary(seen)}")
    else:
        seen = list(findings)
        _hush()
        rows = (one._asdict() for one in seen)
        show_rows(rows, COLUMNS, format_, "Nothing was checked.")
    return exit_code(seen)


def _tell(what: str) -> None:
    """Show a person who waits what is under way, until the next line takes its place."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K… {visible(what)}", nl=False, err=True)


def _hush() -> None:
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)


def _printed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Print each finding as it comes, below the panel that it is about."""
    panel = None
    for one in findings:
        _hush()
        if one.panel != panel:
            panel = one.panel
            click.echo(f"\n{panel}")
        _print(one)
        yield one


def _print(one: Finding) -> None:
    result, check_ = (word.replace("_", " ") for word in (one.result, one.check))
    lines = _visible_lines(one.said)
    if sys.stdout.isatty():
        _print_on_terminal(result, check_, lines, _STYLES[one.result])
    else:
        click.echo(f"  {result:<8} {check_:<14} " + f"\n{_INDENT}".join(lines))
    if one.remedy is not None:  # never folded: it is there to be copied
        click.echo(f"{_INDENT}→ {visible(one.remedy)}")


def _print_on_terminal(result: str, check_: str, lines: list[str], style: str) -> None:
    from rich.padding import Padding  # noqa: PLC0415  # takes long to import
    from rich.table import Table  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    from tracker.cli.render import console  # noqa: PLC0415  # as above

    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(width=8)
    grid.add_column(width=14)
    grid.add_column(overflow="fold")
    grid.add_row(Text(result, style), Text(check_), Text("\n".join(lines)))
    console(sys.stdout).print(Padding(grid, (0, 0, 0, 2)))


def _visible_lines(text: str) -> list[str]:
    """Return the lines of a text, which may be a panel's, without a character that a terminal could obey."""
    return [visible(line) for line in text.splitlines()]


def _summary(findings: list[Finding]) -> str:
    counts = {result: sum(one.result == result for one in findings) for result in get_args(Result)}
    words = {"warning": "warning" if counts["warning"] == 1 else "warnings", "not_run": "not run"}
    return ", ".join(f"{count} {words.get(result, result)}" for result, count in counts.items() if count) + "."

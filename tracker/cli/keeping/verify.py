"""`tracker verify`: check that the history is what it promises to be."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracker.cli.options import LIMIT, Bound, config_option, database, panel_option
from tracker.cli.options import Moment as When
from tracker.cli.out import show_json, show_text
from tracker.cli.quantities import duration
from tracker.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from tracker.store.verifying.sweep import Verdict, Violation

REMEDY = (
    "Nothing was changed. Look for what else writes to these tables; if nothing does, it is a bug of tracker: "
    "keep a copy (`tracker db backup FILE`) and report it with these lines."
)


@click.command()
@panel_option
@click.option(
    "--since", type=When(), help="Only what has changed since: 2h, 3d, 1w, 2026-11-23, an ISO moment (UTC)."
)
@click.option("--limit", type=LIMIT, default=10, show_default=True, help="At most so many rows of each violation.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def verify(panel: str | None, since: Bound | None, limit: int, config: Path | None, *, as_json: bool) -> int:
    """Read the whole history, and check that it is what it promises to be.

    Each change of an order is there once, numbered without a gap; what `orders` says is what its newest row says;
    and so on, for refills, intents, services and balances. Every row that breaks a rule is shown with its keys.
    Changes nothing, and may run beside the daemon. Exit code 0: all is well; 1: something is not.
    """
    found, began = database(config), time.monotonic()
    with _bar() as watch:
        verdict = found.verify(panel, since and since.at, watch=watch, most=limit)
    seconds = time.monotonic() - began
    if as_json:
        violations = [one._asdict() for one in verdict.violations]
        told = {"database": found.shown, "sound": not violations, "seconds": round(seconds, 3)}
        show_json({**told, "checked": verdict.checked, "violations": violations})
    else:
        for one in verdict.violations:
            show_text("\n".join(_lines(one)))
        where = "" if panel is None else f" of panel {panel}"
        where += "" if since is None else f" with changes since {since.text}"
        show_text(_summary(verdict, where, duration(seconds)))
    return EXIT_FAILED if verdict.violations else EXIT_OK


@contextmanager
def _bar() -> Iterator[Callable[[str, float], object]]:
    """Show a person who waits which table is gone through, and how much of it is done."""
    if not sys.stderr.isatty():
        yield lambda _table, _share: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415  # slow to import

    from tracker.cli.render import console  # noqa: PLC0415  # as above

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda table, share: bar.update(task, description=table.replace("_", " "), completed=share)


def _lines(violation: "Violation") -> Iterator[str]:
    """Yield a violation and its rows as lines for people."""
    rows = f"{violation.number:,} row{'' if violation.number == 1 else 's'} of {violation.table}"
    promise = f"{violation.promise} " if violation.promise else ""
    yield f"{promise}{violation.rule}: {violation.says} {rows}:"
    for row in violation.rows:
        yield f"  {_spelled(row)}"
    if violation.number > len(violation.rows):
        yield f"  … and {violation.number - len(violation.rows):,} more (--limit)"
    yield ""


def _spelled(row: Mapping[str, object]) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in row.items())


def _value(value: object) -> str:
    """Spell a value as one word."""
    text = "-" if value is None else str(value)
    return json.dumps(text, ensure_ascii=False) if not text or {" ", '"'} & set(text) else text


def _summary(verdict: "Verdict", where: str, took: str) -> str:
    """Return what was checked, and what came of it."""
    counts = [f"{count:,} {table.replace('_', ' ')}" for table, count in verdict.checked.items() if count]
    if not counts:
        return f"There is nothing{where} to check."
    checked, broken = f"{', '.join(counts)}{where}, checked in {took}", len(verdict.violations)
    if not broken:
        return f"{checked}: nothing is wrong."
    rows = sum(one.number for one in verdict.violations)
    count = f"{rows:,} row{'' if rows == 1 else 's'} break {broken} rule{'' if broken == 1 else 's'}"
    return f"{checked}: {count}.\n{REMEDY}"

"""`tracker export`: a whole table or view as a file, however long it is, beside the running daemon."""

import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import click

from tracker.cli.options import Bound, config_option, database, panel_option, since_option, until_option
from tracker.cli.pipe import silence
from tracker.cli.quantities import duration, iso
from tracker.errors import EXIT_OK, UsageFault

if TYPE_CHECKING:
    from tracker.cli.asking.export_run import Outcome
    from tracker.store.reading.export import Export

FileFormat: TypeAlias = Literal["csv", "jsonl", "parquet"]

RELATIONS: Final = (
    *("orders", "transitions", "progress", "refills", "refill_transitions"),
    *("services", "service_changes", "balance_snapshots", "rounds", "anomalies", "intents", "panels", "leases"),
    *("open_orders", "order_timeline", "stuck_orders", "daily_spend", "balance_daily", "service_tempo"),
    "price_changes",
)
"""The tables and views, so that `--help` and the shell's completion need not wait for those of the store."""

ENDINGS: Final[Mapping[str, FileFormat]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

OVERLAP: Final = timedelta(minutes=1)
"""How far before its beginning the next export of what is new should look: an answer is dated when it came, and is
written a moment later."""


@click.command()
@click.argument("table", type=click.Choice(RELATIONS), metavar="TABLE|VIEW")
@click.argument("file", metavar="FILE|-")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("csv", "jsonl", "parquet")),
    help="What to write. [default: as FILE ends, else csv]",
)
@panel_option
@since_option
@until_option
@click.option("--columns", metavar="A,B,…", help="Only these columns, in this order.")
@click.option("--after", metavar="CURSOR", help="Go on where an export was stopped, as it told.")
@click.option("--append", is_flag=True, help="Add to the FILE.part of a stopped export, or else to FILE.")
@config_option
@click.pass_context
def export(ctx: click.Context, /, **_options: object) -> int:
    """Write a whole table or view into a file, row by row, while the daemon runs.

    Money is exact decimal text and moments are ISO UTC; histories carry the panel and the id of their order. FILE
    appears when it is complete; until then it is FILE.part. Ctrl-C leaves whole rows there and says how to go on.
    --since and --until choose by when something happened, orders by their last change.

    \b
    Tables: orders transitions progress refills refill_transitions services service_changes
            balance_snapshots rounds anomalies intents panels leases
    Views:  open_orders order_timeline stuck_orders daily_spend balance_daily service_tempo
            price_changes
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    from tracker.cli.asking.export_run import run  # noqa: PLC0415  # slow to import: see `options`

    typed, began = ctx.params, datetime.now(UTC)
    form, exported = _form(typed), _narrowed(typed)
    _refuse_twice(typed, exported)
    try:
        outcome = run(exported, typed["table"], typed["file"], form, after=typed["after"], append=typed["append"])
    except BrokenPipeError:  # its reader has enough
        silence(sys.stdout)
        return EXIT_OK
    count = f"{outcome.rows:,} row{'' if outcome.rows == 1 else 's'} of {typed['table']}"
    if outcome.fault is None and outcome.signal is None:
        told = f"{count} in {duration((datetime.now(UTC) - began).total_seconds())}."
        if exported.tells_news and typed["until"] is None and typed["after"] is None:  # its first part is older
            told += f" Later, what is new or has changed: {_newer(typed, began)}"
        click.echo(told, err=True)
        return EXIT_OK
    click.echo(f"Stopped after {count}. {_rest(typed, form, outcome)}", err=True)
    if outcome.fault is not None:
        raise outcome.fault
    return 128 + (outcome.signal or 0)


def _form(typed: Mapping[str, Any]) -> FileFormat:
    form: FileFormat = typed["format_"] or ENDINGS.get(Path(typed["file"]).suffix, "csv")
    if typed["append"] and (typed["file"] == "-" or form == "parquet"):
        raise UsageFault("Only a file of CSV or JSON lines can be added to: leave --append out.")
    if typed["file"] == "-" and form == "parquet":
        raise UsageFault("Parquet needs a file: give its name instead of `-`.")
    return form


def _narrowed(typed: Mapping[str, Any]) -> "Export":
    columns = [name.strip() for name in (typed["columns"] or "").split(",") if name.strip()]
    since, until = (bound and bound.at for bound in (typed["since"], typed["until"]))
    return database(typed["config"]).export(typed["table"], columns, typed["panel"], since, until)


def _refuse_twice(typed: Mapping[str, Any], exported: "Export") -> None:
    """Refuse to add to a file what it has already; a kill has told nobody where it stopped."""
    if not typed["append"] or typed["after"] is not None or typed["since"] is not None:
        return
    how = f"--after, with the {exported.key} of the last whole row there" if exported.has_key else "--since"
    raise UsageFault(f"--append alone would write every row of {typed['table']} again: add {how}.")


def _rest(typed: Mapping[str, Any], form: FileFormat, outcome: "Outcome") -> str:
    """Return the sentence that says where the rows are, and the line that goes on after them."""
    if outcome.cursor is None or (outcome.kept is None and typed["file"] != "-"):
        return "None are kept: type the same again."
    if outcome.kept is None:
        return f"The rest: {_line(typed, after=outcome.cursor)}"
    if form == "parquet":
        rest = str(_beside(typed["file"], "rest"))
        return f"{outcome.kept} is a file of them. The rest: {_line(typed, file=rest, after=outcome.cursor)}"
    return f"{outcome.kept} has them. Go on: {_line(typed, after=outcome.cursor, append=True)}"


def _newer(typed: Mapping[str, Any], began: datetime) -> str:
    """Return the line that exports what happened since this export began."""
    file = typed["file"] if typed["file"] == "-" else str(_beside(typed["file"], "newer"))
    since = Bound("", (began - OVERLAP).replace(microsecond=0))
    return _line(typed, file=file, since=since, after=None, append=False)


def _line(typed: Mapping[str, Any], **changed: object) -> str:
    """Return the command as it was typed, but for what is changed, for a shell."""
    told = {**typed, **changed}
    words = ["tracker", "export", told["table"], told["file"]]
    for name in ("format_", "panel", "since", "until", "columns", "after", "config"):
        if (value := told[name]) is not None:
            words += [f"--{name.rstrip('_')}", iso(value.at) if isinstance(value, Bound) else str(value)]
    return shlex.join([*words, "--append"] if told["append"] else words)


def _beside(file: str, word: str) -> Path:
    return Path(file).with_stem(f"{Path(file).stem}-{word}")

"""`tracker import` from its options to its exit code."""

import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tracker.cli.following.given import shown
from tracker.cli.following.importing.csv_rows import CsvRows
from tracker.cli.following.importing.importer import TOLD, Importer, TakeIn, Tally
from tracker.cli.following.importing.json_rows import JsonRows
from tracker.cli.following.importing.lines import Lines
from tracker.cli.following.importing.rejects import Rejects, path_for
from tracker.cli.following.importing.rows import WrongPanel
from tracker.cli.options import require_panel
from tracker.cli.render import console, to_json
from tracker.errors import EXIT_FAILED, EXIT_OK, EXIT_PARTLY, ConfigurationFault, TrackerError, UsageFault
from tracker.logs import visible
from tracker.settings import Settings
from tracker.settings.values import is_panel_name
from tracker.store.database import Database
from tracker.store.following.seen import Seen


class Asked(NamedTuple):
    """What was typed; see the options of the command."""

    file: str
    panel: str | None
    form: str | None
    dry_run: bool
    strict: bool
    rejects: Path | None
    as_json: bool

    @property
    def name(self) -> str:
        """What the file is called in sentences."""
        return "stdin" if self.file == "-" else self.file


class Done(NamedTuple):
    """What one pass over the file did."""

    tally: Tally
    unknown: list[str]
    rejects: Path | None


def run(asked: Asked, found: Settings, open_database: Callable[[], Database]) -> int:
    """Import a file; return the exit code. Raises `UsageFault` for a file that cannot be read as one of orders."""
    wrong = _wrong_panel(found)
    if asked.panel and (reason := wrong(asked.panel)):
        raise ConfigurationFault(reason) if found.panels else UsageFault(reason)
    with _opened(asked) as stream:
        if asked.strict:
            begin = stream.tell()
            done = _go_through(asked, stream, wrong, None)
            if done.tally.rejected:
                _report(asked, done)
                return EXIT_FAILED
            stream.seek(begin)
        database = open_database()
        if asked.dry_run:
            database.require()
        else:
            database.upgrade()
        done = _go_through(asked, stream, wrong, partial(database.take_in, write=not asked.dry_run))
    _report(asked, done)
    if not done.tally.rejected:
        return EXIT_OK
    return EXIT_PARTLY if done.tally.rejected < done.tally.rows else EXIT_FAILED


def _wrong_panel(found: Settings) -> WrongPanel:
    """Return what says why a name cannot be that of a panel: as for `tracker track`, only configured ones can."""

    @lru_cache(maxsize=1024)
    def wrong(name: str) -> str | None:
        if not is_panel_name(name):
            return f"{shown(name)} cannot be the name of a panel"
        try:
            if found.panels:
                require_panel(found, name)
        except ConfigurationFault as fault:
            return str(fault)
        return None

    return wrong


@contextmanager
def _opened(asked: Asked) -> Iterator[BinaryIO]:
    """Open the file for the time of the block; where it is to be read twice and cannot be, a copy of it."""
    try:
        given = sys.stdin.buffer if asked.file == "-" else Path(asked.file).open("rb")  # noqa: SIM115  # closed below
    except OSError as error:
        raise UsageFault(f"Cannot read {asked.file}: {error.strerror}.") from error
    with given:
        if not asked.strict or given.seekable():
            yield given
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(given, copy)
            copy.seek(0)
            yield copy


def _go_through(asked: Asked, stream: BinaryIO, wrong: WrongPanel, take_in: TakeIn | None) -> Done:
    """Read the file once, and have its good rows taken in; without `take_in` they are only checked."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        rows = _rows(asked, Lines(text), wrong)
        rejects = Rejects(path_for(asked.file, asked.rejects, rows.form), rows)
        with Seen() as seen, closing(rejects), _bar(stream) as show:
            importer = Importer(seen, take_in, rejects.write)
            try:
                for count in importer.run(rows):
                    show(count)
            except (TrackerError, KeyboardInterrupt):
                if take_in is not None and not asked.dry_run:
                    _say(f"Ended early, after {importer.tally.rows} rows; these are in. The same command goes on.")
                raise
    finally:
        text.detach()  # or it would close the stream, which may be read again
    return Done(importer.tally, rows.unknown, rejects.path)


def _rows(asked: Asked, lines: Lines, wrong: WrongPanel) -> CsvRows | JsonRows:
    """Return the rows of a file, in the form that it has or is said to have. Raises `UsageFault`."""
    try:
        form = asked.form or ("jsonl" if lines.first().lstrip().startswith(("{", "[")) else "csv")
        return (CsvRows if form == "csv" else JsonRows)(lines, asked.panel, wrong)
    except ValueError as error:
        raise UsageFault(f"{asked.name}: {error}.") from error


@contextmanager
def _bar(stream: BinaryIO) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far the file was read, with the number of rows that it is given."""
    size = os.fstat(stream.fileno()).st_size if stream.seekable() else None
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeRemainingColumn())
    shown_on = console(sys.stderr)
    with Progress(*columns, console=shown_on, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=size, rows=0)
        yield lambda count: bar.update(task, rows=count, completed=stream.tell() if size else None)


def _report(asked: Asked, done: Done) -> None:
    tally = done.tally
    for bad in tally.first_bad:
        _say(f"line {bad.line}: {bad.reason}")
    if tally.rejected > TOLD:
        _say(f"({tally.rejected - TOLD} more rejected rows)")
    for line, panel, (order_id, field, known, given) in tally.first_differing:
        _say(f"line {line}: {panel}/{order_id}: {field} is {known} here, {given} in the file; left as it is")
    if tally.differences > TOLD:
        _say(f"({tally.differences - TOLD} more differences)")
    if done.unknown:
        _say(f"Unknown columns, left alone: {', '.join(map(shown, done.unknown))}.")
    if done.rejects is not None:
        _say(f"The rejected rows are in {done.rejects}, to be mended and imported.")
    if asked.as_json:
        counts = {name: value for name, value in vars(tally).items() if isinstance(value, int)}
        taken_in = not asked.dry_run and not (asked.strict and tally.rejected)
        rejects = None if done.rejects is None else str(done.rejects)
        click.echo(to_json({"file": asked.file, "taken_in": taken_in, **counts, "rejects": rejects}))
    else:
        click.echo(f"{asked.name}: {_summary(asked, tally)}.")


def _summary(asked: Asked, tally: Tally) -> str:
    rejected = f"{tally.rejected} of {tally.rows} rows rejected"
    if asked.strict and tally.rejected:
        return f"{rejected}, nothing was taken in"
    parts = [f"{tally.new} new", f"{tally.known} known"]
    more = {
        "filled in": tally.filled,
        "different in the file": tally.differing,
        "closed and left so": tally.closed,
        "repeated": tally.repeated,
    }
    parts += [f"{count} {what}" for what, count in more.items() if count]
    parts += [rejected] if tally.rejected else []
    return ("nothing was taken in; it would be " if asked.dry_run else "") + ", ".join(parts)


def _say(text: str) -> None:
    click.echo(visible(text), err=True)

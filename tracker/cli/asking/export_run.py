"""Running an export: steps from the database into a file, a bar on the terminal, and an end at a signal."""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tracker.cli.asking.export_files import FILES, RowFile
from tracker.cli.asking.export_target import Target
from tracker.cli.pipe import silence
from tracker.cli.render import console
from tracker.errors import TrackerError
from tracker.store.reading.export import Export, Step

Show: TypeAlias = Callable[[int, float | None], None]
"""Shows how many rows there are, and which part of the way is done."""


@dataclass(slots=True)
class Outcome:
    """How far an export came."""

    cursor: str | None
    rows: int = 0
    signal: int | None = None
    """What stopped it."""
    fault: TrackerError | None = None
    """What broke it."""
    kept: Path | None = None
    """Where the whole rows of an export are that was stopped or broken."""


def run(exported: Export, name: str, file: str, form: str, *, after: str | None, append: bool) -> Outcome:
    """Write all of it into `file` (`-`: stdout), or as much as a signal or a fault leaves.

    Raises `UsageFault` before anything is written, and `BrokenPipeError` where the reader of stdout has gone.
    """
    outcome = Outcome(after)
    steps = exported.steps(after)
    target = Target(file, append=append, held=not exported.has_key)
    with target:
        try:
            rows = FILES[form](target, exported.fields)
            shown = sys.stderr.isatty() and not (file == "-" and sys.stdout.isatty())
            with _signals() as signals, _bar(name, shown=shown) as show:
                _copy(steps, rows, outcome, signals, show)
            rows.end()
            if outcome.fault is None and outcome.signal is None:
                target.finish()
        except BrokenPipeError:
            raise
        except OSError as error:
            if target.path is None:
                silence(sys.stdout)
            outcome.fault = TrackerError(
                f"Cannot write {target.path or 'to stdout'}: {error.strerror}. Make room."
            )
    outcome.kept = target.kept
    return outcome


def _copy(steps: Iterator[Step], rows: RowFile, outcome: Outcome, signals: Sequence[int], show: Show) -> None:
    try:
        for step in steps:
            outcome.rows += rows.write(step)
            outcome.cursor = step.cursor
            show(outcome.rows, step.share)
            if signals:
                outcome.signal = signals[0]
                return
    except TrackerError as fault:  # of the database, or of a value: the rows before are whole
        outcome.fault = fault


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Give the list of the signals that came: the first asks for an end between two steps, the second insists."""
    numbers: list[int] = []

    def on_signal(number: int, _frame: object) -> None:
        if numbers:
            raise KeyboardInterrupt
        numbers.append(number)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield numbers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(name: str, *, shown: bool) -> Iterator[Show]:
    """Give what shows how many rows there are, and which part of the way is done where that is known."""
    if not shown:
        yield lambda _rows, _share: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console(sys.stderr), transient=True) as bar:
        task = bar.add_task(name, total=None, rows=0)

        def show(rows: int, share: float | None) -> None:
            bar.update(task, total=None if share is None else 1.0, completed=share or 0.0, rows=rows)

        yield show

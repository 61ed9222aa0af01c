"""Asking panels about orders that exist: choose, show, ask, send one request for each, tell what came of it."""

import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tracker.actions import Actions, KeyRejected, Prepared, connected
from tracker.cli.acting.changing import confirm, failure_row, heeding, panel_of, ready, require_answer, telling
from tracker.cli.acting.choosing import filter_of
from tracker.cli.acting.journal import INTENTS, intent_row
from tracker.cli.acting.wishes import How
from tracker.cli.columns import Column, Format, usual
from tracker.cli.options import find_order, require_panel, settings, show_rows, split_name
from tracker.cli.render import console, render
from tracker.errors import (
    EXIT_FAILED,
    EXIT_OK,
    EXIT_PARTLY,
    EXIT_UNKNOWN_OUTCOME,
    EXIT_USAGE,
    DatabaseUnreachable,
    LocalFault,
    OutcomeUnknown,
    PanelFault,
    TrackerError,
    Unsent,
    UsageFault,
)
from tracker.model import Action, Intent
from tracker.settings import Settings
from tracker.store.database import Database

PREVIEW: Final = 20
"""Orders that are shown before the question; their number tells the rest."""

_STOPPING: Final = (KeyRejected, Unsent, OutcomeUnknown, PanelFault, DatabaseUnreachable, LocalFault)
"""After these a panel is left alone: its next request would end alike."""

_PREVIEW: Final = (
    Column("panel", rank=2),
    Column("order_id", "order"),
    Column("state", state=True),
    Column("service_id", "service", rank=3),
    Column("quantity", right=True, rank=4),
    Column("remains", right=True, rank=4),
    Column("link", rank=5),
    Column("why_not", fold=True),
)
_SHOWN: Final = (
    Column("panel", rank=1),
    Column("order_id", "order"),
    Column("state", "outcome", state=True),
    Column("refill_id", "refill"),
    Column("note", fold=True),
)
_TOLD: Final = (
    *_SHOWN,
    *(Column(one.name, more=True) for one in INTENTS if one.name not in {c.name for c in _SHOWN}),
)


class Chosen(NamedTuple):
    """Which orders were named, or are chosen by conditions."""

    names: Sequence[str]
    where: Sequence[str]
    panel: str | None
    limit: int


@dataclass(frozen=True)
class Candidate:
    """An order to ask about: its row, and the wish or why there can be none."""

    row: Mapping[str, Any]
    wish: Prepared | UsageFault


class Told(NamedTuple):
    """What came of one order: a row to print, and the fault where it did not come true."""

    row: dict[str, object]
    fault: TrackerError | None = None


def ask(action: Action, chosen: Chosen, how: How, *, format_: Format, config: Path | None) -> int:
    """Ask about the chosen orders, tell what came of each, and return the exit code.

    Raises `UsageFault` with nothing sent, and for a single order whatever came of it.
    """
    if bool(chosen.names) == bool(chosen.where):
        raise UsageFault("Say which orders: name them, or choose them with --where (one of the two).")
    require_answer(how)
    found = settings(config, need_panels=True)
    database = ready(found, writing=False)
    rows: Sequence[Mapping[str, Any]]
    rows = _chosen(action, database, found, chosen) if chosen.where else _named_all(database, found, chosen, how)
    stop = threading.Event()
    with _connected(found, rows, database, stop) as at:
        candidates = [_candidate(action, at[row["panel"]], row, check=not how.no_check) for row in rows]
        if how.dry_run:
            _preview(candidates, format_, sys.stdout)
            return EXIT_OK
        if chosen.where:
            candidates = _without_hopeless(action, candidates)
        sendable = sum(isinstance(one.wish, Prepared) for one in candidates)
        if sendable and not how.yes:
            _preview(candidates[:PREVIEW], "table", sys.stderr)
            confirm(f"Ask for {_count(sendable, action)}?", how)
        with heeding(stop):
            told = _send_all(at, candidates, how, database)
    code = _exit_code([one.fault for one in told])
    with telling("what could be asked was asked", code or EXIT_PARTLY):
        _show(told, format_)
    return code


def _chosen(action: Action, database: Database, found: Settings, chosen: Chosen) -> list[dict[str, Any]]:
    """Return the orders that the conditions mean, those that changed last; of those to be canceled, open ones."""
    wanted = filter_of(chosen.where, chosen.panel)._replace(open_only=action == "cancel")
    if wanted.panel is not None:
        require_panel(found, wanted.panel)
    rows = database.history.orders(wanted, limit=chosen.limit + 1)
    if len(rows) > chosen.limit:
        more = f"More than {chosen.limit} orders match; these changed last. --limit N takes more."
        click.echo(more, err=True)
    return rows[: chosen.limit]


def _named_all(database: Database, found: Settings, chosen: Chosen, how: How) -> list[Mapping[str, Any]]:
    """Return the orders that were named, each once."""
    named = [_named(database, found, name, chosen.panel, check=not how.no_check) for name in chosen.names]
    return list({(row["panel"], row["order_id"]): row for row in named}.values())


def _named(database: Database, found: Settings, name: str, panel: str | None, *, check: bool) -> Mapping[str, Any]:
    try:
        return find_order(database, name, panel)
    except TrackerError as fault:
        if check or isinstance(fault, UsageFault | DatabaseUnreachable):
            raise
    # An order that nobody follows: whether there is one is the panel's to know.
    at, order_id = split_name(name)
    return {"panel": panel_of(found, at or panel).name, "order_id": order_id}


@contextmanager
def _connected(
    found: Settings, rows: Sequence[Mapping[str, Any]], database: Database, stop: threading.Event
) -> Iterator[dict[str, Actions]]:
    """Open every panel that one of the orders is of."""
    with ExitStack() as stack:
        panels = [panel_of(found, name) for name in dict.fromkeys(row["panel"] for row in rows)]
        yield {panel.name: stack.enter_context(connected(panel, database, stop=stop)) for panel in panels}


def _candidate(action: Action, at: Actions, row: Mapping[str, Any], *, check: bool) -> Candidate:
    prepare = at.prepare_refill if action == "refill" else at.prepare_cancel
    try:
        return Candidate(row, prepare(row["order_id"], check=check))
    except UsageFault as fault:
        return Candidate(row, fault)


def _without_hopeless(action: Action, candidates: list[Candidate]) -> list[Candidate]:
    """Leave out, and say, what was only matched by conditions and cannot be asked for."""
    hopeful = [one for one in candidates if isinstance(one.wish, Prepared)]
    left_out = len(candidates) - len(hopeful)
    if left_out:
        told = f"{left_out} more matched, but no {action} of them can be asked for: --dry-run says why."
        click.echo(told, err=True)
    return hopeful


def _preview(candidates: Sequence[Candidate], format_: Format, stream: TextIO) -> None:
    rows = [
        {**one.row, "why_not": str(one.wish) if isinstance(one.wish, UsageFault) else None} for one in candidates
    ]
    columns = _PREVIEW if any(row["why_not"] for row in rows) or format_ != "table" else _PREVIEW[:-1]
    render(rows, columns, format=format_, stream=stream, now=datetime.now(UTC), empty="No order matches.")


def _count(number: int, action: Action) -> str:
    word = "refill" if action == "refill" else "cancellation"
    return f"a {word}" if number == 1 else f"{number} {word}s"


def _send_all(
    at: Mapping[str, Actions], candidates: Sequence[Candidate], how: How, database: Database
) -> list[Told]:
    """Send one request for each, in turn; a panel is left alone after a fault that the next one would share."""
    told: list[Told] = []
    left_alone: dict[str, TrackerError] = {}
    for one in _with_progress(candidates):
        panel = one.row["panel"]
        if panel in left_alone:
            note = "not asked, because of what came of the one before it"
            told.append(Told({**_head(one), "state": "not_sent", "note": note}, left_alone[panel]))
            continue
        told.append(_send(at[panel], one, how, database))
        fault = told[-1].fault
        if isinstance(fault, _STOPPING):
            left_alone[panel] = fault
    return told


def _with_progress(candidates: Sequence[Candidate]) -> Iterator[Candidate]:
    """Go through the candidates; on a terminal a bar shows how far that is, where there are several."""
    if len(candidates) < 2 or not sys.stderr.isatty():
        yield from candidates
        return
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console(sys.stderr), transient=True) as progress:
        yield from progress.track(candidates)


def _send(at: Actions, one: Candidate, how: How, database: Database) -> Told:
    try:
        if isinstance(one.wish, UsageFault):
            raise one.wish
        intent = at.send(one.wish, despite_unknown=how.despite_unknown)
    except TrackerError as fault:
        return Told({**_head(one), **failure_row(fault, database), "note": _why(one, fault)}, fault)
    return Told({**intent_row(intent), "note": _came(intent)})


def _head(one: Candidate) -> dict[str, object]:
    return {"panel": one.row["panel"], "order_id": one.row["order_id"]}


def _why(one: Candidate, fault: TrackerError) -> str:
    """Return a fault's sentence without the names that stand beside it."""
    panel, order_id = one.row["panel"], one.row["order_id"]
    return re.sub(rf"^{re.escape(panel)}: (\w+ of )?order {re.escape(order_id)}:? ", "", str(fault))


def _came(intent: Intent) -> str:
    if intent.action == "refill":
        return "the refill is followed from now on"
    return "asked: polling shows what becomes of it"


def _show(told: Sequence[Told], format_: Format) -> None:
    """Print what came of each; the fault of a single one is raised instead, where people read."""
    if len(told) == 1 and format_ == "table" and told[0].fault is not None:
        raise told[0].fault
    show_rows([one.row for one in told], usual(_TOLD, format_), format_, "Nothing was asked.")


def _exit_code(faults: Sequence[TrackerError | None]) -> int:
    """6 where one is unknown, 0 where all came true, 3 where some did; else the code that says most."""
    failed = [fault for fault in faults if fault is not None]
    if any(isinstance(fault, OutcomeUnknown) for fault in failed):
        return EXIT_UNKNOWN_OUTCOME
    if len(failed) < len(faults):
        return EXIT_PARTLY if failed else EXIT_OK
    codes = {fault.exit_code for fault in failed} or {EXIT_FAILED}
    telling = codes - {EXIT_FAILED, EXIT_USAGE}
    return min(telling or codes)

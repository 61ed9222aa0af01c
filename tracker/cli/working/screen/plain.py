"""The screen as lines, for pipes and for terminals that know no more."""

import sys
import threading
import time
from datetime import datetime
from typing import Any, Final

import click

from tracker.cli.working.screen import words
from tracker.cli.working.screen.lookout import Lookout, Sight, Subject
from tracker.logs import visible
from tracker.store.database import Database
from tracker.store.reading.glance import Snapshot

LINES: Final = 12
"""Newest transitions that a second of the plain output tells one by one; of more it gives the number."""

NEWEST: Final = 1000
"""Transitions looked at: more than the demo makes in a second."""


def tell(database: Database, subject: Subject, stop: threading.Event) -> None:
    """Print one line a second for the whole and one for each transition, until `stop` or the subject's end."""
    lookout = Lookout(database, subject, lambda _: None)
    end = None if subject.seconds is None else time.monotonic() + subject.seconds
    last: datetime | None = None
    said = ""
    while not stop.is_set() and (end is None or time.monotonic() < end):
        sight = lookout.look(NEWEST)
        if sight.snapshot is not None and sight.trouble is None:
            last = _tell_changes(sight.snapshot.rows, last)
            click.echo(_line(sight.snapshot, sight.now, subject))
        said = _tell_troubles(sight, said)
        sys.stdout.flush()
        stop.wait(max(subject.every, 1.0))


def _tell_changes(rows: list[dict[str, Any]], last: datetime | None) -> datetime | None:
    """Print what is newer than `last`; return the moment of the newest."""
    fresh = [row for row in rows if last is None or row["at"] > last]
    if last is not None and len(fresh) > LINES:
        click.echo(f"  ({len(fresh) - LINES} transitions more, then)")
    for row in reversed(fresh[:LINES]):
        said = visible(row["panel_status"] or "")
        said += "" if row["remains"] is None else f", remains {row['remains']}"
        name = visible(f"{row['panel']}/{row['order_id']}")
        click.echo(f"  {name}: {row['from_state']} -> {row['to_state']} ({said})")
    return fresh[0]["at"] if fresh else last


def _tell_troubles(sight: Sight, said: str) -> str:
    """Print what went wrong, once; return it."""
    found = [] if sight.snapshot is None else words.troubles(sight.snapshot, sight.now)
    told = sight.trouble or (found[0] if found else "")
    subject = told.partition(" for ")[0]  # the same trouble a second later is no news
    if subject and subject != said:
        click.echo(f"! {visible(told)}")
    return subject


def _line(snapshot: Snapshot, now: datetime, subject: Subject) -> str:
    due, since = words.overdue(snapshot)
    late = "0s" if since is None else words.span(now - since)
    counts = " ".join(f"{state}={count}" for state, count in words.states(snapshot).items())
    used = words.requests(snapshot.panels, subject.allowances).replace(" ", "_")
    return (
        f"{now:%H:%M:%S} {counts} balance={words.balances(snapshot.panels)} due={due} late={late} "
        f"stuck={words.stuck(snapshot)} requests={used} anomalies={sum(one.anomalies for one in snapshot.panels)}"
    )

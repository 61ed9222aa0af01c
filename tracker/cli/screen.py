"""What the demo shows of a running daemon: a live screen on a terminal, plain lines in a pipe.

Everything shown is read back from the database, as any other reader would; only the budget is the daemon's own.
"""

import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import click
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tracker.cli.quantities import duration, money
from tracker.cli.render import STATE_STYLES
from tracker.daemon.post import utc_now
from tracker.daemon.service import Daemon
from tracker.logs import visible
from tracker.model import STATES
from tracker.store.history import History

TRANSITIONS: Final = 12
"""Newest transitions on the screen: with the rest it fits a terminal of 30 lines."""


class Moment(NamedTuple):
    """What there is to see now."""

    now: datetime
    states: dict[str, int]
    transitions: list[Any]
    balance: str
    freshness: timedelta | None
    """How long the longest waiting due order has waited."""
    due: int
    used: int
    per_minute: float
    anomalies: int


@dataclass
class Watch:
    """Looks at a database and at the daemon that fills it."""

    history: History
    daemon: Daemon
    url: str
    speed: float

    def look(self) -> Moment:
        """Return what there is to see now."""
        now = utc_now()
        states: dict[str, int] = {}
        for row in self.history.counts():
            states[row["state"]] = states.get(row["state"], 0) + row["orders"]
        snapshots = self.history.balances(limit=1)
        balance = money(snapshots[0]["balance"], snapshots[0]["currency"]) if snapshots else "not seen yet"
        overdue = self.history.overdue(now)
        posts = self.daemon.posts
        return Moment(
            now,
            {state: states[state] for state in STATES if state in states},
            self.history.newest_transitions(TRANSITIONS),
            balance,
            now - overdue["since"] if overdue["since"] else None,
            overdue["due"],
            sum(post.budget.used() for post in posts),
            sum(post.budget.per_minute or 0.0 for post in posts),
            sum(row["count"] for row in self.history.anomalies(limit=None)),
        )


class Use:
    """The share of the request budget that was used lately."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def share(self, used: int, per_minute: float) -> float:
        """Return the share over the last ten seconds, given how many requests were used so far."""
        now = time.monotonic()
        self._seen = [*((at, count) for at, count in self._seen if now - at < 10.0), (now, used)]
        passed = now - self._seen[0][0]
        return 0.0 if passed < 1.0 or not per_minute else (used - self._seen[0][1]) / (per_minute * passed / 60)


def _states(moment: Moment) -> Text:
    text = Text()
    for state, count in moment.states.items():
        text.append(f"{state} ", STATE_STYLES.get(state, ""))
        text.append(f"{count}   ", "bold")
    return text


def _facts(moment: Moment, watch: Watch, share: float) -> Table:
    table = Table.grid(padding=(0, 2))
    late = "nothing is due" if moment.freshness is None else f"{moment.due} due, the first since {_ago(moment)}"
    table.add_row("balance", Text(moment.balance, "bold"), "freshness", Text(late))
    budget = f"{share:.0%} of {moment.per_minute:g} requests a minute ({moment.used} so far)"
    table.add_row("panel", Text(watch.url), "budget", Text(budget))
    table.add_row("time", Text(f"1 s is {duration(watch.speed)}"), "anomalies", Text(str(moment.anomalies)))
    return table


def _ago(moment: Moment) -> str:
    return "now" if moment.freshness is None else duration(max(moment.freshness.total_seconds(), 0.0))


def _newest(moment: Moment) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("ago", "order", "from", "to", "panel says", "remains", "charge"):
        table.add_column(name, justify="right" if name in {"ago", "remains", "charge"} else "left", no_wrap=True)
    for row in moment.transitions:
        table.add_row(
            duration(max((moment.now - row["at"]).total_seconds(), 0.0)),
            Text(visible(row["order_id"])),
            Text(row["from_state"], STATE_STYLES.get(row["from_state"], "")),
            Text(row["to_state"], STATE_STYLES.get(row["to_state"], "")),
            Text(visible(row["panel_status"] or "")),
            "" if row["remains"] is None else str(row["remains"]),
            "" if row["charge"] is None else money(row["charge"], row["currency"]),
        )
    return table


def live(watch: Watch, stop: threading.Event, seconds: float | None) -> None:
    """Show a live screen until `stop`, or for `seconds`."""
    use, end = Use(), None if seconds is None else time.monotonic() + seconds
    console = Console()
    with Live(console=console, auto_refresh=False, screen=False) as screen:
        while not stop.is_set() and (end is None or time.monotonic() < end):
            moment = watch.look()
            body = Group(
                _states(moment),
                Text(),
                _facts(moment, watch, use.share(moment.used, moment.per_minute)),
                Text(),
                _newest(moment),
            )
            ends = "Ctrl-C ends it" if end is None else f"ends in {max(end - time.monotonic(), 0):.0f}s"
            screen.update(Panel(body, title=f"tracker demo · {ends}", title_align="left"), refresh=True)
            stop.wait(0.5)


def plain(watch: Watch, stop: threading.Event, seconds: float | None) -> None:
    """Print one line a second for the whole and one for each transition, until `stop` or for `seconds`."""
    use, end = Use(), None if seconds is None else time.monotonic() + seconds
    last: datetime | None = None
    while not stop.is_set() and (end is None or time.monotonic() < end):
        moment = watch.look()
        for row in reversed(moment.transitions):
            if last is None or row["at"] > last:
                said = f"{visible(row['panel_status'] or '')}, remains {row['remains']}"
                click.echo(
                    f"  {row['panel']}/{row['order_id']}: {row['from_state']} -> {row['to_state']} ({said})"
                )
        last = max([row["at"] for row in moment.transitions], default=last)
        states = " ".join(f"{state}={count}" for state, count in moment.states.items())
        share = use.share(moment.used, moment.per_minute)
        click.echo(
            f"{moment.now:%H:%M:%S} {states} balance={moment.balance} due={moment.due} late={_ago(moment)} "
            f"budget={share:.0%} anomalies={moment.anomalies}"
        )
        sys.stdout.flush()
        stop.wait(1.0)

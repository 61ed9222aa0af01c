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

LINES: Final = 12
"""Newest transitions that a second of the plain output tells one by one; of more it gives the number."""

NEWEST: Final = 1000
"""Transitions looked at: more than the demo makes in a second."""

BAR: Final = 20
"""Width of the longest bar."""

AROUND: Final = 6
"""Lines of the screen that are neither counters nor transitions: borders, gaps, a heading, the cursor."""


class Moment(NamedTuple):
    """What there is to see now."""

    now: datetime
    states: dict[str, int]
    transitions: list[Any]
    balance: str
    late: timedelta | None
    """How long the due order that waits longest has waited."""
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
            self.history.newest_transitions(NEWEST),
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


def _states(moment: Moment) -> Table:
    """Return a bar for each state that has orders."""
    table = Table.grid(padding=(0, 1))
    table.add_column(min_width=11)
    table.add_column(justify="right", min_width=4)
    most = max(moment.states.values(), default=1)
    for state, count in moment.states.items():
        style = STATE_STYLES.get(state, "")
        table.add_row(Text(state, style), Text(str(count), "bold"), Text("█" * round(BAR * count / most), style))
    return table


def _facts(moment: Moment, watch: Watch, share: float) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    followed = sum(moment.states.values())
    table.add_row("panel", Text(watch.url.removeprefix("http://")))
    table.add_row("time", Text(f"1 s here is {duration(watch.speed)} there"))
    table.add_row("orders", Text(str(followed), "bold"))
    table.add_row("balance", Text(moment.balance, "bold"))
    table.add_row("answers", Text(_freshness(moment)))
    table.add_row("budget", Text(f"{share:.0%} of {moment.per_minute:g} requests/min"))
    table.add_row("requests", Text(str(moment.used)))
    table.add_row("anomalies", Text(str(moment.anomalies)))
    return table


def _freshness(moment: Moment) -> str:
    """Return how far the database is behind what it wants to know."""
    return "all fresh" if moment.late is None else f"{moment.due} due, the first for {_seconds(moment.late)}"


def _seconds(passed: timedelta) -> str:
    return duration(max(passed.total_seconds(), 0.0))


def _newest(moment: Moment, rows: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("ago", "order", "from", "to", "remains", "charge"):
        table.add_column(name, justify="right" if name in {"ago", "remains", "charge"} else "left", no_wrap=True)
    for row in moment.transitions[:rows]:
        table.add_row(
            _seconds(moment.now - row["at"]),
            Text(visible(row["order_id"])),
            Text(row["from_state"], STATE_STYLES.get(row["from_state"], "")),
            Text(row["to_state"], STATE_STYLES.get(row["to_state"], "")),
            "" if row["remains"] is None else str(row["remains"]),
            "" if row["charge"] is None else money(row["charge"], row["currency"]),
        )
    return table


def _screen(moment: Moment, watch: Watch, share: float, ends: str, height: int) -> Panel:
    top = Table.grid(padding=(0, 2))
    top.add_row(_states(moment), _facts(moment, watch, share))
    tall = max(len(moment.states), 8)
    body = Group(top, Text(), _newest(moment, max(height - tall - AROUND, 1)))
    return Panel(body, title=f"[b]tracker demo[/b] · {ends}", title_align="left")


def live(watch: Watch, stop: threading.Event, seconds: float | None) -> None:
    """Show a live screen until `stop`, or for `seconds`."""
    use, end = Use(), None if seconds is None else time.monotonic() + seconds
    console = Console()
    with Live(console=console, auto_refresh=False) as screen:
        while not stop.is_set() and (end is None or time.monotonic() < end):
            moment = watch.look()
            share = use.share(moment.used, moment.per_minute)
            ends = "Ctrl-C ends it" if end is None else f"ends in {max(end - time.monotonic(), 0):.0f} s"
            screen.update(_screen(moment, watch, share, ends, console.size.height), refresh=True)
            stop.wait(0.5)


def plain(watch: Watch, stop: threading.Event, seconds: float | None) -> None:
    """Print one line a second for the whole and one for each transition, until `stop` or for `seconds`."""
    use, end = Use(), None if seconds is None else time.monotonic() + seconds
    last: datetime | None = None
    while not stop.is_set() and (end is None or time.monotonic() < end):
        moment = watch.look()
        fresh = [row for row in moment.transitions if last is None or row["at"] > last]
        last = fresh[0]["at"] if fresh else last
        _tell(fresh)
        states = " ".join(f"{state}={count}" for state, count in moment.states.items())
        share = use.share(moment.used, moment.per_minute)
        late = "0s" if moment.late is None else _seconds(moment.late)
        click.echo(
            f"{moment.now:%H:%M:%S} {states} balance={moment.balance} due={moment.due} late={late} "
            f"budget={share:.0%} anomalies={moment.anomalies}"
        )
        sys.stdout.flush()
        stop.wait(1.0)


def _tell(fresh: list[Any]) -> None:
    if len(fresh) > LINES:
        click.echo(f"  ({len(fresh) - LINES} transitions more, then)")
    for row in reversed(fresh[:LINES]):
        said = visible(row["panel_status"] or "")
        said += "" if row["remains"] is None else f", remains {row['remains']}"
        click.echo(f"  {row['panel']}/{row['order_id']}: {row['from_state']} -> {row['to_state']} ({said})")

"""`tracker demo`: the real daemon, over real HTTP, into a real database, against the simulated panel.

Time is compressed: a second of the demo is ten minutes of the panel's life, and the pacing shrinks alike.
"""

import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Final

import click

from tracker import logs
from tracker.cli.options import open_database
from tracker.cli.quantities import duration
from tracker.cli.working.screen import Subject, show
from tracker.daemon.post import utc_now
from tracker.daemon.service import Daemon
from tracker.errors import Refused, TrackerError, UsageFault
from tracker.model import OrderFilter
from tracker.pace import Pacing
from tracker.settings import Every, PanelSettings, Secret
from tracker.settings.values import database_url
from tracker.simulator import Simulator
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder

SPEED: Final = 600.0
KEY: Final = "demo-key"
PACING: Final = Pacing(shortest=1.0, longest=10.0, settled=20.0, grace=90.0, confirm=3.0)
EVERY: Final = Every(statuses=1.0, refills=2.0, balance=2.0, catalog=10.0)
REQUESTS_PER_MINUTE: Final = 600.0
"""Ten a second: of the demo's seconds, one is ten minutes, so a real panel's minute would see one request."""


class Shop(threading.Thread):
    """Somebody who buys: places orders now and then, has them followed, and asks for refills of some."""

    def __init__(self, panel: Simulator, database: Database, name: str, seed: int, stop: threading.Event) -> None:
        super().__init__(name="shop", daemon=True)
        self._panel, self._database, self._name = panel, database, name
        self._random = Random(seed)  # noqa: S311  # a believable shop, not a secret
        self._stop_event = stop

    def buy(self, count: int, oldest_seconds: float) -> None:
        """Place orders within the last virtual seconds and have them followed."""
        placed = self._panel.world.spawn(count, oldest=oldest_seconds)
        now = utc_now()
        new = [
            NewOrder(
                one.order_id,
                one.service_id,
                one.link,
                one.quantity,
                ref=f"shop-{one.order_id}",
                ordered_at=now - timedelta(seconds=one.age / SPEED),
            )
            for one in placed
        ]
        self._database.track(self._name, new)

    def run(self) -> None:
        """Buy one to three orders every second, and have something refilled every few seconds."""
        while not self._stop_event.wait(1.0):
            self.buy(self._random.randint(1, 3), 1.0)
            for row in self._database.history.orders(OrderFilter(self._name, ("completed",)), limit=5):
                self._refill(row["order_id"])

    def _refill(self, order_id: str) -> None:
        try:
            refill_id = self._panel.world.refill(order_id)
        except Refused:
            return
        self._database.track_refill(self._name, order_id, refill_id)


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), help="End after so many seconds. [default: at Ctrl-C]")
@click.option("--database", "url", help="Keep the history here. [default: a file in a new temporary folder]")
@click.option("--orders", type=click.IntRange(1, 5000), default=300, show_default=True, help="Orders at first.")
@click.option("--seed", type=int, default=7, help="The same seed makes the same world.")
def demo(seconds: float | None, url: str | None, orders: int, seed: int) -> int:
    """See it work: a few hundred orders in compressed time; needs no account and no configuration."""
    logs.configure(sys.stderr, secrets=(), level="error")
    database = open_database(_url(url), create=True)
    database.upgrade()
    name = _free_name(database)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with Simulator(seed=seed, speed=SPEED, key=KEY, latency=0.05) as panel:
        shop = Shop(panel, database, name, seed, stop)
        shop.buy(orders, 12 * 3600.0)
        settings = PanelSettings(name, panel.url, Secret(KEY), None, REQUESTS_PER_MINUTE, in_flight=2)
        with _running(Daemon(database, [settings], EVERY, PACING), stop) as daemon:
            while not (daemon.started.wait(0.05) or stop.is_set()):
                pass
            shop.start()
            code = show(database, _subject(name, seconds), stop)
            stop.set()
        shop.join()
    _farewell(database, name)
    return code


def _subject(name: str, seconds: float | None) -> Subject:
    about = f"1 s here is {duration(SPEED)} there"
    stuck = timedelta(days=1) / SPEED
    return Subject("tracker demo", about, {name: REQUESTS_PER_MINUTE}, every=0.5, seconds=seconds, stuck=stuck)


def _url(written: str | None) -> str:
    if written is None:
        return f"sqlite:///{Path(tempfile.mkdtemp(prefix='tracker-demo-')) / 'history.db'}"
    try:
        return database_url(written, Path.cwd(), os.environ.get("HOME"))
    except ValueError as error:
        raise UsageFault(f"--database {error}") from None


def _free_name(database: Database) -> str:
    """Another demo in the same database is another panel: its orders are not those of the last one."""
    taken = {row["name"] for row in database.history.panels()} | {panel for panel, _ in database.tally().orders}
    if real := sorted(name for name in taken if not re.fullmatch(r"demo(-[0-9]+)?", name)):
        raise UsageFault(
            f"--database: {database.shown} holds the history of {', '.join(real[:3])}, "
            "and what a demo makes up would stay in it for ever. Name another one."
        )
    return next(name for n in range(1, len(taken) + 2) if (name := "demo" if n == 1 else f"demo-{n}") not in taken)


@contextmanager
def _running(daemon: Daemon, stop: threading.Event) -> Iterator[Daemon]:
    """Run the daemon in a thread for the time of the block; what ends it ends the demo, and is raised."""
    ended: list[TrackerError] = []

    def run() -> None:
        try:
            daemon.run()
        except TrackerError as error:
            ended.append(error)
        finally:
            stop.set()

    thread = threading.Thread(target=run, name="daemon")
    thread.start()
    try:
        yield daemon
    finally:
        daemon.stopping.set()
        thread.join()
    if ended:
        raise ended[0]


def _farewell(database: Database, name: str) -> None:
    newest = database.history.newest_transitions(1)
    order = newest[0]["order_id"] if newest else "ORDER"
    click.echo(f"\nThe history is in {database.shown}. Try on it:\n")
    click.echo(f"  export TRACKER_DATABASE_URL={shlex.quote(database.shown)}")
    for command in (f"show {name}/{order}", "orders --state partial", "services --changes"):
        click.echo(f"  {shlex.quote(_program())} {command}")


def _program() -> str:
    """Return what to type for `tracker` here: its path, where it was called by one that no search finds."""
    called = sys.argv[0]
    return "tracker" if Path(called).name != "tracker" or shutil.which("tracker") == called else called

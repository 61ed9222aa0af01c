"""`tracker watch`: a live screen beside the running daemon; it only reads."""

import signal
import threading
from pathlib import Path

import click

from tracker.cli.options import config_option, open_database, settings
from tracker.cli.working.screen import Subject, show


@click.command()
@click.option(
    "--seconds", type=click.FloatRange(min=1), help="End after so many seconds. [default: at q or Ctrl-C]"
)
@config_option
def watch(seconds: float | None, config: Path | None) -> int:
    """Watch what the daemon learns, live: counters, changes, stuck orders and each panel's health.

    Runs beside the daemon and only reads. In a pipe it prints lines.
    """
    found = settings(config, need_panels=False)
    database = open_database(found.database_url)
    database.require()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    allowances = {panel.name: panel.requests_per_minute for panel in found.panels}
    subject = Subject("tracker watch", database.shown, allowances, seconds=seconds)
    return show(database, subject, stop, found.secrets)

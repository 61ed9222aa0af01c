"""`tracker run`: the daemon in the foreground, as systemd wants it."""

import os
import sys
import threading
from pathlib import Path

import click

from tracker import logs
from tracker.cli.options import config_option
from tracker.daemon.service import Daemon
from tracker.errors import ConfigurationFault, DatabaseUnreachable
from tracker.settings import load
from tracker.store.database import Database


@click.command()
@click.option("--no-upgrade", is_flag=True, help="Refuse a database whose schema is not current.")
@config_option
def run(config: Path | None, *, no_upgrade: bool) -> None:
    """Follow every open order of every configured panel until SIGTERM or Ctrl-C.

    Logs go to stderr: for people on a terminal, JSON lines otherwise.
    """
    settings = load(config, os.environ)
    logs.configure(sys.stderr, secrets=settings.secrets)
    log = logs.get()
    for warning in settings.warnings:
        log.warning("configuration.warning", warning=warning)
    panels = [panel for panel in settings.panels if not panel.paused]
    if not panels:
        raise ConfigurationFault(f"{settings.source}: every panel is paused, there is nothing to poll.")
    database = Database(settings.database_url, create=not no_upgrade)
    daemon = Daemon(database, panels, settings.every)
    daemon.heed_signals()
    prepare(database, daemon.stopping, upgrade=not no_upgrade)
    if not daemon.stopping.is_set():
        daemon.run()
    database.close()


def prepare(database: Database, stop: threading.Event, *, upgrade: bool) -> None:
    """Make the schema fit, waiting for a database that is not there yet. Raises `DatabaseUnfit`."""
    log = logs.get()
    while not stop.is_set():
        try:
            if upgrade:
                before = database.upgrade()
            else:
                database.require()
                return
        except DatabaseUnreachable as error:
            log.warning("database.unreachable", error=str(error), remedy="tried again every second")
            stop.wait(1.0)
        else:
            if not before.fits:
                log.info("database.upgraded", database=database.shown, before=before.current, now=before.newest)
            return

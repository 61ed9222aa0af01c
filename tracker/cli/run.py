"""`tracker run`: the daemon in the foreground, as systemd wants it."""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import click

from tracker import logs
from tracker.cli.options import config_option
from tracker.daemon.service import Daemon, patiently
from tracker.errors import EXIT_OK, ConfigurationFault, Stopped, TrackerError
from tracker.settings import Settings, load
from tracker.store.database import Database, opened


@click.command()
@click.option("--no-upgrade", is_flag=True, help="Refuse a database whose schema is not current.")
@config_option
def run(config: Path | None, *, no_upgrade: bool) -> int:
    """Follow every open order of every configured panel until SIGTERM or Ctrl-C.

    Logs go to stderr: for people on a terminal, JSON lines otherwise.
    """
    settings = load(config, os.environ)
    logs.configure(sys.stderr, secrets=settings.secrets)
    threading.excepthook = _log_crash
    log = logs.get()
    for warning in settings.warnings:
        log.warning("configuration.warning", warning=warning)
    try:
        _run(settings, upgrade=not no_upgrade)
    except TrackerError as error:
        log.critical("daemon.failed", error=str(error), exit_code=error.exit_code)
        return error.exit_code
    return EXIT_OK


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    name = None if crash.thread is None else crash.thread.name
    logs.get().error("thread.crashed", thread=name, exc_info=crash.exc_value)


def _run(settings: Settings, *, upgrade: bool) -> None:
    panels = [panel for panel in settings.panels if not panel.paused]
    if not panels:
        raise ConfigurationFault(f"{settings.source}: every panel is paused, there is nothing to poll.")
    with opened(settings.database_url, create=upgrade) as database:
        daemon = Daemon(database, panels, settings.every)
        daemon.heed_signals()
        with suppress(Stopped):  # by a signal, while waiting for the database
            patiently(lambda: _fit(database, upgrade=upgrade), daemon.stopping)
            daemon.run()


def _fit(database: Database, *, upgrade: bool) -> None:
    if not upgrade:
        database.require()
        return
    before = database.upgrade()
    if not before.fits:
        logs.get().info("database.upgraded", database=database.shown, before=before.current, now=before.newest)

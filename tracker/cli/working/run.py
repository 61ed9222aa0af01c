"""`tracker run`: the daemon in the foreground, as systemd wants it."""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from tracker import logs
from tracker.cli.options import config_option
from tracker.daemon.chores import Chore
from tracker.daemon.health.pages import serving
from tracker.daemon.notify import Notifier
from tracker.daemon.pruning import STEP_SECONDS, Pruner
from tracker.daemon.service import Daemon, patiently
from tracker.errors import EXIT_OK, Stopped, TrackerError
from tracker.settings import Settings, load
from tracker.store.database import Database, opened


@click.command()
@click.option("--no-upgrade", is_flag=True, help="Refuse a database whose schema is not current.")
@config_option
def run(config: Path | None, *, no_upgrade: bool) -> int:
    """Follow every open order of every configured panel until SIGTERM or Ctrl-C.

    A panel that another `tracker run` polls already is stood by for, and taken over when that one ends or dies.
    SIGHUP reads the configuration again. Logs go to stderr: for people on a terminal, JSON lines otherwise.
    """
    settings = load(config, os.environ)
    logs.configure(sys.stderr, secrets=settings.secrets)
    threading.excepthook = _log_crash
    _warn(settings)
    try:
        _run(settings, _reloader(config, settings), upgrade=not no_upgrade)
    except TrackerError as error:
        logs.get().critical("daemon.failed", error=str(error), exit_code=error.exit_code)
        return error.exit_code
    return EXIT_OK


def _log_crash(crash: threading.ExceptHookArgs) -> None:
    name = None if crash.thread is None else crash.thread.name
    logs.get().error("thread.crashed", thread=name, exc_info=crash.exc_value)


def _warn(settings: Settings) -> None:
    log = logs.get()
    for warning in settings.warnings:
        log.warning("configuration.warning", warning=warning)
    if all(panel.paused for panel in settings.panels):
        log.warning("configuration.warning", warning="every panel is paused: nothing is polled")


def _reloader(config: Path | None, first: Settings) -> Callable[[], Settings]:
    """Return what reads the configuration again; old keys stay hidden, for their requests may be under way."""
    secrets = set(first.secrets)

    def load_again() -> Settings:
        settings = load(config, os.environ)
        secrets.update(settings.secrets)
        logs.configure(sys.stderr, secrets=secrets)
        _warn(settings)
        if settings.database_url != first.database_url:
            remedy = (
                "the database cannot be changed while running: the old one is kept; restart to use the new one"
            )
            logs.get().error("configuration.database_kept", remedy=remedy)
        if settings.listen != first.listen:
            remedy = (
                "where it listens cannot change while running: the old address is kept; restart to use the new one"
            )
            logs.get().error("configuration.listen_kept", remedy=remedy)
        return settings

    return load_again


def _run(settings: Settings, reload: Callable[[], Settings], *, upgrade: bool) -> None:
    notifier = Notifier(os.environ)
    with opened(settings.database_url, create=upgrade) as database:
        pruner = Pruner(database, settings.keep)

        def load_again() -> Settings:
            found = reload()
            pruner.keep = found.keep
            return found

        chore = Chore("retention", STEP_SECONDS, pruner.step)
        daemon = Daemon(
            database, settings.panels, settings.every, load=load_again, notifier=notifier, chores=[chore]
        )
        daemon.heed_signals()
        # Stopped by a signal, while waiting for the database.
        with suppress(Stopped), serving(settings.listen, database, daemon.status):
            patiently(lambda: _fit(database, upgrade=upgrade), daemon.stopping, notifier.waiting)
            daemon.run()


def _fit(database: Database, *, upgrade: bool) -> None:
    if not upgrade:
        database.require()
        return
    before = database.upgrade()
    if not before.fits:
        logs.get().info("database.upgraded", database=database.shown, before=before.current, now=before.newest)

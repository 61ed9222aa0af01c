"""Opening a panel to act at, from a configuration or from its parts."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracker.actions.acting import PATIENCE, SECONDS, Actions
from tracker.errors import ConfigurationFault, UsageFault
from tracker.panel import Abilities, Account, Budget, PanelClient, make_http_client
from tracker.settings import PanelSettings, Settings, load
from tracker.store import database as store
from tracker.store.database import Database


@contextmanager
def opened(
    config: Path | str | Settings | None = None,
    *,
    panel: str | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Actions]:
    """Open a configured panel for the time of a `with` block; it may be left out where there is only one.

    `config` is a file, or settings that were loaded already; None looks where the commands look. Once `stop` is
    set, requests under way are let go and nothing more is sent. Raises `ConfigurationFault` and `DatabaseUnfit`.
    """
    if isinstance(config, Settings):
        settings = config
    else:
        settings = load(None if config is None else Path(config), os.environ)
    found = _panel(settings, panel)
    with store.opened(settings.database_url) as database:
        database.require()
        with connected(found, database, stop=stop) as actions:
            yield actions


@contextmanager
def connected(
    panel: PanelSettings,
    database: Database,
    *,
    stop: threading.Event | None = None,
    balances: bool = True,
    seconds: float = SECONDS,
    patience: float = PATIENCE,
) -> Iterator[Actions]:
    """As `opened`, with a database that stays open and belongs to the caller; the rest as of `Actions`."""
    stop = stop or threading.Event()
    with make_http_client(stop) as http:
        client = PanelClient(
            Account(panel.name, panel.url, panel.key.reveal()),
            http=http,
            budget=Budget(panel.requests_per_minute or None),
            abilities=Abilities(),
            stop=stop,
        )
        try:
            yield Actions(panel.name, client, database, balances=balances, seconds=seconds, patience=patience)
        finally:
            client.close()


def _panel(settings: Settings, name: str | None) -> PanelSettings:
    names = ", ".join(one.name for one in settings.panels)
    if name is None:
        if len(settings.panels) != 1:
            raise UsageFault(f"Say which panel is meant: {names}.")
        return settings.panels[0]
    for one in settings.panels:
        if one.name == name:
            return one
    raise ConfigurationFault(f"There is no panel {name} in {settings.source}. Configured: {names}.")

"""Is this installation sound? Before the first start, and after years: one finding a check, with its remedy.

Nothing is changed anywhere: the database is written in a transaction that is rolled back, and a panel is asked for
its balance, once. A check that cannot run because an earlier one failed says so.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from typing import NamedTuple

from tracker.checks import here, outside, polling, storage
from tracker.checks.database import try_database
from tracker.checks.finding import Finding, Result, exit_code, not_run
from tracker.checks.here import configuration
from tracker.checks.outside import Edge
from tracker.errors import TrackerError
from tracker.settings import PanelSettings, Settings
from tracker.store.database import Database

__all__ = ["Edge", "Finding", "How", "Result", "configuration", "examine", "exit_code"]


class How(NamedTuple):
    """What is checked."""

    now: datetime
    panel: str | None = None
    """Only this panel."""
    offline: bool = False
    """Nothing is sent to panels."""
    edge: Edge = Edge()


def examine(found: Settings | None, how: How, tell: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Yield each finding as it is made: this machine and the database first, then panel by panel.

    `found` is what `configuration` returned, which tells of its own findings. `tell` is called with what comes
    next where that may take seconds.
    """
    if found is None:
        yield from (not_run(check, "the configuration failed") for check in ("database", "panels"))
        return
    yield here.user(storage.file_of(found.database_url))
    with ExitStack() as closing:
        opened = yield from try_database(found.database_url, tell, closing)
        known = "the database failed" if opened is None else _seen(opened, found, how, tell)
        for panel in found.panels:
            if how.panel in {None, panel.name}:
                for finding in _panel(panel, found, how, tell, (opened, known)):
                    yield finding._replace(panel=panel.name)


def _seen(opened: Database, found: Settings, how: How, tell: Callable[[str], None]) -> polling.Seen | str:
    tell("how polling goes")
    try:
        return polling.seen(opened, found, how.now)
    except TrackerError as fault:
        return str(fault)


def _panel(
    panel: PanelSettings,
    found: Settings,
    how: How,
    tell: Callable[[str], None],
    memory: tuple[Database | None, polling.Seen | str],
) -> Iterator[Finding]:
    opened, known = memory
    yield here.key_file(panel)
    left_alone = "--offline" if how.offline else "the panel is paused" if panel.paused and not how.panel else None
    if left_alone:
        yield from (not_run(check, left_alone) for check in outside.CHECKS)
    else:
        tell(f"the way to {panel.name}")
        yield from outside.outside(panel, how.now, how.edge)
    if isinstance(known, str):
        yield from polling.nothing_known(known)
    elif opened is not None:
        yield from polling.polling(panel, found.every, known, opened, how.now)

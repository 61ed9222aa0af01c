"""What the commands that change something at a panel share: the panel that is meant, the question, the signals.

Imports all that acts, which takes long: commands import it when they run.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from tracker.actions import Unrecorded
from tracker.cli.acting.journal import intent_row
from tracker.cli.acting.wishes import How
from tracker.cli.options import open_database, require_panel
from tracker.cli.pipe import say, silence
from tracker.cli.render import to_json
from tracker.errors import EXIT_FAILED, EXIT_PARTLY, ActionFault, Blocked, TrackerError, UsageFault
from tracker.settings import PanelSettings, Settings
from tracker.store.database import Database

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def require_answer(how: How) -> None:
    """Raise `UsageFault` where a question would be needed and nobody can be asked."""
    asks = not (how.yes or how.dry_run)
    if asks and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageFault("Nobody can be asked here, as this is no terminal. Nothing was sent; --yes sends it.")


def confirm(question: str, how: How) -> None:
    """Ask on the terminal; end the command, with nothing sent, unless the answer is yes."""
    try:
        agreed = how.yes or click.confirm(question, err=True)
    except click.Abort:
        click.echo("\nNothing was sent.", err=True)
        raise
    if not agreed:
        click.echo("Nothing was sent.", err=True)
        raise click.exceptions.Exit(EXIT_FAILED)


def panel_of(found: Settings, name: str | None) -> PanelSettings:
    """Return the panel that is meant; it need not be named where only one is configured."""
    if name is None:
        if len(found.panels) != 1:
            names = ", ".join(panel.name for panel in found.panels)
            raise UsageFault(f"Say which panel is meant with --panel: {names}.")
        return found.panels[0]
    require_panel(found, name)
    return next(panel for panel in found.panels if panel.name == name)


def ready(found: Settings, *, writing: bool) -> Database:
    """Open the database; for `writing` it is made or brought to this version, else it must fit."""
    database = open_database(found.database_url, create=writing)
    if writing:
        database.upgrade()
    else:
        database.require()
    return database


def failure_row(fault: TrackerError, database: Database) -> dict[str, object]:
    """Return what became of a wish that did not come true: its intent, `blocked` or `not_sent`, and its error."""
    if isinstance(fault, Unrecorded):
        return {"uuid": fault.intent, **fault.outcome._asdict(), "error": str(fault)}
    if isinstance(fault, ActionFault):
        return _row_of(fault.intent, database) or {"uuid": fault.intent, "state": "unknown", "error": str(fault)}
    if isinstance(fault, Blocked):
        earlier = None if fault.intent is None else _row_of(fault.intent, database)
        return {"state": "blocked", "error": str(fault), "blocked_by": earlier}
    return {"state": "not_sent", "error": str(fault)}


def _row_of(uuid: str, database: Database) -> dict[str, object] | None:
    """Return an intent's row; None where the database has gone meanwhile, for what is known must still be told."""
    try:
        return intent_row(database.intents.find(uuid))
    except TrackerError:
        return None


@contextmanager
def failing(database: Database, *, as_json: bool) -> Iterator[None]:
    """Print the row of what fails in the block, where JSON is wanted, and let it go on."""
    try:
        yield
    except TrackerError as fault:
        if as_json:
            try:
                click.echo(to_json(failure_row(fault, database)))
            except OSError:  # the fault has an exit code of its own, which says more
                silence(sys.stdout)
        raise


@contextmanager
def telling(done: str, code: int = EXIT_PARTLY) -> Iterator[None]:
    """Print in the block what was `done`; where nobody takes it (a full disk, a reader who left) end with `code`.

    That is not 1, which means that nothing was bought: whoever reads it may order again.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        silence(sys.stdout)
        say(f"tracker: {done}, but this could not be printed: {error.strerror}. `tracker intents` lists it.")
        raise click.exceptions.Exit(code) from error


@contextmanager
def heeding(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGTERM and Ctrl-C for the time of the block.

    A request under way is then let go and its outcome written, as unknown, before the command ends.
    """

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

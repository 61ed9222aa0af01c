"""The database: does it answer, is it ours, can it be written, and is anything in it left undone."""

import shlex
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tracker.checks import storage
from tracker.checks.finding import Finding, failed, not_run, ok, roughly, sized, warning
from tracker.errors import EXIT_DATABASE, DatabaseUnfit, DatabaseUnreachable, TrackerError
from tracker.settings import hidden
from tracker.store.database import Database

SKEW: Final = 5.0
"""Seconds between our clock and the server's: orders are due by the one, leases end by the other."""

UPGRADE: Final = "tracker db upgrade"

Tell = Callable[[str], None]
"""Called with what is about to be checked, for somebody who waits."""


def try_database(url: str, tell: Tell, closing: ExitStack) -> Generator[Finding, None, Database | None]:
    """Try the database out. Return it, opened until `closing` ends, where its tables can be read."""
    file = storage.file_of(url)
    if file is not None:
        yield from storage.storage(file)
    tell("the database")
    opened = None
    try:
        opened = Database(url)
        closing.callback(opened.close)
        server = _server(opened, is_file=file is not None)
    except TrackerError as fault:
        server = failed("database", str(fault), _remedy(url), EXIT_DATABASE)
    yield server
    if opened is None or server.result == "failed":
        yield from _not_run("schema", "writing", "intents", why="the database failed")
        return None
    if (yield from _schema(opened)):
        yield _writing(opened, url, tell)
        yield _intents(opened)
        return opened
    yield from _not_run("writing", "intents", why="the schema failed")
    return None


def _not_run(*checks: str, why: str) -> Iterator[Finding]:
    return (not_run(check, why) for check in checks)


def _remedy(url: str) -> str:
    """Return the command that finds out more."""
    file = storage.file_of(url)
    if file is not None:
        return f"ls -ld {shlex.quote(str(file.parent))} {shlex.quote(str(file))}" if _is_there(file) else UPGRADE
    plain = hidden(url).replace("+psycopg://", "://", 1).replace(":hidden@", "@", 1)
    return f"psql {shlex.quote(plain)} -c 'SELECT version()'"


def _is_there(file: Path) -> bool:
    """Return whether there is a file, or whatever may not be looked at."""
    try:
        return file.exists()
    except OSError:
        return True


def _server(opened: Database, *, is_file: bool) -> Finding:
    server = opened.fitness().server()
    said = f"{opened.shown}: {server.version}, {sized(server.bytes)}"
    if server.standby:
        remedy = 'Name the server that it follows: database_url = "postgresql+psycopg://user@host/database"'
        return failed("database", f"{said}, a standby, which can only be read", remedy, EXIT_DATABASE)
    apart = (server.clock - datetime.now(UTC)).total_seconds()
    if not is_file and abs(apart) > SKEW:
        said += f"; its clock is {roughly(abs(apart))} {'ahead of' if apart > 0 else 'behind'} this machine's"
        return warning("database", said, "timedatectl, here and on the server, says which of them is wrong")
    return ok("database", said)


def _schema(opened: Database) -> Generator[Finding, None, bool]:
    try:
        schema = opened.schema()
        opened.require()
    except DatabaseUnreachable as fault:
        yield failed("schema", str(fault), "tracker check", EXIT_DATABASE)
    except DatabaseUnfit as fault:
        yield failed("schema", str(fault), _schema_remedy(opened), EXIT_DATABASE)
    else:
        yield ok("schema", f"{schema.current}, the newest that this tracker knows")
        return True
    return False


def _schema_remedy(opened: Database) -> str:
    try:
        schema = opened.schema()
    except TrackerError:  # not ours
        return 'Write another one: database_url = "sqlite:////var/lib/tracker/tracker.db"'
    return UPGRADE if schema.known else "pip install --upgrade order-tracker"


def _writing(opened: Database, url: str, tell: Tell) -> Finding:
    tell("writing (for a paused writer, up to 5 s)")
    try:
        opened.fitness().try_writing()
    except TrackerError as fault:
        file = storage.file_of(url)
        locked = file is not None and isinstance(fault, DatabaseUnreachable)
        remedy = f"fuser -v {shlex.quote(str(file))} shows who holds it" if locked else _remedy(url)
        return failed("writing", str(fault), remedy, EXIT_DATABASE)
    return ok("writing", "a row was written and taken back")


def _intents(opened: Database) -> Finding:
    try:
        sending, unknown = opened.intents.unfinished()
    except TrackerError as fault:
        return failed("intents", str(fault), "tracker check", EXIT_DATABASE)
    if unknown:
        said = f"{unknown} without a known outcome: what was sent may have been bought or not"
        return warning("intents", said, "tracker intents --state unknown; then: tracker resolve INTENT")
    return ok("intents", f"none without a known outcome{f', {sending} under way' if sending else ''}")

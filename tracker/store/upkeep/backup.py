"""A backup of the whole database as one file, of one moment, while everything goes on.

SQLite: its backup interface, inside of one read transaction, so that writers are not waited for and do not make it
begin anew. Postgres: `pg_dump`, which is made for it and must be installed.

The file appears under its name when it is complete, checked and on the disk; killed before that, a `.part` stays
behind.
"""

import contextlib
import os
import shlex
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from tracker.errors import DatabaseUnfit, DatabaseUnreachable, TrackerError
from tracker.store.engine import BUSY_SECONDS, SECRET_OPTIONS

PAGES: Final = 4096
"""Copied between two words of progress: 16 MiB."""

Progress: TypeAlias = Callable[[int, int], object]
"""Told how many pages are copied, of how many."""


def back_up(engine: Engine, target: Path, progress: Progress, *, force: bool = False) -> int:
    """Write a backup of the database to `target`, readable for its owner alone; return its size in bytes.

    Raises `TrackerError` where that file is there already (`force` replaces it) or cannot be written,
    `DatabaseUnfit` where the copy is damaged. `target` is left as it was then.
    """
    _refuse(engine, target, force=force)
    with _part_of(target) as part:
        if engine.dialect.name == "sqlite":
            _copy(Path(str(engine.url.database)), part, progress)
        else:
            _dump(engine.url, part)
        size = part.stat().st_size
        _put(part, target, force=force)
    return size


def restoring(engine: Engine, target: Path) -> str:
    """Return the lines to type to go back to the backup in `target`."""
    if engine.dialect.name == "sqlite":
        path = str(engine.url.database)
        away = " ".join(shlex.quote(f"{path}{end}") for end in ("-wal", "-shm"))
        return f"rm -f {away} && cp {shlex.quote(str(target))} {shlex.quote(path)}"
    options = "--clean --if-exists --no-owner --single-transaction"
    return f"pg_restore {options} --dbname={shlex.quote(_conninfo(engine.url))} {shlex.quote(str(target))}"


def _refuse(engine: Engine, target: Path, *, force: bool) -> None:
    if target.is_dir():
        raise TrackerError(f"{target} is a folder: name a file in it.")
    if target.exists() and not target.is_file():
        raise TrackerError(f"{target} is a device or the like, which a file would take the place of: name a file.")
    if engine.dialect.name == "sqlite":
        path = str(engine.url.database)
        for mine in (path, f"{path}-wal", f"{path}-shm"):
            same = target.exists() and Path(mine).exists() and target.samefile(mine)
            if same or target.absolute() == Path(mine).absolute():
                raise TrackerError(f"{target} is the database itself: name another file.")
    if target.exists() and not force:
        raise TrackerError(f"{target} is there already. Name another file, or replace it with --force.")
    for end in ("-wal", "-journal"):
        # SQLite would play the log of one database into the other.
        if Path(f"{target}{end}").exists():
            raise TrackerError(f"{target}{end} shows that a database is, or was, in use there: name another file.")


@contextlib.contextmanager
def _part_of(target: Path) -> Iterator[Path]:
    """Give an empty file beside `target`, mode 600; it is gone afterwards, under this name at least."""
    try:
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> TrackerError:
    return TrackerError(f"{target} cannot be written: {error.strerror or error}. Choose another place.")


def _copy(source: Path, part: Path, progress: Progress) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < source.stat().st_size:
        raise TrackerError(
            f"{part.parent} has {free >> 20} MiB left, the database takes {source.stat().st_size >> 20}: "
            "choose another place."
        )
    try:
        with (
            contextlib.closing(sqlite3.connect(source, timeout=BUSY_SECONDS, isolation_level=None)) as live,
            contextlib.closing(sqlite3.connect(part, isolation_level=None)) as copy,
        ):
            # Until it is complete it is nothing, so it needs no journal, and one flush at the end is enough.
            copy.execute("PRAGMA journal_mode = off")
            copy.execute("PRAGMA synchronous = off")
            live.execute("BEGIN")
            live.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it is one moment
            live.backup(copy, pages=PAGES, progress=lambda _, left, all_: progress(all_ - left, all_))
            live.execute("ROLLBACK")
        found = _checked(part)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise DatabaseUnreachable(f"{source} cannot be copied: {error}. Is the disk full?") from error
        found = str(error)
    if found != "ok":
        raise DatabaseUnfit(
            f"The copy of {source} is damaged, and so the database itself seems to be: {found}. Nothing was kept. "
            "Stop tracker, and look at the newest backup that is good."
        )


def _checked(part: Path) -> str:
    """Return `ok`, or the first thing that is wrong with a copy that nobody has open."""
    with contextlib.closing(sqlite3.connect(f"{part.absolute().as_uri()}?immutable=1", uri=True)) as copy:
        return " ".join(copy.execute("PRAGMA quick_check(1)").fetchone()[0].split())


def _conninfo(url: URL) -> str:
    """Spell the URL for the programs of Postgres, without what is secret."""
    plain = url.difference_update_query(SECRET_OPTIONS)
    return URL.create(
        "postgresql", plain.username, None, plain.host, plain.port, plain.database, plain.query
    ).render_as_string()


def _dump(url: URL, part: Path) -> None:
    command = ["pg_dump", "--format=custom", f"--file={part}", f"--dbname={_conninfo(url)}"]
    if shutil.which(command[0]) is None:
        command[2] = "--file=FILE"
        raise TrackerError(
            "pg_dump is not installed here (Debian's package postgresql-client has it). Where it is, run: "
            + shlex.join(command)
        )
    # Not as an argument, which every user of the machine can read.
    for name in SECRET_OPTIONS[1:]:
        if name in url.query:
            raise TrackerError(
                f"pg_dump would take {name} only as an argument, which every user of this machine can read. "
                "Put it into a service file (~/.pg_service.conf) and write ?service=NAME into database_url."
            )
    password = url.password or url.query.get("password")
    _run(command, {"PGPASSWORD": str(password)} if password else {})
    _run(["pg_restore", "--list", str(part)], {})  # it can be read from its beginning to its end


def _run(command: list[str], environment: dict[str, str]) -> None:
    ended = subprocess.run(  # noqa: S603  # a program of Postgres, with arguments of ours
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = " ".join(ended.stderr.split())
        raise TrackerError(f"{command[0]} ended with {ended.returncode}: {said}. Nothing was kept.")


def _put(part: Path, target: Path, *, force: bool) -> None:
    """Give the whole file its name, and let both reach the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    if force:
        part.replace(target)
    else:
        _link(part, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(part: Path, target: Path) -> None:
    """Name it without ever replacing what has appeared there meanwhile."""
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise TrackerError(f"{target} has appeared meanwhile. Name another file.") from None
    except OSError:  # a file system without links, of a stick perhaps
        if target.exists():
            raise TrackerError(f"{target} has appeared meanwhile. Name another file.") from None
        part.replace(target)

"""`tracker db upgrade|status|prune|backup`: the database as a whole."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracker.cli.columns import Column, Format, usual
from tracker.cli.options import config_option, format_options, open_database, settings, show_rows
from tracker.cli.out import show_facts, show_json
from tracker.cli.quantities import duration
from tracker.model import Keep

if TYPE_CHECKING:
    from tracker.store.database import Database
    from tracker.store.migrate import Schema
    from tracker.store.upkeep.retention import Pruned
    from tracker.store.upkeep.sizes import Sizes

LOOK_SECONDS: Final = 1.0
"""How long `status` looks for what is to be pruned; on a large database it then says "at least"."""

PAUSE_SECONDS: Final = 0.02
"""Between two steps of `prune`, at least: others write meanwhile, the daemon perhaps."""

TABLES: Final = (
    Column("table"),
    Column("rows", right=True),
    Column("exact", more=True),
    Column("bytes", "size", right=True),
    Column("measured", more=True),
    Column("rows_a_day", "rows a day", right=True),
    Column("bytes_a_day", "size a day", right=True),
)
PRUNED: Final = (Column("what"), Column("kept"), Column("count", right=True))


@click.group()
def db() -> None:
    """Make, measure, prune and back up the database."""


@db.command()
@config_option
def upgrade(config: Path | None) -> None:
    """Make the tables, or bring them to this version, under a lock."""
    from tracker.settings import hidden  # noqa: PLC0415  # see tracker.cli.options

    found = settings(config, need_panels=False)
    database = open_database(found.database_url, create=True)
    before = database.upgrade()
    if before.fits:
        click.echo(f"{hidden(found.database_url)} has schema {before.newest} already.")
    else:
        click.echo(f"{hidden(found.database_url)}: schema {before.current or '(empty)'} -> {before.newest}.")


@db.command()
@click.option("--exact", is_flag=True, help="Count every row and measure every page, however long it takes.")
@format_options
@config_option
def status(config: Path | None, format_: Format, *, exact: bool) -> None:
    """Say where the schema stands, how large everything is, and when the disk will be full.

    Exit 10 where the schema does not fit. In csv and jsonl it is the tables alone. Sizes count the indexes;
    growth is what came within the last week, and takes nothing off for what is pruned.
    """
    found = settings(config, need_panels=False)
    database, now = open_database(found.database_url), datetime.now(UTC)
    schema = database.schema()
    if not schema.fits:
        if format_ == "json":
            show_json({"database": database.shown, **schema._asdict(), "fits": False})
        database.require()
    sizes = database.sizes(now, exact=exact)
    rows: list[dict[str, Any]] = [{**one._asdict(), "bytes_a_day": one.bytes_a_day} for one in sizes.tables]
    if format_ in {"csv", "jsonl"}:
        show_rows(rows, TABLES, format_, "")
        return
    pruned, whole = _to_prune(database, found.keep, now)
    if format_ == "json":
        show_json(_as_json(database, schema, sizes, found.keep, pruned, whole=whole) | {"tables": rows})
        return
    show_facts(_facts(database, schema, sizes, found.keep, pruned, whole=whole))
    click.echo()
    show_rows([_for_people(row) for row in rows], usual(TABLES, format_), format_, "")


def _to_prune(database: "Database", keep: Keep, now: datetime) -> tuple["Pruned", bool]:
    """Return what would be pruned, and whether that is all of it, or all that was found in a second."""
    from tracker.store.upkeep.retention import Pruned  # noqa: PLC0415  # see tracker.cli.options

    total, began = Pruned(), time.monotonic()
    for step in database.retention().walk(lambda: now, keep, write=False):
        total = total.plus(step)
        if time.monotonic() - began > LOOK_SECONDS:
            return total, False
    return total, True


def _as_json(
    database: "Database", schema: "Schema", sizes: "Sizes", keep: Keep, pruned: "Pruned", *, whole: bool
) -> dict[str, Any]:
    return {
        "database": database.shown,
        **schema._asdict(),
        "fits": schema.fits,
        **{name: value for name, value in sizes._asdict().items() if name != "tables"},
        "bytes_a_day": sizes.bytes_a_day,
        "full_in_seconds": sizes.full_in,
        "keep_seconds": keep._asdict(),
        "to_prune": {name: getattr(pruned, name) for name in Keep._fields},
        "to_prune_is_all": whole,
    }


def _facts(
    database: "Database", schema: "Schema", sizes: "Sizes", keep: Keep, pruned: "Pruned", *, whole: bool
) -> list[tuple[Column, object]]:
    parts = []
    if sizes.log_bytes:
        parts.append(f"{_size(sizes.log_bytes)} of it the log")
    if sizes.unused_bytes:
        parts.append(f"{_size(sizes.unused_bytes)} free for new rows")
    growth = None if sizes.bytes_a_day is None else f"{_size(sizes.bytes_a_day)} a day"
    disk = None if sizes.free_bytes is None else f"{_size(sizes.free_bytes)} left"
    if disk and sizes.full_in is not None:
        disk += f", full in {duration(sizes.full_in.total_seconds())} at this growth"
    kept = ", ".join(f"{_named(name)} {_kept(seconds)}" for name, seconds in keep._asdict().items())
    counts = [f"{count:,} {_named(name)}" for name in Keep._fields if (count := getattr(pruned, name))]
    return [
        (Column("database"), database.shown),
        (Column("schema"), f"{schema.current}: fits"),
        (Column("version"), sizes.version),
        (Column("size"), _size(sizes.bytes) + (f" ({', '.join(parts)})" if parts else "")),
        (Column("growth"), growth),
        (Column("disk"), disk),
        (Column("kept"), kept),
        (Column("to prune"), ("" if whole else "at least ") + (", ".join(counts) or "nothing")),
    ]


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    rate, growth = row["rows_a_day"], row["bytes_a_day"]
    return {
        "table": row["table"],
        "rows": f"{'' if row['exact'] else '~'}{row['rows']:,}",
        "bytes": f"{'' if row['measured'] else '~'}{_size(row['bytes'])}",
        "rows_a_day": None if rate is None else f"{rate:,.0f}",
        "bytes_a_day": None if growth is None else _size(growth),
    }


def _size(count: float) -> str:
    """Return so many bytes for people: `812 B`, `4.1 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def _named(name: str) -> str:
    return name.replace("_", " ")


def _kept(seconds: float | None) -> str:
    return "forever" if seconds is None else duration(seconds)


@db.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@format_options
@config_option
def prune(config: Path | None, format_: Format, *, dry_run: bool) -> None:
    """Delete what is older than [keep] in the configuration says.

    The daemon does this by itself, every hour. It is done in small steps, so it may run beside the daemon and
    may be interrupted at any moment. A SQLite file does not get smaller by it: its free pages take the next rows.
    """
    from tracker.store.upkeep.retention import Pruned  # noqa: PLC0415  # see tracker.cli.options

    found = settings(config, need_panels=False)
    database = open_database(found.database_url)
    database.require()
    total = Pruned()
    try:
        for step in _unhurried(
            database.retention().walk(lambda: datetime.now(UTC), found.keep, write=not dry_run)
        ):
            total = total.plus(step)
            if sys.stderr.isatty():
                click.echo(f"\r{total.rows:,} rows", err=True, nl=False)
    finally:
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", err=True, nl=False)
        rows = [
            {"what": name, "kept": _kept(seconds), "count": getattr(total, name)}
            for name, seconds in found.keep._asdict().items()
        ]
        if format_ == "table":
            said = f"{total.rows:,} rows {'would be' if dry_run else 'were'} deleted from {database.shown}."
            show_rows([{**row, "what": _named(row["what"])} for row in rows], PRUNED, format_, "")
            click.echo(said)
        else:
            show_rows(rows, PRUNED, format_, "")


def _unhurried(steps: Iterator["Pruned"]) -> Iterator["Pruned"]:
    """Pass `steps` on, and rest for as long as each has taken."""
    began = time.monotonic()
    for step in steps:
        yield step
        time.sleep(max(time.monotonic() - began, PAUSE_SECONDS))
        began = time.monotonic()


@db.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE.")
@config_option
def backup(file: Path, config: Path | None, *, force: bool) -> None:
    """Write the whole database, as it is at one moment, to FILE; the daemon goes on meanwhile.

    FILE appears when it is complete and checked, readable for you alone. SQLite's is a database itself;
    Postgres' is an archive made by pg_dump.
    """
    found = settings(config, need_panels=False)
    database = open_database(found.database_url)
    database.require()
    shown = sys.stderr.isatty()

    def progress(done: int, pages: int) -> None:
        if shown:
            click.echo(f"\r{100 * done // max(pages, 1)} %", err=True, nl=False)

    try:
        size = database.back_up(file, progress, force=force)
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)
    click.echo(
        f"{file}: {_size(size)}, checked.\n"
        f"To go back to it, stop tracker and run: {database.restoring(file.absolute())}"
    )

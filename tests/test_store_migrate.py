"""The schema's versions: migrations make exactly the declared tables, once, and only in a database of ours."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from books import execute, table
from conftest import Postgres
from sqlalchemy import Engine, make_url, text

from tracker.errors import DatabaseUnfit
from tracker.store import migrate
from tracker.store.database import Database, opened
from tracker.store.engine import open_engine, reading, writing
from tracker.store.reading import views
from tracker.store.schema import metadata, orders

OBJECTS = {
    "sqlite": ["SELECT type, tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL"],
    "postgresql": [
        """SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default
           FROM information_schema.columns WHERE table_schema = 'public'""",
        """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
           FROM pg_constraint WHERE connamespace = 'public'::regnamespace""",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT relname, reloptions::text FROM pg_class WHERE relnamespace = 'public'::regnamespace",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    ],
}


def schema_of(engine: Engine) -> list[tuple[str, ...]]:
    """Return everything that the database itself says about its schema, but for the version's own table."""
    with reading(engine) as connection:
        rows = [row for query in OBJECTS[engine.dialect.name] for row in connection.execute(text(query))]
    plain = [tuple(re.sub(r"\s+", " ", str(value)) for value in row) for row in rows]
    return sorted(row for row in plain if not any(value.startswith("alembic_version") for value in row))


def test_an_empty_database_gets_the_newest_schema(database_url: str) -> None:
    with opened(database_url) as database:
        before = database.schema()
        assert (before.current, before.known, before.fits) == (None, True, False)
        assert database.upgrade() == before
        assert database.schema().fits
        database.require()
        assert database.upgrade().fits  # again is nothing


def test_migrations_and_declared_tables_agree_to_the_letter(database_url: str, request: Any) -> None:  # noqa: ANN401
    """Names, types, defaults, checks, keys, indexes, storage options: as each database tells them itself."""
    with opened(database_url) as migrated:
        migrated.upgrade()
        told = schema_of(migrated._engine)
    declared = open_engine(_another(database_url, request), create=True)
    metadata.create_all(declared)
    with writing(declared) as connection:
        views.create(connection)
    assert told == schema_of(declared)
    assert len(told) > 15
    declared.dispose()


def _another(url: str, request: Any) -> str:  # noqa: ANN401 - pytest's own
    if url.startswith("sqlite"):
        return f"{url}.declared"
    server = request.getfixturevalue("postgres")
    return str(server.url(server.create()))


def test_alembic_would_write_no_further_migration(database: Database) -> None:
    with database._engine.connect() as connection:
        # Defaults are compared above, by their text: alembic sees one in '' on SQLite where there is none.
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_there_is_one_line_of_migrations_and_each_explains_itself() -> None:
    scripts = ScriptDirectory.from_config(migrate._config())
    assert len(scripts.get_heads()) == 1
    assert len(scripts.get_bases()) == 1
    assert all(len(script.doc) > 20 for script in scripts.walk_revisions())


def test_no_command_of_ours_goes_back() -> None:
    assert not [name for name in dir(Database) if "downgrade" in name]
    assert not [name for name in dir(migrate) if "downgrade" in name]


UPGRADE = """
import sys
from tracker.store.database import opened
print("ready", flush=True)
sys.stdin.readline()
with opened(sys.argv[1], create=True) as database:
    database.upgrade()
    assert database.schema().fits
"""


def test_two_processes_that_upgrade_at_once_make_one_schema(database_url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", UPGRADE, database_url]
    pipe = subprocess.PIPE
    racers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(3)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        _, errors = racer.communicate(timeout=60)
        assert (racer.returncode, errors) == (0, "")
    with opened(database_url) as database:
        assert database.schema().fits
        assert table(database, orders) == []


def test_an_upgrade_that_fails_leaves_an_empty_database(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables or none: after a crash in the middle the next start begins anew."""
    whole = command.upgrade

    def half(*args: Any, **options: Any) -> None:  # noqa: ANN401 - as alembic calls it
        whole(*args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "upgrade", half)
    with opened(database_url) as database:
        with pytest.raises(KeyboardInterrupt):
            database.upgrade()
        assert database.schema().current is None
        monkeypatch.undo()
        database.upgrade()
        assert database.schema().fits


def _theirs(database: Database) -> None:
    execute(database, text("CREATE TABLE customers (id INTEGER PRIMARY KEY)"))


def _theirs_with_versions(database: Database) -> None:
    """A shop that uses alembic too, calls its first version as we do, and has orders."""
    for statement in (
        "CREATE TABLE orders (id INTEGER PRIMARY KEY)",
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('0001')",
    ):
        execute(database, text(statement))


def _newer(database: Database) -> None:
    database.upgrade()
    execute(database, text("UPDATE alembic_version SET version_num = '9999'"))


UNFIT: dict[str, tuple[Callable[[Database], None], str]] = {
    "something else": (_theirs, r"tables of something else \(customers"),
    "something else with a version": (_theirs_with_versions, "something else"),
    "newer": (_newer, r"schema 9999, this tracker knows up to \d+: a newer tracker has been here"),
}


@pytest.mark.parametrize(("make", "words"), UNFIT.values(), ids=UNFIT.keys())
def test_a_database_that_is_not_ours_or_newer_is_refused_untouched(
    database_url: str, make: Callable[[Database], None], words: str
) -> None:
    with opened(database_url) as database:
        make(database)
    before = _bytes(database_url)
    with opened(database_url) as database:
        for use in (database.upgrade, database.require):
            with pytest.raises(DatabaseUnfit, match=words):
                use()
        told = schema_of(database._engine)
    assert _bytes(database_url) == before
    with opened(database_url) as database:
        assert schema_of(database._engine) == told


def _bytes(url: str) -> list[tuple[str, bytes]]:
    """Return the files of a SQLite database; nothing for Postgres, whose schema is compared instead."""
    if not url.startswith("sqlite"):
        return []
    path = Path(str(make_url(url).database))
    return sorted((one.name, one.read_bytes()) for one in path.parent.glob(f"{path.name}*"))


def test_tables_of_ours_without_a_version_are_refused(database_url: str) -> None:
    """Half a restored backup: making the tables again would fail, and guessing the version could destroy."""
    with opened(database_url) as database:
        database.upgrade()
        execute(database, text("DELETE FROM alembic_version"))
        with pytest.raises(DatabaseUnfit, match="tables of something else"):
            database.upgrade()


def test_an_empty_database_is_told_how_to_make_the_tables(database_url: str) -> None:
    with (
        opened(database_url) as database,
        pytest.raises(DatabaseUnfit, match="`tracker db upgrade` makes the tables"),
    ):
        database.require()


def test_the_write_ahead_log_is_kept_in_the_file_of_a_database_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "tracker.db"
    with opened(f"sqlite:///{path}", create=True) as database:
        database.upgrade()
    with closing(sqlite3.connect(path)) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_keep_every_word_is_refused_with_the_remedy(
    encoding: str, postgres: Postgres
) -> None:
    name = f"in_{encoding.lower()}"
    postgres.run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        with opened(postgres.url(name)) as database:
            for use in (database.upgrade, database.require, database.schema):
                with pytest.raises(
                    DatabaseUnfit, match=rf"{name}.* is encoded in {encoding}.*createdb --encoding UTF8"
                ):
                    use()
    finally:
        postgres.drop(name)

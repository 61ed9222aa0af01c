"""Other people read: a role of Postgres that cannot write, and a SQLite file that belongs to somebody else."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from books import follow
from conftest import Postgres
from sqlalchemy import make_url

from tracker.errors import DatabaseUnfit
from tracker.store.database import opened
from tracker.store.engine import writing
from tracker.store.reading import views
from tracker.store.reading.relations import RELATIONS

ROLE = (Path(__file__).parents[1] / "deploy" / "readonly.sql").read_text()


class Reader:
    """A database with the role, and a login in it."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        self.owner = postgres.url(name)
        self.url = make_url(self.owner).set(username="reader", password="for-tests").render_as_string(False)

    def grant(self) -> None:
        """Do what a person does with the file."""
        with psycopg.connect(self.owner.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(ROLE.encode())

    def run(self, statement: str) -> None:
        """Run one statement as the reader."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute(statement.encode())

    def reads_everything(self) -> bool:
        """Read every table and view, and the version."""
        for name in (*RELATIONS, "alembic_version"):
            self.run(f"SELECT * FROM {name}")
        return True


@pytest.fixture
def reader(postgres: Postgres) -> Iterator[Reader]:
    """An empty database in which the role was granted its rights."""
    name = postgres.create()
    found = Reader(postgres, name)
    found.grant()
    postgres.run("CREATE ROLE reader LOGIN PASSWORD 'for-tests' IN ROLE tracker_reader")
    yield found
    postgres.drop(name)
    postgres.run("DROP ROLE reader")
    postgres.run("DROP ROLE tracker_reader")


def test_the_role_reads_every_table_and_view_that_an_upgrade_makes_later(reader: Reader) -> None:
    with opened(reader.owner) as database:
        database.upgrade()
        assert reader.reads_everything()
        with writing(database._engine) as connection:  # as each upgrade does
            views.drop(connection, "0003")
            views.create(connection)
    assert reader.reads_everything()
    reader.grant()
    assert reader.reads_everything(), "granting again is harmless"


def test_the_role_writes_nothing(reader: Reader) -> None:
    with opened(reader.owner) as database:
        database.upgrade()
    for statement in (
        "INSERT INTO orders (panel, order_id) VALUES ('acme', '1')",
        "UPDATE orders SET next_poll_at = now()",
        "DELETE FROM transitions",
        "TRUNCATE progress",
        "DROP VIEW open_orders",
        "CREATE TABLE mine (id int)",
        "UPDATE alembic_version SET version_num = '9999'",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.run(statement)


def test_tracker_itself_reads_under_the_role_and_says_why_it_cannot_write(reader: Reader) -> None:
    with opened(reader.owner) as database:
        database.upgrade()
        follow(database, "23501")
    with opened(reader.url) as database:
        database.require()
        assert [row["order_id"] for row in database.history.orders()] == ["23501"]
        assert sum(len(step.rows()) for step in database.export("orders").steps()) == 1
        with pytest.raises(DatabaseUnfit, match=r"permission denied.*Name a role that may write"):
            database.make_due("acme")


NOBODY = 65534
LOOK = f"""
import os, sqlite3, sys
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
connection = sqlite3.connect(sys.argv[1], uri=True)
print(connection.execute("SELECT order_id FROM orders").fetchall())
connection.execute("UPDATE orders SET ref = 'mine'")
"""


@pytest.fixture
def readable(migrated_file: Path) -> Iterator[Path]:
    """A database in a folder that everybody can enter and only its owner can write."""
    folder = Path(tempfile.mkdtemp(prefix="tracker-readable-"))
    folder.chmod(0o755)
    path = folder / "tracker.db"
    shutil.copy(migrated_file, path)
    path.chmod(0o644)
    yield path
    shutil.rmtree(folder)


def look(path: Path, how: str) -> subprocess.CompletedProcess[str]:
    """Read the file as somebody else."""
    command = [sys.executable, "-c", LOOK, f"file:{path}?{how}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_reads_the_live_file_and_the_stopped_one_as_documented(readable: Path) -> None:
    with opened(f"sqlite:///{readable}") as database:
        database.upgrade()
        follow(database, "23501")
        live = look(readable, "mode=ro")
        assert live.stdout == "[('23501',)]\n", live.stderr
        assert "readonly database" in live.stderr
        follow(database, "23502")
        assert look(readable, "mode=ro").stdout == "[('23501',), ('23502',)]\n"
    assert [file.name for file in readable.parent.iterdir()] == ["tracker.db"], "it was stopped cleanly"
    assert look(readable, "mode=ro").stdout == "", "without its log, SQLite wants to write into the folder"
    stopped = look(readable, "immutable=1")
    assert stopped.stdout == "[('23501',), ('23502',)]\n", stopped.stderr
    assert "readonly database" in stopped.stderr


def test_the_documented_ways_are_in_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "history.md").read_text()
    for word in ("mode=ro", "immutable=1", "deploy/readonly.sql"):
        assert word in page

"""Backups: of one moment while everything goes on, checked, and good to go on from."""

import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_setting import KEY, configure, daemon_in_a_thread, settings_of, sql, typed_here, typist
from conftest import Postgres
from promises import broken
from simulation import until
from warm import Warm

from tracker.errors import DatabaseUnfit, TrackerError
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.following.tracking import NewOrder
from tracker.store.upkeep import backup

COUNT = "SELECT count(*) FROM rounds"


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


def counted(url: str) -> int:
    return int(sql(url, COUNT)[0][0])


@pytest.fixture
def programs(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the server's own pg_dump and pg_restore first: an older one refuses it."""
    [[folder]] = sql(postgres.url("postgres"), "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def rounds_of(database: Database, kind: str = "balance") -> int:
    rows = database.history.rounds("acme", limit=None)
    return sum(row["kind"] == kind and row["outcome"] == "ok" for row in rows)


def test_a_backup_of_a_busy_sqlite_is_whole_and_a_daemon_goes_on_from_it(
    sqlite_database: Database, tmp_path: Path
) -> None:
    with Simulator(key=KEY, seed=5) as panel:
        ids = [order.order_id for order in panel.world.spawn(300)]
        copies = [tmp_path / f"{number}.backup" for number in range(5)]
        with daemon_in_a_thread(sqlite_database, [settings_of(panel, "acme")], lease_seconds=2.0) as (_, ended):
            sqlite_database.track("acme", list(map(NewOrder, ids)))
            for copy in copies:
                before = rounds_of(sqlite_database)
                assert sqlite_database.back_up(copy) == copy.stat().st_size
                until(lambda before=before: rounds_of(sqlite_database) > before, "polling to go on")  # type: ignore[misc]
        assert ended.error is None
        for copy in copies:
            assert copy.stat().st_mode & 0o777 == 0o600
            assert broken(url_of(copy)) == {}
        assert sorted(path.name for path in tmp_path.iterdir() if "backup" in path.name) == [
            copy.name for copy in copies
        ], "nothing else is left there"
        restored = tmp_path / "restored.db"
        shutil.copy(copies[-1], restored)
        with opened(url_of(restored)) as again:
            assert again.schema().fits
            before = rounds_of(again)
            assert before > 0
            with daemon_in_a_thread(again, [settings_of(panel, "acme")], lease_seconds=2.0) as (_, ended):
                until(lambda: rounds_of(again) > before, "polling to go on from it")
            assert ended.error is None
        assert broken(url_of(restored)) == {}


def test_the_command_backs_up_and_tells_the_way_back_which_works(
    sqlite_database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, copy = url_of(tmp_path / "tracker.db"), tmp_path / "of today.backup"
    config = str(configure(tmp_path, {}, url))
    a_round(url, "kept")
    type_one = typist(capsys)
    code, out, err = type_one(f"db backup {shlex.quote(str(copy))} --config {config}")
    assert (code, err) == (0, "")
    assert "KiB, checked." in out
    a_round(url, "lost")
    sqlite_database.close()
    way_back = out.partition("stop tracker and run: ")[2]
    subprocess.run(way_back, shell=True, check=True)
    assert counted(url) == 1
    assert typed_here("db", "status", "--config", config) == 0
    code, _, err = type_one(f"db backup {shlex.quote(str(copy))} --config {config}")
    assert code == 1
    assert "is there already" in err
    a_round(url, "later")
    assert type_one(f"db backup {shlex.quote(str(copy))} --force --config {config}")[0] == 0
    assert counted(url_of(copy)) == 2


def a_round(url: str, name: str) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    sql(
        url,
        "INSERT INTO rounds (round, panel, kind, started_at, finished_at, outcome)"
        f" VALUES ('{name}', 'acme', 'statuses', '{now}', '{now}', 'ok')",
    )


@pytest.mark.parametrize(
    ("prepare", "name", "said"),
    [
        ("", "tracker.db", "is the database itself"),
        ("", "tracker.db-wal", "is the database itself"),
        ("ln -s tracker.db link", "link", "is the database itself"),
        ("ln tracker.db link", "link", "is the database itself"),
        ("mkdir folder", "folder", "is a folder"),
        ("mkfifo pipe", "pipe", "is a device or the like"),
        ("touch other.db-wal", "other.db", "is, or was, in use there"),
        ("", "nowhere/file", "cannot be written: No such file"),
    ],
)
def test_what_would_do_harm_is_refused_even_by_force(
    sqlite_database: Database, tmp_path: Path, prepare: str, name: str, said: str
) -> None:
    subprocess.run(prepare, shell=True, check=True, cwd=tmp_path)
    sqlite_database.schema()
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(TrackerError, match=said):
        sqlite_database.back_up(tmp_path / name, force=True)
    assert {path.name for path in tmp_path.iterdir()} - {"tracker.db-shm", "tracker.db-wal"} == before - {
        "tracker.db-shm",
        "tracker.db-wal",
    }
    assert sqlite_database.schema().fits


def test_a_file_that_appears_meanwhile_is_not_replaced(sqlite_database: Database, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    with pytest.raises(TrackerError, match="has appeared meanwhile"):
        sqlite_database.back_up(target, lambda *_: target.write_text("theirs"))
    assert target.read_text() == "theirs"
    assert list(tmp_path.glob("*.part")) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_copied(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 9))  # type: ignore[attr-defined]
    with pytest.raises(TrackerError, match="choose another place"):
        sqlite_database.back_up(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_damaged_database_is_noticed_and_the_older_backup_stays(
    sqlite_database: Database, tmp_path: Path
) -> None:
    source, target = tmp_path / "tracker.db", tmp_path / "copy"
    a_round(url_of(source), "kept")
    sqlite_database.back_up(target)
    good = target.read_bytes()
    sqlite_database.close()
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page, root = (
            connection.execute(query).fetchone()[0]
            for query in ("PRAGMA page_size", "SELECT rootpage FROM sqlite_master WHERE name = 'rounds'")
        )
    with source.open("r+b") as file:
        file.seek(page * (root - 1))
        file.write(b"\x0d" + b"\xff" * (page - 1))
    with pytest.raises(DatabaseUnfit, match=r"damaged.*newest backup that is good"):
        sqlite_database.back_up(target, force=True)
    assert target.read_bytes() == good
    assert list(tmp_path.glob("*.part")) == []


def test_killed_in_the_middle_it_leaves_the_older_backup(sqlite_database: Database, tmp_path: Path) -> None:
    url, target = url_of(tmp_path / "tracker.db"), tmp_path / "copy"
    sqlite_database.back_up(target)
    good = target.read_bytes()
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as connection:
        connection.execute("CREATE TABLE ballast (x)")
        connection.execute("INSERT INTO ballast VALUES (zeroblob(100000000))")
        connection.commit()
    arguments = ["db", "backup", str(target), "--force", "--config", str(configure(tmp_path, {}, url))]
    with Warm(arguments) as process:
        until(lambda: any(part.stat().st_size for part in tmp_path.glob("*.part")), "it to begin")
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert target.read_bytes() == good


@pytest.mark.usefixtures("programs")
def test_a_backup_of_a_busy_postgres_is_whole_and_a_daemon_goes_on_from_it(
    postgres: Postgres, tmp_path: Path
) -> None:
    name, target = postgres.create("migrated"), tmp_path / "copy"
    with Simulator(key=KEY, seed=5) as panel, opened(postgres.url(name)) as database:
        database.track("acme", [NewOrder(order.order_id) for order in panel.world.spawn(300)])
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=2.0) as (_, ended):
            until(lambda: rounds_of(database, "statuses") > 0, "orders to be answered")
            assert database.back_up(target) == target.stat().st_size > 0
            before = rounds_of(database)
            until(lambda: rounds_of(database) > before, "polling to go on")
        assert ended.error is None
        assert target.stat().st_mode & 0o777 == 0o600
        sql(postgres.url(name), "DELETE FROM rounds")
        subprocess.run(database.restoring(target), shell=True, check=True)
        assert database.schema().fits
        assert broken(postgres.url(name)) == {}
        before = rounds_of(database, "statuses")
        assert before > 0
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=2.0) as (_, ended):
            rounds = rounds_of(database)
            until(lambda: rounds_of(database) > rounds, "polling to go on from it")
        assert ended.error is None
    postgres.drop(name)


def test_without_pg_dump_the_exact_command_is_told_and_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    url = "postgresql+psycopg://someone:s3cr3t@db.example/tracker?sslmode=require"
    with opened(url) as database, pytest.raises(TrackerError) as told:
        database.back_up(tmp_path / "copy")
    assert (
        "pg_dump --format=custom --file=FILE '--dbname=postgresql://someone@db.example/tracker?sslmode=require'"
        in str(told.value)
    )
    assert "s3cr3t" not in str(told.value) + database.restoring(tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("programs")
def test_a_secret_that_would_be_an_argument_is_refused_with_the_way_around(tmp_path: Path) -> None:
    url = "postgresql+psycopg://someone@db.example/tracker?sslkey=mine.key&sslpassword=s3cr3t"
    with opened(url) as database:
        with pytest.raises(TrackerError, match=r"sslpassword.*service file.*\?service=NAME") as told:
            database.back_up(tmp_path / "copy")
        said = str(told.value) + database.restoring(tmp_path / "copy") + database.shown
    assert "s3cr3t" not in said
    assert "mine.key" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("programs")
def test_what_pg_dump_complains_about_is_told(tmp_path: Path) -> None:
    complains = pytest.raises(TrackerError, match=r"pg_dump ended with 1: .*127\.0\.0\.1.* Nothing was kept")
    with opened("postgresql+psycopg://someone:s3cr3t@127.0.0.1:9/tracker") as database, complains as told:
        database.back_up(tmp_path / "copy")
    assert "s3cr3t" not in str(told.value)
    assert list(tmp_path.iterdir()) == []

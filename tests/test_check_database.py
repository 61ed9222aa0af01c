"""`tracker check` on the database, its disk, and what it tells about polling."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_setting import sql
from conftest import PANEL, Postgres

from tracker.checks import Finding, How, examine, here, storage
from tracker.checks.polling import polling, seen
from tracker.model import Counts, RoundRow
from tracker.settings import Every, PanelSettings, Secret, Settings
from tracker.store.database import Database
from tracker.store.leases import Lease
from tracker.store.polling.ledger import Ledger
from tracker.store.polling.memory import Memory
from tracker.store.schema import metadata
from tracker.store.upkeep import fitness

NOW = datetime.now(UTC)
NOBODY = 65534
HOUR = timedelta(hours=1)
USUAL = Every()
ABOUT_THE_DATABASE = ("file_system", "disk", "log", "database", "schema", "writing", "intents")


def look(database_url: str) -> dict[str, Finding]:
    """Check a database without any panel; return the findings by check."""
    found = list(examine(Settings(database_url), How(NOW)))
    assert all(one.remedy for one in found if one.result in {"failed", "warning"})
    return {one.check: one for one in found}


def results(found: dict[str, Finding]) -> dict[str, str]:
    return {check: one.result for check, one in found.items() if check in ABOUT_THE_DATABASE}


def counts(database_url: str) -> list[int]:
    return [sql(database_url, f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables]


# The database itself


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the file system of the tests for one that outlives a reboot, wherever it is."""
    monkeypatch.setattr(storage, "FLEETING", {})


@pytest.mark.usefixtures("lasting")
def test_a_sound_database_is_tried_without_a_trace(database: Database, database_url: str) -> None:
    database.acquire(PANEL, "somebody", 60)
    before = counts(database_url)
    found = look(database_url)
    assert set(results(found).values()) == {"ok"}
    assert counts(database_url) == before
    assert sum(before) == 1
    assert ("SQLite 3." in found["database"].said) or ("PostgreSQL " in found["database"].said)


@pytest.mark.usefixtures("lasting")
def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    found = look(f"sqlite:///{tmp_path}/state/tracker.db")
    assert results(found) == {"file_system": "ok", "disk": "ok", "database": "failed"} | dict.fromkeys(
        ("schema", "writing", "intents"), "not_run"
    )
    assert found["database"].remedy == "tracker db upgrade"
    assert found["database"].exit_code == 10
    assert not list(tmp_path.iterdir())


def test_an_empty_database_wants_its_tables(database_url: str) -> None:
    found = look(database_url)
    assert found["schema"].remedy == "tracker db upgrade"
    assert found["schema"].exit_code == 10
    assert found["writing"].said == "the schema failed"


def test_a_newer_schema_wants_a_newer_tracker(sqlite_database: Database, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    assert sqlite_database.schema().fits
    sql(url, "UPDATE alembic_version SET version_num = '9999'")
    found = look(url)
    assert "9999" in found["schema"].said
    assert found["schema"].remedy == "pip install --upgrade order-tracker"
    assert found["schema"].exit_code == 10
    assert found["intents"].result == "not_run"


def test_the_tables_of_something_else_are_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    (tmp_path / "other.db").touch()
    sql(url, "CREATE TABLE albums (id INTEGER)")
    found = look(url)
    assert "albums" in found["schema"].said
    assert "Write another one: database_url" in str(found["schema"].remedy)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "tracker.db").write_text("no database" * 1000)
    found = look(f"sqlite:///{tmp_path}/tracker.db")
    assert found["database"].result == "failed"
    assert f"ls -ld {tmp_path}" in str(found["database"].remedy)


def test_a_writer_that_stays_is_found_after_a_short_wait(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sqlite_database.schema().fits
    monkeypatch.setattr(fitness, "PATIENCE", 0)
    writer = sqlite3.connect(tmp_path / "tracker.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    found = look(f"sqlite:///{tmp_path}/tracker.db")
    writer.close()
    assert "locked" in found["writing"].said
    assert f"fuser -v {tmp_path}/tracker.db" in str(found["writing"].remedy)
    assert found["writing"].exit_code == 10
    assert found["intents"].result == "ok", "reading goes on"
    assert look(f"sqlite:///{tmp_path}/tracker.db")["writing"].result == "ok"


def test_a_standby_of_postgres_cannot_be_written(postgres: Postgres) -> None:
    name = postgres.create("migrated")
    postgres.run("CREATE FUNCTION pg_is_in_recovery() RETURNS bool LANGUAGE sql RETURN true", name)
    postgres.run(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")  # so that ours is asked
    found = look(postgres.url(name))
    postgres.drop(name)
    assert "a standby, which can only be read" in found["database"].said
    assert found["database"].exit_code == 10
    assert "database_url" in str(found["database"].remedy)
    assert found["schema"].result == "not_run"


def test_a_role_without_rights_is_told_though_nothing_is_written(postgres: Postgres) -> None:
    name = postgres.create("migrated")
    postgres.run("CREATE ROLE checker LOGIN PASSWORD 'for-tests'")
    postgres.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO checker", name)
    tables = ", ".join(table for table in metadata.tables if table != "refills")
    postgres.run(f"GRANT INSERT, UPDATE ON {tables} TO checker", name)
    url = postgres.url(name)
    owner = url.partition("://")[2].partition("@")[0]
    found = look(url.replace(f"://{owner}@", "://checker:for-tests@"))
    postgres.drop(name)
    postgres.run("DROP ROLE checker")
    assert "permission denied for table refills" in found["writing"].said
    assert found["writing"].exit_code == 10
    assert "for-tests" not in repr(found)


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    found = look("postgresql+psycopg://someone:s3cret@127.0.0.1:9/tracker")
    assert results(found)["database"] == "failed"
    assert found["database"].exit_code == 10
    assert found["database"].remedy == "psql postgresql://someone@127.0.0.1:9/tracker -c 'SELECT version()'"
    assert "s3cret" not in repr(found)


def test_an_intent_without_an_outcome_is_a_warning(database: Database, database_url: str) -> None:
    assert database.schema().fits
    columns = "uuid, panel, action, state, payload, deadline_at"
    deadline = "2026-01-01 00:00:00" if database_url.startswith("sqlite") else "2026-01-01 00:00:00+00"
    sql(
        database_url,
        f"INSERT INTO intents ({columns}) VALUES ('u', 'acme', 'add', 'unknown', '{{}}', '{deadline}')",
    )
    found = look(database_url)["intents"]
    assert found.result == "warning"
    assert "tracker resolve INTENT" in str(found.remedy)


# The disk


@pytest.fixture
def small_disk(tmp_path: Path, migrated_file: Path) -> Iterator[Path]:
    """A database on a disk of its own, of a MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount") if os.geteuid() == 0 else None
    command = [str(mount), "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    done = None if mount is None else subprocess.run(command, capture_output=True, text=True, check=False)
    if done is None or done.returncode:
        pytest.skip("no small disk to be full: only root may mount one" if done is None else done.stderr)
    shutil.copy(migrated_file, disk / "tracker.db")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_fails_before_it_loses_anything(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/tracker.db"
    assert "little" not in look(url)["disk"].said
    with pytest.raises(OSError, match="No space"):
        (small_disk / "rest").write_bytes(bytes(4 << 20))
    found = look(url)
    assert found["disk"].result == "failed"
    assert found["disk"].exit_code == 10
    assert found["disk"].remedy == f"df -h {small_disk}"
    assert "tmpfs" in found["file_system"].said
    assert found["file_system"].result == "warning"


def test_a_disk_that_is_read_only_fails(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = look(f"sqlite:///{small_disk}/tracker.db")
    assert found["disk"].said == f"cannot write into {small_disk}: Read-only file system"
    assert found["disk"].remedy == f"ls -ld {small_disk}"
    assert "failed" in {found["database"].result, found["writing"].result}


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be no root for a while: root may write every file."""
    before = os.geteuid()
    os.seteuid(NOBODY if before == 0 else before)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def enterable() -> Iterator[Path]:
    """A folder that others may enter as well, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="tracker-check-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_file_that_is_read_only_fails(enterable: Path, migrated_file: Path) -> None:
    path = enterable / "tracker.db"
    shutil.copy(migrated_file, path)
    path.chmod(0o444)
    if os.geteuid() == 0:
        os.chown(enterable, NOBODY, NOBODY)
    with as_nobody():
        found = look(f"sqlite:///{path}")
    assert found["schema"].result == "ok"
    assert "readonly database" in found["writing"].said
    assert found["writing"].remedy == f"ls -ld {enterable} {path}"
    assert found["writing"].exit_code == 10


def test_a_folder_that_is_read_only_fails(enterable: Path, migrated_file: Path) -> None:
    path = enterable / "tracker.db"
    shutil.copy(migrated_file, path)
    enterable.chmod(0o555)
    with as_nobody():
        found = look(f"sqlite:///{path}")
    assert found["disk"].said == f"cannot write into {enterable}: Permission denied"
    assert found["disk"].remedy == f"ls -ld {enterable}"
    assert "failed" in {found["database"].result, found["writing"].result}


@pytest.mark.parametrize(
    ("little", "scarce", "result"), [(0, 0, "ok"), (0, 1 << 60, "warning"), (1 << 60, 1 << 60, "failed")]
)
def test_room_that_gets_scarce_is_told_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, little: int, scarce: int, result: str
) -> None:
    monkeypatch.setattr(storage, "LITTLE", little)
    monkeypatch.setattr(storage, "SCARCE", scarce)
    disk = next(one for one in storage.storage(tmp_path / "tracker.db") if one.check == "disk")
    assert disk.result == result
    assert f"df -h {tmp_path}" in str(disk.remedy) or result == "ok"


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/export /srv/data nfs4 rw 0 0
/dev/sdb1 /srv/data/local\\040disk xfs rw 0 0
//nas/share /mnt cifs rw 0 0
/dev/sdc1 /mnt btrfs rw 0 0
overlay /box overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind", "result"),
    [
        ("/var/lib/tracker", "ext4", "ok"),
        ("/srv/data/tracker", "nfs4", "failed"),
        ("/srv/data2", "ext4", "ok"),
        ("/srv/data/local disk/tracker", "xfs", "ok"),
        ("/mnt", "btrfs", "ok"),
        ("/box/state", "overlay", "warning"),
    ],
)
def test_a_network_file_system_is_known_by_its_mount(tmp_path: Path, folder: str, kind: str, result: str) -> None:
    assert storage.kind_of(Path(folder), MOUNTS) == kind
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/ {tmp_path} {kind} rw 0 0\n")
    found = next(iter(storage.storage(tmp_path / "tracker.db", mounts)))
    assert found.result == result
    assert kind in found.said
    assert "database_url =" in str(found.remedy) or result == "ok"


def test_a_log_that_only_grows_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "tracker.db").touch()
    with (tmp_path / "tracker.db-wal").open("wb") as log:
        log.truncate(300 << 20)  # a hole: it takes no room
    *_, found = storage.storage(tmp_path / "tracker.db")
    assert found.result == "warning"
    assert "300 MiB" in found.said
    assert f"fuser -v {tmp_path}/tracker.db" in str(found.remedy)


# Who runs it, and the keys


@pytest.mark.parametrize(
    ("mode", "result", "remedy"),
    [
        (0o600, "ok", None),
        (0o400, "ok", None),
        (0o640, "ok", None),
        (0o644, "warning", "chmod 600"),
        (0o604, "warning", "chmod 600"),
        (0o620, "warning", "chmod 600"),
        (0o660, "warning", "chmod 640"),
    ],
)
def test_a_key_file_is_for_its_owner(tmp_path: Path, mode: int, result: str, remedy: str | None) -> None:
    path = tmp_path / "acme key"
    path.touch()
    path.chmod(mode)
    found = here.key_file(PanelSettings("acme", "https://acme.example", Secret("k"), path))
    assert found.result == result
    assert found.remedy == (None if remedy is None else f"{remedy} '{path}'")


def test_a_key_file_that_has_gone_is_told(tmp_path: Path) -> None:
    found = here.key_file(PanelSettings("acme", "https://acme.example", Secret("k"), tmp_path / "gone"))
    assert (found.result, found.exit_code) == ("failed", 78)


def test_what_root_may_do_is_not_taken_for_what_the_daemon_may(tmp_path: Path) -> None:
    path = tmp_path / "tracker.db"
    path.touch()
    assert here.user(path).result == "ok"
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(path, NOBODY, NOBODY)
    found = here.user(path)
    assert found.result == "warning"
    assert found.remedy == "sudo -u nobody tracker check"


# How polling goes


def about_polling(database: Database, every: Every = USUAL, *, paused: bool = False) -> dict[str, Finding]:
    panel = PanelSettings(PANEL, "https://acme.example/api/v2", Secret("k"), None, paused=paused)
    now = datetime.now(UTC)
    found = list(polling(panel, every, seen(database, Settings("", (panel,)), now), database, now))
    assert all(one.remedy for one in found if one.result == "warning")
    return {one.check: one for one in found}


def past(database_url: str, order_id: str, ago: timedelta) -> None:
    """Follow an order that is due for so long."""
    values = {"panel": PANEL, "order_id": order_id}
    sql(database_url, "INSERT INTO orders (panel, order_id) VALUES (:panel, :order_id)", **values)
    due = (datetime.now(UTC) - ago).strftime("%Y-%m-%d %H:%M:%S.%f")
    moment = "CAST(:due AS timestamp) AT TIME ZONE 'UTC'" if "postgres" in database_url else ":due"
    times = f"tracked_at = {moment}, next_poll_at = {moment}"
    sql(database_url, f"UPDATE orders SET {times} WHERE order_id = :id", due=due, id=order_id)


def fetched(ledger: Ledger, ago: timedelta) -> None:
    """Have the catalog fetched so long ago."""
    at = datetime.now(UTC) - ago
    ledger.finish_round(RoundRow(f"round {ago}", "catalog", at, at, Counts(requests=1), "ok"), ())


def test_a_panel_that_was_never_polled_is_fine(database: Database) -> None:
    found = about_polling(database)
    assert {one.result for one in found.values()} == {"ok"}
    assert "nobody has polled it yet" in found["lease"].said


def test_a_polled_panel_without_lag_is_fine(database: Database, database_url: str, memory: Memory) -> None:
    past(database_url, "1", timedelta(seconds=20))
    fetched(memory.ledger, HOUR)
    found = about_polling(database)
    assert {one.result for one in found.values()} == {"ok"}
    assert found["lease"].said == "test polls it"
    assert "1 open order, the one that waits longest for 2" in found["lag"].said


def test_an_order_that_waits_beyond_the_promise_is_a_warning(
    database: Database, database_url: str, memory: Memory, lease: Lease
) -> None:
    fetched(memory.ledger, HOUR)
    past(database_url, "1", timedelta(minutes=10))
    found = about_polling(database)
    assert found["lag"].result == "warning"
    assert found["lag"].said.endswith("; late: 1")
    assert "requests_per_minute below [panels.acme]" in str(found["lag"].remedy)
    database.release(lease)
    found = about_polling(database)
    assert found["lag"].result == "warning"
    assert "systemctl start tracker" in str(found["lag"].remedy)
    assert found["lease"].result == "warning"
    assert "the last was test" in found["lease"].said
    assert {about_polling(database, paused=True)[check].result for check in ("lag", "lease")} == {"ok"}


def test_an_old_catalog_is_a_warning(database: Database, memory: Memory) -> None:
    fetched(memory.ledger, 10 * HOUR)
    found = about_polling(database)["catalog"]
    assert found.result == "warning"
    assert found.said == "fetched 10h ago"
    assert about_polling(database, Every(statuses=8 * 3600))["catalog"].result == "ok", "it waits for a long round"
    fetched(memory.ledger, 2 * HOUR)
    assert about_polling(database)["catalog"].result == "ok"


@pytest.mark.parametrize(("learned", "result"), [("true", "ok"), ("false", "warning"), ("NULL", "ok")])
def test_what_a_panel_does_not_understand_costs_requests(
    database: Database, database_url: str, learned: str, result: str
) -> None:
    sql(database_url, f"INSERT INTO panels (name, bulk_status) VALUES ('{PANEL}', {learned})")
    for order_id in "123":
        past(database_url, order_id, timedelta(seconds=1))
    found = about_polling(database)
    assert found["abilities"].result == result
    assert found["lag"].said.endswith("a sweep takes 3s" if learned == "false" else "a sweep takes 1s")


def test_a_database_that_cannot_be_read_leaves_polling_unknown(tmp_path: Path) -> None:
    key = tmp_path / "acme.key"
    key.touch(0o600)
    panel = PanelSettings("acme", "https://acme.example", Secret("k"), key)
    settings = Settings(f"sqlite:///{tmp_path}/tracker.db", (panel,))
    found = [one for one in examine(settings, How(NOW, offline=True)) if one.panel == "acme"]
    assert [one.result for one in found] == ["ok"] + ["not_run"] * 9
    assert {one.said for one in found[1:]} == {"--offline", "the database failed"}

"""What deploy/ and docs/operations.md say is so. `pytest tests/system` tries the rest in a Debian with systemd."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest
from books import everything
from cli_setting import sql
from filled import fill, whole_second

from tracker import errors
from tracker.cli.main import COMMANDS
from tracker.store.database import Database

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "tracker.service").read_text()
PAGE = (ROOT / "docs" / "operations.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "tracker").rglob("*.py"))

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze here")


def values(name: str) -> list[str]:
    """Return what the unit says of one directive."""
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_what_a_restart_cannot_mend_is_not_restarted() -> None:
    spared = {int(code) for code in values("RestartPreventExitStatus")[0].split()}
    credentials = 243  # systemd.exec(5): a file of LoadCredential= that cannot be read
    assert spared == {errors.EXIT_USAGE, errors.EXIT_DATABASE, errors.EXIT_CONFIGURATION, credentials}


def test_every_group_of_directives_comes_with_its_reason() -> None:
    service = UNIT.partition("[Service]\n")[2].partition("\n[Install]")[0]
    for block in service.split("\n\n"):
        assert block.lstrip().startswith("#"), block


def test_the_unit_has_no_type_that_debian_12_does_not_know() -> None:
    assert values("Type") == ["notify"]
    assert values("ExecReload") == ["/bin/kill -HUP $MAINPID"]


@needs_systemd
def test_the_exposure_is_low() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=12", f"{DEPLOY}/tracker.service"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_systemd
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "tracker.service"
    unit.write_text(UNIT.replace("/opt/tracker/current/bin/tracker run", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "tracker.service" not in done.stdout + done.stderr  # units of this machine may have faults of their own


def test_the_pooler_gives_connections_back_after_each_transaction() -> None:
    config = ConfigParser(interpolation=None)
    config.read(DEPLOY / "pgbouncer.ini")
    assert config["pgbouncer"]["pool_mode"] == "transaction"
    assert config["pgbouncer"]["listen_addr"] == "127.0.0.1"
    assert "tracker" in config["databases"]


def test_the_page_names_only_files_that_are_there() -> None:
    named = set(re.findall(r"\bdeploy/([a-z.-]+[a-z])", PAGE))
    assert named >= {"tracker.service", "tracker.sysusers", "tracker.tmpfiles", "keys.conf", "as-tracker"}
    assert [name for name in sorted(named) if not (DEPLOY / name).exists()] == []


def test_a_renamed_panel_takes_its_whole_history_along(database: Database, database_url: str) -> None:
    fill(database, whole_second())
    before = everything(database)
    named = {table for table, rows in before.items() if any("acme" in row.values() for row in rows)}
    assert named == {"panels", *(table for table, rows in before.items() if "panel" in rows[0])}
    for statement in re.findall(r"^UPDATE .+", PAGE, re.MULTILINE):
        sql(database_url, statement.replace("'senderin'", "'acme'"))
    for table, rows in everything(database).items():
        renamed = [
            {**row, **{name: "senderin-eu" for name, told in row.items() if told == "acme"}}
            for row in before[table]
        ]
        assert sorted(map(repr, rows)) == sorted(map(repr, renamed)), table


def test_the_page_names_only_commands_that_there_are() -> None:
    named = set(re.findall(r"(?:`|^)(?:as-)?tracker ([a-z]+)", PAGE, re.MULTILINE))
    assert named
    assert named <= set(COMMANDS)


def test_the_page_names_only_events_that_are_logged() -> None:
    table = PAGE.partition("## Troubleshooting")[2].partition("\n## ")[0]
    events = [name for name in re.findall(r"`([a-z]+\.[a-z_]+)`", table) if name != "keys.conf"]
    assert len(events) > 10
    assert [event for event in events if f'"{event}"' not in SOURCE] == []


def test_every_exit_code_that_ends_the_service_is_explained() -> None:
    told = {int(code) for code in re.findall(r"^\| exit code (\d+)", PAGE, re.MULTILINE)}
    assert told == {int(code) for code in values("RestartPreventExitStatus")[0].split()}

"""`tracker check` as people type it: what is printed, in which order, and the exit code."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_setting import KEY, Type, configure, typed_here, typist
from raw_panel import RawPanel, ok
from read_setting import on_terminal

from tracker.simulator import Simulator

NOWHERE = "http://127.0.0.1:9/api/v2"
EVERY = ["configuration", "user", "file_system", "disk", "log", "database", "schema", "writing", "intents"]
OF_A_PANEL = ["key_file", "dns", "connection", "tls", "balance", "clock", "abilities", "lease", "lag", "catalog"]


class Desk:
    """A folder with a configuration, and somebody who types in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.database = folder / "tracker.db"
        self._type: Type = typist(capsys)

    def configure(self, **panels: str) -> Path:
        return configure(self.folder, panels, f"sqlite:///{self.database}", every="1m")

    def type(self, line: str) -> tuple[int, str]:
        """Type a line; return exit code and output, in which no key stands."""
        code, out, err = self._type(line)
        assert KEY not in out + err
        return code, out + err

    def check(self, options: str = "") -> tuple[int, list[dict[str, Any]]]:
        """Type `tracker check --json`; return the exit code and what was found."""
        code, out = self.type(f"check --json {options}")
        return code, json.loads(out)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    for name in ("TRACKER_CONFIG", "TRACKER_DATABASE_URL", "CONFIGURATION_DIRECTORY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path, capsys)


@pytest.fixture
def ready(desk: Desk) -> Desk:
    """The same with a database."""
    desk.configure(acme=NOWHERE)
    assert desk.type("db upgrade")[0] == 0
    return desk


def results(found: list[dict[str, Any]], panel: str | None) -> dict[str, str]:
    return {one["check"]: one["result"] for one in found if one["panel"] == panel}


def test_a_sound_installation_is_told_line_by_line_and_costs_one_request(ready: Desk) -> None:
    with Simulator(key=KEY) as panel:
        ready.configure(acme=panel.url)
        code, found = ready.check()
        assert panel.counts == {"balance": 1}
    assert code == 0
    assert [one["check"] for one in found] == EVERY + OF_A_PANEL
    wanted = {"ok", "not_run", "warning"}  # the simulator tells no time; the disk here is whatever it is
    assert set(results(found, "acme").values()) | set(results(found, None).values()) <= wanted
    assert results(found, "acme")["balance"] == "ok"


def test_people_read_each_finding_below_its_panel_with_the_remedy(ready: Desk) -> None:
    code, out = ready.type("check")
    assert code == 5
    lines = out.splitlines()
    at = lines.index("acme")
    assert lines[0].startswith("  ok       configuration  ")
    assert lines[at + 1].startswith("  ok       key file       ")
    refused = next(number for number, line in enumerate(lines) if line.startswith("  failed   connection     "))
    assert lines[refused + 1].startswith(" " * 26 + "→ curl -sSv")
    assert "  not run  balance        connection failed" in lines
    assert ", 1 failed, " in lines[-1]


def test_offline_sends_nothing_to_panels(ready: Desk) -> None:
    with RawPanel(lambda _: None) as panel:
        ready.configure(acme=panel.url)
        code, found = ready.check("--offline")
        assert (code, panel.connections) == (0, 0)
    assert results(found, "acme")["balance"] == "not_run"
    assert results(found, "acme")["lag"] == "ok"


def test_a_paused_panel_is_left_alone_unless_it_is_named(ready: Desk) -> None:
    with Simulator(key=KEY) as panel:
        config = ready.configure(acme=panel.url)
        config.write_text(config.read_text().replace("[every]", "paused = true\n[every]"))
        assert results(ready.check()[1], "acme")["balance"] == "not_run"
        assert panel.counts == {}
        assert results(ready.check("--panel acme")[1], "acme")["balance"] == "ok"


def test_only_the_named_panel_is_checked(ready: Desk) -> None:
    with Simulator(key=KEY) as panel:
        ready.configure(acme=panel.url, gone=NOWHERE)
        assert {one["panel"] for one in ready.check("--panel acme")[1]} == {None, "acme"}
        assert {one["panel"] for one in ready.check()[1]} == {None, "acme", "gone"}
    code, out = ready.type("check --panel acem")
    assert code == 78
    assert "Did you mean acme?" in out


def test_every_error_of_the_configuration_is_told_at_once(ready: Desk) -> None:
    config = ready.configure(acme="ftp://panel.example")
    config.write_text(config.read_text().replace("requests_per_minute = 6000", "in_flight = 99"))
    code, out = ready.type("check")
    assert code == 78
    assert f"{config}: panels.acme.url" in out
    assert f"{config}: panels.acme.in_flight" in out
    assert "not run  database       the configuration failed" in out


def test_no_configuration_at_all_is_told_with_what_to_write(desk: Desk) -> None:
    code, out = desk.type("check")
    assert code == 78
    assert "key_file = " in out


def test_a_missing_key_keeps_nothing_else_from_being_checked(ready: Desk) -> None:
    with Simulator(key=KEY) as panel:
        ready.configure(acme=panel.url)
        (ready.folder / "panel.key").unlink()
        code, found = ready.check()
        assert panel.counts == {}
    assert code == 78
    assert results(found, None)["schema"] == "ok"
    of_panel = results(found, "acme")
    assert [of_panel[check] for check in ("key_file", "connection", "balance", "lag")] == [
        "not_run",
        "ok",
        "not_run",
        "ok",
    ]


def test_a_world_readable_key_is_a_warning_and_no_failure(ready: Desk) -> None:
    (ready.folder / "panel.key").chmod(0o644)
    code, found = ready.check("--offline")
    assert code == 0
    mine = next(one for one in found if one["check"] == "key_file")
    assert (mine["result"], mine["remedy"]) == ("warning", f"chmod 600 {ready.folder}/panel.key")


def test_the_exit_code_is_that_of_the_first_failure(desk: Desk) -> None:
    with Simulator(key="another") as strict:
        desk.configure(strict=strict.url, gone=NOWHERE)
        assert desk.check()[0] == 10, "no database"
        assert desk.type("db upgrade")[0] == 0
        assert desk.check()[0] == 4, "a refused key"
        desk.configure(gone=NOWHERE, strict=strict.url)
        assert desk.check()[0] == 5, "nobody answers"


def test_a_panel_that_quotes_the_key_does_not_get_it_printed(ready: Desk) -> None:
    body = f"<p>Unknown key={KEY} {KEY}</p>".encode()
    with RawPanel(lambda _: ok(body, status="500 X")) as panel:
        ready.configure(acme=panel.url)
        assert ready.type("check")[0] == 5
        assert ready.check()[0] == 5
        assert [asked.fields["key"] for asked in panel.asked] == [KEY, KEY]


def test_a_person_who_waits_sees_what_is_under_way_and_then_only_findings(
    ready: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with Simulator(key=KEY) as panel:
        ready.configure(acme=panel.url)
        shown = on_terminal("check", 60)
    assert "… the way to acme" in shown.raw
    assert not any("…" in line for line in shown.lines)
    assert max(map(len, shown.lines)) <= 60
    assert any(line.startswith("  ok") and "balance" in line for line in shown.lines)
    assert "\x1b[32mok" in shown.raw


def test_csv_and_json_lines_hold_the_same(ready: Desk) -> None:
    rows = ready.check("--offline")[1]
    lines = ready.type("check --offline --format jsonl")[1].splitlines()
    assert [json.loads(line)["check"] for line in lines] == [row["check"] for row in rows]
    assert ready.type("check --offline --format csv")[1].splitlines()[0] == "panel,check,result,said,remedy"
    assert typed_here("check", "--help") == 0

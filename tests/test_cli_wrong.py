"""What people read when something is wrong: one sentence with the remedy, an exit code, and never a traceback."""

import json
import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from cli_setting import KEY, TRACKER, Type, configure, sql, typed, typed_here, typist
from simulation import PATIENCE, until
from warm import Warm

from tracker.simulator import Simulator


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command where nothing was recorded yet."""
    configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    monkeypatch.chdir(tmp_path)
    assert typed_here("db", "upgrade") == 0
    return typist(capsys)


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("track --panel acme 1,2", 2, "no comma, no space"),
        ("track --panel acme ''", 2, "cannot be the id of an order"),
        ("track --panel 'a b/c' 1", 2, "'a b/c' cannot be the name of a panel"),
        ("track --panel acem 1", 78, "Did you mean acme?"),
        ("track --panel acme 1 2 --refill 3", 2, "name exactly one"),
        ("track --panel acme 1 --ordered-at soon", 2, "is no time like"),
        ("track 1", 2, "Missing option '--panel'"),
        ("poll --panel acem", 78, "Did you mean acme?"),
        ("poll statuses 23501", 2, "not both"),
        ("poll 99999999", 1, "No order 99999999 is known"),
        ("untrack acme/7 --panel other", 2, "--panel other, but the order is named acme/7: say one of them"),
        ("track --panel acme 7 --ordered-at 2099-01-01", 2, "is in the future"),
        ("orders --limit 0", 2, "--limit"),
        ("orders --limit 9223372036854775807", 2, "is not in the range"),
        ("orders --link '\udcff'", 2, r"'\xff' is no Unicode text: type it in UTF-8"),
        ("show '\udcff'", 2, r"'\xff' is no Unicode text"),
        ("orders --format xml", 2, "'json'"),
        ("orders --state done", 2, "completed"),
        ("frobnicate", 2, "No such command"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_exit_code(empty: Type, line: str, code: int, said: str) -> None:
    got, out, err = empty(line)
    assert (got, out) == (code, "")
    assert said in err


@pytest.mark.parametrize(
    ("fault", "code"), [("bad-key", 4), ("http-502", 5), ("temporarily-unavailable", 5), ("not-json", 1)]
)
def test_poll_ends_with_the_code_of_the_fault(tmp_path: Path, fault: str, code: int) -> None:
    with Simulator(key=KEY, faults={fault: 1.0}) as panel:
        config = str(configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db"))
        assert typed_here("poll", "balance", "--config", config) == code
    assert typed_here("poll", "balance", "--all", "--config", config) == 5, "nobody listens there any more"


def test_poll_that_went_partly_well_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Simulator(key=KEY) as well, Simulator(key="another") as strict:
        urls = {"strict": strict.url, "well": well.url}
        config = str(configure(tmp_path, urls, f"sqlite:///{tmp_path}/tracker.db"))
        assert typed_here("poll", "balance", "--config", config, "--json") == 3
    rows = {row["panel"]: row["outcome"] for row in json.loads(capsys.readouterr().out)}
    assert rows == {"strict": "key_refused", "well": "ok"}


def test_poll_asks_no_more_with_a_refused_key_even_about_all_and_asks_again_when_it_is_typed_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator(key="another") as strict:
        config = str(configure(tmp_path, {"strict": strict.url}, f"sqlite:///{tmp_path}/tracker.db"))
        assert typed_here("track", "--panel", "strict", "1", "--config", config) == 0
        for times in (1, 2):
            capsys.readouterr()
            assert typed_here("poll", "--all", "--config", config, "--json") == 4
            assert [row["kind"] for row in json.loads(capsys.readouterr().out)] == ["statuses"]
            assert strict.counts.total() == times


@pytest.mark.parametrize(
    "command", ["poll", "track --panel acme 7", "orders", "show 7", "db status", "db upgrade"]
)
def test_an_unreachable_database_is_a_sentence_and_exit_code_10(
    empty: Type, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", "postgresql://someone:s3cret@127.0.0.1:9/tracker")
    code, out, err = empty(command)
    assert (code, out) == (10, "")
    assert "127.0.0.1" in err
    assert "Traceback" not in err
    assert "s3cret" not in err


@pytest.mark.parametrize("command", ["orders", "show 7", "rounds", "db status"])
def test_an_absent_database_is_not_made_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", f"sqlite:///{tmp_path}/none.db")
    monkeypatch.chdir(tmp_path)
    assert typed_here(*shlex.split(command)) == 10
    assert "`tracker db upgrade` makes it" in capsys.readouterr().err
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("command", ["orders", "health", "db upgrade", "check --offline", "run"])
def test_a_database_that_cannot_even_be_looked_at_is_unfit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """As a folder that may not be entered, but for root as well."""
    config = configure(tmp_path, {"acme": "https://acme.example"}, f"sqlite:///{tmp_path}/{'a' * 300}/tracker.db")
    monkeypatch.chdir(tmp_path)
    assert typed_here(*shlex.split(command), "--config", str(config)) == (1 if command == "health" else 10)
    captured = capsys.readouterr()
    assert "File name too long" in captured.out + captured.err


@pytest.mark.parametrize("command", ["db backup", "export orders", "import --panel acme"])
def test_a_file_that_cannot_be_looked_at_is_a_sentence(empty: Type, command: str) -> None:
    code, _, err = empty(f"{command} {'a' * 300}")
    assert code in {1, 2}
    assert "File name too long" in err


def test_the_schema_is_made_told_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    config = ["--config", str(configure(tmp_path, {"acme": "https://acme.example"}, url))]
    assert typed_here("db", "upgrade", *config) == 0
    assert "(empty) -> 0004" in capsys.readouterr().out
    assert typed_here("db", "upgrade", *config) == 0
    assert "already" in capsys.readouterr().out
    assert typed_here("db", "status", *config) == 0
    assert "fits" in capsys.readouterr().out
    sql(url, "UPDATE alembic_version SET version_num = '9999'")
    assert typed_here("db", "status", "--json", *config) == 10
    said = capsys.readouterr()
    assert json.loads(said.out)["fits"] is False
    assert "a newer tracker has been here" in said.err


def test_every_error_of_a_configuration_is_told_at_once_and_nothing_is_started(tmp_path: Path) -> None:
    config = tmp_path / "tracker.toml"
    config.write_text(
        f"""
        database_url = "sqlite:///{tmp_path}/tracker.db"
        [panels.acme]
        url = "http://acme.example/api/v2"
        key_file = "nowhere.key"
        [panels.beta]
        url = "not an address"
        key_file = "nowhere.key"
        request_per_minute = 5
        [every]
        statuses = 0
        """
    )
    ended = typed("run", config=config)
    assert (ended.returncode, ended.stdout) == (78, "")
    for said in (
        "6 errors",
        "panels.acme.url: would send the key in the clear over plain http",
        "panels.acme.key_file",
        "panels.beta.url: must be an http(s) address",
        "panels.beta.key_file",
        "panels.beta.request_per_minute: is not known; did you mean `requests_per_minute`?",
        "every.statuses: must be from 1s to 7d",
    ):
        assert said in ended.stderr
    assert ended.stderr.count(str(config)) == 6
    assert not (tmp_path / "tracker.db").exists()


def test_ctrl_c_ends_a_poll_with_130_and_no_traceback(tmp_path: Path) -> None:
    with Simulator(key=KEY, latency=3600) as panel:
        config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
        with Warm(["poll", "--config", str(config)], stderr=subprocess.PIPE) as process:
            until(lambda: panel.counts.total() > 0, "a request to be in flight")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(PATIENCE)
        assert process.returncode == 130
        assert "Traceback" not in err


@pytest.mark.parametrize("line", ["orders", "orders --json", "rounds --format csv", "stats", "--help"])
def test_a_full_disk_under_what_is_printed_is_said(tmp_path: Path, line: str) -> None:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    assert typed_here("db", "upgrade", "--config", str(config)) == 0
    with (
        Path("/dev/full").open("w") as full,
        Warm(shlex.split(line), stdout=full, stderr=subprocess.PIPE, cwd=tmp_path) as process,
    ):
        _, told = process.communicate(PATIENCE)
    assert (process.returncode, told.splitlines()[-1]) == (
        1,
        "tracker: what this prints cannot be written: No space left on device. Make room.",
    )


def test_an_export_onto_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    assert typed_here("db", "upgrade", "--config", str(config)) == 0
    with (
        Path("/dev/full").open("w") as full,
        Warm(["export", "orders", "-"], stdout=full, stderr=subprocess.PIPE, cwd=tmp_path) as process,
    ):
        _, told = process.communicate(PATIENCE)
    assert process.returncode == 1
    assert "No space left on device" in told
    assert "Exception ignored" not in told


@pytest.mark.parametrize(
    "line", ["orders", "balance --plot", "export orders -", "verify", "--help", "orders --limit 0"]
)
def test_what_is_printed_where_every_stream_is_closed_goes_nowhere(tmp_path: Path, line: str) -> None:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    assert typed_here("db", "upgrade", "--config", str(config)) == 0
    command = f"{shlex.join(TRACKER)} {line} <&- >&- 2>&-; echo $?"
    code = int(subprocess.check_output(["sh", "-c", command], cwd=tmp_path))
    assert code == (2 if "limit" in line else 0)
    assert typed_here("verify", "--config", str(config)) == 0

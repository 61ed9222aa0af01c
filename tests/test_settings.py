"""The configuration: what is accepted, what every error says, and that no key is ever shown."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.errors import ConfigurationFault
from tracker.model import Keep
from tracker.settings import Every, PanelSettings, Secret, Settings, hidden, load, seconds, shown, spelled

KEY = "planted0key1planted2key3planted4"
PANEL = '[panels.senderin]\nurl = "https://senderin.ru/api/v2"\nkey_file = "senderin.key"\n'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration, with a good key beside it, and return its path."""

    def put(text: str = PANEL, key: bytes = KEY.encode() + b"\n") -> Path:
        key_file = tmp_path / "senderin.key"
        key_file.write_bytes(key)
        key_file.chmod(0o600)
        path = tmp_path / "tracker.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


def complaint(path: Path | None, environ: dict[str, str] | None = None) -> str:
    """Load what must be refused and return what was said, having checked that the key is not in it."""
    with pytest.raises(ConfigurationFault) as caught:
        load(path, environ or {"HOME": "/home/someone"})
    text = str(caught.value)
    assert KEY not in text
    assert KEY not in repr(caught.value)
    for jargon in ("pydantic", "validation error", "Input should", "Value error", "type=", "errors.pydantic.dev"):
        assert jargon not in text
    return text


def test_a_whole_file_becomes_frozen_records(write: Write, tmp_path: Path) -> None:
    path = write(
        f"""
        database_url = "sqlite:///data/tracker.db"
        {PANEL}
        requests_per_minute = 90
        in_flight = 4
        paused = true
        [every]
        statuses = "90s"
        refills = "1h30m"
        balance = 120
        catalog = "2d"
        """
    )
    settings = load(path, {})
    assert settings == Settings(
        database_url=f"sqlite:///{tmp_path}/data/tracker.db",
        panels=(
            PanelSettings(
                name="senderin",
                url="https://senderin.ru/api/v2",
                key=Secret(KEY),
                key_file=tmp_path / "senderin.key",
                requests_per_minute=90.0,
                in_flight=4,
                paused=True,
            ),
        ),
        every=Every(statuses=90.0, refills=5400.0, balance=120.0, catalog=172_800.0),
        source=path,
        warnings=(),
    )
    assert settings.panels[0].key.reveal() == KEY


def test_what_is_not_written_has_the_documented_defaults(write: Write) -> None:
    settings = load(write(), {"STATE_DIRECTORY": "/var/lib/tracker"})
    panel = settings.panels[0]
    assert (panel.requests_per_minute, panel.in_flight, panel.paused, panel.allow_http) == (60.0, 2, False, False)
    assert settings.every == Every(60.0, 300.0, 300.0, 3600.0)


def test_the_shipped_example_is_valid_and_its_commented_defaults_are_true(tmp_path: Path, write: Write) -> None:
    example = Path(__file__).parents[1] / "deploy" / "tracker.toml"
    text = example.read_text(encoding="utf-8").replace("/etc/tracker/senderin.key", str(tmp_path / "senderin.key"))
    environ = {"STATE_DIRECTORY": "/var/lib/tracker"}
    as_shipped = load(write(text), environ)
    told = re.sub(r'^# (?=\w+ = (?!"(?:sqlite|postgresql|127)))', "", text, flags=re.MULTILINE)
    assert all(f"\n{name} = " in told for name in ("requests_per_minute", "in_flight", "paused", "statuses"))
    assert load(write(told), environ) == as_shipped


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"STATE_DIRECTORY": "/var/lib/tracker"}, "sqlite:////var/lib/tracker/tracker.db"),
        ({"STATE_DIRECTORY": "/a:/b", "HOME": "/home/x"}, "sqlite:////a/tracker.db"),
        ({"XDG_STATE_HOME": "/xdg", "HOME": "/home/x"}, "sqlite:////xdg/tracker/tracker.db"),
        ({"HOME": "/home/x"}, "sqlite:////home/x/.local/state/tracker/tracker.db"),
        ({"HOME": "/home/per cent%"}, "sqlite:////home/per%20cent%25/.local/state/tracker/tracker.db"),
    ],
)
def test_the_default_database_is_in_the_state_directory(
    write: Write, environ: dict[str, str], expected: str
) -> None:
    assert load(write(), environ).database_url == expected


def test_without_a_home_the_database_must_be_named(write: Write) -> None:
    assert "database_url: is missing" in complaint(write(), {"PATH": "/bin"})


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sqlite:///tracker.db", "sqlite:///{folder}/tracker.db"),
        ("sqlite:///a/b c.db", "sqlite:///{folder}/a/b%20c.db"),
        ("sqlite:///a%20b+c.db", "sqlite:///{folder}/a%20b%2Bc.db"),
        ("sqlite:////srv/tracker.db", "sqlite:////srv/tracker.db"),
        ("sqlite:///~/tracker.db", "sqlite:////home/someone/tracker.db"),
        ("postgresql+psycopg://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgresql://u:p@h:5433/db?sslmode=require", "postgresql+psycopg://u:p@h:5433/db?sslmode=require"),
        ("postgres:///db?host=/run/postgresql", "postgresql+psycopg:///db?host=/run/postgresql"),
    ],
)
def test_a_database_url_is_normalized(write: Write, tmp_path: Path, written: str, expected: str) -> None:
    path = write(f'database_url = "{written}"\n{PANEL}')
    url = load(path, {"HOME": "/home/someone"}).database_url
    assert url == expected.format(folder=tmp_path)


@pytest.mark.parametrize(
    "written",
    [
        "tracker.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite+aiosqlite:///a.db",
        f"mysql://u:{KEY}@h/db",
        f"postgresql+asyncpg://u:{KEY}@h/db",
        f"postgresql://u:{KEY}/x@h/db",
        f"postgresql://u:{KEY}#x@h/db",
        f"postgresql://u:12/{KEY}@h/db",
        f"postgresql://u:{KEY}@h:port/db",
    ],
)
@pytest.mark.parametrize("place", ["file", "environment"])
def test_any_other_database_url_is_refused_with_the_line_to_write(write: Write, written: str, place: str) -> None:
    if place == "file":
        text = complaint(write(f'database_url = "{written}"\n{PANEL}'))
        assert "tracker.toml: database_url: " in text
    else:
        text = complaint(write(), {"TRACKER_DATABASE_URL": written})
        assert "$TRACKER_DATABASE_URL: " in text
    assert 'database_url = "sqlite:///tracker.db"' in text


def test_the_file_is_searched_in_the_documented_order(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    places = []
    for name in ("option", "variable", "systemd", "here"):
        (tmp_path / name).mkdir()
        place = tmp_path / name / "tracker.toml"
        place.write_text(PANEL.replace('"senderin.key"', f'"{tmp_path}/senderin.key"'))
        places.append(place)
    option, variable, systemd, here = places
    environ = {
        "TRACKER_CONFIG": str(variable),
        "CONFIGURATION_DIRECTORY": f"/nowhere:{systemd.parent}",
        "HOME": "/home/x",
    }
    monkeypatch.chdir(here.parent)
    assert load(option, environ).source == option
    assert load(None, environ).source == variable
    del environ["TRACKER_CONFIG"]
    assert load(None, environ).source == systemd
    systemd.unlink()
    assert load(None, environ).source == here


def test_without_any_file_the_error_says_where_it_looked_and_what_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = complaint(None, {"CONFIGURATION_DIRECTORY": "/nowhere", "HOME": "/home/x"})
    for part in ("--config", "$TRACKER_CONFIG", "/nowhere/tracker.toml", f"{tmp_path}/tracker.toml"):
        assert part in text
    assert "[panels.senderin]\n" in text
    assert "key_file = " in text
    assert "tracker demo" in text


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_file_that_is_named_but_absent_is_an_error_even_for_reading(tmp_path: Path, how: str) -> None:
    absent = tmp_path / "absent.toml"
    environ = {"TRACKER_DATABASE_URL": "sqlite:////a.db", "TRACKER_CONFIG": str(absent)}
    with pytest.raises(ConfigurationFault, match=r"absent\.toml: cannot be read \(No such file"):
        load(absent if how == "option" else None, environ, need_panels=False)


def test_the_database_variable_alone_is_enough_for_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"TRACKER_DATABASE_URL": "sqlite:///x.db"}
    assert load(None, environ, need_panels=False) == Settings(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(ConfigurationFault):
        load(None, environ)
    with pytest.raises(ConfigurationFault):
        load(None, {"HOME": "/home/x"}, need_panels=False)


def test_the_database_variable_stands_above_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(f'database_url = "sqlite:///file.db"\n{PANEL}')
    assert load(path, {"TRACKER_DATABASE_URL": "postgres://h/db"}).database_url == "postgresql+psycopg://h/db"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    relative = load(path, {"TRACKER_DATABASE_URL": "sqlite:///x.db"})
    assert relative.database_url == f"sqlite:///{tmp_path}/here/x.db", "relative to where one is, not to the file"


def test_reading_needs_no_key_and_using_one_then_says_so(write: Write, tmp_path: Path) -> None:
    path = write()
    (tmp_path / "senderin.key").unlink()
    settings = load(path, {"HOME": "/home/x"}, need_panels=False)
    assert settings.panels[0].key_file == tmp_path / "senderin.key"
    assert settings.secrets == ()
    with pytest.raises(ConfigurationFault, match="did not read the keys"):
        settings.panels[0].key.reveal()


def test_a_file_without_panels_cannot_poll_but_can_read(write: Write) -> None:
    path = write("[every]\nstatuses = 5\n")
    assert "there is none to poll; write:\n  [panels.senderin]" in complaint(path)
    assert load(path, {"HOME": "/home/x"}, need_panels=False).panels == ()


@pytest.mark.parametrize(
    ("line", "where", "what"),
    [
        ('requests_per_minute = "60"', "requests_per_minute", "must be a number from 1 to 60000, without quotes"),
        ("requests_per_minute = 0", "requests_per_minute", "write: requests_per_minute = 60"),
        ("requests_per_minute = true", "requests_per_minute", "write: requests_per_minute = 60"),
        ("requests_per_minute = nan", "requests_per_minute", "write: requests_per_minute = 60"),
        ("requests_per_minute = 1" + "0" * 400, "requests_per_minute", "write: requests_per_minute = 60"),
        ("in_flight = 2.5", "in_flight", "must be a whole number from 1 to 32"),
        ("in_flight = 33", "in_flight", "write: in_flight = 2"),
        ('paused = "yes"', "paused", "must be true or false, without quotes; write: paused = true"),
        ("allow_http = 1", "allow_http", "must be true or false"),
        ("inflight = 2", "inflight", "did you mean `in_flight`?"),
        ('keyfile = "x"', "keyfile", "did you mean `key_file`?"),
        (f'key = "{KEY}"', "key", "must not stand in this file"),
        (f'api_key = "{KEY}"', "api_key", "(mode 600) and write: key_file = "),
        (f'token = "{KEY}"', "token", "must not stand in this file"),
        ('statuses = "1m"', "statuses", "`statuses` belongs below [every]"),
        ('database_url = "sqlite:///x"', "database_url", "`database_url` belongs at the top of the file"),
        ('closed_orders = "90d"', "closed_orders", "`closed_orders` belongs below [keep]"),
        ("zebra = 1", "zebra", "is not known; known here: allow_http, url, key_file"),
        ('"odd\\u001b name" = 1', '"odd\\u001b name"', "is not known"),
    ],
)
def test_a_wrong_line_of_a_panel_is_named_with_its_remedy(write: Write, line: str, where: str, what: str) -> None:
    text = complaint(write(PANEL + line))
    assert f"tracker.toml: panels.senderin.{where}: " in text
    assert what in text


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ('panels = "x"', "panels", "must be a table for each panel; write: [panels.senderin]"),
        ("[[panels]]\nname = 1", "panels", "must be a table for each panel"),
        ('[panels]\nurl = "https://x.y"', "panels.url", "must be a table; write: [panels.senderin]"),
        ('[panel.senderin]\nurl = "https://x.y"', "panel", "did you mean `panels`?"),
        ('every = "1m"', "every", "must be a table; write: [every]"),
        ("database_url = 1", "database_url", "must be the URL of a database"),
        ('[panels."a/b"]\nurl = "https://x.y"', 'panels."a/b"', "is not a panel's name"),
        ('[panels.""]\nurl = "https://x.y"', 'panels.""', "is not a panel's name"),
        ('[panels.-x]\nurl = "https://x.y"', "panels.-x", "is not a panel's name"),
        (f'[panels.{"x" * 65}]\nurl = "https://x.y"', f"panels.{'x' * 65}", "is not a panel's name"),
        ("[panels.p]", "panels.p.url", "is missing; write: url = "),
        ("[panels.p]\nkey_file = 1", "panels.p.key_file", "must be the path of a file"),
        ('[panels.p]\nurl = "https://x.y"', "panels.p.key_file", 'write: key_file = "/etc/tracker/p.key"'),
    ],
)
def test_a_wrong_table_is_named_with_its_remedy(write: Write, text: str, where: str, what: str) -> None:
    said = complaint(write(text))
    assert f"tracker.toml: {where}: " in said
    assert what in said


def test_a_name_that_leads_elsewhere_is_refused_before_any_file_is_looked_for(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "credentials").mkdir()
    text = complaint(
        write('[panels."../senderin"]\nurl = "https://x.y"\n', key=b""),
        {"CREDENTIALS_DIRECTORY": f"{tmp_path}/credentials"},
    )
    assert "senderin.key" not in text
    assert 'panels."../senderin": is not a panel' in text


def test_every_error_is_reported_at_once_one_a_line(write: Write) -> None:
    text = complaint(
        write(
            f"""
            stat = 1
            [panels.senderin]
            url = "https://u:{KEY}@senderin.ru/api/v2"
            key = "{KEY}"
            in_flight = 0
            [panels.other]
            url = "http://panel.example/api?key={KEY}"
            key_file = "absent/other.key"
            [every]
            statuses = 0
            catalog = "often"
            """
        )
    )
    lines = text.splitlines()
    assert lines[0] == "The configuration cannot be used (8 errors):"
    wheres = {line.split(": ")[1] for line in lines[1:]}
    assert wheres == {
        "stat",
        "panels.senderin.url",
        "panels.senderin.key",
        "panels.senderin.in_flight",
        "panels.other.url",
        "panels.other.key_file",
        "every.statuses",
        "every.catalog",
    }


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("senderin.ru/api/v2", "must be an http(s) address with a host"),
        ("ftp://senderin.ru/api", "must be an http(s) address with a host"),
        ("https:///api/v2", "must be an http(s) address with a host"),
        ("https://senderin.ru/a b", "must be an http(s) address with a host"),
        ("https://senderin.ru/\\u0009x", "must be an http(s) address with a host"),
        ("https://[::1/api", "is not an address"),
        ("https://senderin.ru:99999/", "is not an address"),
        (f"https://{KEY}@senderin.ru/", "must not hold a user or a password"),
        (f"https://senderin.ru/?a=1&key={KEY}", "must not hold the key"),
        (f"https://senderin.ru/?api_token={KEY}", "must not hold the key"),
        ("https://senderin.ru/#x", "must not hold a '#'"),
        (
            "http://senderin.ru/api/v2",
            "plain http; write https:// or, if the way there is yours, allow_http = true",
        ),
        ("http://127.0.0.1.example/", "plain http"),
        ("http://localhost.example/", "plain http"),
        ("http://10.0.0.1/", "plain http"),
    ],
)
def test_an_address_that_the_key_must_not_go_to_is_refused(write: Write, url: str, what: str) -> None:
    text = complaint(write(PANEL.replace("https://senderin.ru/api/v2", url)))
    assert f"panels.senderin.url: {what}" in text.replace("would send the key in the clear over ", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://senderin.ru/api/v2",
        "https://панель.example:8443/api/v2?lang=en",
        "http://127.0.0.1:8000/api/v2",
        "http://127.8.9.1/",
        "http://[::1]:8000/",
        "http://localhost/",
    ],
)
def test_an_address_that_is_fine_is_kept_as_written(write: Write, url: str) -> None:
    settings = load(write(PANEL.replace("https://senderin.ru/api/v2", url)), {"HOME": "/home/x"})
    assert settings.panels[0].url == url


def test_plain_http_to_another_host_has_to_be_allowed(write: Write) -> None:
    foreign = PANEL.replace("https://senderin.ru", "http://10.0.0.1")
    assert load(write(foreign + "allow_http = true"), {"HOME": "/home/x"}).panels[0].allow_http


@pytest.mark.parametrize(
    ("key", "what"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (f"{KEY}\n{KEY}\n".encode(), "holds more than one word or line"),
        (f"key: {KEY}".encode(), "holds more than one word or line"),
        (f"\ufeff{KEY}".encode(), "holds characters that no key has"),
        (f"{KEY}\x00".encode(), "holds characters that no key has"),
        (f"{KEY}ключ".encode(), "holds characters that no key has"),
        (KEY.encode() * 200, "is larger than 4096 bytes"),
    ],
)
def test_a_key_file_that_holds_no_key_is_refused_without_its_content(
    write: Write, tmp_path: Path, key: bytes, what: str
) -> None:
    text = complaint(write(key=key))
    assert f"panels.senderin.key_file: {tmp_path}/senderin.key {what}" in text
    assert "install -m 600 /dev/null" in text


def test_a_key_file_that_cannot_be_read_is_named_with_the_remedy(write: Write, tmp_path: Path) -> None:
    path = write()
    (tmp_path / "senderin.key").unlink()
    text = complaint(path)
    assert f"{tmp_path}/senderin.key cannot be read (No such file or directory)" in text
    assert f"install -m 600 /dev/null {tmp_path}/senderin.key" in text
    (tmp_path / "senderin.key").mkdir()
    assert f"{tmp_path}/senderin.key is not a file; name the file" in complaint(path)


def test_what_mends_a_key_file_that_is_there_never_throws_its_key_away(write: Write, tmp_path: Path) -> None:
    path = write()
    (tmp_path / "senderin.key").unlink()
    (tmp_path / "senderin.key").symlink_to("senderin.key")
    text = complaint(path)
    assert "cannot be read (Too many levels of symbolic links); let the user that runs tracker read it" in text
    assert "install" not in text


def test_a_key_written_in_place_of_its_file_is_not_repeated(write: Write) -> None:
    text = complaint(write(PANEL.replace("senderin.key", KEY)))
    assert "must be the path of a file that holds the key, not the key" in text


def test_a_key_that_everybody_can_read_is_a_warning(write: Write, tmp_path: Path) -> None:
    path = write()
    key_file = tmp_path / "senderin.key"
    key_file.chmod(0o644)
    settings = load(path, {"HOME": "/home/x"})
    (warning,) = settings.warnings
    assert warning.startswith("panels.senderin.key_file: every user of this machine can read the key")
    assert warning.endswith(f"run: chmod 600 {key_file}")


def test_the_systemd_credential_is_used_where_no_key_file_is_named(write: Write, tmp_path: Path) -> None:
    without = PANEL.replace('key_file = "senderin.key"\n', "")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"), "HOME": "/home/x"}
    path = write(without)
    assert 'is missing; write: key_file = "/etc/tracker/senderin.key"' in complaint(path, environ)
    credential = tmp_path / "credentials" / "senderin.key"
    credential.parent.mkdir()
    credential.write_text("the-credential")
    credential.chmod(0o400)
    panel = load(path, environ).panels[0]
    assert (panel.key.reveal(), panel.key_file) == ("the-credential", credential)
    assert load(write(), environ).panels[0].key.reveal() == KEY


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"[panels.x]\nurl = https://x\n", "is not TOML: Invalid value (at line 2, column 7)"),
        (f"key = {KEY}\n".encode(), "is not TOML: "),
        (b"a = 1\na = 2\n", "(at line 2, column 6)"),
        (b"# ok\nname = '\xff'\n", "is not UTF-8 text (line 2)"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5000, "a number is too long"),
        (b"#" * (1 << 20) + b"\n", "is larger than 1048576 bytes"),
    ],
)
def test_what_is_not_toml_is_refused_with_the_place(write: Write, content: bytes, what: str) -> None:
    path = write()
    path.write_bytes(content)
    text = complaint(path)
    assert f"{path}: " in text
    assert what in text


def test_a_byte_order_mark_and_windows_line_ends_are_read(write: Write) -> None:
    path = write()
    path.write_bytes(b"\xef\xbb\xbf" + PANEL.replace("\n", "\r\n").encode())
    assert load(path, {"HOME": "/home/x"}).panels[0].name == "senderin"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("90s", 90.0),
        ("1m", 60.0),
        ("1h", 3600.0),
        ("2d", 172_800.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 5M ", 300.0),
        ("0.5s", 0.5),
        ("90", 90.0),
        (90, 90.0),
        (1.5, 1.5),
        ("0", 0.0),
    ],
)
def test_a_duration_is_read(written: object, expected: float) -> None:
    assert seconds(written) == expected


@pytest.mark.parametrize(
    "written",
    ["", " ", "m", "1x", "m1", "1m1h", "-5s", "1e3", "1.5h", "٣s", "1h1h", "9" * 10, True, None, [], -1, 1e400],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 90s, 5m, 1h30m or 2d"):
        seconds(written)


@pytest.mark.parametrize("written", ["0", '"0s"', "0.5", '"8d"', "1" + "0" * 400, "true", "[]", "nan"])
@pytest.mark.parametrize("kind", ["statuses", "refills", "balance", "catalog"])
def test_an_interval_that_would_hammer_or_sleep_is_refused(write: Write, kind: str, written: str) -> None:
    text = complaint(write(f"{PANEL}[every]\n{kind} = {written}\n"))
    assert f'write: {kind} = "5m"' in text


def test_what_is_kept_is_forever_but_for_rounds_unless_it_is_told(write: Write) -> None:
    assert load(write(PANEL), {"HOME": "/h"}).keep == Keep(90 * 86400.0, None, None, None)
    lines = 'rounds = "forever"\nanomalies = "30d"\nprogress = 86400\nclosed_orders = " Forever "'
    assert load(write(f"{PANEL}[keep]\n{lines}"), {"HOME": "/h"}).keep == Keep(None, 30 * 86400.0, 86400.0, None)


@pytest.mark.parametrize("written", ["90", '"12h"', '"never"', '""', '"36501d"', "true", "[]", "nan", "-1"])
@pytest.mark.parametrize("what", Keep._fields)
def test_a_time_to_keep_that_would_delete_by_mistake_is_refused(write: Write, what: str, written: str) -> None:
    text = complaint(write(f"{PANEL}[keep]\n{what} = {written}\n"))
    assert f'keep.{what}: must be "forever", or ' in text
    assert f'write: {what} = "90d"' in text


@given(st.integers(0, 10**9), st.integers(0, 999))
def test_spelled_is_the_inverse_of_seconds(whole: int, thousandths: int) -> None:
    duration = float(f"{whole}.{thousandths:03}")
    assert seconds(spelled(duration)) == pytest.approx(duration, abs=1e-6)


def test_no_way_of_printing_shows_a_secret(write: Write) -> None:
    password = "planted%40password"  # "@", encoded
    path = write(f'database_url = "postgresql://u:{password}@h/db?sslpassword={KEY}"\n{PANEL}')
    settings = load(path, {})
    panel = settings.panels[0]
    prints = [
        repr(settings),
        str(settings),
        f"{panel} {panel.key} {panel.key!r} {panel.key:}",
        repr(copy.deepcopy(panel)),
        repr(asdict(panel)),
        repr(shown(settings)),
        json.dumps(shown(settings)),
        hidden(settings.database_url),
    ]
    for text in prints:
        for secret in (KEY, password, unquote(password)):
            assert secret not in text
    with pytest.raises(TypeError):
        json.dumps(panel.key)
    assert set(settings.secrets) == {KEY, password, unquote(password)}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////var/lib/tracker/tracker.db", "sqlite:////var/lib/tracker/tracker.db"),
        ("postgresql+psycopg://u@h/db", "postgresql+psycopg://u@h/db"),
        ("postgresql+psycopg://u:secret@h/db", "postgresql+psycopg://u:hidden@h/db"),
        ("mysql://u:se@cr/et@h/db", "mysql://u:hidden@h/db"),
        ("x://h/db?user=a&password=b&sslmode=c", "x://h/db?user=a&password=hidden&sslmode=c"),
    ],
)
def test_a_database_url_is_shown_without_its_password(url: str, expected: str) -> None:
    assert hidden(url) == expected


def test_what_is_shown_is_the_effective_configuration_in_the_words_of_the_file(
    write: Write, tmp_path: Path
) -> None:
    path = write(f'{PANEL}[every]\nstatuses = 90\ncatalog = "1h30m"')
    assert shown(load(path, {"STATE_DIRECTORY": "/var/lib/tracker"})) == {
        "source": str(path),
        "database_url": "sqlite:////var/lib/tracker/tracker.db",
        "panels": {
            "senderin": {
                "url": "https://senderin.ru/api/v2",
                "key": "hidden",
                "key_file": str(tmp_path / "senderin.key"),
                "requests_per_minute": 60.0,
                "in_flight": 2,
                "paused": False,
                "allow_http": False,
            }
        },
        "every": {"statuses": "1m30s", "refills": "5m", "balance": "5m", "catalog": "1h30m"},
        "keep": {"rounds": "90d", "anomalies": "forever", "progress": "forever", "closed_orders": "forever"},
        "warnings": [],
    }

"""Nothing that a panel or a file supplies is obeyed: by no terminal, log, SQL, format, spreadsheet or path.

All of it goes the whole way: a panel on a socket and a file of orders, real rounds, both databases, and every
command in every format, to a pipe and to a terminal. The live screen is in `test_watch`, the log for people in
`test_logs`; what a shell's completion offers are the names of the configuration, which are plain.
"""

import csv
import io
import json
import re
import signal
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest
from cli_setting import Running, Type, configure, sql, typed_here, typist
from prometheus_client.parser import text_string_to_metric_families
from promises import broken
from pyarrow import parquet
from raw_panel import Asked, RawPanel, ok
from read_setting import on_terminal
from simulation import PATIENCE

EVIL: Final[Mapping[str, str]] = {
    "clear": "\x1b[2J\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "c1": "\x9b31m\x90q\x9c\x85",
    "bidi": "\u202egnp.exe\u2066\u200b\u2028",
    "lines": 'one\r\n{"event": "forged", "level": "critical"}\n<2>forged',
    "sql": "'; DROP TABLE orders; --\" OR 1=1 /*",
    "format": "{0.__class__} %s %n %(key)s ${jndi:x} $(id) `id` {{7*7}}",
    "markup": "[red]x[/] [@click=app.quit]y[/] :boom:",
    "html": "<script>alert(1)</script>&lt;",
    "equals": '=HYPERLINK("http://e.example","x")',
    "plus": "+1+cmd|' /C calc'!A1",
    "minus": "-1+1",
    "at": "@SUM(A1:A9)",
    "tab": "\t=1+1",
    "return": "\r=1+1",
    "wide": "\uff1d1+1",
    "path": "../../../../etc/passwd",
    "long": "\x1b[31m" * 500,
}
IDS: Final = ("=1+1", "@x", "-5", "../../up", "'OR'1'='1", "{0}%s%n", "[b]x[/]", "\uff1dx")
"""What may be an id: one word that can be printed."""

OBEYED: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f]")
"""What a terminal obeys, or what hides; a line may end."""
OURS: Final = re.compile(r"\x1b\[[0-9;]*m|\r\x1b\[K")
"""What we send ourselves: colors, and a line that takes the place of another."""
FORMULA: Final = re.compile(r"[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")
NUMBER: Final = re.compile(r"-[0-9]+(\.[0-9]+)?")

FORMATS: Final = ("table", "csv", "json", "jsonl")
LISTS: Final = (
    "orders --columns order,link,ref,service,panel_status,remains,state",
    *("services", "services --changes", "balance", "refills", "rounds", "anomalies", "intents"),
    *("stats tempo", "stats spend", "check --offline", "show acme/3"),
)
"""What is typed in each format."""
EXPORTED: Final = ("csv", "jsonl", "parquet")
TABLES: Final = ("orders", "transitions", "services", "service_changes", "rounds", "anomalies", "intents")


class Hostile:
    """Answers as a panel would that puts something into every text it may choose, and something else next time."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, asked: Asked) -> bytes:
        action, texts = asked.fields["action"], [*EVIL.values()]
        self.asked[action] += 1
        again = self.asked[action] > 1
        if action == "services":
            told = enumerate(reversed(texts) if again else texts, 900)
            rows = [{"service": n, "name": evil, "type": evil, "category": evil} for n, evil in told]
            return ok([*rows, *({"service": one, "name": "odd", "rate": one} for one in IDS)])
        if action == "status":
            ids = asked.fields.get("orders", asked.fields.get("order", "")).split(",")
            return ok({one: _status(number, texts) for number, one in enumerate(ids)})
        others: dict[str, object] = {
            "refill_status": {"status": texts[0]},
            "balance": {"balance": "-7.5", "currency": "USD" if again else texts[0]},
            "refill": {"refill": IDS[0]},
            "cancel": {"cancel": texts[0]},
            "add": {"error": f"no: {texts[5]}{texts[0]}"},
        }
        return ok(others[action])


def _status(number: int, texts: list[str]) -> dict[str, object]:
    evil = texts[number % len(texts)]
    if number % 4 == 3:
        return {"error": evil} if number % 8 == 3 else {"status": "Pending", "charge": evil}
    return {"status": evil, "remains": "-5", "charge": "-1.5", "currency": "USD", "extra": {evil: evil}}


@pytest.fixture
def type_(
    tmp_path: Path, database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Type]:
    """Let a hostile panel be polled, a hostile file be imported, and something be bought; then type."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKER_CONFIG", "tracker.toml")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with Path("shop.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order", "link", "ref", "service", *EVIL.values()])
        others = [*EVIL.values()]
        writer.writerows([n, evil, f"{evil[:100]}{n}", 900, *others] for n, evil in enumerate(others, 2))
        writer.writerows([evil, "", "", "", *others] for evil in others)
    with RawPanel(Hostile()) as panel:
        configure(tmp_path, {"acme": panel.url}, database_url)
        type_one = typist(capsys)
        told = [type_one("import shop.csv --panel acme")]
        assert told[0][0] == 3, told
        told += [type_one(f"track --panel acme -- {one!r}") for one in IDS]
        assert {code for code, _, _ in told[1:]} == {0, 2}
        type_one("track --panel acme 2 --refill 1")
        told += [type_one(line) for line in ("poll --all", "poll --all", "refill 2 --yes", "cancel 2 --yes")]
        told += [type_one(f"add 900 --link {one!r} --quantity 1 --yes --no-check") for one in IDS]
        for number, evil in enumerate(EVIL.values()):  # as another program may, which strips nothing
            statement = "INSERT INTO orders (panel, order_id, link, ref) VALUES ('acme', :id, :link, :link)"
            sql(database_url, statement, id=f"sql{number}", link=evil)
        for _, out, err in told:
            assert not OBEYED.search(out + err)
        yield type_one


@pytest.mark.usefixtures("database")
def test_what_a_panel_or_a_file_says_is_shown_and_never_obeyed(
    type_: Type, database_url: str, tmp_path: Path
) -> None:
    known = {row.link for row in sql(database_url, "SELECT link FROM orders WHERE order_id < 'sql'")}
    assert known >= {evil.strip() for evil in EVIL.values()}, "kept as it was given"
    assert "=1+1" in {row[0] for row in sql(database_url, "SELECT service_id FROM services")}
    assert broken(database_url) == {}
    whole = database_url.startswith("sqlite")  # what is printed does not depend on where it was kept
    for line in LISTS:
        told = {
            form: _in_a_pipe(type_, f"{line} --format {form}", form) for form in (FORMATS if whole else ("csv",))
        }
        assert told["csv"], f"{line} told nothing"
        if not whole:
            continue
        if not line.startswith("show"):  # its JSON is one object
            assert told["csv"] == told["json"] == told["jsonl"], "a text made rows of its own"
        shown = on_terminal(line, 100).raw
        assert "\x1b[31m\x1b[31m" not in shown, line
        assert not OBEYED.search(OURS.sub("", shown).replace("\r\n", "\n")), line
    links = [row["link"] for row in json.loads(type_("orders --limit 99 --json")[1])]
    assert set(links) >= set(EVIL.values()), "JSON is exact"
    shown = type_("orders --limit 99 --columns link")[1]
    for spelled in (
        r"\x1b[2J\x1b[31mred",
        r"\x9b31m",
        r"\u202egnp.exe",
        "{0.__class__} %s %n",
        "[@click=app.quit]y",
    ):
        assert spelled in shown, "nothing is hidden either"
    _export(type_)
    made = {path.name for path in tmp_path.iterdir()} - {
        f"{table}.{form}" for table in TABLES for form in EXPORTED
    }
    assert made - {"tracker.db", "tracker.db-wal", "tracker.db-shm"} == {
        *("panel.key", "tracker.toml", "shop.csv", "shop.csv.rejects.csv")
    }


def _in_a_pipe(type_: Type, line: str, form: str) -> int:
    """Type a command; return how many rows it told."""
    code, out, err = type_(line)
    assert code in {0, 10}, err
    assert not OBEYED.search(out + err), line
    match form:
        case "json":
            return len(json.loads(out))
        case "jsonl":
            return len([json.loads(each) for each in out.splitlines()])
        case "csv":
            rows = list(csv.DictReader(io.StringIO(out)))
            assert not [cell for row in rows for cell in row.values() if _runs(cell)]
            return len(rows)
    return 0


def _runs(cell: str) -> bool:
    """Whether a spreadsheet would run a cell: money stays a number."""
    return FORMULA.match(cell) is not None and NUMBER.fullmatch(cell) is None


def _export(type_: Type) -> None:
    for table in TABLES:
        for form in EXPORTED:
            assert type_(f"export {table} {table}.{form}")[0] == 0
        with Path(f"{table}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        exact = [json.loads(line) for line in Path(f"{table}.jsonl").read_text().splitlines()]
        assert len(rows) == len(exact) == parquet.read_metadata(f"{table}.parquet").num_rows
        assert not [cell for row in rows for cell in row.values() if OBEYED.search(cell) or _runs(cell)]
    orders = parquet.read_table("orders.parquet").to_pydict()
    assert set(orders["link"]) >= set(EVIL.values())
    with Path("orders.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"-5"} <= {row["remains"] for row in rows}
    assert {'\'=HYPERLINK("http://e.example","x")', "'-1+1", "'\uff1d1+1"} <= {row["link"] for row in rows}


def test_a_log_line_is_one_line_and_a_metric_one_metric(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"sqlite:///{tmp_path}/tracker.db"
    with RawPanel(Hostile()) as panel:
        config = configure(tmp_path, {"acme": panel.url}, url, more=f'listen = "127.0.0.1:{port}"')
        ids = [str(number) for number in range(len(EVIL))]
        assert typed_here("db", "upgrade", "--config", str(config)) == 0
        assert typed_here("track", "--panel", "acme", *ids, *IDS[3:5], "--config", str(config)) == 0
        with Running(config) as running:
            running.until("round.finished", kind="statuses")
            running.until("round.finished", kind="catalog")
            running.until("panel.backed_off", kind="balance")
            pages = [
                httpx.get(f"http://127.0.0.1:{port}/{name}", trust_env=False).text
                for name in ("metrics", "healthz")
            ]
            running.signal(signal.SIGTERM)
            assert running.ended(PATIENCE) == 0
    assert not running.lines("forged"), "and each line is JSON"
    assert not OBEYED.search("".join(running.raw) + "".join(pages))
    labels = {
        value
        for family in text_string_to_metric_families(pages[0])
        for sample in family.samples
        for value in sample.labels.values()
    }
    assert "acme" in labels
    assert not labels & {*EVIL.values(), *IDS}


@pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
def test_a_configuration_with_odd_names_and_values_is_refused_visibly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, evil: str
) -> None:
    """Also where `NAME.key` would lead out of the folder of credentials."""
    (tmp_path / "credentials").mkdir()
    (tmp_path / "passwd.key").write_text("s3cr3t-not-to-be-read")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    written, config = json.dumps(evil), tmp_path / "tracker.toml"
    before = set(tmp_path.rglob("*"))
    for line in (
        f"[panels.{written}]\nurl = 'https://e.example'",
        f"[panels.acme]\nurl = {written}\nkey_file = {written}",
        f"database_url = {written}",
        f"listen = {written}",
        f"{written} = 1",
        f"[every]\nstatuses = {written}",
    ):
        config.write_text(line)
        assert typed_here("config", "show", "--config", str(config)) in {0, 78}
        assert typed_here("poll", "--config", str(config)) == 78
        out, err = capsys.readouterr()
        assert not OBEYED.search(out + err), line
        assert "s3cr3t" not in out + err
    assert set(tmp_path.rglob("*")) == before | {config}

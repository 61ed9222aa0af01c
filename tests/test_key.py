"""Promise P8: the key goes nowhere. One is planted, everything is run, and everything is searched for it."""

import base64
import html
import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import psutil
import pytest
from cli_setting import Running, configure, plain, typed_here
from raw_panel import RawPanel, ok
from simulation import PATIENCE, until
from sqlalchemy import inspect, text

from tracker.cli.main import COMMANDS
from tracker.simulator import Simulator

PLANTED = "pl4nted+Key/with=odd&bytes%7301946258"
NEXT = "r0tated+Key/with=odd&bytes%5820167394"
"""What takes its place at a reload; the old one stays a secret."""
NOWHERE = "http://127.0.0.1:9/api/v2"
Spell = Callable[[str], str]
PIECE = 8
"""Characters that are looked for, at every fourth place: no twelve of a key may be told."""

FAULTS = {"balance": "http-502", "services": "redirect-307", "status": "wrong-types", "refill_status": "not-json"}
"""What goes wrong once, and is asked again."""

LINES = {
    "poll": ["poll --all", "poll --all --json", "poll {0}"],
    "track": ["track --panel acme {0} --ref mine"],
    "import": ["import shop.csv --panel acme"],
    "untrack": ["untrack {1}"],
    "add": [
        "add 1 --link https://e.example --quantity 1 --yes",
        "add {s} --link https://e.example --quantity {q} --yes",
    ],
    "refill": ["refill {0} --yes"],
    "cancel": ["cancel {0} {2} --yes --json"],
    "intents": ["intents", "intents --json"],
    "resolve": ["resolve 00000000-0000-0000-0000-000000000000 --not-placed --yes"],
    "orders": ["orders", "orders --json"],
    "show": ["show {0}", "show {0} --json"],
    "services": ["services --json", "services --changes"],
    "balance": ["balance", "balance --plot"],
    "stats": ["stats", "stats spend"],
    "refills": ["refills --json"],
    "rounds": ["rounds --json"],
    "anomalies": ["anomalies --json"],
    "export": ["export panels -", "export rounds rounds.csv", "export intents intents.jsonl", "export leases -"],
    "watch": ["watch --seconds 0.1"],
    "check": ["check", "check --json"],
    "health": ["health", "health --json"],
    "config": ["config show", "config show --json"],
    "db": ["db status --json", "db upgrade", "db prune --dry-run"],
    "completion": ["completion bash"],
    "verify": ["verify"],
}
"""What is typed of each command; `{0}` is an order, `{s}` and `{q}` what can be ordered."""

KEYLESS = {"demo", "simulate", "run"}
"""These read no key (one of their own is in the code), or are run below."""


def spellings(key: str) -> Iterator[str]:
    """Yield how the key may be written, whole or a piece of it; compared without regard to case."""
    wholes = {key, key[::-1], quote(key), quote(key, safe=""), quote_plus(key), html.escape(key), repr(key)[1:-1]}
    wholes |= {json.dumps(key)[1:-1], key.replace("/", r"\/"), "".join(f"\\u{ord(each):04x}" for each in key)}
    wholes |= {key.encode().hex(), key.encode().hex(" "), base64.b85encode(key.encode()).decode()}
    for before in range(3):  # where it stands in what is encoded decides how its letters look
        coded = base64.b64encode(b"x" * before + key.encode())[4:-4]
        wholes |= {coded.decode(), coded.translate(bytes.maketrans(b"+/", b"-_")).decode()}
    for whole in wholes:
        yield from (whole[at : at + PIECE] for at in range(0, len(whole) - PIECE + 1, PIECE // 2))


SPELLINGS = {each.lower().encode() for key in (PLANTED, NEXT) for each in spellings(key)}


def leaks(said: bytes) -> list[bytes]:
    """Return the spellings of the key in what was said, also where it was said two bytes a letter."""
    folded = said.lower()
    narrow = folded.replace(b"\0", b"")
    return [each for each in SPELLINGS if each in folded or each in narrow]


@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        quote_plus,
        html.escape,
        lambda key: key[3:15],
        lambda key: key[::-1],
        lambda key: key.encode().hex(),
        lambda key: base64.b64encode(f"key={key}&action".encode()).decode(),
        lambda key: key.encode("utf-16").decode("latin-1"),
    ],
    ids=["plain", "upper", "form", "html", "piece", "reversed", "hex", "base64", "utf-16"],
)  # fmt: skip
def test_the_search_finds_a_key_that_was_written(spell: Spell) -> None:
    assert leaks(f"POST {spell(PLANTED)} HTTP".encode())
    assert not leaks(b"key=[hidden]&action=balance " + bytes(range(256)))


class Session:
    """A folder to work in, a panel that knows the planted key, and all that was said meanwhile."""

    def __init__(self, folder: Path, panel: Simulator, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.panel = panel
        self.url = url
        self.said = b""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config = configure(folder, {"acme": panel.url}, url, more=f'listen = "127.0.0.1:{self.port}"')
        self.key(PLANTED)
        (folder / "shop.csv").write_text("order,link\n77,https://e.example\nno id,\n")
        monkeypatch.chdir(folder)
        for name, place in (("TMPDIR", "temporary"), ("HOME", "home")):
            (folder / place).mkdir()
            monkeypatch.setenv(name, str(folder / place))
        self.ids = [placed.order_id for placed in panel.world.spawn(20)]

    def key(self, key: str) -> None:
        (self.folder / "panel.key").write_text(key)

    def run(self) -> None:
        """Run the daemon through faults and a reload, look at it from outside, and end it."""
        for action, fault in FAULTS.items():
            self.panel.misbehave(fault, action=action, times=1)
        with Running(self.config) as running:
            running.until("round.finished", kind="statuses")
            until(
                lambda: all(self.panel.counts[each] > 1 for each in ("balance", "services", "status")), "repeats"
            )
            for page in ("metrics", "healthz", "readyz", "nothing"):
                self.said += httpx.get(f"http://127.0.0.1:{self.port}/{page}", trust_env=False).content
            self.key(NEXT)
            running.signal(signal.SIGHUP)
            running.until("panel.key_refused")
            family = psutil.Process(running.process.pid)
            for each in (family, *family.children(recursive=True)):
                of = Path(f"/proc/{each.pid}")
                self.said += (of / "cmdline").read_bytes() + (of / "environ").read_bytes()
                [cores] = [line for line in (of / "limits").read_text().splitlines() if "core file" in line]
                assert cores.split()[4:6] == ["0", "0"], "a crash would write the key into a file"
            self.search("while it runs")
            running.signal()
            assert running.ended(PATIENCE) == 0
        self.said += "".join(running.raw).encode()
        self.key(PLANTED)

    def type(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Type a line or two of each command, the second round with a key that the panel does not take."""
        sold = min(
            (one for one in self.panel.world.services() if one.type == "Default"),
            key=lambda one: (one.rate or 0) * (one.min or 1),
        )
        for line in (line for name, lines in LINES.items() if name in COMMANDS for line in lines):
            typed_here(*shlex.split(line.format(*self.ids, s=sold.service_id, q=sold.min)))
        self.panel.misbehave("bad-key")
        for line in ("poll --all", "check", "rounds --json", "add 1 --link https://e.example --quantity 1 --yes"):
            typed_here(*line.split())
        out, err = capfd.readouterr()
        self.said += (out + err).encode()

    def search(self, when: str) -> None:
        """Look at every file, every row, and all that was said."""
        assert not leaks(self.said), when
        for path in self.folder.rglob("*"):
            if path.is_file() and path.name != "panel.key":
                assert not leaks(path.read_bytes()), f"{path}, {when}"
        if self.url.startswith("postgresql"):
            assert not leaks(rows_of(self.url)), when


def rows_of(url: str) -> bytes:
    """Return every row of every table as text, as a dump would have it."""
    with plain(url) as connection:
        found = [
            row[0]
            for table in inspect(connection).get_table_names()
            for row in connection.execute(text(f'SELECT "{table}"::text FROM "{table}"'))
        ]
    assert found
    return "\n".join(found).encode()


@pytest.mark.usefixtures("database")
def test_a_planted_key_is_in_nothing_that_is_said_kept_or_left_behind(
    tmp_path: Path,
    database_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(COMMANDS) <= set(LINES) | KEYLESS, "a command that nobody has searched"
    with Simulator(key=PLANTED, latency=0.01) as panel:
        session = Session(tmp_path, panel, database_url, monkeypatch)
        assert typed_here("track", "--panel", "acme", *session.ids) == 0
        session.run()
        session.type(capfd)
        session.search("at the end")
    assert b"round.failed" in session.said
    assert b"key_refused" in session.said
    assert b"Traceback" not in session.said
    assert panel.counts["add"]
    assert not list((tmp_path / "temporary").iterdir()), "files left behind"


def test_a_backup_has_no_key_and_a_password_is_no_argument(tmp_path: Path) -> None:
    """Of SQLite; what `pg_dump` is told stands in `test_backup`."""
    config = configure(tmp_path, {"acme": NOWHERE}, f"sqlite:///{tmp_path}/tracker.db")
    (tmp_path / "panel.key").write_text(PLANTED)
    for line in ("db upgrade", "poll --all", "db backup copy.db"):
        typed_here(*line.replace("copy", f"{tmp_path}/copy").split(), "--config", str(config))
    assert not leaks((tmp_path / "copy.db").read_bytes())


@pytest.mark.parametrize(
    ("status", "spell"),
    [
        ("200 OK", lambda key: f"Unknown parameters key={quote(key, safe='')} {key}"),
        ("200 OK", lambda key: f"NO SUCH KEY: {key.upper()}"),
        ("200 OK", html.escape),
        ("200 OK", lambda key: "".join(f"\\u{ord(each):04x}" for each in key)),
        ("400 Bad Request", str),
        ("502 Bad Gateway", str),
    ],
    ids=["form", "upper", "html", "escaped", "400", "502"],
)
def test_a_panel_that_quotes_the_key_back_does_not_get_it_written(
    tmp_path: Path, migrated_file: Path, capfd: pytest.CaptureFixture[str], status: str, spell: Spell
) -> None:
    shutil.copy(migrated_file, tmp_path / "tracker.db")
    said = spell(PLANTED)
    item = f'{{"status":"{said}","charge":"{said}"}}'
    replies = {
        "balance": f"<p>{said}</p>",
        "services": f'[{{"service":1,"name":"{said}","rate":"{said}"}}]',
        "status": f'{{"1":{item},"2":{{"error":"{said}"}}}}',
        "add": f'{{"error":"{said}"}}',
    }
    with RawPanel(lambda asked: ok(replies[asked.fields["action"]].encode(), status=status)) as panel:
        config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
        (tmp_path / "panel.key").write_text(PLANTED)
        for line in (
            "track --panel acme 1 2",
            "poll --all",
            "add 1 --link x --quantity 1 --yes --no-check",
            "anomalies",
        ):
            typed_here(*line.split(), "--config", str(config))
        assert {asked.fields["key"] for asked in panel.asked} == {PLANTED}
    out, err = capfd.readouterr()
    assert "[key]" in out + err
    assert not leaks((out + err).encode())
    assert not any(leaks(path.read_bytes()) for path in tmp_path.glob("tracker.db*"))


@pytest.mark.parametrize("command", ["poll", "run"])
def test_a_crash_does_not_print_the_key(tmp_path: Path, migrated_file: Path, command: str) -> None:
    """Not even where the fault's own words have it, as those of a library may: the daemon's log takes it out."""
    shutil.copy(migrated_file, tmp_path / "tracker.db")
    config = configure(tmp_path, {"acme": NOWHERE}, f"sqlite:///{tmp_path}/tracker.db")
    (tmp_path / "panel.key").write_text(PLANTED)
    code = f"""
import os, signal, tracker.daemon.post
def crash(*arguments, **options):
    said = arguments
    if {command!r} == "run":
        os.kill(os.getpid(), signal.SIGTERM)
        said += (open("panel.key").read(), open("panel.key", "rb").read())
    raise RuntimeError("a bug", said, options)
tracker.daemon.post.balance = crash
from tracker.cli.main import run
run([{command!r}, "--config", {str(config)!r}])
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=tmp_path, check=False, timeout=PATIENCE
    )
    assert b"RuntimeError: ('a bug'" in told.stderr
    assert not leaks(told.stdout + told.stderr)

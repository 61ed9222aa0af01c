"""What people type and read: every command, in every format, on pipes and on terminals."""

import csv
import io
import json
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_setting import KEY, TRACKER, Type, configure, sql, typed, typed_here, typist
from simulation import PATIENCE
from terminal import Terminal
from warm import Warm

from tracker.cli.main import COMMANDS
from tracker.cli.render import FORMATS
from tracker.model import OrderFilter
from tracker.simulator import ManualClock, Simulator
from tracker.store.database import opened

READ = ("orders", "services", "services --changes", "balance", "refills", "rounds", "anomalies")


def _word(panel: Simulator, order_id: str) -> str:
    look = panel.world.look(order_id)
    assert look is not None
    return look.step.status


class Shop:
    """A folder with a configuration of two panels that were polled, and what they are."""

    def __init__(self, folder: Path, acme: Simulator, beta: Simulator) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder}/tracker.db"
        self.config = configure(folder, {"acme": acme.url, "beta": beta.url}, self.url, every="1h")
        self.acme = acme
        self.ids = [placed.order_id for placed in acme.world.spawn(30)]
        self.done = next(one for one in self.ids if _word(acme, one) == "Completed")
        beta.world.spawn(5)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A history to read: orders, a refill, an anomaly, changes of the catalog, on two panels."""
    clock = ManualClock()  # it stands still
    with Simulator(key=KEY, seed=3, clock=clock) as acme, Simulator(key=KEY, seed=4, clock=clock) as beta:
        shop = Shop(tmp_path_factory.mktemp("shop"), acme, beta)
        config = ["--config", str(shop.config)]
        assert typed_here("track", "--panel", "acme", *shop.ids, "nope", *config) == 0
        assert typed_here("track", "--panel", "acme", "--refill", "77", shop.ids[0], *config) == 0
        assert typed_here("track", "--panel", "beta", shop.ids[0], *config) == 0
        for _ in range(2):  # children, and an id in doubt, are asked about in the second
            assert typed_here("poll", *config) == 0
        changed = "UPDATE services SET rate = rate + 1 WHERE service_id IN ('1', '2')"
        sql(shop.url, changed)
        assert typed_here("poll", "catalog", "--all", *config) == 0
        yield shop


@pytest.fixture
def type_(shop: Shop, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command in the shop's folder: exit code, stdout, stderr."""
    monkeypatch.chdir(shop.folder)
    return typist(capsys)


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command where nothing was recorded yet."""
    configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    monkeypatch.chdir(tmp_path)
    assert typed_here("db", "upgrade") == 0
    return typist(capsys)


@pytest.mark.parametrize("command", [*READ, "show acme/23501"])
@pytest.mark.parametrize("form", FORMATS)
def test_what_is_known_is_printed_in_every_format(type_: Type, command: str, form: str) -> None:
    code, out, err = type_(f"{command} --format {form}")
    assert (code, err) == (0, "")
    if form == "json":
        known = json.loads(out)
        assert known
        assert "panel" in str(known)
    elif form == "jsonl":
        assert all(isinstance(json.loads(line), dict) for line in out.splitlines())
        assert out.strip()
    elif form == "csv":
        head, *rows = csv.reader(io.StringIO(out))
        assert rows
        assert all(len(row) == len(head) for row in rows)
    else:
        assert len(out.splitlines()) >= 2
        assert "\x1b" not in out


@pytest.mark.parametrize("command", READ)
def test_where_nothing_is_known_a_sentence_says_so_and_json_stays_json(empty: Type, command: str) -> None:
    code, out, err = empty(command)
    assert (code, err) == (0, "")
    assert out.startswith("No ")
    assert out.rstrip().endswith(".")
    assert empty(f"{command} --json") == (0, "[]\n", out)


def test_an_order_is_shown_as_its_panel_told_it(type_: Type, shop: Shop) -> None:
    code, out, _ = type_("orders --panel acme --limit 1000 --json")
    assert code == 0
    told = {row["order_id"]: row for row in json.loads(out)}
    for order_id in shop.ids:
        served = shop.acme.served(order_id)[-1]
        row = told[order_id]
        assert row["panel_status"] == served.panel_status
        assert row["remains"] == served.remains
        assert (row["charge"] is None) == (served.charge is None)
        if served.charge is not None:
            assert row["charge"] == format(served.charge.normalize(), "f")


def test_orders_are_chosen_by_state_panel_and_number(type_: Type) -> None:
    rows = json.loads(type_("orders --state completed --json")[1])
    assert rows
    assert {row["state"] for row in rows} == {"completed"}
    assert {row["panel"] for row in json.loads(type_("orders --panel beta --json")[1])} == {"beta"}
    assert len(json.loads(type_("orders --limit 3 --json")[1])) == 3
    assert "completed" not in {row["state"] for row in json.loads(type_("orders --open --json")[1])}
    assert type_("orders --state expired") == (0, "No expired orders are known.\n", "")
    assert type_("orders --panel gone")[1] == "No orders of panel gone are known.\n"


def test_an_order_of_two_panels_is_asked_back(type_: Type, shop: Shop) -> None:
    order_id = shop.ids[0]
    code, out, err = type_(f"show {order_id}")
    assert (code, out) == (2, "")
    assert f"acme/{order_id} or beta/{order_id}" in err
    assert json.loads(type_(f"show beta/{order_id} --json")[1])["order"]["panel"] == "beta"
    assert json.loads(type_(f"show {order_id} --panel acme --json")[1])["order"]["panel"] == "acme"


def test_an_unknown_order_is_a_sentence_and_exit_code_1(type_: Type) -> None:
    code, out, err = type_("show 99999999")
    assert (code, out) == (1, "")
    assert err.startswith("tracker: No order 99999999 is known.")


def test_a_timeline_tells_what_happened_and_when(type_: Type, shop: Shop) -> None:
    timeline = json.loads(type_(f"show acme/{shop.done} --json")[1])["timeline"]
    assert [row["event"] for row in timeline] == ["state"]
    assert timeline[0]["state"] == "completed"
    assert timeline[0]["at"].endswith("Z")


def test_an_order_tracked_before_is_said_and_is_no_error(empty: Type) -> None:
    assert empty("track --panel acme 5 6")[:2] == (
        0,
        "acme/5: followed from now on\nacme/6: followed from now on\n",
    )
    assert empty("track --panel acme 6 7")[:2] == (0, "acme/6: was tracked before\nacme/7: followed from now on\n")
    assert empty("track --panel acme --refill 9 6")[1].endswith("acme/6 refill 9: followed from now on\n")
    assert empty("track --panel acme --refill 9 6")[1].endswith("acme/6 refill 9: was tracked before\n")


def test_what_is_known_of_an_order_can_be_told_when_it_is_tracked(empty: Type) -> None:
    line = "track --panel acme 5 --service 17 --quantity 100 --link https://x.example --ref mine"
    assert empty(f"{line} --ordered-at 2026-11-01T10:00:00+02:00")[0] == 0
    (row,) = json.loads(empty("orders --json")[1])
    told = {name: row[name] for name in ("service_id", "quantity", "link", "ref", "ordered_at", "state")}
    assert told == {
        "service_id": "17",
        "quantity": 100,
        "link": "https://x.example",
        "ref": "mine",
        "ordered_at": "2026-11-01T08:00:00Z",
        "state": "new",
    }


def test_poll_does_what_is_due_and_all_asks_about_everything(type_: Type, shop: Shop) -> None:
    assert type_("poll") == (0, "Nothing was due.\n", "")
    code, out, _ = type_("poll --all --panel acme --json")
    assert code == 0
    asked = {row["kind"]: row for row in json.loads(out)}
    assert set(asked) == {"statuses", "refills", "catalog", "balance"}
    assert asked["statuses"]["asked"] >= len(shop.ids)
    assert {row["outcome"] for row in asked.values()} == {"ok"}
    code, out, _ = type_(f"poll acme/{shop.done} acme/{shop.ids[0]} --json")
    assert (code, [(row["kind"], row["asked"]) for row in json.loads(out)]) == (0, [("statuses", 2)])
    assert shop.acme.requests[-1].ids == tuple(sorted({shop.done, shop.ids[0]}))


def test_poll_says_that_a_closed_order_is_not_asked_about(type_: Type, shop: Shop) -> None:
    close = "UPDATE orders SET closed_at = tracked_at WHERE panel = 'acme' AND order_id = :order_id"
    sql(shop.url, close, order_id=shop.done)
    before = shop.acme.counts["status"]
    code, _, err = type_(f"poll acme/{shop.done}")
    sql(shop.url, close.replace("tracked_at WHERE", "NULL WHERE"), order_id=shop.done)
    assert code == 0
    assert f"acme/{shop.done} is completed and closed" in err
    assert shop.acme.counts["status"] == before


def test_the_effective_configuration_is_shown_without_the_key(type_: Type) -> None:
    code, out, err = type_("config show")
    assert (code, err) == (0, "")
    table = tomllib.loads(out)
    assert set(table["panels"]) == {"acme", "beta"}
    assert table["every"]["statuses"] == "1h"
    assert json.loads(type_("config show --json")[1]) == table
    assert KEY not in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed_here(command, "--help") == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: tracker {command}")


def test_help_lists_the_commands_and_version_tells_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed_here("--help") == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in COMMANDS)
    assert "\n  Try it:      tracker demo\n" in told
    assert typed_here("--version") == 0
    assert capsys.readouterr().out.startswith("tracker, version 0.")


def test_help_does_not_wait_for_a_database_driver() -> None:
    code = "import sys; from tracker.cli.main import run; run(['--help']); print(*sys.modules)"
    loaded = subprocess.run([TRACKER[0], "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"sqlalchemy", "httpx", "psycopg", "rich.table"}.isdisjoint(loaded)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_shows_the_columns_that_matter_whole(shop: Shop, columns: int) -> None:
    with opened(shop.url) as database:
        known = [
            row for row in database.history.orders(OrderFilter("acme"), limit=10) if row["charge"] is not None
        ]
    with Terminal(["orders", "--panel", "acme", "--limit", "10"], columns, 30, shop.folder) as terminal:
        assert terminal.ended() == 0
        shown = [line.split() for line in terminal.everything()]
    for row in known:
        wanted = {row["order_id"], row["state"], str(row["remains"]), format(row["charge"], "f")}
        assert any(wanted <= set(cells) for cells in shown), (wanted, shown)
    assert any("link" in cells for cells in shown) == (columns == 200)


def test_the_simulated_panel_prints_its_orders_and_where_it_listens() -> None:
    arguments = ["simulate", "--orders", "3", "--seed", "1"]
    with Warm(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("A panel listens at http://127.0.0.1:")
        port = first.rpartition(":")[2].partition("/")[0]
        taken = typed("simulate", "--port", port)
        assert taken.returncode == 2
        assert f"Port {port} cannot be used" in taken.stderr
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(PATIENCE)
    assert (process.returncode, len(out.splitlines())) == (0, 3)


def test_a_reader_that_goes_away_ends_a_listing_quietly(shop: Shop) -> None:
    line = f"{shlex.join(TRACKER)} services --format jsonl --config {shop.config} | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.count("\n")) == ("", 1)


def test_a_name_in_russian_does_not_end_a_report_in_ascii(shop: Shop) -> None:
    sql(shop.url, "UPDATE orders SET link = 'Заказ' WHERE panel = 'beta'")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PATH": "/usr/bin"}
    command = [*TRACKER, "orders", "--panel", "beta", "--config", str(shop.config)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u0417\u0430\u043a\u0430\u0437" in done.stdout

"""`tracker show` and pictures: one order with all that happened to it."""

import csv
import io
import json
from pathlib import Path

import pytest
from cli_setting import Type, sql
from read_setting import filled_file, on_terminal, reader


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small history in a SQLite file, for tests that only read it."""
    return filled_file(tmp_path_factory.mktemp("history"))


@pytest.fixture
def type_(
    history: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Type:
    """Type a command over the small history: exit code, stdout, stderr."""
    return reader(history, tmp_path, capsys, monkeypatch)


def test_json_has_the_head_the_timeline_and_the_intents(type_: Type) -> None:
    told = json.loads(type_("show acme/23501 --json")[1])
    assert set(told) == {"order", "timeline", "refills", "intents"}
    head = told["order"]
    assert (head["order_id"], head["delivered_share"], head["silent_seconds"]) == ("23501", 1.0, None)
    assert [(row["state"], row["lasted_seconds"], row["after_seconds"]) for row in told["timeline"]] == [
        ("pending", 3600, 3600),
        ("in_progress", 7200, 7200),
        (None, None, 10800),
        ("completed", None, 14400),
    ]


def test_in_csv_and_json_lines_it_is_the_timeline(type_: Type) -> None:
    rows = list(csv.DictReader(io.StringIO(type_("show acme/23501 --format csv")[1])))
    assert [row["event"] for row in rows] == ["state", "state", "progress", "state"]
    lines = type_("show acme/23501 --format jsonl")[1].splitlines()
    assert [json.loads(line)["remains"] for line in lines] == [1000, 1000, 600, 0]


def test_a_terminal_shows_the_delivery_and_how_long_each_state_lasted(type_: Type) -> None:
    assert type_("show acme/23501")[0] == 0
    shown = on_terminal("show acme/23501", 80)
    text = "\n".join(shown.lines)
    assert "Delivered of 1000:" in text
    assert "1000┤" in text
    assert "charge       0.9 USD" in text
    assert [line.split()[2:5] for line in shown.lines[-4:]] == [
        ["1h", "pending", "1h"],
        ["2h", "in_progress", "2h"],
        ["3h", "600", "0.9"],
        ["4h", "completed", "0"],
    ]
    assert "Delivered of" not in "\n".join(on_terminal("show acme/23501 --no-plot", 80).lines)


def test_a_pipe_gets_a_picture_only_when_it_asks_for_one(type_: Type) -> None:
    assert "Delivered" not in type_("show acme/23501")[1]
    code, out, _ = type_("show acme/23501 --plot")
    assert code == 0
    assert "Delivered of 1000:\n1000┤" in out
    assert "\x1b" not in out
    assert type_("show acme/23501 --plot --json")[0] == 2


def test_where_nothing_moved_nothing_is_drawn(type_: Type) -> None:
    assert "Delivered" not in "\n".join(on_terminal("show acme/23502", 80).lines), "two figures are no curve"
    assert "There is no curve to draw" in type_("show acme/23511 --plot")[1]
    assert type_("show acme/23506")[1].endswith("\nOrder acme/23506 has not been answered yet.\n")


def test_a_stream_without_dots_gets_ascii_and_no_color_means_none(
    type_: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type_("balance --plot --panel acme")[1].count("┤") == 3
    assert "\x1b[36m" in on_terminal("balance --plot", 80).raw
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in on_terminal("balance --plot", 80).raw
    shown = on_terminal("balance --plot --panel acme", 60, encoding="ascii")
    assert shown.raw.isascii()
    assert "20.000001 USD+" in shown.raw
    assert all(len(line) <= 60 for line in shown.lines)


def test_the_balance_is_drawn_for_each_account_and_not_where_it_never_moved(type_: Type) -> None:
    out = type_("balance --plot")[1]
    assert out.startswith("Balance of acme: 19.5 USD\n20.000001 USD┤")
    assert out.endswith(
        "Balance of other: 5 EUR\nIt has not changed in all that was seen of it: there is no curve to draw.\n"
    )


def test_what_was_asked_of_an_order_is_told_with_it(history: str, type_: Type) -> None:
    columns = "uuid, panel, action, state, payload, order_id, order_key, sent_at, deadline_at, error"
    refused = "'c0ffee00', 'acme', 'cancel', 'rejected', '{}', order_id, id, :at, :at, 'Order cannot be cancelled'"
    meant = "FROM orders WHERE panel = 'acme' AND order_id = '23502'"
    sql(history, f"INSERT INTO intents ({columns}) SELECT {refused} {meant}", at="2026-11-20 10:00:00")
    out = type_("show 23502")[1]
    assert "cancel asked" in out
    assert "the panel refused: Order cannot be cancelled" in out
    [intent] = json.loads(type_("show 23502 --json")[1])["intents"]
    assert (intent["action"], intent["asked"]) == ("cancel", "cancel of order acme/23502")


def test_its_refills_are_told_with_it(history: str, type_: Type) -> None:
    sql(history, "INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '23501', 'r9')")
    out = type_("show acme/23501")[1]
    assert "refill r1" in out
    assert "completed, " in out
    assert "requested, not answered yet" in out
    told = json.loads(type_("show acme/23501 --json")[1])["refills"]
    assert [(refill["refill_id"], refill["state"]) for refill in told] == [
        ("r1", "completed"),
        ("r9", "requested"),
    ]

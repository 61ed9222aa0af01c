"""Commands that ask: each question of a user is one command; lists are narrowed, sorted and cut as one likes."""

import json
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from cli_setting import Type, sql
from filled import fill, whole_second
from read_setting import filled_file, on_terminal, reader
from rich.cells import cell_len

from tracker.cli.asking.plot import HEIGHT
from tracker.cli.quantities import moment_of
from tracker.store.database import Database

LISTS = ("orders", "services --changes", "services --prices", "balance", "refills", "rounds", "anomalies")
EVIL = "\x1b[2J\x9b31m\u202elive\u2066\r\n\x07end"


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


def listed(type_: Type, line: str) -> list[dict[str, Any]]:
    code, out, _ = type_(f"{line} --json")
    assert code == 0, out
    rows: list[dict[str, Any]] = json.loads(out)
    return rows


def ids(type_: Type, line: str) -> list[str]:
    return [f"{row['panel']}/{row['order_id']}" for row in listed(type_, line)]


def test_each_question_of_a_user_is_one_command_on_both_databases(
    database: Database,
    database_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(database, whole_second())
    type_ = reader(database_url, tmp_path, capsys, monkeypatch)
    assert ids(type_, "orders --state stuck") == ["acme/23502"], "what is stuck?"
    spent = type_("stats spend --service 412 --panel acme")[1]  # what did service 412 cost me?
    assert "In total: 4.55 USD for 7 orders of service 412 of panel acme." in spent
    [tempo] = listed(type_, "stats tempo --service 412")
    assert (tempo["start_median_seconds"], tempo["finish_median_seconds"]) == (7200, 14400), "how long, really?"
    [price] = listed(type_, "services --prices --service 412")
    assert (price["at"], price["old_rate"], price["new_rate"]) == ("2026-03-10T13:00:00Z", "0.9", "1.2")
    life = json.loads(type_("show acme/23501 --json")[1])["timeline"]  # what happened to order 23501?
    assert [row["state"] for row in life] == ["pending", "in_progress", None, "completed"]
    for line in (*LISTS, "services", "balance --daily", "stats spend", "stats refunds"):
        assert listed(type_, line), line


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--state partial --state canceled", {"other/77", "acme/23504", "acme/23503"}),
        ("--state stuck", {"acme/23502"}),
        ("--state stuck --state pending", set()),
        ("--state stuck --silent 30m", {"acme/23502", "acme/23505", "acme/23507"}),
        ("--silent 2d", {"acme/23502"}),
        ("--service 7", {"other/77", "other/23501"}),
        ("--service 7 --service 500 --state completed", {"other/23501", "acme/23508", "acme/23509"}),
        ("--ref shop-1", {"acme/23501"}),
        ("--link EXAMPLE.org/p", {"acme/23501"}),
        ("--open --panel acme", {"acme/23511", "acme/23506", "acme/23507", "acme/23505", "acme/23502"}),
        ("--until 20h", {"acme/23502", "acme/23503"}),
        ("--since 3h30m --until 90m", {"acme/23501", "other/77"}),
    ],
)
def test_orders_are_chosen_by_what_is_known_of_them(type_: Type, line: str, found: set[str]) -> None:
    assert set(ids(type_, f"orders {line}")) == found


def test_the_longest_silent_order_comes_first_and_its_silence_is_always_to_be_seen(type_: Type) -> None:
    assert ids(type_, "orders --silent 30m") == ["acme/23502", "acme/23505", "acme/23507"]
    lines, _ = on_terminal("orders --state stuck", 60)
    assert "silent" in lines[0]
    assert " 3d" in lines[2]


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("orders --sort charge --limit 3", "charge", ["0", "0.2", "0.45"]),
        ("orders --sort -charge --limit 2", "charge", ["4", "4"]),
        ("orders --sort=-delivered_share --limit 1 --state partial", "order_id", ["77"]),
        ("orders --sort order --limit 2", "order_id", ["23501", "23501"]),
        ("services --sort -rate", "service_id", ["500", "412"]),
        ("services --changes --sort old --limit 1", "old", ["0.9"]),
        ("balance --sort balance --limit 2", "balance", ["5", "8.7"]),
        ("balance --daily --sort -added --limit 1", "day", ["2026-03-11"]),
        ("refills --sort refill", "refill_id", ["r1", "r2"]),
        ("anomalies --sort kind", "kind", ["bad_item", "foreign_ids"]),
        ("rounds --sort -requests", "requests", [2]),
    ],
)
def test_a_list_is_sorted_by_any_column(type_: Type, line: str, column: str, expected: list[object]) -> None:
    assert [row[column] for row in listed(type_, line)] == expected


@pytest.mark.parametrize("form", ["table", "csv", "json", "jsonl"])
def test_columns_are_chosen_by_name_or_by_what_stands_above_them(type_: Type, form: str) -> None:
    code, out, _ = type_(f"orders --state canceled --columns charge,order,panel-says --format {form}")
    assert code == 0
    row = '{"charge": "0", "order_id": "23504", "panel_status": "Canceled"}'
    assert (
        out
        == {
            "table": "charge  order  panel says\n     0  23504  Canceled\n",
            "csv": "charge,order_id,panel_status\n0,23504,Canceled\n",
            "json": f"[\n{row}\n]\n",
            "jsonl": f"{row}\n",
        }[form]
    )


@pytest.mark.usefixtures("type_")
def test_what_was_asked_for_by_name_is_shown_however_narrow_the_terminal_is() -> None:
    lines, _ = on_terminal("orders --columns order,link,ref,next_poll_at,tracked --limit 1", 50)
    assert lines[0].split()[0] == "order"
    assert all(any(word in lines[0] for word in (name[:4], "…")) for name in ("link", "ref", "next", "trac"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("orders --sort price", "--sort: there is no column 'price'. There are: panel, order_id, state,"),
        ("orders --columns order,price", "--columns: there is no column 'price'. There are: panel, order_id,"),
        ("orders --columns ,", "no column is named"),
        ("rounds --sort took", "there is no column 'took'"),
        ("orders --since soon", "write a time that is past (2h, 3d, 1w, 1h30m), a day (2026-11-23, today,"),
        ("orders --until 2026", "is no moment"),
        ("orders --silent often", "write it like 45m, 6h, 3d, 1w or 1h30m"),
        ("orders --state odd", "'stuck'"),
        ("services --since 3d", "add --changes or --prices"),
        ("services --changes --prices", "Say --changes or --prices"),
        ("services --changes --find x", "say --service"),
        ("balance --daily --plot", "Say --daily or --plot"),
        ("balance --plot --json", "--plot is a picture"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(type_: Type, line: str, said: str) -> None:
    code, out, err = type_(line)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "orders --state stuck --panel beta --since 3d",
            "No stuck orders of panel beta that changed in the last 3d are known.",
        ),
        ("orders --open --service 9 --ref x", "No open orders of service 9 with the reference x are known."),
        ("orders --silent 9d --link y", "No orders silent for 9d with 'y' in the link are known."),
        ("services --panel beta", "No service of panel beta has been seen yet."),
        ("services --find x", "No service with 'x' in its name or category has been seen yet."),
        (
            "services --prices --service 9 --since 2027-01",
            "No change of the price of service 9 has been seen since 2027-01.",
        ),
        ("services --changes --panel beta", "No change of a service of panel beta has been seen yet."),
        ("balance --since 1h", "No balance has been seen in the last 1h."),
        ("balance --plot --panel beta", "No balance of panel beta has been seen yet."),
        ("balance --daily --until 2020-01-01", "No balance has been seen before 2020-01-01."),
        ("refills --service 7 --since 2h", "No refill of service 7 that moved in the last 2h is known."),
        ("rounds --since 2d --until 1d", "No round has been run from 2d ago until 1d ago."),
        ("anomalies --panel beta", "No anomaly of panel beta has been seen."),
    ],
)
def test_an_empty_result_says_what_was_looked_for(type_: Type, line: str, said: str) -> None:
    code, out, _ = type_(line)
    assert (code, out) == (0, f"{said}\n")


@pytest.mark.parametrize("line", LISTS)
def test_every_list_knows_from_when_until_when(type_: Type, line: str) -> None:
    assert len(listed(type_, f"{line} --since 2000-01-01")) == len(listed(type_, line)) > 0
    assert listed(type_, f"{line} --until 2000-01-01") == []
    assert listed(type_, f"{line} --since 2100-01-01T00:00+02:00") == []


def test_services_are_found_by_a_text_and_tell_how_their_price_moved(type_: Type, history: str) -> None:
    assert [row["service_id"] for row in listed(type_, "services --find SLOW")] == ["500"]
    assert [row["service_id"] for row in listed(type_, "services --service 412 --panel acme")] == ["412"]
    assert listed(type_, "services --service 412")[0]["rate_change_share"] is None, "long ago"
    add = "INSERT INTO service_changes (panel, service_id, at, field, old, new)"
    for ago, old in (("3d", "1.5"), ("1d", "1.3")):
        at = moment_of(ago, whole_second()).strftime("%Y-%m-%d %H:%M:%S")
        sql(history, f"{add} VALUES ('acme', '412', '{at}', 'rate', '{old}', '1.2')")
    assert listed(type_, "services --service 412")[0]["rate_change_share"] == pytest.approx(-0.2)
    assert "-20%" in type_("services --service 412")[1]
    sql(history, "DELETE FROM service_changes WHERE old IN ('1.5', '1.3')")


def test_it_is_told_when_there_is_more_and_programs_get_whole_documents(type_: Type) -> None:
    lines, _ = on_terminal("balance --limit 2", 80)
    assert lines[-1] == "(The first 2; there are more: --limit)"
    assert len(lines) == 5
    assert not on_terminal("balance --limit 7", 80).lines[-1].startswith("(")
    assert type_("balance --limit 2 --format csv")[1:] == (
        "at,panel,balance,currency\n2026-03-12T12:00:00Z,acme,19.5,USD\n2026-03-11T02:00:00Z,acme,20.000001,USD\n",
        "(The first 2; there are more: --limit)\n",
    )


def test_intents_whose_outcome_is_unknown_are_told_beside_the_orders(type_: Type) -> None:
    _, out, err = type_("orders --json")
    assert json.loads(out)
    assert err == "1 intent has an unknown outcome, which may have cost money: `tracker intents --state unknown`\n"


@pytest.fixture
def odd(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Type commands over a history whose texts are hostile, long, and in every script."""
    url = filled_file(tmp_path)
    names = {"412": EVIL, "500": "Подписчики 日本語のフォロワー"}
    for service, name in names.items():
        sql(
            url, "UPDATE services SET name = :name, category = :name WHERE service_id = :id", name=name, id=service
        )
    sql(url, "UPDATE services SET category = 'متابعين עוקבים' WHERE service_id = '500'")
    sql(
        url,
        "UPDATE orders SET link = :link, panel_status = :said",
        link="https://x.example/" + "y" * 2000,
        said=EVIL,
    )
    sql(url, "UPDATE anomalies SET detail = :detail", detail=EVIL * 20)
    for table in ("orders", "balance_snapshots"):
        sql(url, f"UPDATE {table} SET currency = :currency", currency=EVIL)
    reader(url, tmp_path, capsys, monkeypatch)


@pytest.mark.usefixtures("odd")
@pytest.mark.parametrize("columns", [80, 200])
def test_odd_texts_neither_reach_a_terminal_raw_nor_break_its_lines(columns: int) -> None:
    commands = ("services", "orders", "show acme/23502", "anomalies", "stats", "balance --plot")
    shown = {command: on_terminal(command, columns) for command in commands}
    for lines, raw in shown.values():
        assert all(cell_len(line) <= columns for line in lines)
        assert not [sent for sent in ("\x1b[2J", "\x9b", "\u202e", "\u2066", "\x07") if sent in raw]
    assert any("\\x1b[2J" in line for line in shown["services"].lines)
    assert any("日本" in line for line in shown["services"].lines)
    assert any("متابعين" in line for line in shown["services"].lines)
    assert len(shown["show acme/23502"].lines) < 34, "a link of 2,000 characters must not push the rest away"


@pytest.mark.usefixtures("type_")
def test_a_picture_is_cut_where_a_narrow_terminal_ends_and_never_broken() -> None:
    heading = on_terminal("balance --plot", 200).lines[0]
    lines = on_terminal("balance --plot --panel acme", 22).lines
    assert len(lines) == ceil(len(heading) / 22) + HEIGHT + 2


def test_no_color_is_sent_where_none_is_wanted(type_: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type_("orders")[0] == 0
    colored = on_terminal("orders", 80)
    assert "\x1b[36m" in colored.raw
    monkeypatch.setenv("NO_COLOR", "1")
    plain = on_terminal("orders", 80)
    assert "\x1b[3" not in plain.raw
    assert plain.lines == colored.lines

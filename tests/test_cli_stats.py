"""`tracker stats`: tempo, spend and refunds, added up in each currency."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cli_setting import Type
from filled import whole_second
from read_setting import filled_file, on_terminal, reader

from tracker.cli.asking.sums import in_total, ordered, summed

SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small history in a SQLite file, for tests that only read it; its last eight hours are of one day."""
    now = whole_second()
    midnight = now.replace(hour=0, minute=0, second=0)
    return filled_file(tmp_path_factory.mktemp("history"), now if now.hour >= 8 else midnight - SECOND)


@pytest.fixture
def type_(
    history: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Type:
    """Type a command over the small history: exit code, stdout, stderr."""
    return reader(history, tmp_path, capsys, monkeypatch)


def listed(type_: Type, line: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(type_(f"{line} --json")[1])
    return rows


def test_the_overview_has_all_three_tables_each_with_its_sum(type_: Type) -> None:
    code, out, _ = type_("stats")
    assert code == 0
    assert [line for line in out.splitlines() if "30d" in line] == [
        "How long services take, by the orders bought in the last 30d",
        "What was spent in the last 30d",
        "What came back of orders that ended early in the last 30d",
    ]
    assert "In total: 8 EUR and 6.55 USD for 11 orders. The charge of 1 is not known yet." in out
    assert "In total: 0 EUR and 4 USD came back of 4 EUR and 5 USD charged." in out
    told = json.loads(type_("stats --json")[1])
    assert {name: len(rows) for name, rows in told.items()} == {"tempo": 4, "spend": 5, "refunds": 3}


def test_spend_is_added_up_by_day_or_by_service(type_: Type) -> None:
    by_service = listed(type_, "stats spend --by service")
    assert [(row["service_id"], row["charge"], row["currency"]) for row in by_service] == [
        ("7", "8", "EUR"),
        ("412", "4.55", "USD"),
        ("500", "2", "USD"),
        (None, None, "USD"),
    ]
    by_day = listed(type_, "stats spend --panel acme")
    assert [row["day"] for row in by_day] == sorted((row["day"] for row in by_day), reverse=True)
    assert sum(Decimal(row["charge"]) for row in by_day) == Decimal("6.55")
    assert [row["orders"] for row in listed(type_, "stats spend --sort -orders --limit 1 --panel acme")] == [6]


def test_the_sum_is_of_all_though_only_some_are_shown(type_: Type) -> None:
    out = type_("stats spend --by service --limit 1 --service 412")[1]
    assert out.endswith("\n\nIn total: 4.55 USD for 7 orders of service 412.\n")
    assert on_terminal("stats spend --limit 1", 80).lines[-2:] == [
        "(The first 1; there are more: --limit)",
        "In total: 8 EUR and 6.55 USD for 11 orders. The charge of 1 is not known yet.",
    ]


def test_tempo_tells_shares_in_per_cent_and_times_as_durations(type_: Type) -> None:
    _, line = type_("stats tempo --service 412")[1].splitlines()
    assert " ".join(line.split()) == "acme 412 Likes 7 2h 1d 1h 4h 1d 1h 50% 25% 25% 500.0 2 50%"
    assert listed(type_, "stats tempo --sort -orders --limit 1")[0]["completed_share"] == 0.5


def test_refunds_tell_what_came_back_and_what_should_have(type_: Type) -> None:
    rows = {(row["panel"], row["state"]): row for row in listed(type_, "stats refunds")}
    kept = rows["other", "partial"]
    assert (kept["charged"], kept["refunded"], kept["undelivered"]) == ("4", "0", "2")
    assert rows["acme", "canceled"]["refunded"] == "3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stats --format csv", "csv is one table: say tempo, spend or refunds"),
        ("stats --sort orders", "are about one table"),
        ("stats tempo --until 1d", "--until is for spend and refunds"),
        ("stats spend --columns service", "There are: day, panel, orders, charge, currency, unpriced."),
        ("stats money", "'spend'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(type_: Type, line: str, said: str) -> None:
    code, out, err = type_(line)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("stats tempo --service 9 --since 1d", "No order of service 9 was bought in the last 1d."),
        ("stats spend --panel beta", "No order of panel beta was bought in the last 30d."),
        (
            "stats refunds --since 2030-01",
            "No order ended as partial, canceled or refunded since 2030-01.",
        ),
    ],
)
def test_an_empty_answer_says_what_was_looked_for(type_: Type, line: str, said: str) -> None:
    assert type_(line) == (0, f"{said}\n", "")


def test_a_charge_that_nobody_told_is_not_nothing() -> None:
    row = {"day": "d", "currency": "USD", "orders": 1, "unpriced": 1, "charge": None}
    assert summed([row, row], ["day"]) == [{"day": "d", "orders": 2, "unpriced": 2, "charge": None}]
    priced = {**row, "unpriced": 0, "charge": Decimal("0.10")}
    assert summed([row, priced, priced], ["day"])[0]["charge"] == Decimal("0.20")
    assert in_total([row, priced, {**priced, "currency": "XXX"}], "charge") == "0.1 USD and 0.1"
    assert in_total([], "charge") == "0"


def test_what_is_not_known_comes_last_both_ways() -> None:
    rows: list[dict[str, Any]] = [{"n": 1}, {"n": None}, {"n": 3}]
    assert [row["n"] for row in ordered(rows, "n")] == [1, 3, None]
    assert [row["n"] for row in ordered(rows, "-n")] == [3, 1, None]

"""`tracker intents` and `tracker resolve`: what is told about what was sent, and a person's word about it."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from acting_setting import LINK, Desk, desk_at, simulator
from terminal import Terminal

from tracker.cli.acting import intents as module
from tracker.cli.acting.evidence import conclusion
from tracker.cli.acting.journal import told_of
from tracker.model import Intent, IntentState
from tracker.store.journal.evidence import Evidence, Snapshot

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SENT = NOW - timedelta(hours=2)


@pytest.fixture
def desk(tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    for desk in desk_at(simulator(), tmp_path, migrated_file, capsys):
        desk.know_catalog()
        yield desk


def _lost(desk: Desk, line: str) -> str:
    """Type what ends unknown, for the reply is cut; return the uuid."""
    desk.panel.misbehave("truncated", action=line.split(maxsplit=1)[0], times=1)
    told = desk.json(line, 6)
    intent = told[0] if isinstance(told, list) else told
    assert intent["state"] == "unknown"
    return str(intent["uuid"])


def test_intents_are_listed_newest_first_in_every_format(desk: Desk) -> None:
    order_id = desk.type(desk.order())[1].strip()
    lost = _lost(desk, desk.order("https://example.com/p/2"))
    rows = desk.json("intents")
    assert [row["state"] for row in rows] == ["unknown", "confirmed"]
    assert rows[1]["order_id"] == order_id
    assert rows[1]["payload"]["link"] == LINK
    assert [row["uuid"] for row in desk.json("intents --state unknown --state rejected")] == [lost]
    assert [row["uuid"] for row in desk.json("intents --limit 1")] == [lost]
    assert [row["uuid"] for row in desk.json("intents --sort sent_at --since 1h")] == [rows[1]["uuid"], lost]
    assert desk.json("intents --columns state,link --since 1h --limit 1") == [
        {"state": "unknown", "link": "https://example.com/p/2"}
    ]
    assert desk.type("intents --until 1h")[1] == "No intent that was sent before 1h ago is known.\n"
    out = desk.type("intents")[1]
    assert lost[:8] in out
    assert lost not in out
    table = list(csv.DictReader(io.StringIO(desk.type("intents --format csv")[1])))
    assert [row["uuid"] for row in table] == [row["uuid"] for row in rows]
    assert len(desk.type("intents --format jsonl")[1].splitlines()) == 2
    assert desk.type("intents --panel beta --state sending") == (
        0,
        "No sending intent of panel beta is known.\n",
        "",
    )


def test_one_whose_process_died_is_listed_as_unknown_once_its_deadline_has_passed(desk: Desk) -> None:
    desk.type(desk.order())
    died = "UPDATE intents SET state = 'sending', order_id = NULL, order_key = NULL, finished_at = NULL"
    desk.rows(died)
    assert [row["state"] for row in desk.json("intents")] == ["sending"]
    uuid = desk.json("intents")[0]["uuid"]
    assert "on its way" in desk.type(f"resolve {uuid}")[1]
    assert desk.type(f"resolve {uuid} --not-placed --yes")[0] == 2
    desk.rows("UPDATE intents SET deadline_at = '2026-01-01 00:00:00'")
    assert [row["state"] for row in desk.json("intents --state unknown")] == ["unknown"]


def test_a_lost_order_shows_its_evidence_and_what_to_type(desk: Desk) -> None:
    assert desk.type("poll balance --all")[0] == 0
    assert desk.type(desk.order("https://example.com/p/2"))[0] == 0
    known = set(desk.panel.world.order_ids())
    uuid = _lost(desk, desk.order())
    code, out, _ = desk.type(f"resolve {uuid[:6]}")
    assert code == 0
    for told in (uuid, LINK, "by the catalog", "balance before", "No balance from after it is known"):
        assert told in out
    (order_id,) = set(desk.panel.world.order_ids()) - known
    assert desk.type("poll balance --all")[0] == 0
    desk.type(f"track --panel acme {order_id}")
    code, out, _ = desk.type(f"resolve {uuid[:6]}")
    assert "it was probably placed" in out
    assert order_id in out
    assert f"tracker resolve {uuid[:8]} --order-id ID" in out
    assert f"tracker resolve {uuid[:8]} --not-placed" in out
    told = desk.json(f"resolve {uuid}")
    assert told["uuid"] == uuid
    assert [row["order_id"] for row in told["evidence"]["orders"]] == [order_id]
    assert told["evidence"]["after"]["balance"] == format(desk.panel.world.balance().normalize(), "f")


def test_the_word_that_it_was_placed_has_the_order_followed(desk: Desk) -> None:
    uuid = _lost(desk, f"{desk.order()} --ref shop-7")
    assert "1 intent has an unknown outcome" in desk.type("orders")[2]
    code, out, _ = desk.type(f"resolve {uuid[:8]} --order-id 4711 --yes")
    assert (code, "acme/4711 is followed from now on" in out) == (0, True)
    assert desk.rows("SELECT order_id, ref, link FROM orders") == [("4711", "shop-7", LINK)]
    assert desk.states() == {LINK: "resolved"}
    assert desk.type("orders")[2] == ""
    assert desk.type(f"resolve {uuid[:8]} --order-id 4712 --yes")[0] == 2
    assert "It is resolved" in desk.type(f"resolve {uuid[:8]}")[1]


def test_the_word_that_it_was_not_placed_lets_it_be_sent_again(desk: Desk) -> None:
    uuid = _lost(desk, f"{desk.order()} --ref shop-7")
    assert desk.json(f"resolve {uuid} --not-placed --yes")["state"] == "resolved"
    assert desk.rows("SELECT * FROM orders") == []
    assert desk.type(f"{desk.order()} --ref shop-7")[0] == 0


def test_a_lost_refill_stays_for_a_person_who_may_name_it(desk: Desk) -> None:
    order_id = desk.placed(refill=True)
    desk.panel.world.look(order_id)
    uuid = _lost(desk, f"refill {order_id} --yes")
    out = desk.type(f"resolve {uuid}")[1]
    assert "look at the order at the panel" in out
    assert "--placed, or --refill-id ID" in out
    assert "the outcome is unknown" in desk.type(f"show {order_id}")[1]
    code, out, _ = desk.type(f"resolve {uuid} --refill-id 31 --yes")
    assert (code, "Refill 31 is followed" in out) == (0, True)
    assert desk.rows("SELECT order_id, refill_id FROM refills") == [(order_id, "31")]


def test_a_lost_cancel_is_settled_by_the_state_of_its_order_or_by_a_person(desk: Desk) -> None:
    by_state, by_person = desk.placed(cancel=True), desk.placed(cancel=True)
    first, second = (_lost(desk, f"cancel {one} --yes") for one in (by_state, by_person))
    assert "settled by itself" in desk.type(f"resolve {first}")[1]
    ended = "UPDATE orders SET state = 'canceled', state_at = '2099-01-01 00:00:00' WHERE order_id = :id"
    desk.rows(ended, id=by_state)
    assert {row["uuid"]: row["resolution"] for row in desk.json("intents --state resolved")} == {
        first: "the order was canceled"
    }
    assert desk.type(f"resolve {second} --placed --yes")[0] == 0
    assert desk.json("intents --state unknown") == []


@pytest.mark.parametrize(
    ("action", "word", "told"),
    [
        ("add", "--placed", "--order-id ID"),
        ("add", "--refill-id 7", "--order-id ID"),
        ("add", "--order-id 7 --not-placed", "stands alone"),
        ("add", "--order-id 7,8", "cannot be the id of an order"),
        ("add", "--order-id '7\n8'", "cannot be the id of an order"),
        ("add", f"--order-id {'7' * 101}", "cannot be the id of an order"),
        ("add", "--order-id '' --not-placed", "cannot be the id of an order"),
        ("cancel", "--refill-id 7", "say --placed"),
        ("cancel", "--order-id 99999", "is not about order 99999"),
    ],
)
def test_a_word_that_does_not_fit_changes_nothing(desk: Desk, action: str, word: str, told: str) -> None:
    uuid = _lost(desk, desk.order() if action == "add" else f"cancel {desk.placed(cancel=True)} --yes")
    code, out, err = desk.type(f"resolve {uuid} {word} --yes")
    assert (code, out) == (2, "")
    assert told in err
    assert set(desk.states().values()) == {"unknown"}


def test_names_that_mean_none_or_several_are_asked_back(desk: Desk) -> None:
    assert "too short" in desk.type("resolve abc")[2]
    code, _, err = desk.type("resolve 00000000")
    assert (code, "tracker intents" in err) == (2, True)


def test_a_terminal_is_asked_before_a_word_is_written(desk: Desk) -> None:
    uuid = _lost(desk, desk.order())
    for answer, code, state in (("n\r", 1, "unknown"), ("y\r", 0, "resolved")):
        with Terminal(["resolve", uuid[:8], "--not-placed", "--config", str(desk.config)]) as terminal:
            terminal.until("add of service", "did not happen, and may be sent again? [y/N]:")
            terminal.press(answer)
            assert terminal.ended() == code
        assert desk.states() == {LINK: state}


def _intent(state: IntentState = "confirmed", **fields: Any) -> Intent:  # noqa: ANN401  # columns of an intent
    blank = dict.fromkeys(Intent._fields)
    known = {"uuid": "1a2b3c4d-0000", "panel": "acme", "action": "add", "state": state, "payload": {}}
    return Intent(**{**blank, **known, "sent_at": SENT, "deadline_at": SENT, "currency": "USD", **fields})


def test_a_balance_of_the_evidence_is_dated_in_utc_whatever_zone_the_database_tells() -> None:
    tokyo = Snapshot(NOW.astimezone(ZoneInfo("Asia/Tokyo")), Decimal(5), "USD")
    assert module._seen(tokyo) == "5 USD at 2026-11-23 12:00:00 UTC"


def _snapshot(balance: str, currency: str = "USD") -> Snapshot:
    return Snapshot(NOW, Decimal(balance), currency)


@pytest.mark.parametrize(
    ("price", "before", "after", "others", "told"),
    [
        ("0.90", "10", _snapshot("9.1"), 0, "fell by 0.9 USD, and the price is 0.90 USD: it was probably placed"),
        (
            "0.90",
            "10",
            _snapshot("10.00"),
            0,
            "the same as before, and the price is 0.90 USD: it was probably not",
        ),
        ("0.90", "10", _snapshot("8"), 0, "fell by 2 USD, and the price is 0.90 USD: something else moved it"),
        ("0.90", "10", _snapshot("110"), 0, "rose by 100 USD, and the price"),
        ("0.90", "10", _snapshot("9.1"), 1, "fell by 0.9 USD, but another order was sent meanwhile"),
        ("0.90", "10", _snapshot("9.1"), 3, "fell by 0.9 USD, but 3 other orders were sent meanwhile"),
        (None, "10", _snapshot("9.1"), 0, "cannot be told beforehand"),
        ("0.90", "10", None, 0, "No balance from after it is known: `tracker poll balance --all --panel acme`"),
        ("0.90", None, _snapshot("9.1"), 0, "No balance from before it is known"),
        ("0.90", "10", _snapshot("9.1", "RUB"), 0, "in two currencies"),
        ("0.90", "10", _snapshot("9.1", "XXX"), 0, "it was probably placed"),
    ],
)
def test_a_conclusion_claims_no_more_than_the_balances_say(
    price: str | None, before: str | None, after: Snapshot | None, others: int, told: str
) -> None:
    intent = _intent("unknown", price=price and Decimal(price), balance_before=before and Decimal(before))
    assert told in conclusion(intent, Evidence(None, after, others, []))


def test_an_older_balance_stands_in_where_none_was_read_before_the_order() -> None:
    evidence = Evidence(_snapshot("10"), _snapshot("9.1"), 0, [])
    assert "probably placed" in conclusion(_intent("unknown", price=Decimal("0.9")), evidence)


def _order(state: str, charge: str | None = None, currency: str | None = "USD", **at: datetime) -> dict[str, Any]:
    settled = None if state in {"new", "in_progress"} else NOW - timedelta(hours=1)
    amount = None if charge is None else Decimal(charge)
    known = {"state": state, "charge": amount, "currency": currency, "state_at": NOW, "settled_at": settled}
    return {**known, **at}


@pytest.mark.parametrize(
    ("price", "order", "told"),
    [
        ("0.90", _order("completed", "0.9"), "0.90 USD by the catalog; charged 0.9 USD"),
        ("0.90", _order("completed", "1.1"), "0.90 USD by the catalog; charged 1.1 USD, 0.20 more"),
        ("0.90", _order("completed", "0.8"), "0.90 USD by the catalog; charged 0.8 USD, 0.10 less"),
        ("0.01", _order("completed", "0.0149"), "0.01 USD by the catalog; charged 0.0149 USD, 0.0049 more"),
        ("0.90", _order("completed"), "0.90 USD by the catalog; the panel told no charge"),
        ("0.27819", _order("completed", "0.28"), "0.27819 USD by the catalog; charged 0.28 USD"),
        ("0.90", _order("partial", "0.3"), "0.90 USD by the catalog; charged 0.3 USD, for it is partial"),
        ("0.90", _order("canceled", "0"), "0.90 USD by the catalog; charged 0 USD, for it is canceled"),
        ("0.90", _order("new"), "0.90 USD by the catalog; not charged yet"),
        ("0.90", _order("in_progress", "0"), "0.90 USD by the catalog; not charged yet"),
        ("0.90", _order("completed", "85", "RUB"), "0.90 USD by the catalog; charged 85 RUB"),
        ("0.90", _order("completed", "1.1", None), "0.90 USD by the catalog; charged 1.1, 0.20 more"),
    ],
)
def test_the_price_of_the_catalog_stands_beside_what_was_charged(
    price: str, order: dict[str, Any], told: str
) -> None:
    assert told_of([_intent(price=Decimal(price))], order, NOW) == [
        ("bought", "2h ago by intent 1a2b3c4d"),
        ("price", told),
    ]


SETTLED = _intent("resolved", action="cancel", resolution="the order was canceled")


@pytest.mark.parametrize(
    ("intent", "state", "told"),
    [
        (_intent(action="cancel"), "in_progress", "the panel said yes, not canceled yet"),
        (_intent(action="cancel"), "canceled", "the panel said yes, and the order is canceled"),
        (_intent(action="cancel"), "partial", "the panel said yes, and the order is partial"),
        (_intent(action="cancel"), "completed", "the panel said yes, yet the order is completed"),
        (_intent("rejected", action="cancel", error="Too late"), "completed", "the panel refused: Too late"),
        (_intent("unsent", action="cancel"), "new", "it never reached the panel"),
        (_intent("sending", action="cancel"), "new", "on its way, or lost: not known yet"),
        (SETTLED, "canceled", "the order was canceled"),
        (_intent("unknown", action="refill"), "new", "the outcome is unknown: `tracker resolve 1a2b3c4d`"),
        (_intent(action="refill", refill_id="7"), "completed", "the panel took it as refill 7"),
    ],
)
def test_what_was_asked_for_an_order_is_told_with_what_came_of_it(intent: Intent, state: str, told: str) -> None:
    assert told_of([intent], _order(state), NOW) == [(f"{intent.action} asked", f"2h ago; {told}")]


def test_show_has_the_intents_of_an_order_in_json(desk: Desk) -> None:
    desk.type(desk.order())
    head = json.loads(desk.type("show --json " + desk.json("intents")[0]["order_id"])[1])
    assert [intent["state"] for intent in head["intents"]] == ["confirmed"]

"""What is said of a reply that is not understood: the words that a person reads in `tracker anomalies`.

The corpus in `test_wire` tells results and kinds of faults.
"""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tracker.errors import PanelFault
from tracker.model import Balance, NotFound, Odd, RefillStatus, Status
from tracker.panel import wire


@pytest.mark.parametrize(
    ("read", "value", "said"),
    [
        (wire.read_add, {"order": None}, "the reply does not tell the id of an order: {'order': None}"),
        (wire.read_add, [], "the reply does not tell an object: []"),
        (
            wire.read_add,
            {"order": 5, "error": "x"},
            "the reply does not tell either an order or an error, but both: {'order': 5, 'error': 'x'}",
        ),
        (wire.read_refill, {"refill": -1}, "the reply does not tell what became of it: {'refill': -1}"),
        (wire.read_cancel, {"cancel": 0}, "the reply does not tell what became of it: {'cancel': 0}"),
        (wire.read_cancel, {"success": False, "status": 1}, "success: false"),
        (wire.read_cancel, {"success": 7}, "the reply does not tell a yes or a no: {'success': 7}"),
        (wire.read_balance, {"balance": None}, "the reply does not tell a balance: {'balance': None}"),
        (wire.read_balance, {"balance": "x"}, "the reply tells no balance: 'x' is no amount"),
        (
            wire.read_balance,
            "Invalid API key",
            'the key is not accepted ("Invalid API key"): check the key, and the account at the panel',
        ),
        (
            lambda value: wire.read_statuses(value, ["0"]),
            {str(number): {"status": "Pending"} for number in range(1, 8)},
            "half of the reply or more is about other ids (7 of 7): 1, 2, 3, 4, 5",
        ),
        (
            lambda value: wire.read_statuses(value, ["1"]),
            {"note": "hello"},
            "the reply does not tell anything about what was asked: {'note': 'hello'}",
        ),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict | list) else "",
)
def test_a_reply_that_is_no_answer_is_named_with_what_it_says(
    read: Callable[[object], object], value: object, said: str
) -> None:
    with pytest.raises(PanelFault) as caught:
        read(value)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("item", "odd"),
    [
        (7, Odd("bad_item", "not understood: 7")),
        ({"status": 7}, Odd("bad_item", "not understood: {'status': 7}")),
        ({"status": ""}, Odd("bad_item", "not understood: {'status': ''}")),
        ({"status": "Active", "orders": 5}, Odd("bad_item", "`orders` is no list of ids")),
        ({"status": "Active", "orders": ["1", "1,2"]}, Odd("bad_item", "`orders` is no list of ids")),
        ({"status": "Pending", "charge": [1]}, Odd("bad_item", "a list of 1 is no amount")),
        ({"status": "Pending", "remains": "many"}, Odd("bad_item", "'many' is no whole number")),
        ({"status": "Pending", "charge": "1", "currency": {}}, Odd("bad_item", "a dict of 0 is no currency")),
        ({"error": "try later"}, Odd("item_error", "try later")),
        ({"status": "Pending", "error": "try later"}, Odd("item_error", "try later")),
        ({"status": "Pending", "errors": [{"message": "try later"}]}, Odd("item_error", "try later")),
        ({"error": "Incorrect order ID"}, NotFound("Incorrect order ID")),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict | int) else "",
)
def test_an_item_that_is_no_answer_is_named_with_what_it_says(item: object, odd: Odd | NotFound) -> None:
    assert wire.read_statuses({"1": item, "2": {"status": "Pending"}}, ["1", "2"]) == {
        "1": odd,
        "2": Status("pending", "Pending"),
    }


@pytest.mark.parametrize(
    "reply",
    [
        {"status": "success", "data": {"status": "In progress", "charge": "1.5", "remains": "900"}},
        {
            "status": "Success",
            "order": {"status": "In progress", "charge": "1.5", "remains": "900"},
            "message": "",
        },
        {"status": "success", "message": "Order is being processed"},
        {"status": "ok"},
        {"status": "accepted", "result": []},
        {"status": "active", "data": {"status": "In progress"}},
    ],
    ids=json.dumps,
)
def test_what_is_said_of_the_request_is_not_the_state_of_what_was_asked_about(reply: dict[str, object]) -> None:
    nothing = Odd("bad_item", f"not understood: {reply!r}")
    assert wire.read_statuses(reply, ["1"]) == {"1": nothing}
    if len(reply) > 1:
        assert wire.read_refill_statuses(reply, ["1"]) == {"1": nothing}


def test_success_beside_figures_or_of_a_refill_is_its_end() -> None:
    told = wire.read_statuses({"status": "Success", "remains": "0"}, ["1"])
    assert told == {"1": Status("completed", "Success", remains=0)}
    for item in ({"status": "success"}, {"refill": 1, "status": "success"}):
        assert wire.read_refill_statuses(item, ["1"]) == {"1": RefillStatus("completed", "success")}
    assert wire.read_refill_statuses({"status": "Pending", "eta": 5}, ["1"]) == {
        "1": RefillStatus("pending", "Pending")
    }


@pytest.mark.parametrize("read", [wire.read_refill_statuses, wire.read_refills, wire.read_cancels])
def test_a_yes_beside_an_error_is_none(read: Any) -> None:  # noqa: ANN401  # of three kinds
    wish = {"status": "Completed", "refill": 9, "cancel": 1, "error": "try later"}
    assert read({"1": wish, "2": wish}, ["1", "2"]) == dict.fromkeys("12", Odd("item_error", "try later"))


def test_a_plain_text_by_id_is_what_was_given_for_a_wish() -> None:
    assert wire.read_cancels({"1": "ticket-7", "2": 1}, ["1", "2"]) == {"1": "ticket-7", "2": "1"}


def test_a_list_of_one_is_about_the_id_that_it_names() -> None:
    nothing = Odd("bad_item", "not understood: {'order': '5', 'charge': '1'}")
    assert wire.read_statuses([{"order": "5", "charge": "1"}], ["5"]) == {"5": nothing}


def test_an_answer_under_the_id_counts_more_than_one_beside_it() -> None:
    reply = {"status": "Pending", "5": {"status": "Completed"}}
    assert wire.read_statuses(reply, ["5"]) == {"5": Status("completed", "Completed")}


def test_an_id_that_is_left_out_is_absent() -> None:
    told = wire.read_statuses({"1": {"status": "Pending"}}, ["1", "2"])
    assert told["2"] == Odd("absent", "the reply leaves this id out")


@pytest.mark.parametrize(
    ("value", "yes"),
    [
        ({"cancel": True}, "1"),
        ({"cancel": 1003}, "1003"),
        ({"success": True}, "1"),
        ({"success": " We will try "}, "We will try"),
        ({"status": "OK"}, "OK"),
        ({"status": "success"}, "success"),
        ({"status": "Accepted"}, "Accepted"),
        ([{"status": "ok"}], "ok"),
    ],
    ids=json.dumps,
)
def test_a_yes_to_a_cancel_is_understood_in_every_form(value: object, yes: str) -> None:
    assert wire.read_cancel(value) == yes


@pytest.mark.parametrize(
    ("read", "value", "taken"),
    [
        (wire.read_cancels, {"cancel": 9}, "9"),
        (wire.read_refills, {"refill": 9}, "9"),
        (wire.read_refill_statuses, {"status": "Completed"}, RefillStatus("completed", "Completed")),
    ],
)
def test_a_flat_answer_is_one_where_a_single_id_was_asked(read: Any, value: object, taken: object) -> None:  # noqa: ANN401  # of three kinds
    assert read(value, ["5"]) == {"5": taken}


def test_a_balance_without_a_currency_has_none() -> None:
    assert wire.read_balance({"balance": "5"}) == Balance(Decimal(5), "XXX")

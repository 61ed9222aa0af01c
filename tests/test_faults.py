"""What the words of an error mean, however a panel puts them."""

import pytest

from tracker.errors import PanelFault, ServerFault
from tracker.panel.faults import error_text, meaning, reply_value


@pytest.mark.parametrize(
    ("sort", "texts"),
    [
        (
            "key",
            [
                "Invalid API key", "API key is incorrect", "Incorrect request or API key", "invalid_api_key",
                "Your account is inactive", "API access disabled", "Unauthorized", "Wrong key", "Key is invalid",
                "Your API key has expired", "API key not found", "No API key", "Неверный API ключ",
                "Account has been suspended.",
            ],
        ),
        (
            "not_found",
            [
                "Incorrect order ID", "incorrect order id.", "Order not found", "order_not_found", "Invalid order",
                "Order does not exist", "No such order", "Incorrect refill ID", "Refill not found", "Not found",
                "The selected order is invalid.", "Order ID is invalid", "Заказ не найден",
                "Order not found for this API key", "Unknown order",
            ],
        ),
        (
            "not_understood",
            [
                "Incorrect request", "Invalid action", "Missing order parameter", "Invalid request",
                "Unknown action", "Action not found", "Method not allowed",
                "The order field is required.", "Bad request",
                "Parameter orders is not supported", "Неверный запрос",
            ],
        ),
        ("rate", ["Rate limit exceeded", "Too many requests", "rate_limit", "Too many attempts, try later"]),
        (
            "unavailable",
            ["This panel is temporarily unavailable", "Maintenance mode", "Service Unavailable", "try later"],
        ),
        (
            "refused",
            [
                "neworder.error.not_enough_funds", "Not enough funds on balance", "Insufficient balance",
                "neworder.error.link_duplicate", "You have active order with this link.",
                "Cancel already requested",
                "error.incorrect_service_id", "neworder.error.min_quantity", "Order cannot be cancelled",
                "There is already an open request for this order.", "No orders", "¿Qué?", "",
            ],
        ),
    ],
)  # fmt: skip
def test_an_error_text_means_what_people_mean_by_it(sort: str, texts: list[str]) -> None:
    assert {text: meaning(text) for text in texts} == dict.fromkeys(texts, sort)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"error": "a"}, "a"),
        ({"error": "a", "status": "102"}, "a"),
        ({"error": {"message": "a"}}, "a"),
        ({"error": ["a", "b"]}, "a"),
        ({"errors": [{"message": "a"}]}, "a"),
        ({"error": True, "message": "a"}, "a"),
        ({"error": 102}, "error 102"),
        ({"status": "error", "msg": "a"}, "a"),
        ({"status": "fail", "message": "a"}, "a"),
        ({"status": {"error": "a"}}, "a"),
        ({"success": False}, "success: false"),
        ("a", "a"),
        ({"error": None, "order": 1}, None),
        ({"error": "", "order": 1}, None),
        ({"error": [], "status": "Pending"}, None),
        ({"status": "error", "msg": "a", "charge": "0", "remains": "5"}, None),
        ({"status": "error"}, None),
        ({"status": "Completed", "message": "a"}, None),
        ({"success": True}, None),
        ([{"error": "a"}], None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_an_error_is_found_in_every_dress_and_only_where_there_is_one(value: object, text: str | None) -> None:
    assert error_text(value) == text


@pytest.mark.parametrize("status", [500, 502, 503, 520, 524, 599])
@pytest.mark.parametrize(
    "words", ["Invalid API key", "Rate limit exceeded", "Maintenance", "Order not found", "Incorrect request", "?"]
)
def test_after_a_changing_action_a_server_fault_is_one_whatever_its_words_say(status: int, words: str) -> None:
    body = f'{{"error": "{words}"}}'.encode()
    with pytest.raises(ServerFault) as caught:
        reply_value(status, {"retry-after": "5"}, body, changing=True)
    assert caught.value.arrived
    assert not caught.value.declined
    assert words in str(caught.value)


def test_after_a_read_the_words_beside_a_server_fault_are_believed() -> None:
    assert reply_value(503, {}, b'{"error": "Invalid API key"}') == {"error": "Invalid API key"}


@pytest.mark.parametrize("words", [b"Invalid API key", b"Too many requests"])
def test_plain_words_at_the_door_are_believed_also_after_a_changing_action(words: bytes) -> None:
    with pytest.raises(PanelFault) as caught:
        reply_value(200, {}, words, changing=True)
    assert caught.value.declined


def test_other_plain_words_are_believed_after_a_read_only() -> None:
    with pytest.raises(PanelFault) as caught:
        reply_value(200, {}, b"Try again later")
    assert caught.value.kind == "unavailable"
    with pytest.raises(PanelFault) as caught:
        reply_value(200, {}, b"Try again later", changing=True)
    assert caught.value.kind == "bad_reply"

"""The panels' refusals in words that a person understands."""

import pytest

from tracker.actions.sentences import sentence
from tracker.model import Action

FUNDS, DUPLICATE, GONE = "does not hold enough", "still under way", "does not sell this service"
LOW, HIGH, LINK = "is below what", "is above what", "does not take this link"
ORDER, FORM = "knows no such order", "does not understand this request"
OPEN, NO_REFILL = "is open already", "does not refill this order"
ASKED, NO_CANCEL = "was asked for already", "does not cancel this order"


@pytest.mark.parametrize(
    ("action", "words", "meant"),
    [
        ("add", "neworder.error.not_enough_funds", FUNDS),
        ("add", "Not enough funds on balance", FUNDS),
        ("add", "Insufficient balance", FUNDS),
        ("add", "Недостаточно средств на балансе", FUNDS),
        ("add", "neworder.error.link_duplicate", DUPLICATE),
        ("add", "You have active order with this link. Please wait until order being completed.", DUPLICATE),
        ("add", "error.incorrect_service_id", GONE),
        ("add", "Incorrect service ID", GONE),
        ("add", "Service not found", GONE),
        ("add", "neworder.error.link", LINK),
        ("add", "Invalid link", LINK),
        ("add", "neworder.error.min_quantity", LOW),
        ("add", "Quantity less than minimal 50", LOW),
        ("add", "Minimum quantity is 100", LOW),
        ("add", "neworder.error.max_quantity", HIGH),
        ("add", "Quantity more than maximum 1000", HIGH),
        ("add", "neworder.error.comments", "does not take the field comments"),
        ("add", "neworder.error.answer_number", "does not take the field answer_number"),
        ("add", "neworder.error.quantity", "does not take the field quantity"),
        ("add", "Incorrect request", FORM),
        ("refill", "There is already an open request for this order.", OPEN),
        ("refill", "This order can not be refilled.", NO_REFILL),
        ("refill", "Refill is disabled for this service", NO_REFILL),
        ("refill", "Order is not eligible for refill", NO_REFILL),
        ("refill", "Incorrect order ID", ORDER),
        ("refill", "Order not found", ORDER),
        ("refill", "order_not_found", ORDER),
        ("refill", "Заказ не найден", ORDER),
        ("refill", "Missing order parameter", FORM),
        ("refill", "Invalid action", FORM),
        ("cancel", "Order cannot be cancelled", NO_CANCEL),
        ("cancel", "Order can't be canceled", NO_CANCEL),
        ("cancel", "Cancel is not available for this order", NO_CANCEL),
        ("cancel", "Cancel already requested", ASKED),
        ("cancel", "Incorrect order ID", ORDER),
        ("cancel", "order_not_found", ORDER),
        ("cancel", "Incorrect request", FORM),
    ],
)
def test_a_refusal_becomes_a_sentence_that_says_what_to_do(action: Action, words: str, meant: str) -> None:
    told = sentence(action, words)
    assert told is not None
    assert meant in told
    assert sentence(action, words.upper()) == told


@pytest.mark.parametrize("words", ["", "¿Qué?", "neworder.error.moon_phase", "Order 5 is odd"])
def test_words_that_nobody_listed_are_not_interpreted(words: str) -> None:
    assert [sentence(action, words) for action in ("add", "refill", "cancel")] == [None] * 3

"""The panel client over real sockets: forms, faults, repeats and the rate."""

import threading
from collections.abc import Callable
from decimal import Decimal

import pytest
from client_setting import PENDING, Noting, pending, setting
from raw_panel import LONG, Asked, ok

from tracker.errors import (
    BadReply,
    Interrupted,
    KeyRefused,
    PanelFault,
    RateLimited,
    Refused,
    ServerFault,
    Unreachable,
    UsageFault,
)
from tracker.model import Balance, NotFound, Odd, RefillStatus, Service, Status
from tracker.panel import Abilities, Account, Budget, NotSent, PanelClient, make_http_client, uptime


@pytest.mark.parametrize(
    ("ask", "form", "reply", "result"),
    [
        (lambda c: c.status("5"), {"action": "status", "order": "5"}, PENDING, Status("pending", "Pending")),
        (
            lambda c: c.ask_statuses(["5"]),
            {"action": "status", "order": "5"},
            {"error": "Incorrect order ID"},
            {"5": NotFound("Incorrect order ID")},
        ),
        (
            lambda c: c.ask_statuses(["5", "6"]),
            {"action": "status", "orders": "5,6"},
            {"5": PENDING, "6": {"error": "odd"}},
            {"5": Status("pending", "Pending"), "6": Odd("item_error", "odd")},
        ),
        (
            lambda c: c.refill_statuses(["1"]),
            {"action": "refill_status", "refill": "1"},
            {"status": "Completed"},
            {"1": RefillStatus("completed", "Completed")},
        ),
        (
            lambda c: c.refill_statuses(["1", "2"]),
            {"action": "refill_status", "refills": "1,2"},
            [{"refill": 1, "status": "Completed"}, {"refill": 2, "error": "Refill not found"}],
            {"1": RefillStatus("completed", "Completed"), "2": NotFound("Refill not found")},
        ),
        (
            PanelClient.services,
            {"action": "services"},
            [{"service": 1, "name": "Followers", "rate": "0.90"}],
            [Service("1", "Followers", rate=Decimal("0.9"))],
        ),
        (
            PanelClient.balance,
            {"action": "balance"},
            {"balance": "100.84292", "currency": "USD"},
            Balance(Decimal("100.84292"), "USD"),
        ),
        (
            lambda c: c.add("7", link="https://a.example/?x=1&y=ü", quantity=100, comments="a\nb", runs=None),
            {
                "action": "add",
                "service": "7",
                "link": "https://a.example/?x=1&y=ü",
                "quantity": "100",
                "comments": "a\nb",
            },
            {"order": 23501},
            "23501",
        ),
        (lambda c: c.refill("5"), {"action": "refill", "order": "5"}, {"refill": "1"}, "1"),
        (
            lambda c: c.refills(["5", "6"]),
            {"action": "refill", "orders": "5,6"},
            [{"order": 5, "refill": 9}, {"order": 6, "refill": {"error": "Incorrect order ID"}}],
            {"5": "9", "6": NotFound("Incorrect order ID")},
        ),
        (lambda c: c.cancel("5"), {"action": "cancel", "order": "5"}, {"status": "ok"}, "ok"),
        (
            lambda c: c.cancels(["5", "6"]),
            {"action": "cancel", "orders": "5,6"},
            [{"order": 5, "cancel": 1}, {"order": 6, "cancel": {"error": "Incorrect order ID"}}],
            {"5": "1", "6": NotFound("Incorrect order ID")},
        ),
    ],
)
def test_each_action_sends_its_form_and_returns_a_typed_result(
    ask: Callable[[PanelClient], object], form: dict[str, str], reply: object, result: object
) -> None:
    with setting(lambda _: ok(reply)) as at:
        assert ask(at.client) == result
        assert at.forms() == [form]
        assert at.panel.asked[0].fields["key"] == "secret-key"
        assert at.client.requests == 1


def test_ids_are_split_into_requests_of_a_hundred() -> None:
    ids = [f"id{number}" for number in range(250)]
    with setting(pending) as at:
        assert list(at.client.ask_statuses(ids)) == ids
        assert [len(form["orders"].split(",")) for form in at.forms()] == [100, 100, 50]
        assert at.client.ask_statuses([]) == {}
        assert at.client.requests == 3


def test_a_fault_after_the_first_answers_keeps_them() -> None:
    ids = [f"id{number}" for number in range(250)]

    def answer(asked: Asked) -> bytes:
        return pending(asked) if len(at.panel.asked) == 1 else ok(b"", status="502 Bad Gateway")

    with setting(answer) as at:
        answers = at.client.ask_statuses(ids)
        assert list(answers) == ids[:100]
        assert isinstance(answers.fault, ServerFault)
        assert at.client.requests == 2


@pytest.mark.parametrize(
    ("reply", "fault", "text"),
    [
        (ok({"error": "Invalid API key"}), KeyRefused, "acme: status of order 5: the key is not accepted"),
        (ok({"error": "nope"}, status="400 Bad"), Refused, 'acme: status of order 5: the panel refused: "nope"'),
        (ok(b"<html>", status="522 X"), ServerFault, "acme: status of order 5: HTTP 522"),
        (ok(b"<html>"), BadReply, "acme: status of order 5: the reply is an HTML page"),
    ],
)
def test_a_fault_says_which_panel_was_asked_for_what(reply: bytes, fault: type[PanelFault], text: str) -> None:
    with setting(lambda _: reply) as at, pytest.raises(fault) as caught:
        at.client.status("5")
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("name", ["key", "action"])
def test_an_order_cannot_replace_the_key_or_the_action(name: str) -> None:
    with setting(lambda _: ok({"order": 1})) as at, pytest.raises(UsageFault):
        at.client.add("7", **{name: "x"})
    assert not at.panel.asked


def test_half_a_character_is_refused_before_anything_is_sent() -> None:
    with setting(lambda _: ok({"order": 1})) as at, pytest.raises(UsageFault):
        at.client.add("7", link="\ud800")
    assert not at.panel.asked


def test_an_observer_is_told_of_every_request() -> None:
    seen: list[tuple[str, str]] = []
    replies = iter([ok({"balance": "1"}), ok({"error": "Invalid API key"}), ok(b"")])

    def observe(action: str, outcome: str, seconds: float) -> None:
        assert 0 <= seconds < LONG
        seen.append((action, outcome))

    with setting(lambda _: next(replies), observe=observe) as at:
        at.client.balance()
        with pytest.raises(KeyRefused):
            at.client.status("5")
        with pytest.raises(BadReply):
            at.client.cancel("5")
    assert seen == [("balance", "ok"), ("status", "key_refused"), ("cancel", "bad_reply")]


def test_a_change_takes_the_slot_that_was_waited_for_and_no_other() -> None:
    with setting(lambda _: ok({"order": 1})) as at:
        at.client.turn()
        assert at.client.change("add", {"service": "7", "link": "x"}, uptime() + LONG) == "1"
        assert (at.client.requests, at.budget.used()) == (1, 1)
        at.stop.set()
        with pytest.raises(NotSent, match="acme: waiting for its turn: stopped before it was sent"):
            at.client.turn()


def test_nothing_of_a_change_is_written_after_its_moment() -> None:
    with setting(lambda _: ok({"order": 1})) as at:
        with pytest.raises(Unreachable, match="acme: cancel of order 5") as caught:
            at.client.change("cancel", {"order": "5"}, uptime() - 0.001)
        assert not caught.value.arrived
    assert not at.panel.asked


# Repeats


def test_a_read_on_a_dropped_connection_is_sent_again_once() -> None:
    def answer(asked: Asked) -> bytes | None:
        return None if len(panel.asked) == 2 else pending(asked)

    with setting(answer) as at:
        panel = at.panel
        at.client.status("1")
        at.client.status("2")
        assert [asked.fields["order"] for asked in panel.asked] == ["1", "2", "2"]
        assert at.client.requests == 3 == at.budget.used()


CHANGES: dict[str, Callable[[PanelClient], object]] = {
    "add": lambda c: c.add("7", link="x"),
    "refill": lambda c: c.refill("5"),
    "cancel": lambda c: c.cancel("5"),
    "refills": lambda c: c.refills(["5", "6"]),
    "cancels": lambda c: c.cancels(["5", "6"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("reply", [None, ok(b""), ok(b"", status="503 X"), ok({"error": "slow"}, status="429 X")])
def test_a_change_is_one_post_on_a_fresh_connection_whatever_happens(
    change: Callable[[PanelClient], object], reply: bytes | None
) -> None:
    with setting(lambda asked: pending(asked) if asked.fields["action"] == "status" else reply) as at:
        at.client.status("1")
        with pytest.raises(PanelFault) as caught:
            change(at.client)
        assert caught.value.arrived
        assert len(at.panel.asked) == 2
        assert at.panel.asked[1].connection == 2


def test_a_change_that_could_not_connect_says_that_nothing_arrived() -> None:
    with setting(pending) as at:
        url = at.panel.url
    with make_http_client(threading.Event()) as http:
        stop = threading.Event()
        gone = PanelClient(
            Account("acme", url, "secret-key"), http=http, budget=Budget(None), abilities=Abilities(), stop=stop
        )
        with pytest.raises(Unreachable) as caught:
            gone.add("7", link="x")
        assert not caught.value.arrived
        assert gone.requests == 1
        with pytest.raises(Unreachable, match="acme: balance"):
            gone.balance()
        assert gone.requests == 3


def test_a_read_that_broke_on_a_fresh_connection_is_not_sent_again() -> None:
    with setting(lambda _: None) as at:
        with pytest.raises(Interrupted):
            at.client.balance()
        assert len(at.panel.asked) == 1


def test_after_a_stop_nothing_is_sent() -> None:
    with setting(pending) as at:
        at.stop.set()
        for ask in (at.client.balance, lambda: at.client.add("7", link="x")):
            with pytest.raises(NotSent) as caught:
                ask()
            assert not caught.value.arrived
        assert not at.panel.asked


# The rate


def test_too_many_requests_pause_the_budget_for_as_long_as_the_panel_says() -> None:
    with setting(lambda _: ok({"error": "x"}, "retry-after: 77\r\n", "429 X")) as at:
        with pytest.raises(RateLimited):
            at.client.balance()
        assert 76 < at.budget._paused_until - uptime() <= 77


def test_too_many_requests_without_a_hint_pause_longer_each_time_until_an_answer_comes() -> None:
    replies = iter(
        [*[ok({"error": "Rate limit exceeded"})] * 3, ok({"balance": "1"}), ok({"error": "Rate limit"})]
    )
    noting = Noting(None)
    with setting(lambda _: next(replies), budget=noting) as at:
        for _ in range(5):
            try:
                at.client.balance()
            except RateLimited:
                continue
    assert noting.pauses == [30, 60, 120, 30]

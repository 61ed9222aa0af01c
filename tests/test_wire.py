"""Replies of every dialect: the corpus, and the same replies bent."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replies import CORPUS, Reply, any_value, bent_replies, plain

from tracker.errors import BadReply, PanelFault, RateLimited, ServerFault, TrackerError
from tracker.model import NotFound, Odd, RefillStatus, Status
from tracker.panel import wire
from tracker.panel.decode import decode
from tracker.panel.faults import reply_value, retry_after
from tracker.panel.fields import OddValue, count, ident, money
from tracker.panel.words import order_word, refill_word

# Written from the dialects, not from the code: what each word must mean.
ORDER_WORDS = {
    "pending": {"pending", "awaiting"},
    "in_progress": {"inprogress", "refill"},
    "processing": {"processing"},
    "completed": {"completed", "complete", "success"},
    "partial": {"partial"},
    "canceled": {"canceled", "cancelled", "cancel"},
    "refunded": {"refunded", "refund", "refunds"},
    "failed": {"fail", "failed", "error"},
    "active": {"active"},
    "paused": {"paused"},
    "expired": {"expired"},
}


def meant(word: str) -> str:
    folded = "".join(c for c in word.lower() if c not in "_-" and not c.isspace())
    return next((state for state, words in ORDER_WORDS.items() if folded in words), "unknown")


@pytest.mark.parametrize("reply", CORPUS, ids=lambda reply: f"{reply.action}/{reply.name}")
def test_every_reply_of_the_corpus_is_read_as_expected(reply: Reply) -> None:
    try:
        got = plain(reply.read())
    except PanelFault as fault:
        got = {"fault": fault.kind} if str(fault) else "a fault without words"
    assert got == reply.want


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(bent_replies(), st.sampled_from([None, None, 400, 403, 429, 500, 302]))
def test_a_bent_reply_is_a_typed_answer_or_a_fault_and_never_another_state(
    bent: tuple[Reply, bytes], http: int | None
) -> None:
    reply, body = bent
    try:
        result = reply.read(body, http)
    except TrackerError:
        return
    if not isinstance(result, wire.Answers):
        return
    assert set(result) == set(reply.asked)
    for asked, answer in result.items():
        assert isinstance(answer, Status | RefillStatus | NotFound | Odd | str)
        if isinstance(answer, Status):
            assert answer.state == meant(answer.panel_status)
            assert answer.panel_status in words_for(asked, reply, body)
            assert all(figure is None or abs(figure) < 2**63 for figure in (answer.remains, answer.start_count))


def words_for(asked: str, reply: Reply, body: bytes) -> set[str]:
    """Return the status words in a reply that may speak of `asked`: under its id, or of the reply as a whole."""
    value = decode(body, reply.headers.get("content-type", ""))
    items = [value, *value] if isinstance(value, list) else [value]
    if isinstance(value, dict) and isinstance(value.get(asked), dict):
        items = [value[asked]]
    words = [item["status"] for item in items if isinstance(item, dict) and "status" in item]
    return {word.replace("\x00", "").strip()[:100] for word in words if isinstance(word, str)} | {
        "".join(c for c in word if not "\ud800" <= c <= "\udfff" and c != "\x00").strip()
        for word in words
        if isinstance(word, str)
    }


@settings(max_examples=500, deadline=None)
@given(any_value, st.lists(st.sampled_from(["1", "2", "status", "error"]), min_size=1, max_size=3, unique=True))
def test_any_json_at_all_is_an_answer_or_a_fault(value: object, ids: list[str]) -> None:
    body = json.dumps(value).encode()
    for read in (wire.read_statuses, wire.read_refill_statuses, wire.read_refills, wire.read_cancels):
        try:
            told = set(read(decode(body), ids))
        except PanelFault:
            continue
        assert told == set(ids)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["", "charset=utf-16", "charset=nonsense", "charset=hex"]))
def test_any_bytes_at_all_are_a_value_or_a_bad_reply(body: bytes, content_type: str) -> None:
    with suppress(BadReply):
        decode(body, content_type)


def test_two_hundred_thousand_brackets_are_a_bad_reply() -> None:
    for body in (b"[" * 200_000, b'{"a":' * 200_000, b"[" * 200_000 + b"]" * 200_000):
        with pytest.raises(BadReply):
            decode(body)


def test_many_brackets_in_notices_are_given_up_quickly() -> None:
    with pytest.raises(BadReply):
        decode(b"<b>Notice</b> " + b"x[ " * 20_000)
    with pytest.raises(BadReply):
        decode(b"<b>Notice</b> " + b"[ " * 2_000_000)


def test_a_snippet_of_an_unreadable_reply_is_short_and_without_control_characters() -> None:
    with pytest.raises(BadReply) as caught:
        decode(b"\x1b[31mred\x07 " + b"x" * 5000)
    assert "\x1b" not in str(caught.value)
    assert "red" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_ids_that_nobody_asked_for_are_told() -> None:
    reply = {"1": {"status": "Pending"}, "2": {"status": "Pending"}, "3": {"status": "Pending"}, "note": "x"}
    assert wire.read_statuses(reply, ["1", "2"]).foreign == ("3",)


def test_a_reply_of_which_half_is_about_other_ids_is_none() -> None:
    pending = {"status": "Pending"}
    with pytest.raises(BadReply, match=r"about other ids \(2 of 4\): 3, 4"):
        wire.read_statuses({"1": pending, "2": pending, "3": pending, "4": pending}, ["1", "2"])


@pytest.mark.parametrize(
    ("told", "amount"),
    [
        ("0.27819", "0.27819"),
        ("100", "100"),
        ("100.00", "100"),
        ("1e3", "1000"),
        (Decimal("1E+3"), "1000"),
        (" 5 ", "5"),
        ("-0.0", "0"),
        ("0.000000015", "0.00000002"),
        ("0.000000025", "0.00000002"),
        ("0.000000009", "0.00000001"),
        ("0.000000000001", "0"),
        ("123456789012345", "123456789012345"),
        ("12345678.123456789", "12345678.1234568"),
        (Decimal("0.1") * 3, "0.3"),
        (7, "7"),
        ("+.5", "0.5"),
    ],
)
def test_money_is_exact_rounded_half_even_and_never_in_exponent_form(told: object, amount: str) -> None:
    got = money(told)
    assert got is not None
    assert f"{got:f}" == amount
    assert got == Decimal(amount)


@pytest.mark.parametrize(
    "told",
    ["1,234.50", "abc", "NaN", "Infinity", "1e400", "1_000", "٣", "$5", "1 000", "1" * 16, True, [], {}, 10**30,
     Decimal("NaN"), Decimal("1e400"), "5" * 500],
)  # fmt: skip
def test_money_that_cannot_be_meant_is_refused(told: object) -> None:
    with pytest.raises(OddValue):
        money(told)


@given(st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=12))
def test_money_read_again_is_the_same_money(amount: Decimal) -> None:
    once = money(f"{amount:f}")
    assert once is not None
    assert money(f"{once:f}") == once
    assert money(amount) == once
    assert abs(once - amount) <= Decimal("0.5e-5")
    digits = once.as_tuple()
    assert isinstance(digits.exponent, int)
    assert len(digits.digits) <= 15
    assert -8 <= digits.exponent <= 0


@pytest.mark.parametrize(
    ("told", "number"),
    [("3572", 3572), ("3572.0", 3572), (" 7 ", 7), ("-12", -12), ("+3", 3), (Decimal("157.0"), 157), ("", None),
     (None, None), (2**63 - 1, 2**63 - 1), ("007", 7)],
)  # fmt: skip
def test_counts_are_whole_numbers_in_any_spelling(told: object, number: int | None) -> None:
    assert count(told) == number


@pytest.mark.parametrize(
    "told", ["abc", "1_0", "٣", "²", "1.5", 2**63, str(2**63), "9" * 5000, True, [], {}, Decimal("1.5"),
             Decimal("1e999999"), Decimal("NaN"), Decimal("Infinity"), 1.0]
)  # fmt: skip
def test_counts_that_cannot_be_meant_are_refused(told: object) -> None:
    with pytest.raises(OddValue):
        count(told)


def test_an_id_is_an_integer_or_a_text_without_comma_and_space() -> None:
    assert [ident(told) for told in (5, "5", "ord_01", "ü")] == ["5", "5", "ord_01", "ü"]
    assert {ident(told) for told in (True, None, "", "1,2", "1 2", "a\n", "a\x00", "\ud800", 1.5, "x" * 101)} == {
        None
    }


def test_a_word_keeps_its_spelling_and_no_panel_sets_our_own_states() -> None:
    assert order_word("In_Progress") == ("in_progress", "In_Progress")
    assert {order_word(word)[0] for word in ("missing", "new", "requested")} == {"unknown"}
    assert {refill_word(word)[0] for word in ("missing", "requested")} == {"unknown"}


def test_a_retry_after_is_seconds_or_a_date_and_at_most_an_hour() -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    assert retry_after("7", now) == 7
    assert retry_after("0.5", now) == 0.5
    assert retry_after("315360000", now) == 3600
    assert retry_after("Wed, 01 Jan 2025 00:02:00 GMT", now) == 120
    assert retry_after("Wed, 01 Jan 2035 00:00:00 GMT", now) == 3600
    assert retry_after("Wed, 01 Jan 2025 00:02:00", now) == 120
    garbage = ("-5", "soon", "", None, "Wed, 01 Jan 2020 00:00:00 GMT", "١٢", "nan", "inf", "1e5", "9" * 400)
    assert [retry_after(text, now) for text in garbage] == [None] * len(garbage)


def test_the_hint_of_a_429_comes_with_the_fault() -> None:
    with pytest.raises(RateLimited) as caught:
        reply_value(429, {"retry-after": "12"}, b"")
    assert caught.value.retry_after == 12


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_says_where_it_leads_and_that_it_was_not_followed(status: int) -> None:
    with pytest.raises(ServerFault, match=r"leads to https://b\.example/api/v2.*set `url`"):
        reply_value(status, {}, b"", location="https://b.example/api/v2")


@pytest.mark.parametrize(
    "made", [-1, "-1", 0, "0", "00", "false", "null", "None", "no", "error", "failed", 10**100, 1.5, True, "1,2"]
)
def test_what_says_that_nothing_was_made_is_no_id(made: object) -> None:
    with pytest.raises(BadReply):
        wire.read_add({"order": made})
    if made is not True:  # a mere yes
        with pytest.raises(BadReply):
            wire.read_refill({"refill": made})
        with pytest.raises(BadReply):
            wire.read_cancel({"cancel": made})


@pytest.mark.parametrize("status", ["fail", "Error", "FAILED", False])
def test_an_order_beside_a_failure_is_neither(status: object) -> None:
    with pytest.raises(BadReply, match="but both"):
        wire.read_add({"order": 5, "status": status})


@pytest.mark.parametrize("said", ["false", "no", "0"])
def test_a_no_in_the_place_of_a_yes_is_none(said: str) -> None:
    with pytest.raises(BadReply):
        wire.read_cancel({"success": said})

"""Values of a reply at the edge of what is understood, and what is said beyond it: fields, words, bodies."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from tracker.errors import BadReply
from tracker.panel.decode import decode
from tracker.panel.fields import OddValue, count, currency, flag, ident, money, text
from tracker.panel.words import fold, order_word, refill_word


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        *((one, True) for one in (True, 1, "1", "true", " YES ", "on")),
        *((one, False) for one in (False, 0, "0", "False", "no", "off")),
        *((one, None) for one in (None, "", "  ")),
    ],
)
def test_a_flag_is_a_yes_or_a_no_in_any_spelling(told: object, meant: bool | None) -> None:  # noqa: FBT001  # the table's
    assert flag(told) is meant


@pytest.mark.parametrize(
    ("read", "told", "said"),
    [
        (flag, 2, "2 is neither yes nor no"),
        (flag, 1.0, "1.0 is neither yes nor no"),
        (flag, "maybe", "'maybe' is neither yes nor no"),
        (flag, [1, 2], "a list of 2 is neither yes nor no"),
        (count, "1.5", "'1.5' is no whole number"),
        (count, Decimal("1.5"), "Decimal('1.5') is no whole number"),
        (count, 2**63, f"{2**63} is too large a number"),
        (count, True, "True is no whole number"),
        (count, -(2**63), f"{-(2**63)} is too large a number"),
        (count, Decimal("1e19"), "Decimal('1E+19') is no whole number"),
        (money, "x", "'x' is no amount"),
        (money, {"a": 1}, "a dict of 1 is no amount"),
        (money, Decimal("1e15"), "Decimal('1E+15') is no amount"),
        (money, 2**63, f"{2**63} is no amount"),
        (money, -(2**63), f"{-(2**63)} is no amount"),
        (currency, "US", "'US' is no currency"),
        (currency, 7, "7 is no currency"),
        (currency, "U" * 61, f"'{'U' * 61}' is no currency"),
        (money, "7" * 61, f"'{'7' * 61}' is no amount"),
        (flag, "x" * 300, f"'{'x' * 99} is neither yes nor no"),
    ],
    ids=lambda value: value.__name__ if callable(value) else str(value)[:30],
)
def test_what_a_field_cannot_mean_is_named(read: Callable[[object], object], told: object, said: str) -> None:
    with pytest.raises(OddValue) as caught:
        read(told)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("read", "told", "meant"),
    [
        (ident, "x" * 100, "x" * 100),
        (ident, "-" * 100, "-" * 100),
        (ident, "x" * 101, None),
        (ident, 10**99 - 1, str(10**99 - 1)),
        (ident, 10**99, None),
        (ident, 1 - 10**99, str(1 - 10**99)),
        (ident, -(10**99), None),
        (ident, 0, "0"),
        (count, 2**63 - 1, 2**63 - 1),
        (count, 1 - 2**63, 1 - 2**63),
        (count, "9" * 18, 10**18 - 1),
        (count, "9" * 19, None),
        (count, "1." + "0" * 30, 1),
        (count, Decimal("1e18"), 10**18),
        (count, Decimal("1e19"), None),
        (money, 2**63 - 1, None),
        (money, 10**15 - 1, Decimal(10**15 - 1)),
        (money, -(10**15) + 1, Decimal(1 - 10**15)),
        (money, 10**15, None),
        (money, Decimal("1E+1"), Decimal(10)),
        (money, "1e-9", Decimal(0)),
        (money, "6e-9", Decimal("1e-8")),
        (money, "4e-10", Decimal(0)),
        (money, "1" + "0" * 14, Decimal(10**14)),
        (money, f"{'1' * 10}.{'1' * 49}", Decimal("1111111111.11111")),
        (money, "  ", None),
        (currency, " usd ", "USD"),
        (currency, "ABCDEFGH", "ABCDEFGH"),
        (currency, "ABCDEFGHI", None),
        (currency, "", None),
        (currency, " " * 57 + "USD", "USD"),
        (text, " a\0b\ud800 ", "ab"),
        (text, "x" * 2001, "x" * 2000),
        (text, 7, None),
    ],
    ids=lambda value: str(value)[:20] if not callable(value) else value.__name__,
)
def test_a_value_at_the_edge_is_taken_and_one_beyond_it_is_not(
    read: Callable[[object], object], told: object, meant: object
) -> None:
    try:
        got = read(told)
    except OddValue:
        got = None
    assert (got, str(got)) == (meant, str(meant))


@pytest.mark.parametrize("word", [order_word, refill_word])
def test_a_word_is_kept_up_to_a_hundred_letters(word: Callable[[str], tuple[str, str]]) -> None:
    assert word(f" {'x' * 101}") == ("unknown", "x" * 100)
    assert word("In_-\t Progress") == ("in_progress", "In_-\t Progress")
    assert fold("In_-\t Progress") == "inprogress"


def test_a_number_too_long_for_an_id_spoils_its_own_item_only() -> None:
    told = decode(b"[" + b"7" * 5000 + b"," + b"7" * 100 + b"," + b"7" * 99 + b"]")
    assert isinstance(told, list)
    assert [isinstance(one, Decimal) and one.is_nan() for one in told] == [True, True, False]
    assert told[2] == int("7" * 99)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"  ", "", "the reply is empty"),
        (b"[1", "", "the reply is no JSON: [1"),
        (b" <!DOCTYPE html><h1>Hi", "", "the reply is an HTML page: <!DOCTYPE html><h1>Hi"),
        (b"<HTML>x", "", "the reply is an HTML page: <HTML>x"),
        (b"<p>x", "", "the reply is no JSON: <p>x"),
        (b'{"a":1,"a":2}', "", "the reply gives two values for 'a' in one object"),
        (b'{"1":{"a":1,"a":2}}', "", "the reply gives two values for 'a' in one object"),
        (b"x [" * 8 + b"\ny [1]", "", f"the reply is no JSON: {'x [' * 8} y [1]"),
        (b"<b>" + b"x" * 65_536 + b"\n[1]", "", f"the reply is no JSON: <b>{'x' * 196}…"),
        (b"[" * 200_000, "", "the reply is nested too deeply to be an answer"),
    ],
    ids=["empty", "cut", "doctype", "html", "page", "twice", "twice-inside", "brackets", "page-before", "deep"],
)
def test_a_body_that_cannot_be_read_is_named(body: bytes, content_type: str, said: str) -> None:
    with pytest.raises(BadReply) as caught:
        decode(body, content_type)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        ("\ufeff[1]".encode(), "", [1]),
        ('["ä"]'.encode("latin-1"), "", ["ä"]),
        ('["Готово"]'.encode("cp1251"), "text/html; charset=Windows-1251", ["Готово"]),
        ('["Готово"]'.encode("koi8-r"), 'charset="koi8-r"', ["Готово"]),
        ('["ä"]'.encode("latin-1"), "charset=cp99999", ["ä"]),
        (b"<b>Notice</b>: x [2] in y.php\n[1]", "", [1]),
        (b'<b>Notice</b>: x {2} in y.php\n{"a":1}', "", {"a": 1}),
        (b"x [" * 7 + b"\ny [1]", "", [1]),
        (b"Xdebug: on\n[1]", "", [1]),
        (b"x[1]", "", [1]),
        (b'{"a":1,"a":1}', "", {"a": 1}),
    ],
    ids=[
        "bom",
        "latin",
        "cp1251",
        "koi8",
        "nonsense",
        "notice",
        "notice-object",
        "brackets",
        "capital",
        "close",
        "twice",
    ],
)
def test_a_body_is_read_in_spite_of_what_stands_around_it(body: bytes, content_type: str, value: object) -> None:
    assert decode(body, content_type) == value


def test_a_number_keeps_its_digits_and_one_that_nobody_can_hold_is_nan() -> None:
    told = decode(b'{"1":{"a":1.50},"2":{"a":NaN,"b":-Infinity,"c":1e400,"d":1e9999999999999999999}}')
    inner = "{'a': Decimal('NaN'), 'b': Decimal('NaN'), 'c': Decimal('1E+400'), 'd': Decimal('NaN')}"
    assert str(told) == f"{{'1': {{'a': Decimal('1.50')}}, '2': {inner}}}"

"""What an order of each service type takes: the table, its problems in people's words, and prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.actions.forms import FIELDS, FORMS, LISTS, check, form_of, pieces, plain, price, reference
from tracker.errors import UsageFault
from tracker.model import Service
from tracker.simulator import ManualClock, Simulator
from tracker.simulator.lifecycle import QUANTUM

LINK = "https://example.com/p/1"
SERVICE = Service("412", "Likes", "Default", rate=Decimal("0.90"), min=10, max=1000)

TABLE: Final = {
    "Default": "link quantity ?runs ?interval",
    "Package": "link",
    "Custom Comments": "link comments",
    "Custom Comments Package": "link comments",
    "Comment Replies": "link username comments",
    "Comment Likes": "link quantity username",
    "Mentions": "link quantity usernames",
    "Mentions with Hashtags": "link quantity usernames hashtags",
    "Mentions Custom List": "link usernames",
    "Mentions Hashtag": "link quantity hashtag",
    "Mentions User Followers": "link quantity username",
    "Mentions Media Likers": "link quantity media",
    "Poll": "link quantity answer_number",
    "Invites from Groups": "link quantity groups",
    "SEO": "link quantity keywords",
    "Web Traffic": "link quantity country device type_of_traffic ?runs ?interval ?google_keyword ?referring_url",
    "Subscriptions": "username min max ?posts ?old_posts ?delay ?expiry",
}
"""The published forms once more, written down apart from the code."""

GOOD: Final[Mapping[str, Any]] = {
    "link": LINK, "quantity": 100, "runs": 2, "interval": 30, "comments": ["nice"] * 12, "usernames": ["bob"] * 12,
    "hashtags": "#a\n#b", "hashtag": "a", "username": "anna", "media": LINK, "answer_number": 2, "groups": "g",
    "keywords": ["k"], "country": "US", "device": "5", "type_of_traffic": "3", "google_keyword": "k",
    "referring_url": LINK, "min": 10, "max": 20, "posts": 3, "old_posts": 0, "delay": 15, "expiry": "31/12/2030",
}  # fmt: skip


def of_type(type_: str | None) -> Service:
    return SERVICE._replace(type=type_)


def fields_of(type_: str) -> tuple[set[str], set[str]]:
    """Return the required and the optional fields of a type, as published."""
    names = TABLE[type_].split()
    return {n for n in names if n[0] != "?"}, {n[1:] for n in names if n[0] == "?"}


def problems(service: Service, more: Mapping[str, str] | None = None, /, **fields: Any) -> str:  # noqa: ANN401
    with pytest.raises(UsageFault) as caught:
        check(service, fields, more)
    return str(caught.value)


def test_the_table_is_the_published_one() -> None:
    assert {name: (set(form.required), set(form.optional)) for name, form in FORMS.items()} == {
        name: fields_of(name) for name in TABLE
    }
    assert set(GOOD) == FIELDS


@pytest.mark.parametrize("type_", TABLE)
def test_each_type_takes_its_fields_and_no_others(type_: str) -> None:
    required, optional = fields_of(type_)
    whole = {name: GOOD[name] for name in required | optional}
    sent = check(of_type(type_), whole)
    assert sent.keys() == {"service"} | required | optional
    assert check(of_type(type_), {name: GOOD[name] for name in required}).keys() == {"service"} | required
    for name in required:
        assert f"{name} is missing" in problems(of_type(type_), **{**whole, name: None})
    for name in FIELDS - required - optional:
        assert f"{type_} takes no {name}" in problems(of_type(type_), **{**whole, name: GOOD[name]})


@pytest.mark.parametrize("spelled", ["custom_comments", "CUSTOM COMMENTS", "Custom-Comments", "customcomments"])
def test_a_type_is_known_however_it_is_spelled(spelled: str) -> None:
    assert form_of(spelled) == FORMS["Custom Comments"]


@pytest.mark.parametrize("type_", [None, "", "Live Stream Viewers"])
def test_a_type_that_nobody_listed_needs_a_link_and_takes_every_known_field(type_: str | None) -> None:
    assert check(of_type(type_), GOOD).keys() == {"service"} | FIELDS
    assert "link is missing" in problems(of_type(type_), quantity=100)
    assert "this service takes no colour" in problems(of_type(type_), link=LINK, colour="red")


def test_a_field_that_does_not_belong_is_told_once() -> None:
    assert problems(of_type("Custom Comments"), link=LINK, quantity=5).splitlines()[1:] == [
        "  Custom Comments takes no quantity",
        "  comments is missing: one comment a line",
    ]


def test_every_problem_is_told_at_once() -> None:
    told = problems(of_type("Package"), quantity="many", comments="a", runs=2)
    assert told.splitlines() == [
        "an order of service 412 (Package) cannot be sent like this:",
        "  quantity is no whole number: 'many'",
        "  Package takes no quantity",
        "  Package takes no comments",
        "  Package takes no runs",
        "  link is missing",
    ]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"quantity": "1.5"}, "quantity is no whole number: '1.5'"),
        ({"quantity": 100.0}, "quantity is no text and no whole number: 100.0"),
        ({"quantity": True}, "quantity is no text and no whole number: True"),
        ({"quantity": "1 000"}, "quantity is no whole number: '1 000'"),
        ({"quantity": "²"}, "quantity is no whole number: '²'"),
        ({"quantity": -5}, "quantity is no whole number: '-5'"),
        ({"quantity": 0}, "quantity is 0, the least is 1"),
        ({"quantity": 9}, "quantity is 9, the service takes at least 10"),
        ({"quantity": 1001}, "quantity is 1001, the service takes at most 1000"),
        ({"quantity": 10**15}, "quantity is no whole number"),
        ({"quantity": 500, "runs": 3}, "runs goes together with interval"),
        ({"quantity": 500, "interval": 3}, "interval goes together with runs"),
        ({"quantity": 500, "runs": 0, "interval": 3}, "runs is 0, the least is 1"),
        ({"quantity": 500, "link": "a\nb"}, "link has 2 lines where one is meant"),
        ({"quantity": 500, "link": ["a", "b"]}, "link has 2 lines where one is meant"),
        ({"quantity": 500, "link": "a\x07b"}, "link holds a control character"),
        ({"quantity": 500, "link": "a\u2028b"}, "link holds a control character"),
        ({"quantity": 500, "link": "a\ud83d"}, "link holds half a character"),
        ({"quantity": 500, "link": {"a": 1}}, "link is no text"),
    ],
)
def test_a_field_that_cannot_be_meant_is_told(fields: dict[str, Any], told: str) -> None:
    assert told in problems(SERVICE, **{"link": LINK, **fields})


@pytest.mark.parametrize(
    ("type_", "fields", "told"),
    [
        ("Custom Comments", {"comments": "a\n\n" * 9}, "number of comments is 9, the service takes at least 10"),
        ("Custom Comments", {"comments": ["a"] * 1001}, "number of comments is 1001, the service takes at most"),
        ("Custom Comments", {"comments": "a\nb\x00\nc"}, "comments, line 2 holds a control character"),
        ("Comment Replies", {"comments": " \r\n "}, "comments is missing: one comment a line"),
        ("Mentions Custom List", {"usernames": "a"}, "number of usernames is 1, the service takes at least 10"),
        ("Subscriptions", {"min": 30, "max": 20}, "min is 30, which is above max, 20"),
        ("Subscriptions", {"min": 9, "max": 20}, "min is 9, the service takes at least 10"),
        ("Subscriptions", {"min": 10, "max": 2000}, "max is 2000, the service takes at most 1000"),
        ("Subscriptions", {"expiry": "2030-12-31"}, "expiry is no day/month/year such as 31/12/2030"),
        ("Subscriptions", {"expiry": "31/02/2030"}, "expiry is no day/month/year"),
        ("Subscriptions", {"delay": "soon"}, "delay is no whole number"),
        ("Web Traffic", {"type_of_traffic": "1"}, "type_of_traffic 1 needs google_keyword"),
        ("Web Traffic", {"type_of_traffic": 2}, "type_of_traffic 2 needs referring_url"),
        ("Poll", {"answer_number": "first"}, "answer_number is no whole number"),
    ],
)  # fmt: skip
def test_each_type_has_rules_of_its_own(type_: str, fields: dict[str, Any], told: str) -> None:
    whole = {name: GOOD[name] for name in fields_of(type_)[0]}
    assert told in problems(of_type(type_), **{**whole, **fields})


def test_what_is_sent_is_clean() -> None:
    sent = check(
        of_type("Custom Comments"), {"link": f" {LINK} ", "comments": "one \r\n\r\n two\rthree 👩‍👧\n" * 5}
    )
    assert sent == {"service": "412", "link": LINK, "comments": "\n".join(["one", "two", "three 👩‍👧"] * 5)}
    assert check(SERVICE, {"link": LINK, "quantity": "0100", "comments": "", "runs": None}) == {
        "service": "412",
        "link": LINK,
        "quantity": "100",
    }


def test_a_package_has_no_smallest_number_of_comments() -> None:
    sent = check(of_type("Custom Comments Package"), {"link": LINK, "comments": "one"})
    assert price(of_type("Custom Comments Package"), sent) == Decimal("0.90")


def test_what_a_panel_invented_is_sent_and_replaces_nothing() -> None:
    sent = check(SERVICE, {"link": LINK, "quantity": 100}, {"colours": "red\r\nblue"})
    assert sent["colours"] == "red\nblue"
    for name in ("quantity", "comments", "Quantity", "comments[]"):
        told = problems(SERVICE, {name: "1"}, link=LINK, quantity=100)
        assert f"{name} is a field of its own" in told
    for name in ("key", "action", "service", "KEY", "key[]", "action[a][b]"):
        assert "it is sent anyhow" in problems(SERVICE, {name: "1"}, link=LINK, quantity=100)
    for name in ("api key", "a\nb", "", "a[", "ключ"):
        assert "cannot be the name of a field" in problems(SERVICE, {name: "1"}, link=LINK, quantity=100)
    for name in ("key", "action", "service"):
        assert f"Default takes no {name}" in problems(SERVICE, **{"link": LINK, "quantity": 100, name: "1"})


def test_an_unchecked_form_is_sent_as_given() -> None:
    assert plain(SERVICE, {"quantity": 5, "x": None, "comments": ["a", "b"]}, {"y": " z "}) == {
        "service": "412",
        "quantity": "5",
        "comments": "a\nb",
        "y": " z ",
    }
    for odd in ({"link": "a\x00"}, {"link": "\ud800"}, {"service": "7"}):
        with pytest.raises(UsageFault, match="cannot be sent with this"):
            plain(SERVICE, odd, {})


def test_a_reference_is_one_short_line() -> None:
    assert reference(" shop-77 ") == "shop-77"
    assert reference(None) is reference("") is reference("  ") is None
    for odd in ("a\nb", "a\x00", "\ud800", "x" * 201):
        with pytest.raises(UsageFault, match="a reference is one line"):
            reference(odd)


# Prices


@pytest.mark.parametrize(
    ("type_", "form", "wanted"),
    [
        ("Default", {"quantity": "1000"}, "0.9"),
        ("Default", {"quantity": "50"}, "0.045"),
        ("Default", {"quantity": "50", "runs": "4", "interval": "5"}, "0.18"),
        ("Package", {}, "0.9"),
        ("Custom Comments", {"comments": "a\nb\nc"}, "0.0027"),
        ("Mentions Custom List", {"usernames": "a\nb"}, "0.0018"),
        ("Subscriptions", {"min": "10", "max": "20", "posts": "3"}, None),
        ("Live Stream Viewers", {"quantity": "10"}, "0.009"),
        ("Live Stream Viewers", {"link": LINK}, None),
        ("Default", {"quantity": "9" * 15, "runs": "9" * 15}, None),
        ("Default", {"quantity": "100", "runs": "many"}, None),
    ],
)
def test_a_price_is_the_rate_of_a_thousand(type_: str, form: dict[str, str], wanted: str | None) -> None:
    assert price(of_type(type_), form) == (None if wanted is None else Decimal(wanted))
    assert price(of_type(type_)._replace(rate=None), form) is None


def test_the_simulated_panel_takes_every_form_and_charges_the_price() -> None:
    with Simulator(seed=5, clock=ManualClock(), services=60) as panel:
        kinds = {each.type: each for each in panel.world.services()}
        assert len(kinds) == 10
        for kind, service in kinds.items():
            assert kind is not None
            required, _ = fields_of(kind)
            least = service.min or 1
            given = {**GOOD, "quantity": least, "min": least, "max": least, "comments": ["a"] * least}
            form = check(service, {name: given[name] for name in required | ({"posts"} & FORMS[kind].optional)})
            panel.world.spawn(1, oldest=0.0)  # the owner tops up
            before = panel.world.balance()
            panel.world.place(service.service_id, form.get("link", ""), form.get("quantity", ""), form)
            wanted = price(service, form)
            if wanted is not None:
                assert before - panel.world.balance() == wanted.quantize(QUANTUM), kind


# Any form at all

TEXTS: Final = st.sampled_from(
    [("a", True), (" a b ", True), ("a\nb", False), ("\x1b[0m", False), ("\udc00", False)]
)
LINES: Final = st.sampled_from([
    ("a", True), ("a\r\n\r\nb\n", True), ("a\n" * 12, True), ("\n".join("ab" * 10), True), ("a\nb\x07", False),
])  # fmt: skip
WHOLE: Final = st.sampled_from([
    (1, True), ("9", True), (10, True), ("0500", True), (1000, True), (1001, True),
    ("", True), ("-1", False), ("1.0", False), ("x", False), (2.0, False),
])  # fmt: skip


def value_of(name: str) -> st.SearchStrategy[tuple[Any, bool]]:
    """Draw what somebody gives for a field, and whether it can be meant by itself."""
    if name in LISTS:
        return LINES
    if name == "expiry":
        return st.sampled_from([("1/2/2030", True), ("tomorrow", False)])
    if name == "type_of_traffic":
        return st.sampled_from([("1", True), (2, True), ("3", True), ("mixed", True)])
    numbers = {"quantity", "min", "max", "runs", "interval", "posts", "old_posts", "delay", "answer_number"}
    return WHOLE if name in numbers else TEXTS


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_meant(type_: str, values: Mapping[str, tuple[Any, bool]]) -> bool:
    """Say, from the published table alone, whether an order of SERVICE with another type can be sent."""
    there = {name: f"{value}" for name, (value, _) in values.items() if lines(f"{value}")}
    required, optional = fields_of(type_)
    if not (required <= there.keys() <= required | optional) or not all(good for _, good in values.values()):
        return False
    if ("runs" in there) != ("interval" in there):
        return False
    counted = []
    if type_ in {"Custom Comments", "Comment Replies"}:
        counted = [len(lines(there["comments"]))]
    elif type_ == "Mentions Custom List":
        counted = [len(lines(there["usernames"]))]
    counted += [int(there[name]) for name in ("quantity", "min", "max") if name in there]
    if type_ == "Subscriptions" and counted[0] > counted[1]:
        return False
    needs = {"1": "google_keyword", "2": "referring_url"}.get(there.get("type_of_traffic", ""))
    return all(10 <= number <= 1000 for number in counted) and (needs is None or needs in there)


@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(sorted(TABLE)))
def test_a_form_is_sent_exactly_if_it_follows_the_table_and_nothing_foreign_ever_is(
    data: st.DataObject, type_: str
) -> None:
    required, optional = fields_of(type_)
    chosen = set(required) | data.draw(st.sets(st.sampled_from(sorted(optional)))) if optional else set(required)
    if data.draw(st.integers(0, 3)) == 0:
        chosen ^= data.draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=2))
    values = {name: data.draw(value_of(name), name) for name in sorted(chosen)}
    given_fields = {name: value for name, (value, _) in values.items()}
    service = of_type(type_)
    if not is_meant(type_, values):
        with pytest.raises(UsageFault, match="cannot be sent like this"):
            check(service, given_fields)
        return
    sent = check(service, given_fields)
    assert sent.keys() - {"service"} <= required | optional
    for name, text in sent.items():
        if name in LISTS:
            assert text.split("\n") == lines(given_fields[name])
        elif name != "service":
            assert text == str(given_fields[name]).strip().lstrip("0" if text.isdigit() and text != "0" else "")
    wanted = price(service, sent)
    assert (wanted is None) == (type_ == "Subscriptions")
    assert wanted is None or wanted > 0
    assert (pieces(service, sent) is None) == (type_ in {"Subscriptions", "Package", "Custom Comments Package"})

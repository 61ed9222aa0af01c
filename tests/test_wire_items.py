"""Single orders that are odd within a good reply: 99 others are believed, on both databases.

One text that a database cannot hold, or one number that a column cannot, would fail the whole batch.
"""

import json
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bad_panel import raw
from conftest import Postgres
from raw_panel import Asked, ok
from wire_setting import IDS, Head, Scene, head, heads, ids_of, item, proven_scene

ODD = IDS[41]
"""The order that something is wrong with."""
NESTED = "[" * 200_000
MANY = "7" * 5000


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def at(
    request: pytest.FixtureRequest, migrated_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One scene for all: what one fault leaves behind would spoil the next test."""
    if request.param == "sqlite":
        path = shutil.copy(migrated_file, tmp_path_factory.mktemp("wire"))
        with proven_scene(f"sqlite:///{path}") as made:
            yield made
        return
    server: Postgres | str = request.getfixturevalue("postgres_or_why")
    if isinstance(server, str):
        pytest.skip(server)
    name = server.borrow()
    with proven_scene(server.url(name)) as made:
        yield made
    server.give_back(name)


def said(at: Scene, asked: Asked, odd: str) -> bytes:
    """Return a good reply, but for what stands in the place of the odd order."""
    ids = ids_of(asked)
    texts = [(one, odd if one == ODD else json.dumps(item(one, at.turn))) for one in ids]
    return ok(texts[0][1].encode() if "order" in asked.fields else raw(texts))


def tell(at: Scene, odd: str) -> tuple[dict[str, Head], Head, Head]:
    """Run a round in which the odd order's item is the JSON text `odd`; return what is known then of the 99.

    And of the odd one: before and after.
    """
    at.next_good_round()
    at.forget()
    before = at.known()[ODD]
    at.turn += 1
    at.answer = lambda asked: said(at, asked, odd)
    at.round()
    known = at.known()
    after = known.pop(ODD)
    return known, before, after


def with_(**changed: str) -> str:
    """Return an item of which some values are given as JSON texts."""
    texts = {name: json.dumps(value) for name, value in item(ODD, 3).items()} | changed
    return raw(list(texts.items())).decode()


def without(name: str) -> str:
    return json.dumps({key: value for key, value in item(ODD, 3).items() if key != name})


UNBELIEVED: dict[str, tuple[str, str]] = {
    "an error for one id": ('{"error": "Incorrect order ID"}', "not_found"),
    "another error for one id": ('{"error": "Something is wrong"}', "item_error"),
    "null": ("null", "absent"),
    "a text": ('"Pending"', "item_error"),
    "a number": ("7", "bad_item"),
    "true": ("true", "bad_item"),
    "a list": ('["Pending"]', "bad_item"),
    "nothing": ("{}", "bad_item"),
    "no status": (without("status"), "bad_item"),
    "a status of null": (with_(status="null"), "bad_item"),
    "a status of a number": (with_(status="3"), "bad_item"),
    "a status of a list": (with_(status='["Pending"]'), "bad_item"),
    "a status of an object": (with_(status='{"is": "Pending"}'), "bad_item"),
    "an empty status": (with_(status='""'), "bad_item"),
    "a status of nul and a lone surrogate": (with_(status='"\\u0000\\ud800"'), "bad_item"),
    "remains in words": (with_(remains='"many"'), "bad_item"),
    "remains of a list": (with_(remains="[1]"), "bad_item"),
    "remains of an object": (with_(remains='{"left": 1}'), "bad_item"),
    "remains of true": (with_(remains="true"), "bad_item"),
    "remains of nan": (with_(remains="NaN"), "bad_item"),
    "remains of nan in quotes": (with_(remains='"NaN"'), "bad_item"),
    "remains of infinity": (with_(remains="-Infinity"), "bad_item"),
    "remains of 1e400": (with_(remains="1e400"), "bad_item"),
    "remains of 1.5": (with_(remains="1.5"), "bad_item"),
    "remains of 2 to the 63": (with_(remains="9223372036854775808"), "bad_item"),
    "remains of 5,000 digits": (with_(remains=MANY), "bad_item"),
    "remains of 5,000 digits in quotes": (with_(remains=f'"{MANY}"'), "bad_item"),
    "a start count of minus 2 to the 63": (with_(start_count="-9223372036854775808"), "bad_item"),
    "a charge of nan": (with_(charge="NaN"), "bad_item"),
    "a charge of 1e400": (with_(charge="1e400"), "bad_item"),
    "a charge of 1e400 in quotes": (with_(charge='"1e400"'), "bad_item"),
    "a charge with an exponent beyond all": (with_(charge=f"1e{MANY}"), "bad_item"),
    "a charge of 5,000 digits": (with_(charge=MANY), "bad_item"),
    "a charge of 5,000 digits in quotes": (with_(charge=f'"{MANY}"'), "bad_item"),
    "a charge with a comma": (with_(charge='"1,234.50"'), "bad_item"),
    "a charge of false": (with_(charge="false"), "bad_item"),
    "a currency of a sign": (with_(currency='"$"'), "bad_item"),
    "a currency of a number": (with_(currency="840"), "bad_item"),
    "children that are none": (with_(orders='"101,102"'), "bad_item"),
    "children of null": (with_(orders="[null, 101]"), "bad_item"),
    "the same key twice": (with_()[:-1] + ', "status": "Expired"}', "alone_bad_reply"),
    "the id twice": (with_() + f', "{ODD}": ' + with_(status='"Expired"'), "alone_bad_reply"),
    "200,000 levels": (with_(remains=NESTED), "alone_bad_reply"),
    "200,000 levels that close": (with_(remains=NESTED + "]" * 200_000), "alone_bad_reply"),
    "a control character": (with_(status='"Pend\ning"'), "alone_bad_reply"),
    "no json": ("<b>Error</b>", "alone_bad_reply"),
}
"""An order's item, and the kind of the anomaly that it is."""


@pytest.mark.parametrize("name", UNBELIEVED)
def test_one_order_spoils_no_other_by(at: Scene, name: str) -> None:
    odd, kind = UNBELIEVED[name]
    known, before, after = tell(at, odd)
    assert known == {one: head(item(one, at.turn)) for one in known}
    assert after == before
    assert at.anomalies()[ODD] == {kind}
    at.next_good_round()


GOOD = head(item(ODD, 3))
TOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "an unknown word": (with_(status='"Reticulating"'), {"panel_status": "Reticulating"}),
    "a word of 10,000 letters": (with_(status=f'"{"x" * 10_000}"'), {"panel_status": "x" * 100}),
    "a word with nul": (with_(status='"Pend\\u0000ing"'), {"panel_status": "Pending"}),
    "a word with a lone surrogate": (with_(status='"Pending\\ud800"'), {"panel_status": "Pending"}),
    "a word in another script": (with_(status='"Выполнен"'), {"panel_status": "Выполнен"}),
    "another currency": (with_(currency='"eur"'), {"currency": "EUR"}),
    "negative remains": (with_(remains="-12"), {"remains": -12}),
    "absurd remains": (with_(remains="9223372036854775807"), {"remains": 2**63 - 1}),
    "remains as a float": (with_(remains="157.0"), {"remains": 157}),
    "a negative charge": (with_(charge='"-0.5"'), {"charge": Decimal("-0.5")}),
    "a charge of float noise": (with_(charge="0.30000000000000004"), {"charge": Decimal("0.3")}),
    "a charge of 15 digits": (with_(charge='"999999999999999"'), {"charge": Decimal(999999999999999)}),
    "a charge of 1e-400": (with_(charge="1e-400"), {"charge": Decimal(0)}),
}
"""An order's odd item that says something all the same, and how it differs from what was expected."""


@pytest.mark.parametrize("name", TOLD)
def test_what_is_odd_is_remembered_as_it_was_told_for(at: Scene, name: str) -> None:
    odd, differing = TOLD[name]
    known, _, after = tell(at, odd)
    assert known == {one: head(item(one, at.turn)) for one in known}
    assert after == GOOD._replace(**differing)
    assert at.anomalies() == {}
    at.next_good_round()


SILENT = {
    "null figures": json.dumps(dict.fromkeys(Head._fields) | {"status": "Paused"}),
    "absent figures": '{"status": "Paused"}',
    "empty figures": json.dumps(dict.fromkeys(Head._fields, "") | {"status": "Paused"}),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_figure_stays_as_it_was_known_after(at: Scene, name: str) -> None:
    _, before, after = tell(at, SILENT[name])
    assert after == before._replace(panel_status="Paused")


def test_a_state_that_goes_backwards_is_remembered(at: Scene) -> None:
    tell(at, with_(status='"Completed"'))
    at.answer = lambda asked: said(at, asked, with_(status='"Pending"'))
    at.round()
    [row] = [one for one in at.database.history.orders(limit=None) if one["order_id"] == ODD]
    steps = [(step["from_state"], step["to_state"]) for step in at.database.history.timeline(row["id"])]
    assert steps[-1] == ("completed", "pending")
    at.next_good_round()


EXTRA = {
    "one foreign id": '"99": {"status": "Completed"}',
    "a foreign id that no database holds": '"\\ud800\\u0000": {"status": "Completed"}',
    "a remark": '"note": "Have a nice day"',
    "the same again": f'"{ODD}": ' + with_(),
}


@pytest.mark.parametrize("name", EXTRA)
def test_a_reply_is_believed_with(at: Scene, name: str) -> None:
    known, _, after = tell(at, f"{with_()}, {EXTRA[name]}")
    assert known == {one: head(item(one, at.turn)) for one in known}
    assert after == GOOD
    assert at.anomalies() == ({"": {"foreign_ids"}} if "foreign" in name else {})


def test_an_order_that_is_left_out_stays_as_it_is_and_is_asked_again(at: Scene) -> None:
    at.next_good_round()
    at.forget()
    before, at.turn = at.known()[ODD], at.turn + 1
    at.answer = lambda asked: ok(
        raw([(one, json.dumps(item(one, at.turn))) for one in ids_of(asked) if one != ODD])
    )
    at.round()
    assert at.known() == {**heads(at.turn), ODD: before}
    assert at.anomalies() == {ODD: {"absent"}}
    at.next_good_round()

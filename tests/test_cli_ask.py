"""`tracker refill` and `tracker cancel`: which orders are asked about, what comes of it, what is left alone."""

import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from acting_setting import Desk, desk_at, simulator
from cli_setting import configure, typist
from terminal import Terminal

from tracker.cli.acting.choosing import filter_of
from tracker.errors import UsageFault
from tracker.model import OrderFilter
from tracker.simulator.dialects import DIALECTS


@pytest.fixture
def desk(tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    for desk in desk_at(simulator(), tmp_path, migrated_file, capsys):
        desk.know_catalog()
        yield desk


def _done(desk: Desk, count: int) -> list[str]:
    """Follow so many orders that the panel would refill, all of them completed."""
    refillable = {one.service_id for one in desk.panel.world.services() if one.refill}
    placed: list[str] = []
    while len(placed) < count:
        for one in desk.panel.world.spawn(60):
            look = desk.panel.world.look(one.order_id)
            if one.service_id in refillable and look and look.step.status == "Completed" and look.step.charge:
                placed.append(one.order_id)
    assert desk.type(f"track --panel acme {' '.join(placed[:count])}")[0] == 0
    assert desk.type("poll statuses")[0] == 0
    return placed[:count]


def test_a_refill_is_asked_for_once_and_followed_to_its_end(desk: Desk) -> None:
    (order_id,) = _done(desk, 1)
    code, out, err = desk.type(f"refill {order_id} --yes")
    assert (code, err) == (0, "")
    refill_id = desk.panel.world.refill_of(order_id)
    assert out.split("\n")[1].split()[:4] == ["acme", order_id, "confirmed", refill_id]
    assert desk.rows("SELECT order_id, refill_id, state FROM refills") == [(order_id, refill_id, "requested")]
    assert desk.sent("refill") == 1


@pytest.mark.parametrize("dialect", sorted({each.cancel: name for name, each in DIALECTS.items()}.values()))
def test_every_way_to_say_yes_to_a_cancel_counts_as_asked(
    dialect: str, tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for desk in desk_at(simulator(dialect=dialect), tmp_path, migrated_file, capsys):
        order_id = desk.placed(cancel=True)
        (row,) = desk.json(f"cancel {order_id} --yes")
        assert (row["state"], row["order_id"]) == ("confirmed", order_id)
        assert desk.rows("SELECT state FROM orders") == [("new",)]
        assert desk.sent("cancel") == 1


def test_a_cancel_is_shown_as_asked_until_polling_shows_what_became_of_it(desk: Desk) -> None:
    order_id = desk.placed(cancel=True)
    code, out, _ = desk.type(f"cancel {order_id} --yes")
    assert (code, "polling shows what becomes of it" in out) == (0, True)
    assert "the panel said yes, not canceled yet" in desk.type(f"show {order_id}")[1]
    desk.panel.world.clock.advance(7200)  # type: ignore[attr-defined]  # a clock by hand
    assert desk.type(f"poll {order_id}")[0] == 0
    assert "the panel said yes, and the order is canceled" in desk.type(f"show {order_id}")[1]


@pytest.mark.parametrize("action", ["refill", "cancel"])
def test_what_the_catalog_or_the_state_rules_out_is_refused_with_a_clear_word(desk: Desk, action: str) -> None:
    without = desk.placed(None, **{action: False})
    code, out, err = desk.type(f"{action} {without} --yes")
    assert (code, out) == (2, "")
    assert f"has no {action}" in err
    assert desk.type(f"{action} 99999 --yes")[0] == 1
    ended = desk.placed("completed", cancel=True)
    if action == "cancel":
        assert f"order {ended} is completed: there is nothing to cancel" in desk.type(f"cancel {ended} --yes")[2]
    assert desk.sent(action) == 0
    assert desk.type(f"{action} 99999 --yes --no-check")[0] == 1
    assert desk.sent(action) == 1  # the panel's own word


def test_conditions_choose_a_terminal_is_asked_and_each_answer_is_told(desk: Desk) -> None:
    ids = _done(desk, 4)
    desk.panel.world.refill(ids[0])
    line = f"refill --where state=completed --config {desk.config}"
    with Terminal(shlex.split(line), 100, 40) as terminal:
        shown = terminal.until("Ask for 4 refills? [y/N]:")
        assert all(any(order_id in row for row in shown) for order_id in ids)
        assert desk.sent("refill") == 0
        terminal.press("y\r")
        assert terminal.ended() == 3
        told = [row.split() for row in terminal.everything()]
    assert sum("confirmed" in row for row in told) == 3
    assert sum("rejected" in row and ids[0] in row for row in told) == 1
    assert desk.sent("refill") == 4
    assert desk.rows("SELECT count(*) FROM refills") == [(3,)]


def test_no_is_no_and_a_dry_run_sends_nothing(desk: Desk) -> None:
    ids = _done(desk, 2)
    code, out, err = desk.type("refill --where state=completed --dry-run")
    assert (code, err) == (0, "")
    assert all(order_id in out for order_id in ids)
    code, out, err = desk.type(f"refill {ids[0]}")
    assert (code, out) == (2, "")
    assert "--yes" in err
    with Terminal(["refill", *ids, "--config", str(desk.config)]) as terminal:
        terminal.until("Ask for 2 refills?")
        terminal.press("n\r")
        assert terminal.ended() == 1
    assert desk.sent("refill") == 0
    assert desk.rows("SELECT * FROM intents") == []


def test_a_dry_run_says_why_an_order_cannot_be_asked_about(desk: Desk) -> None:
    without, fine = desk.placed(refill=False), desk.placed(refill=True)
    rows = {row["order_id"]: row["why_not"] for row in desk.json(f"refill {without} {fine} --dry-run")}
    assert "has no refill" in rows[without]
    assert rows[fine] is None


def test_what_conditions_match_in_vain_is_left_out_and_said(desk: Desk) -> None:
    desk.placed(cancel=False)
    order_id = desk.placed(cancel=True)
    code, out, err = desk.type("cancel --where panel=acme --yes")
    assert (code, out.count("confirmed")) == (0, 1)
    assert order_id in out
    assert "1 more matched" in err


def test_orders_that_have_ended_take_no_room_among_those_to_cancel(desk: Desk) -> None:
    order_id, *_ = (
        desk.placed(cancel=True),
        desk.placed("completed", cancel=True),
        desk.placed("partial", cancel=True),
    )
    code, out, err = desk.type("cancel --where panel=acme --limit 1 --yes")
    assert (code, order_id in out, err) == (0, True, "")


def test_a_limit_holds_and_says_that_there_are_more(desk: Desk) -> None:
    _done(desk, 3)
    code, out, err = desk.type("refill --where state=completed --limit 2 --yes")
    assert (code, out.count("confirmed")) == (0, 2)
    assert "More than 2 orders match" in err
    assert desk.sent("refill") == 2


@pytest.mark.parametrize(
    ("fault", "code", "sent", "first"),
    [
        ("bad-key", 4, 1, "rejected"),
        ("truncated", 6, 1, "unknown"),
        ("cloudflare-520", 6, 1, "unknown"),
    ],
)
def test_after_a_fault_that_all_would_share_the_others_are_not_asked(
    desk: Desk, fault: str, code: int, sent: int, first: str
) -> None:
    ids = _done(desk, 3)
    desk.panel.misbehave(fault, action="refill")
    rows = desk.json(f"refill {' '.join(ids)} --yes", code)
    assert [row["state"] for row in rows] == [first, "not_sent", "not_sent"]
    assert desk.sent("refill") == sent
    assert desk.rows("SELECT count(*) FROM intents") == [(1,)]


def test_a_panel_that_is_away_is_left_alone(desk: Desk) -> None:
    ids = _done(desk, 2)
    desk.panel._listener.end()
    rows = desk.json(f"refill {' '.join(ids)} --yes", 5)
    assert [row["state"] for row in rows] == ["unsent", "not_sent"]


def test_none_is_exit_code_1_with_the_words_of_the_panel_for_each(desk: Desk) -> None:
    ids = _done(desk, 2)
    for order_id in ids:
        desk.panel.world.refill(order_id)
    rows = desk.json(f"refill {' '.join(ids)} --yes", 1)
    assert {row["error"] for row in rows} == {"There is already an open request for this order."}
    assert all("is open already" in row["note"] for row in rows)


def test_an_unknown_one_stands_in_the_way_of_its_like(desk: Desk) -> None:
    (order_id,) = _done(desk, 1)
    desk.panel.misbehave("truncated", action="refill", times=1)
    assert desk.type(f"refill {order_id} --yes")[0] == 6
    code, _, err = desk.type(f"refill {order_id} --yes")
    assert (code, "tracker resolve" in err) == (1, True)
    assert desk.sent("refill") == 1
    assert desk.type(f"refill {order_id} --yes --despite-unknown")[0] == 1  # the first was taken after all
    assert desk.sent("refill") == 2


def test_an_order_is_asked_about_once_however_often_it_is_named(desk: Desk) -> None:
    (order_id,) = _done(desk, 1)
    assert len(desk.json(f"refill {order_id} acme/{order_id} {order_id} --yes")) == 1
    assert desk.sent("refill") == 1


def test_orders_of_two_panels_are_asked_about_at_their_own(
    tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExitStack() as stack:
        acme, beta = (stack.enter_context(simulator()) for _ in range(2))
        config = configure(
            tmp_path, {"acme": acme.url, "beta": beta.url}, f"sqlite:///{tmp_path}/tracker.db", "1h"
        )
        shutil.copy(migrated_file, tmp_path / "tracker.db")
        type_ = typist(capsys)
        service = next(one for one in acme.world.services() if one.cancel and one.type == "Default")
        for panel in (acme, beta):
            panel.world.spawn(1)
            order_id = panel.world.place(service.service_id, "x", service.min or 1)
        for name in ("acme", "beta"):
            assert type_(f"track --panel {name} {order_id} --config {config}")[0] == 0
        assert type_(f"cancel {order_id} --yes --config {config}")[0] == 2
        code, out, _ = type_(f"cancel acme/{order_id} beta/{order_id} --yes --json --config {config}")
        assert (code, [row["panel"] for row in json.loads(out)]) == (0, ["acme", "beta"])
        assert (acme.counts["cancel"], beta.counts["cancel"]) == (1, 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("refill --yes", "Say which orders"),
        ("refill 5 --where state=completed --yes", "one of the two"),
        ("refill --where completed --yes", "is not like name=value"),
        ("refill --where stat=completed --yes", "Did you mean state=…?"),
        ("refill --where state=complete --yes", "Did you mean completed?"),
        ("refill --where silent=long --yes", "write it like"),
        ("refill --where link=a --where link=b --yes", "given twice"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(desk: Desk, line: str, told: str) -> None:
    code, out, err = desk.type(line)
    assert (code, out) == (2, "")
    assert told in err


def test_where_nothing_matches_nothing_is_asked(desk: Desk) -> None:
    assert desk.type("cancel --where ref=nobody --yes") == (1, "Nothing was asked.\n", "")
    assert desk.json("cancel --where ref=nobody --yes", 1) == []


def test_conditions_are_read_as_people_write_them() -> None:
    several = ["state=completed", "service=412, 413", "service=7", "ref=a", "link=x=y", "silent=6h"]
    assert filter_of(several, "acme") == OrderFilter(
        "acme", ["completed"], ["412", "413", "7"], ["a"], "x=y", silent=timedelta(hours=6)
    )
    assert filter_of(["panel=beta"], None) == OrderFilter("beta")
    with pytest.raises(UsageFault, match="given twice"):
        filter_of(["panel=beta"], "acme")


@pytest.mark.parametrize("condition", ["state=,", "ref=,", "service=, ,"])
def test_a_condition_without_a_value_does_not_choose_every_order(desk: Desk, condition: str) -> None:
    desk.placed(cancel=True)
    code, out, err = desk.type(f"cancel --where {shlex.quote(condition)} --yes")
    assert (code, out, "is not like name=value" in err) == (2, "", True)
    assert desk.sent("cancel") == 0


@pytest.mark.parametrize("line", ["cancel --where panel=acmee --yes", "cancel --where ref=a --panel acmee --yes"])
def test_a_panel_that_is_not_configured_is_no_empty_choice(desk: Desk, line: str) -> None:
    code, out, err = desk.type(line)
    assert (code, out, "Did you mean acme?" in err) == (78, "", True)

"""Every fault of the simulated panel does what it says, seen on the wire."""

import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from simulation import KEY, LINK, ask, connect, orders, post, raw, until

from tracker.simulator import FAULT_NAMES, ManualClock, Simulator
from tracker.simulator.faults import BOMB_BYTES, HEADER_BYTES, WORD


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def panel(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator(seed=5, clock=clock, key=KEY, drip=0.001) as simulator:
        yield simulator


PAGES = {
    "http-500-html": (500, b"<h1>Server Error"),
    "http-502": (502, b"<h1>Bad Gateway"),
    "http-503-empty": (503, b""),
    "cloudflare-520": (520, b"<h1>Error 520"),
    "firewall-403": (403, b"<h1>Access denied"),
    "rate-limit-429": (429, b'{"error":"Rate limit exceeded"}'),
    "rate-limit-200": (200, b'{"error":"Rate limit exceeded"}'),
    "temporarily-unavailable": (200, b'{"error":"This panel is temporarily unavailable"}'),
    "bad-key": (200, b'{"error":"Invalid API key"}'),
    "redirect-307": (307, b""),
    "not-json": (200, b"OK, done."),
    "empty-body": (200, b""),
}
BENT: dict[str, Callable[[Any], bool]] = {
    "wrong-types": lambda item: item["remains"][0].isdigit(),
    "nulls": lambda item: set(item.values()) == {None},
    "list-for-object": lambda item: "Pending" in item,
}
ON_THE_LINE = {
    "truncated", "truncated-unannounced", "reset-before", "reset-in-body", "slow-headers", "slow-body", "stall",
}  # fmt: skip
ONE_BY_ONE = {
    "foreign-ids", "missing-ids", "unknown-word", "backwards", "php-notice", "emptied-catalog", "halved-catalog",
    "gzip-bomb", "huge-header",
}  # fmt: skip


def test_every_fault_is_tested() -> None:
    assert set(FAULT_NAMES) == set(PAGES) | set(BENT) | ON_THE_LINE | ONE_BY_ONE


@pytest.mark.parametrize("name", PAGES)
def test_a_page_comes_instead_of_an_answer_and_nothing_counts_as_served(panel: Simulator, name: str) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave(name, times=1)
    response = post(panel, "status", order=order_id)
    code, begins = PAGES[name]
    assert response.status_code == code
    assert begins in response.content
    assert bool(begins) == bool(response.content)
    assert panel.served(order_id) == []
    assert ask(panel, "status", order=order_id)["status"] == "Pending"
    assert len(panel.served(order_id)) == 1


def test_the_hints_of_pages_are_there(panel: Simulator) -> None:
    panel.misbehave("rate-limit-429", times=1)
    assert post(panel, "balance").headers["retry-after"] == "2"
    panel.misbehave("redirect-307", times=1)
    assert post(panel, "balance").headers["location"] == "/elsewhere"
    assert httpx.get(panel.url.replace("/api/v2", "/elsewhere"), trust_env=False, verify=False).status_code == 404
    assert panel.requests[-1].action == "/elsewhere"


@pytest.mark.parametrize("name", BENT)
@pytest.mark.parametrize("bulk", [True, False])
def test_a_bent_answer_does_not_count_as_served(panel: Simulator, name: str, *, bulk: bool) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave(name, times=1)
    answer = ask(panel, "status", **({"orders": order_id} if bulk else {"order": order_id}))
    item = (answer[0] if isinstance(answer, list) else answer[order_id]) if bulk else answer
    assert BENT[name](item)
    assert panel.served(order_id) == []


def test_foreign_and_missing_ids_count_only_for_what_is_there(panel: Simulator) -> None:
    ids = orders(panel, 4)
    panel.misbehave("foreign-ids", times=1)
    assert not set(ask(panel, "status", orders=",".join(ids))) & set(ids)
    assert [panel.served(order_id) for order_id in ids] == [[]] * 4
    panel.misbehave("missing-ids", times=1)
    assert list(ask(panel, "status", orders=",".join(ids))) == ids[::2]
    assert [len(panel.served(order_id)) for order_id in ids] == [1, 0, 1, 0]


def test_a_false_word_and_a_step_back_are_served_as_said(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave("unknown-word", times=1)
    panel.misbehave("backwards", times=1)
    first = ask(panel, "status", order=order_id)
    second = ask(panel, "status", orders=order_id)[order_id]
    assert (first["status"], second["status"]) == (WORD, "Pending")
    assert int(second["remains"]) == int(first["remains"]) + 100
    assert [said.panel_status for said in panel.served(order_id)] == [WORD, "Pending"]
    assert panel.served(order_id)[1].remains == int(second["remains"])


def test_a_notice_before_the_json_does_not_spoil_it(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave("php-notice", times=1)
    assert post(panel, "status", order=order_id).text.startswith("<br />")
    assert len(panel.served(order_id)) == 1


def test_the_catalog_can_be_emptied_and_halved_and_nothing_else_is(panel: Simulator) -> None:
    whole = ask(panel, "services")
    panel.misbehave("emptied-catalog", times=1)
    panel.misbehave("halved-catalog", times=1)
    assert "balance" in ask(panel, "balance")
    assert ask(panel, "services") == []
    assert ask(panel, "services") == whole[: len(whole) // 3]
    assert ask(panel, "services") == whole


def test_a_bomb_and_a_huge_header_are_as_large_as_they_say(panel: Simulator) -> None:
    panel.misbehave("gzip-bomb", times=1)
    head, _, body = raw(panel, "balance")[0].partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert len(body) < 128 * 1024
    assert len(gzip.decompress(body)) == BOMB_BYTES
    panel.misbehave("huge-header", times=1)
    assert len(raw(panel, "balance")[0]) > HEADER_BYTES


def announced(reply: bytes) -> int:
    head = reply.partition(b"\r\n\r\n")[0].decode()
    return next(int(line.split(": ")[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))


def test_truncated_bodies_end_early_with_and_without_a_length(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave("truncated", times=1)
    reply, reset = raw(panel, "status", order=order_id)
    body = reply.partition(b"\r\n\r\n")[2]
    assert not reset
    assert 0 < len(body) < announced(reply)
    panel.misbehave("truncated-unannounced", times=1)
    reply, reset = raw(panel, "status", order=order_id)
    assert not reset
    assert b"Content-Length" not in reply
    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.partition(b"\r\n\r\n")[2])
    assert panel.served(order_id) == []


def test_resets_come_before_or_within_the_reply(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave("reset-before", times=1)
    assert raw(panel, "status", order=order_id) == (b"", True)
    panel.misbehave("reset-in-body", times=1)
    reply, reset = raw(panel, "status", order=order_id)
    assert reset
    assert b"}" not in reply
    assert panel.served(order_id) == []


@pytest.mark.parametrize(("name", "made"), [("reset-before", 1), ("cloudflare-520", 1), ("http-502", 0)])
def test_an_order_may_exist_although_nobody_was_told(panel: Simulator, name: str, made: int) -> None:
    before = len(panel.world.order_ids())
    panel.misbehave(name, times=1, action="add")
    assert "balance" in ask(panel, "balance")
    raw(panel, "add", service="1", link=LINK, quantity="100")
    assert len(panel.world.order_ids()) == before + made


@pytest.mark.parametrize("name", ["slow-headers", "slow-body"])
def test_a_slow_reply_counts_for_the_patient_and_not_for_those_who_leave(panel: Simulator, name: str) -> None:
    (order_id,) = orders(panel, 1)
    panel.misbehave(name)
    assert ask(panel, "status", order=order_id)["status"] == "Pending"
    assert len(panel.served(order_id)) == 1
    panel._listener.panel.drip = 60.0
    with connect(panel, "status", order=order_id) as sock:
        assert sock.recv(1) == b"H"
        assert len(panel.served(order_id)) == 2  # on its way
    until(lambda: len(panel.served(order_id)) == 1, "the reply to be taken back")


def test_a_stalled_reply_never_comes(panel: Simulator) -> None:
    panel.misbehave("stall", times=1)
    with connect(panel, "balance") as sock:
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
    assert "balance" in ask(panel, "balance")


def test_a_stalled_reply_does_not_keep_the_simulator_from_ending() -> None:
    with Simulator(key=KEY) as panel:
        panel.misbehave("stall", times=1)
        sock = connect(panel, "balance")
        until(lambda: bool(panel.counts["balance"]), "the request to arrive")
    with sock:
        assert sock.recv(1) == b""


def test_a_share_of_requests_is_misbehaved_to_until_it_behaves(panel: Simulator) -> None:
    panel.misbehave("http-502", share=0.3)
    codes = [post(panel, "balance").status_code for _ in range(60)]
    assert 5 < codes.count(502) < 35
    assert codes.count(200) == 60 - codes.count(502)
    panel.behave()
    assert [post(panel, "balance").status_code for _ in range(10)] == [200] * 10

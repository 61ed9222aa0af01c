"""What was served is known exactly: only replies that arrived whole, in the order of their making."""

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlsplit

import httpx
import pytest
from simulation import KEY, LINK, PATIENCE, ask, connect, orders, post, until

from tracker.simulator import ManualClock, Served, Simulator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def panel(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator(seed=5, clock=clock, key=KEY, drip=0.001) as simulator:
        yield simulator


def test_truth_is_what_is_served_to_a_dense_poll(panel: Simulator, clock: ManualClock) -> None:
    ids = [placed.order_id for placed in panel.world.spawn(60, oldest=0.0)]
    ids = [order_id for order_id in ids if panel.world.truth(order_id)[0].charge is not None]
    moments = sorted({step.at for order_id in ids for step in panel.world.truth(order_id)})
    polls = 0
    for moment in moments:
        clock.advance(moment + 0.001 - clock.now())
        panel.handle("POST", "/api/v2", {"key": KEY, "action": "status", "orders": ",".join(ids)})
        polls += 1
    for order_id in ids:
        truth = [Served(s.status, s.charge, "USD", s.start_count, s.remains) for s in panel.world.truth(order_id)]
        served = panel.served(order_id)
        assert len(served) == polls
        changes = [said for place, said in enumerate(served) if place == 0 or said != served[place - 1]]
        assert changes == truth


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_reply_that_its_client_did_not_read_is_taken_back(panel: Simulator, connection: str) -> None:
    (order_id,) = orders(panel, 1)
    with connect(panel, "status", connection, order=order_id) as sock:
        assert sock.recv(1) == b"H"  # the rest stays unread, so closing tells the panel by a reset
    until(lambda: panel.served(order_id) == [], "the reply to be taken back")


def test_what_was_read_stays_served_when_client_and_panel_end() -> None:
    with (
        Simulator(seed=5, clock=ManualClock(), key=KEY) as panel,
        httpx.Client(trust_env=False, verify=False) as client,
    ):
        (order_id,) = orders(panel, 1)
        for _ in range(3):
            client.post(panel.url, data={"key": KEY, "action": "status", "order": order_id}).raise_for_status()
    assert len(panel.served(order_id)) == 3


def test_past_the_limit_a_panel_says_so_and_does_nothing() -> None:
    for name, code in (("documented", 200), ("strict-http", 429)):
        with Simulator(key=KEY, dialect=name, requests_per_minute=3) as panel:
            orders_before = panel.world.order_ids()
            assert all("balance" in ask(panel, "balance") for _ in range(3))
            response = post(panel, "add", service=1, link=LINK, quantity=100)
            assert (response.status_code, response.json()) == (code, {"error": "Rate limit exceeded"})
            assert ("retry-after" in response.headers) == (code == 429)
            assert panel.world.order_ids() == orders_before


def test_a_limit_is_over_after_a_minute() -> None:
    with Simulator(key=KEY, requests_per_minute=2) as panel:
        assert all("balance" in ask(panel, "balance") for _ in range(2))
        assert "error" in ask(panel, "balance")
        panel._let_in[0] -= 60.0
        assert "balance" in ask(panel, "balance")
        assert "error" in ask(panel, "balance")


def test_an_id_named_twice_is_served_once(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    assert list(ask(panel, "status", orders=f"{order_id},{order_id}")) == [order_id]
    assert len(panel.served(order_id)) == 1


def test_latency_is_waited_out_before_every_answer() -> None:
    with Simulator(key=KEY, latency=0.2) as panel:
        began = time.monotonic()
        assert "balance" in ask(panel, "balance")
        assert time.monotonic() - began >= 0.2


def test_requests_are_remembered_with_the_ids_they_named(panel: Simulator) -> None:
    ask(panel, "status", orders="1,2,3")
    ask(panel, "refill_status", refill="9")
    ask(panel, "balance")
    assert [(each.action, each.ids) for each in panel.requests] == [
        ("status", ("1", "2", "3")),
        ("refill_status", ("9",)),
        ("balance", ()),
    ]
    assert panel.counts == {"status": 1, "refill_status": 1, "balance": 1}


def test_replies_to_many_clients_at_once_are_recorded_in_the_order_of_their_making(
    panel: Simulator, clock: ManualClock
) -> None:
    ids = orders(panel, 10)
    stop = threading.Event()

    def poll() -> None:
        with httpx.Client(trust_env=False, verify=False) as client:
            while not stop.is_set():
                client.post(panel.url, data={"key": KEY, "action": "status", "orders": ",".join(ids)})

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        seen = panel.counts["status"]
        until(lambda seen=seen: panel.counts["status"] > seen, "another poll")  # type: ignore[misc]
        clock.advance(1800)
    stop.set()
    for thread in threads:
        thread.join()
    for order_id in ids:
        truth = [Served(s.status, s.charge, "USD", s.start_count, s.remains) for s in panel.world.truth(order_id)]
        places = [truth.index(said) for said in panel.served(order_id)]
        assert places == sorted(places)
        assert len(set(places)) > 1


def test_another_process_can_ask_and_command_over_the_same_port(panel: Simulator) -> None:
    base = "{0.scheme}://{0.netloc}".format(urlsplit(panel.url))
    with httpx.Client(base_url=base, trust_env=False, verify=False) as client:
        placed = client.post("/spawn", data={"count": "5", "oldest": "0"}).json()
        assert [each["age"] for each in placed] == [0.0] * 5
        order_id = placed[0]["order_id"]
        truth = client.get("/truth", params={"order": order_id}).json()
        assert [step[1] for step in truth["steps"]] == [step.status for step in panel.world.truth(order_id)]
        ask(panel, "status", order=order_id)
        (line,) = client.get("/served").text.splitlines()
        (said,) = json.loads(line)[order_id]
        served = panel.served(order_id)[0]
        assert said[0] == served.panel_status
        assert (said[1] and Decimal(said[1])) == served.charge
        client.post("/misbehave", data={"name": "http-502"}).raise_for_status()
        assert post(panel, "balance").status_code == 502
        client.post("/behave").raise_for_status()
        assert post(panel, "balance").status_code == 200
        assert client.post("/misbehave", data={"name": "shyness"}).status_code == 400
        assert client.get("/truth", params={"order": "7"}).status_code == 400


def test_a_form_without_or_beyond_its_length_is_not_read(panel: Simulator) -> None:
    for length in ("", "Content-Length: -1\r\n", "Content-Length: 99999999\r\n"):
        with socket.create_connection(("127.0.0.1", panel.port), timeout=PATIENCE) as sock:
            sock.sendall(f"POST /api/v2 HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode())
            assert sock.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_it_listens_on_loopback_only(panel: Simulator) -> None:
    assert panel._listener.server_address[0] == "127.0.0.1"


def test_a_client_that_resets_leaves_no_trace_on_the_error_stream(
    panel: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    sock = connect(panel, "balance", "keep-alive")
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    until(lambda: not panel._listener.connections, "the connection to end")
    assert capfd.readouterr() == ("", "")

"""What the tests of the simulator share: requests over real sockets, and orders to ask about."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx

from tracker.simulator import ManualClock, Simulator

KEY = "k3y"
LINK = "https://example.com/p/1"

PATIENCE = 40
"""Seconds until a test gives up on something; only a failing one takes them, however busy the machine is."""


def post(panel: Simulator, action: str, **fields: object) -> httpx.Response:
    form = {"key": KEY, "action": action} | {name: str(text) for name, text in fields.items()}
    return httpx.post(panel.url, data=form, trust_env=False, verify=False)  # no TLS to set up


def ask(panel: Simulator, action: str, **fields: object) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return the JSON of a reply, whatever stands before it."""
    body = post(panel, action, **fields).content
    starts = [place for place in (body.find(b"{"), body.find(b"[")) if place >= 0]
    return json.loads(body[min(starts) :])


def connect(panel: Simulator, action: str, connection: str = "close", **fields: str) -> socket.socket:
    """Send a request over a socket of its own, which the caller reads and closes."""
    form = urlencode({"key": KEY, "action": action, **fields}).encode()
    sock = socket.create_connection(("127.0.0.1", panel.port), timeout=10)
    head = f"POST /api/v2 HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: {len(form)}\r\n\r\n"
    sock.sendall(head.encode() + form)
    return sock


def raw(panel: Simulator, action: str, **fields: str) -> tuple[bytes, bool]:
    """Return the bytes of a reply until the end, and whether that was a reset."""
    data = b""
    with connect(panel, action, **fields) as sock:
        try:
            while piece := sock.recv(1 << 20):
                data += piece
        except ConnectionResetError:
            return data, True
    return data, False


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE} seconds for: {what}"
        time.sleep(0.005)


def orders(panel: Simulator, count: int) -> list[str]:
    """Place ordinary orders of a fresh age."""
    service = next(each for each in panel.world.services() if each.type == "Default")
    panel.world.spawn(1)  # the owner tops up, so that there is enough for all
    return [panel.world.place(service.service_id, LINK, service.min or 1) for _ in range(count)]


def dialect(name: str) -> Simulator:
    return Simulator(seed=5, clock=ManualClock(), key=KEY, dialect=name)

"""What the tests of the simulator share: requests over real sockets, and orders to ask about."""

import json
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import httpx

from tracker.simulator import ManualClock, Simulator

KEY = "k3y"
LINK = "https://example.com/p/1"

T = TypeVar("T")

PATIENCE = 60
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
    sock = socket.create_connection(("127.0.0.1", panel.port), timeout=PATIENCE)
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


class Awake:
    """A clock for the time of a block. It stands still while the process does, which a loaded machine may stop."""

    BEAT: Final = 0.02

    def __init__(self) -> None:
        self.seconds = 0.0
        """So many have passed since the block began."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._over.wait(self.BEAT):
            now = time.monotonic()
            self.seconds += min(now - last, 5 * self.BEAT)
            last = now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def undisturbed(act: Callable[[], T]) -> T:
    """Return what `act` does in time; do it again where it failed while the process was stopped for a while."""
    while True:
        began = time.monotonic()
        with Awake() as awake:
            try:
                return act()
            except Exception:
                if time.monotonic() - began < awake.seconds + 0.5:
                    raise


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

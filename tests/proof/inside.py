"""Panels inside of this process: the real client down to its sockets, then bytes in memory instead of a network.

Everything runs in the thread that asks, so what happens is a matter of the seed alone. Sockets are proven
elsewhere.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import httpcore
import httpx

from proof.virtual import Stop, Time
from tracker.errors import TimedOut
from tracker.panel import make_http_client
from tracker.panel.backend import Backend, Calls, Stream
from tracker.simulator import Simulator
from tracker.simulator.line import Line
from tracker.simulator.listener import Sending

IDLE: Final = 15.0
"""Virtual seconds after which a panel closes a connection that says nothing."""

Answerer = Callable[[Simulator, dict[str, str]], Sending]
"""Told of each request that arrives; returns what the panel says to it."""


class _Mouth(Line):
    """Notes what a reply would send over a socket; its ways to break are those of `tracker.simulator.line`."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.drip = 0.0
        self.broken = False
        self.was_reset = False
        self.stalled = False

    def send(self, data: bytes) -> None:
        self.said += data

    def wait(self, seconds: float) -> None:
        if seconds:
            self.stalled = True
            raise ConnectionAbortedError("nobody waits for this reply any more")

    def reset(self) -> None:
        self.broken = self.was_reset = True


class Wire:
    """The client's end of one connection, as far as `tracker.panel.backend.Stream` uses a socket."""

    def __init__(self, panel: Simulator, answer: Answerer, time: Time) -> None:
        self._panel, self._answer, self._time = panel, answer, time
        self._asked = bytearray()
        self._mouth = _Mouth()
        self._closed = False
        self._quiet_since = time.steady()

    def send(self, data: memoryview) -> int:
        """Take the bytes of a request, and have it answered once it is whole."""
        if self.ended():
            raise BrokenPipeError("the panel has closed this connection")
        self._asked += data
        head, mark, body = self._asked.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if mark and len(body) >= length:
            self._asked.clear()
            self._hear(dict(parse_qsl(body.decode(), keep_blank_values=True)))
        return len(data)

    def _hear(self, form: dict[str, str]) -> None:
        sending = self._answer(self._panel, form)
        try:
            sending.send(self._mouth, sending.response)
        except ConnectionAbortedError:
            self._panel.void(sending.claims)
        self._quiet_since = self._time.steady()

    def recv(self, most: int) -> bytes:
        """Return what is left of the reply; empty at its end."""
        if data := bytes(self._mouth.said[:most]):
            del self._mouth.said[:most]
            return data
        if self._mouth.was_reset:
            raise ConnectionResetError("reset by the panel")
        if self._mouth.stalled:
            self._time.pass_(30.0)
            raise TimedOut("the panel did not answer completely in time")
        self._closed = True
        return b""

    def ended(self) -> bool:
        """Whether the panel has closed it, or one of both sides broke it."""
        return self._closed or self._mouth.broken or self._time.steady() - self._quiet_since > IDLE

    def close(self) -> None:
        """Close it."""
        self._closed = True


class _Stream(Stream):
    def __init__(self, wire: Wire, calls: Calls) -> None:
        socket_like: Any = wire
        super().__init__(socket_like, calls)
        self._wire = wire

    def get_extra_info(self, info: str) -> object:
        return self._wire.ended() if info == "is_readable" else None


class _Inside(Backend):
    """Connects to simulators of this process by their port."""

    def __init__(self, calls: Calls, panels: dict[int, Simulator], answer: Answerer, time: Time) -> None:
        super().__init__(calls, lambda *_: [])
        self._panels, self._answer, self._time = panels, answer, time

    def connect_tcp(self, host: str, port: int, *_: object, **__: object) -> httpcore.NetworkStream:
        assert socket.inet_aton(host) == b"\x7f\x00\x00\x01", host
        self._calls.current.connected = True
        return _Stream(Wire(self._panels[port], self._answer, self._time), self._calls)


def inside_client(panels: dict[int, Simulator], answer: Answerer, stop: Stop, time: Time) -> httpx.Client:
    """Return a process's real HTTP client, over panels of this process by their ports."""
    client = make_http_client(stop, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    transport: Any = client._transport
    transport._backend = _Inside(transport._calls, panels, answer, time)
    transport._pool = transport._new_pool()
    return client


class Inline:
    """In place of the client's threads: runs what it is given at once."""

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task`."""
        task()

    def close(self) -> None:
        """Nothing to end."""

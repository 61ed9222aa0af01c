"""A connection, and the ways to send a reply over it: whole, in pieces, or not to the end."""

import select
import socket
import struct
import threading
from collections.abc import Mapping
from http.client import responses as REASONS  # noqa: N812 - a table of constants
from typing import Final, NamedTuple

SLICE: Final = 0.1
"""A wait looks this often (seconds) whether the client has gone."""

PIECES: Final = 100
_RESET: Final = struct.pack("ii", 1, 0)


class Response(NamedTuple):
    """A whole HTTP response."""

    code: int
    body: bytes
    headers: Mapping[str, str]

    def head(self, *, announced: bool = True) -> bytes:
        """Return the status line and headers; without a length the body ends with the connection."""
        reason = REASONS.get(self.code, "Unknown")
        lines = [f"HTTP/1.1 {self.code} {reason}", *(f"{name}: {text}" for name, text in self.headers.items())]
        lines.append(f"Content-Length: {len(self.body)}" if announced else "Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Line:
    """One connection to a client. After `broken` is set nothing more can be said on it."""

    def __init__(self, sock: socket.socket, stop: threading.Event, drip: float) -> None:
        self._sock = sock
        self._stop = stop
        self.drip = drip
        """Seconds between the pieces of a slow reply."""
        self.broken = False

    def send(self, data: bytes) -> None:
        """Send all of `data`; raises OSError where the client has gone."""
        self._sock.sendall(data)

    def wait(self, seconds: float) -> None:
        """Let time pass; raises ConnectionAbortedError as soon as the client goes or the simulator stops."""
        left = seconds
        while left > 0:
            if self._stop.wait(min(left, SLICE)) or self.gone():
                raise ConnectionAbortedError("nobody waits for this reply any more")
            left -= SLICE

    def gone(self) -> bool:
        """Return whether the client has closed its side."""
        readable, _, _ = select.select([self._sock], [], [], 0)
        return bool(readable) and not self._sock.recv(1, socket.MSG_PEEK)

    def end(self) -> None:
        """Say nothing more."""
        self.broken = True

    def reset(self) -> None:
        """Have the connection end with a reset instead of a farewell."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.broken = True


def resets(sock: socket.socket) -> bool:
    """Return whether `sock` is to end with a reset."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET


def whole(line: Line, response: Response) -> None:
    """Send the reply as it should be, in one piece."""
    line.send(response.head() + response.body)


def truncated(line: Line, response: Response) -> None:
    """Announce the whole body, send half of it."""
    line.send(response.head() + response.body[: len(response.body) // 2])
    line.end()


def truncated_unannounced(line: Line, response: Response) -> None:
    """Send half of the body without a length, so that only its content tells."""
    line.send(response.head(announced=False) + response.body[: len(response.body) // 2])
    line.end()


def reset_before(line: Line, response: Response) -> None:  # noqa: ARG001 - one of several ways to send
    """Send nothing, and break."""
    line.reset()


def reset_in_body(line: Line, response: Response) -> None:
    """Send half of the body, and break."""
    line.send(response.head() + response.body[: len(response.body) // 2])
    line.reset()


def slow_headers(line: Line, response: Response) -> None:
    """Send the headers byte by byte."""
    for byte in response.head():
        line.send(bytes([byte]))
        line.wait(line.drip)
    line.send(response.body)


def slow_body(line: Line, response: Response) -> None:
    """Send the headers, then the body in pieces."""
    line.send(response.head())
    size = max(1, len(response.body) // PIECES)
    for start in range(0, len(response.body), size):
        line.wait(line.drip)
        line.send(response.body[start : start + size])


def stall(line: Line, response: Response) -> None:  # noqa: ARG001
    """Send nothing until the client gives up or the simulator stops."""
    while True:
        line.wait(SLICE)

"""A panel made of a bare socket, for tests in which single bytes, connections and moments matter."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs

LONG = 60.0
"""Seconds that anything in these tests may take before it counts as hung."""


def ok(value: object, head: str = "", status: str = "200 OK") -> bytes:
    """Return a whole reply; `head` holds more header lines."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body


@dataclass
class Asked:
    """One request as it came."""

    fields: dict[str, str]
    head: str
    connection: int
    """Which connection brought it, from 1."""
    sock: socket.socket
    over: threading.Event
    """Set when the test is over: wait on it to answer slowly or never."""

    def drip(self, data: bytes, pause: float) -> None:
        """Send byte by byte with a pause between, until the other side has had enough."""
        for byte in data:
            if self.over.wait(pause):
                return
            self.sock.sendall(bytes([byte]))


class RawPanel:
    """Answers each request with the bytes that `answer` returns, on loopback; None closes the connection."""

    def __init__(self, answer: Callable[[Asked], bytes | None], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self.asked: list[Asked] = []
        self.connections = 0
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/api/v2"
        self._open: list[socket.socket] = []
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(LONG)
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):  # the other side was first
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LONG)
            assert not thread.is_alive()
        if self._failed:
            raise self._failed[0] from exc

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket, connection: int) -> None:
        sock = plain
        try:
            if self._tls is not None:
                sock = self._tls.wrap_socket(plain, server_side=True)
                self._open.append(sock)
            while (asked := self._read(sock, connection)) is not None:
                self.asked.append(asked)
                reply = self._answer(asked)
                if reply is None:
                    return
                sock.sendall(reply)
        except OSError:  # the other side has had enough
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread of the test
            self._failed.append(error)
        finally:
            sock.close()

    def _read(self, sock: socket.socket, connection: int) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = next(
            int(line.split(":")[1]) for line in text.lower().splitlines() if line.startswith("content-length")
        )
        while len(body) < length:
            body += sock.recv(65536)
        fields = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        return Asked(fields, text, connection, sock, self.over)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)

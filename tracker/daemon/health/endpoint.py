"""A small HTTP server for programs that watch: one GET a connection, one deadline for all of it, few at a time.

It is made for scrapes on loopback, and outlives whoever else connects: a client that sends or reads slowly is cut
off after `SECONDS`, and more than `MOST` at once are turned away; neither costs polling anything.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.errors import ConfigurationFault
from tracker.settings import Address

MOST: Final = 16
"""Connections at a time, each with a thread of its own."""

SECONDS: Final = 10.0
"""For one connection from its begin to its end; a scrape takes some milliseconds."""

LONGEST_HEAD: Final = 16 * 1024
"""Bytes of a request; Prometheus sends 300."""

log: FilteringBoundLogger = structlog.get_logger()


class Page(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Answer: TypeAlias = Callable[[str], Page]
"""Makes the page of a path; called in many threads at a time."""


class Endpoint:
    """Serves `answer` at an address from the moment it is made; `close` ends it with all its connections.

    Raises `ConfigurationFault` where the address cannot be had.
    """

    def __init__(self, address: Address, answer: Answer, *, seconds: float = SECONDS, most: int = MOST) -> None:
        self._answer = answer
        self._seconds = seconds
        self._room = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closed = threading.Event()
        self._listening = _listen(address)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="endpoint", daemon=True)
        self._thread.start()
        log.info("endpoint.listening", address=str(address))

    def close(self) -> None:
        """End at once, whatever clients do."""
        with self._lock:
            self._closed.set()
            threads = [self._thread, *self._open.values()]
            for one in (self._listening, *self._open):
                with contextlib.suppress(OSError):  # it has just ended by itself
                    one.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in threads:
            thread.join(1.0)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._listening.accept()
            except OSError:
                self._closed.wait(0.1)  # closed, or out of file descriptors: then others are ending
                continue
            if self._room.acquire(blocking=False):
                self._begin(connection)
            else:
                _turn_away(connection)

    def _begin(self, connection: socket.socket) -> None:
        thread = threading.Thread(target=self._serve, args=[connection], name="endpoint-client", daemon=True)
        with self._lock:
            self._open[connection] = thread
            if self._closed.is_set():  # too late for `close` to see it
                connection.close()
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to give
            with connection:
                self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._room.release()
        with self._lock:
            del self._open[connection]

    def _serve(self, connection: socket.socket) -> None:
        until = time.monotonic() + self._seconds
        # A client that leaves, or takes longer than it may, is no event.
        with contextlib.suppress(OSError), connection:
            try:
                head = _head(connection, until)
                if head is not None:
                    _send(connection, self._page(head), until, body=not head.startswith(b"HEAD "))
                    _linger(connection, until)
            finally:
                self._forget(connection)

    def _page(self, head: bytes) -> Page:
        method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
        target, _, protocol = rest.partition(" ")
        if not protocol.startswith("HTTP/1.") or not target.startswith("/"):
            return Page(HTTPStatus.BAD_REQUEST, b"This is an HTTP/1.1 server.\n")
        if method not in {"GET", "HEAD"}:
            return Page(HTTPStatus.METHOD_NOT_ALLOWED, b"Nothing can be changed here: GET.\n")
        try:
            return self._answer(target.partition("?")[0])
        except Exception:  # a bug of ours: loud, and the next request is answered
            log.exception("endpoint.crashed", path=target[:100])
            return Page(HTTPStatus.INTERNAL_SERVER_ERROR, b"This page failed; see the log.\n")


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # or a restart waits a minute
        if family is socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # this address, and no other
        listening.bind((address.host, address.port))
        listening.listen(MOST)
    except OSError as error:
        listening.close()
        raise ConfigurationFault(
            f'listen = "{address}": cannot listen there: {error.strerror}. Write another address or port (another '
            "daemon on this machine needs its own), or leave the line out."
        ) from None
    return listening


def _head(connection: socket.socket, until: float) -> bytes | None:
    """Return a request up to its empty line; None where the client went away before."""
    head = b""
    while b"\r\n\r\n" not in head:
        connection.settimeout(_left(until))
        piece = connection.recv(4096)
        if not piece:
            return None
        head += piece
        if len(head) > LONGEST_HEAD:
            return b""  # a bad request
    return head


def _send(connection: socket.socket, page: Page, until: float, *, body: bool) -> None:
    lines = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(page.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    connection.settimeout(_left(until))
    connection.sendall(head + page.body * body)  # the time-out of `sendall` is for all of it


def _linger(connection: socket.socket, until: float) -> None:
    """Read what the client still sends: to close before would reset the connection, and the reply be lost."""
    connection.shutdown(socket.SHUT_WR)
    for _ in range(LONGEST_HEAD // 4096):
        connection.settimeout(min(_left(until), 1.0))
        if not connection.recv(4096):
            return


def _turn_away(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        connection.settimeout(0)
        _ = connection.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _left(until: float) -> float:
    """Return the seconds that are left. Raises `TimeoutError` where none is."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left

"""Sockets with one hard deadline for everything that a request does.

httpx limits each operation, not their sum: with a time-out of 0.5 s slow headers held a request for 51 s. Here
every name resolution, connect, handshake, read and write gets only the time that its request has left, and waits
in short slices that notice a stop. What broke is raised as our own fault on the spot, where it is known whether
the panel can have seen the request.
"""

import errno
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, NoReturn, TypeAlias, cast

import httpcore

from tracker.errors import BadReply, Interrupted, PanelFault, Stopped, TimedOut, Unreachable

SLICE: Final = 0.25
"""Seconds: the longest that a stop goes unnoticed; closing a client does not wake a blocked read."""

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def uptime() -> float:
    """Return the seconds by which all deadlines here are measured; only differences mean anything.

    The time in which the machine was suspended counts: a laptop that slept between the journal's commit and the
    request must not send what the journal has given up by then.
    """
    return time.clock_gettime(_CLOCK)


Address: TypeAlias = tuple[int, int, int, str, tuple[object, ...]]
Resolve: TypeAlias = Callable[[str, int], list[Address]]


class Dropped(Interrupted):
    """A kept connection was gone before a byte of the reply came: servers close idle ones without a word."""


class NotSent(Stopped):
    """We are stopping, and nothing of the request has left us."""

    arrived = False


@dataclass
class Call:
    """One request on its way: what it may still spend, and what the panel can have seen of it."""

    host: str
    deadline: float
    """By `uptime`."""
    room: int
    """Bytes that may still come in, headers included."""
    stop: threading.Event
    connected: bool = False
    """On a connection of its own, not on a kept one."""
    sent: int = 0
    received: int = 0
    ended: bool = False
    """The other side closed."""

    def left(self) -> float:
        """Return the seconds left. Raises NotSent or Stopped, and Unreachable or TimedOut when there are none."""
        if self.stop.is_set():
            if self.sent:
                raise Stopped(f"stopped while {self.host} was answering")
            raise NotSent(f"stopped before {self.host} was asked")
        left = self.deadline - uptime()
        if left > 0:
            return left
        if self.sent:
            raise TimedOut(f"{self.host} did not answer completely in time")
        raise Unreachable(f"{self.host} could not be reached in time: check the address and the network")

    def broken(self, why: object) -> PanelFault:
        """Return the fault that a connection broken now is."""
        if not self.sent:
            return Unreachable(f"the connection to {self.host} broke before anything was sent: {why}")
        if not self.connected and not self.received:
            return Dropped(f"{self.host} had closed the kept connection: {why}")
        return Interrupted(f"the connection to {self.host} broke before the reply was complete: {why}")


class Calls(threading.local):
    """The request that this thread is making; httpcore has no other way to tell its sockets."""

    current: Call


class Backend(httpcore.NetworkBackend):
    """Makes the connections of an httpcore pool; `calls.current` must be set around each use."""

    def __init__(self, calls: Calls, resolve: Resolve) -> None:
        self._calls = calls
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first of the host's addresses that answers; each gets a fair share of the time left."""
        del timeout, local_address, socket_options
        call = self._calls.current
        call.connected = True
        addresses = self._addresses(host, port, call)
        why: OSError | None = None
        for tried, address in enumerate(addresses):
            try:
                return Stream(_connect(address, call.left() / (len(addresses) - tried), call), self._calls)
            except OSError as exc:
                why = exc
        raise Unreachable(f"no connection to {host}:{port}: {why or 'the name has no address'}")

    def _addresses(self, host: str, port: int, call: Call) -> list[Address]:
        """Resolve a name in a thread of its own, for nothing can interrupt the system's resolver."""
        found: SimpleQueue[list[Address] | Exception] = SimpleQueue()

        def resolve() -> None:
            try:
                found.put(self._resolve(host, port))
            except (OSError, ValueError, OverflowError) as exc:
                found.put(exc)

        threading.Thread(target=resolve, name="resolve", daemon=True).start()
        while True:
            try:
                addresses = found.get(timeout=min(SLICE, call.left()))
            except Empty:
                continue
            if isinstance(addresses, Exception):
                raise Unreachable(f"the name {host} cannot be resolved: {addresses}")
            return addresses


def resolve_name(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, as the system tells them."""
    return cast("list[Address]", socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def _connect(address: Address, seconds: float, call: Call) -> socket.socket:
    """Return a connected socket; raises OSError after `seconds`, or the fault of the whole call."""
    family, kind, protocol, _, target = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(target)
        if code == errno.EINPROGRESS:
            code = _outcome(sock, seconds, call)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


def _outcome(sock: socket.socket, seconds: float, call: Call) -> int:
    """Wait for a connect that is under way; return its error number, 0 when it succeeded."""
    until = uptime() + seconds
    while (left := until - uptime()) > 0:
        if _ready(sock, select.POLLOUT, min(SLICE, call.left(), left)):
            return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    call.left()
    return errno.ETIMEDOUT


def _ready(sock: socket.socket, event: int, seconds: float) -> bool:
    poller = select.poll()  # unlike select, not limited to 1024 open files
    poller.register(sock, event)
    return bool(poller.poll(seconds * 1000))


class Stream(httpcore.NetworkStream):
    """One connection, never blocking for longer than a slice."""

    def __init__(self, sock: socket.socket, calls: Calls) -> None:
        self._sock = sock
        self._calls = calls

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what came; empty at the end. Raises the fault of the call, BadReply where it is too much."""
        del timeout
        call = self._calls.current
        while True:
            call.left()
            try:
                data = self._sock.recv(max_bytes)
                break
            except (BlockingIOError, ssl.SSLWantReadError):
                self._wait(select.POLLIN, call)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, call)
            except OSError as exc:
                raise call.broken(exc) from None
        call.received += len(data)
        call.room -= len(data)
        call.ended = not data
        if call.room < 0:
            raise BadReply(f"{call.host} sent more than {call.received - 1:,} bytes, which no answer needs")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything. A broken connection is httpcore's WriteError: the server may have answered already."""
        del timeout
        call = self._calls.current
        view = memoryview(buffer)
        while view:
            call.left()
            try:
                sent = self._sock.send(view)
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, call)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, call)
            except OSError as exc:
                raise httpcore.WriteError(str(exc)) from None
            else:
                call.sent += sent
                view = view[sent:]

    def _wait(self, event: int, call: Call) -> None:
        while not _ready(self._sock, event, min(SLICE, call.left())):
            pass

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the same connection under TLS; the certificate is checked by the context."""
        del timeout
        call = self._calls.current
        try:
            secure = ssl_context.wrap_socket(
                self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._sock = secure
            while True:
                call.left()
                try:
                    secure.do_handshake()
                    return Stream(secure, self._calls)
                except ssl.SSLWantReadError:
                    self._wait(select.POLLIN, call)
                except ssl.SSLWantWriteError:
                    self._wait(select.POLLOUT, call)
        except BaseException as exc:
            self.close()
            if isinstance(exc, (OSError, ValueError)):
                _no_tls(server_hostname, exc)
            raise

    def get_extra_info(self, info: str) -> object:
        """Tell what httpcore asks: whether an idle connection has something to read, which means that it ended."""
        if info == "is_readable":
            return self._sock.fileno() < 0 or _ready(self._sock, select.POLLIN, 0)
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        return None


def _no_tls(host: str | None, why: Exception) -> NoReturn:
    raise Unreachable(f"no TLS with {host}: {why}: check the address and the certificate") from None

"""HTTP/1.1 with keep-alive on 127.0.0.1: requests in, replies out, and the news of replies that did not arrive."""

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlsplit

from tracker.simulator import line
from tracker.simulator.line import Line, Response
from tracker.simulator.record import Entry

MOST_FORM: Final = 1024 * 1024
"""Bytes of a form: ten thousand comments fit."""

IDLE: Final = 60.0
"""Seconds after which a connection that says nothing is closed."""

FAREWELL: Final = 1.0
"""Seconds in which a client can still tell, by a reset, that it did not read the last reply."""


class Sending(NamedTuple):
    """A reply, how to send it, and what it claims to have told."""

    response: Response
    send: Callable[[Line, Response], None] = line.whole
    claims: tuple[Entry, ...] = ()


class Panel(Protocol):
    """What answers the requests."""

    drip: float

    def handle(self, method: str, path: str, form: Mapping[str, str]) -> Sending:
        """Answer one request; `form` is its body, or the query of a GET."""

    def void(self, claims: tuple[Entry, ...]) -> None:
        """Learn that a reply did not arrive whole."""


class Listener(ThreadingHTTPServer):
    """A server whose connections end when it does."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, panel: Panel) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.panel = panel
        self.stopping = threading.Event()
        self.connections: dict[socket.socket, threading.Thread] = {}

    def run(self) -> threading.Thread:
        """Serve in a thread of its own."""
        # The interval is how long `shutdown` may take, not how soon a request is answered.
        thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="simulator", daemon=True)
        thread.start()
        return thread

    def end(self) -> None:
        """Break every connection and wait for their threads."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        for sock, thread in list(self.connections.items()):
            with contextlib.suppress(OSError):  # it has just ended by itself
                sock.shutdown(socket.SHUT_RDWR)
            thread.join(5.0)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection; one that is to be reset without the farewell that would come first."""
        if isinstance(request, socket.socket) and line.resets(request):
            request.close()
        else:
            super().shutdown_request(request)


class _Handler(BaseHTTPRequestHandler):
    server: Listener
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE

    def setup(self) -> None:
        super().setup()
        self.server.connections[self.connection] = threading.current_thread()
        self.line = Line(self.connection, self.server.stopping, self.server.panel.drip)
        self.last: tuple[Entry, ...] = ()

    def handle(self) -> None:
        """Serve one connection. A client that closed it with our reply unread makes the kernel send a reset."""
        try:
            super().handle()
            if not self.line.broken:
                self.connection.settimeout(FAREWELL)
                with contextlib.suppress(OSError):  # reset by now: the next line says so
                    self.connection.shutdown(socket.SHUT_WR)
                self.connection.recv(1)
        except ConnectionError:
            self.server.panel.void(self.last)
        except TimeoutError:
            pass  # no farewell in time: the reply is taken as read

    def finish(self) -> None:
        del self.server.connections[self.connection]
        with contextlib.suppress(OSError):  # flushing to a client that has gone
            super().finish()

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and int(length) <= MOST_FORM):
            self.close_connection = True
            self._say(Sending(Response(413, b"", {})))
            return
        form = self.rfile.read(int(length)).decode("utf-8", "replace")
        self._answer(urlsplit(self.path).path, form)

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self._answer(address.path, address.query)

    def _answer(self, path: str, form: str) -> None:
        fields = dict(parse_qsl(form, keep_blank_values=True))
        self._say(self.server.panel.handle(self.command, path, fields))

    def _say(self, sending: Sending) -> None:
        self.last = ()
        try:
            sending.send(self.line, sending.response)
        except OSError:
            self.server.panel.void(sending.claims)
            raise
        self.last = sending.claims
        self.close_connection = self.close_connection or self.line.broken

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing: requests carry keys, and the record of what was served says more."""

"""A panel for benches: answers status requests as fast as Python can, in a process of its own.

Order `i` in sweep `s` is a function of `i + s`, so nothing is kept: a tenth of the orders change their state
from one sweep to the next, and four tenths their figures. `POST /sweep/N` says which sweep it is. Whatever else
is asked is answered with a balance.
"""

import json
import socket
import sys
import threading
import time
from contextlib import suppress
from urllib.parse import unquote_to_bytes

WORDS = ("Pending", "In progress", "Processing")


def item(number: int, sweep: int) -> str:
    """Return one order as JSON, as it is in `sweep`."""
    turn, phase = divmod(number + sweep, 10)
    done = 4 * turn % 9000 + min(phase, 4)
    return (
        f'"{number}":{{"charge":"{done / 1000:.3f}","start_count":"{number % 977}",'
        f'"status":"{WORDS[turn % 3]}","remains":"{10000 - done}","currency":"USD"}}'
    )


class Panel:
    """The server; one thread per connection."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.sweep = 0
        self.first: float | None = None
        """When the first status request came, by the monotonic clock, since `POST /forget`."""
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)

    def run(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection: socket.socket) -> None:
        buffer = b""
        with connection, suppress(ConnectionResetError):  # a daemon that is stopped lets go of what it asked
            while chunk := connection.recv(65536):
                buffer += chunk
                while (end := buffer.find(b"\r\n\r\n")) >= 0:
                    head = buffer[:end].lower()
                    at = head.find(b"content-length:")
                    size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
                    if len(buffer) < end + 4 + size:
                        break
                    body = buffer[end + 4 : end + 4 + size]
                    buffer = buffer[end + 4 + size :]
                    connection.sendall(self.answer(head, body))

    def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"post /sweep/"):
            self.sweep = int(head.split(b" ")[1].rsplit(b"/", 1)[1])
            text = b"{}"
        elif head.startswith(b"post /forget "):
            self.first = None
            text = b"{}"
        elif head.startswith(b"post /first "):
            text = json.dumps(self.first).encode()
        elif b"orders=" not in body:
            text = b'{"balance":"1.00","currency":"USD"}'
        else:
            if self.first is None:
                self.first = time.monotonic()
            if self.latency:
                time.sleep(self.latency)  # the latency of a real panel is what this bench is about
            sweep = self.sweep
            ids = unquote_to_bytes(body.split(b"orders=", 1)[1].split(b"&", 1)[0]).split(b",")
            text = ("{" + ",".join([item(int(one), sweep) for one in ids]) + "}").encode()
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(text) + text
        )


if __name__ == "__main__":
    panel = Panel(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)
    print(panel.socket.getsockname()[1], flush=True)
    panel.run()

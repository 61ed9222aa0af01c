"""Our http client alone, and ports that misbehave."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from raw_panel import LONG, RawPanel
from simulation import Awake

from tracker.panel import Limits, make_http_client
from tracker.panel.backend import Address

SHORT = 0.4
"""Seconds allowed to a request that must run out of them."""
SPARE = 3.0
"""Seconds that a busy machine may add; what is held to a deadline here would last much longer."""


@contextmanager
def client(stop: threading.Event | None = None, tls: ssl.SSLContext | None = None) -> Iterator[httpx.Client]:
    with make_http_client(stop or threading.Event(), tls=tls) as http:
        yield http


def post(http: httpx.Client, panel: RawPanel | str, limits: Limits | None = None) -> httpx.Response:
    url = panel if isinstance(panel, str) else panel.url
    return http.post(url, data={"key": "k" * 8}, extensions={"limits": limits or Limits(seconds=LONG)})


@contextmanager
def held(seconds: float) -> Iterator[None]:
    """Check that the block takes about `seconds`, which it was allowed, and no longer."""
    started = time.monotonic()
    with Awake() as awake:
        yield
    assert time.monotonic() - started >= seconds - 0.05
    assert awake.seconds <= seconds + SPARE


def addresses(*targets: tuple[str, int]) -> list[Address]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", target) for target in targets]


@contextmanager
def dead_port() -> Iterator[int]:
    """A port on loopback that neither accepts nor refuses: its queue is full, so the kernel drops each SYN."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        yield listener.getsockname()[1]
        for sock in waiting:
            sock.close()

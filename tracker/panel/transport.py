"""A transport for httpx that keeps to time and size, and knows what a broken request may have done.

`Limits` travel with each request (`extensions={"limits": …}`). The reply comes back whole and decoded; a fault
comes as one of ours, and leaves the pool of connections intact.
"""

import logging
import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

import httpcore
import httpx

from tracker.errors import BadReply, Unreachable
from tracker.panel.backend import Backend, Call, Calls, Resolve, resolve_name, uptime

MIB: Final = 1024 * 1024
USER_AGENT: Final = "order-tracker"
KEEP_SECONDS: Final = 15.0
"""An idle connection is kept this long: through a sweep, not until servers drop it (5 to 75 s)."""

# At DEBUG httpcore logs every header and every malformed line, and a panel can put the key into those.
for _name in ("httpcore", "httpx"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_STEP: Final = 64 * 1024
_DROPPED_HEADERS: Final = frozenset(
    {
        b"content-encoding",  # the body is decoded and whole
        b"content-length",
        b"transfer-encoding",
        b"location",  # httpx would prepare to follow it, and fails on a bad one; see `extensions`
        b"set-cookie",  # the API has no sessions, and one client serves all panels
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may take."""

    seconds: float = 30.0
    """Until the last byte, name resolution and connecting included."""
    until: float | None = None
    """In place of `seconds`: the moment by `uptime` after which nothing is written or waited for."""
    wire: int = MIB
    """Bytes of the reply as sent, headers included; 100 orders are 10 KiB."""
    decoded: int = 8 * MIB
    """Bytes of the body after decompression; half a MiB of gzip can hold 512 MiB."""
    fresh: bool = False
    """On a connection of its own: a kept one that the server has just dropped looks like a lost reply."""


@cache
def public_tls() -> ssl.SSLContext:
    """Return what trusts the public authorities and nobody else, whatever the environment says."""
    return httpx.create_ssl_context(trust_env=False)  # 46 ms, so once per process


def make_http_client(
    stop: threading.Event, *, tls: ssl.SSLContext | None = None, resolve: Resolve = resolve_name
) -> httpx.Client:
    """Return the process's client: no redirects, nothing from the environment, requests end soon after `stop`."""
    return httpx.Client(
        transport=PanelTransport(stop, tls=tls, resolve=resolve),
        trust_env=False,
        follow_redirects=False,
        headers={"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "gzip, deflate"},
    )


class PanelTransport(httpx.BaseTransport):
    """Sends requests of any thread; raises only faults of `tracker.errors`."""

    def __init__(
        self, stop: threading.Event, *, tls: ssl.SSLContext | None = None, resolve: Resolve = resolve_name
    ) -> None:
        self._stop = stop
        self._calls = Calls()
        self._backend = Backend(self._calls, resolve)
        self._tls = tls or public_tls()
        self._pool = self._new_pool()

    def _new_pool(self) -> httpcore.ConnectionPool:
        # No limit here: `in_flight` of each panel is one, and waiting for a slot would escape the deadline.
        return httpcore.ConnectionPool(
            self._tls, max_connections=None, keepalive_expiry=KEEP_SECONDS, network_backend=self._backend
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. The answer's `extensions["location"]` is where a redirect would lead."""
        limits: Limits = request.extensions.get("limits") or Limits()
        deadline = uptime() + limits.seconds if limits.until is None else limits.until
        call = Call(request.url.host, deadline, limits.wire, self._stop)
        self._calls.current = call
        if not limits.fresh:
            return self._send(self._pool, request, call, limits)
        with self._new_pool() as pool:
            return self._send(pool, request, call, limits)

    def _send(
        self, pool: httpcore.ConnectionPool, request: httpx.Request, call: Call, limits: Limits
    ) -> httpx.Response:
        url = request.url
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.read(),
        )
        with _as_our_faults(call):
            reply = pool.handle_request(sent)
            try:
                body = _body(reply, limits)
                if not _is_all(reply):
                    reply.extensions["network_stream"].close()
            finally:
                reply.close()
        headers = [(name, value) for name, value in reply.headers if name.lower() not in _DROPPED_HEADERS]
        location = next((value for name, value in reply.headers if name.lower() == b"location"), b"")
        return httpx.Response(
            reply.status, headers=headers, content=body, extensions={"location": location.decode("latin-1")}
        )

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()


@contextmanager
def _as_our_faults(call: Call) -> Iterator[None]:
    try:
        yield
    except (httpcore.LocalProtocolError, httpcore.UnsupportedProtocol) as exc:
        raise Unreachable(f"the request to {call.host} cannot be formed: {exc}") from None
    except (httpcore.ProtocolError, httpcore.NetworkError, httpcore.TimeoutException) as exc:
        if call.ended or not call.received:
            raise call.broken(exc) from None
        raise BadReply(f"{call.host} does not answer in HTTP: {exc}") from None


def _body(reply: httpcore.Response, limits: Limits) -> bytes:
    """Return the decoded body. An error page that breaks a limit is told as empty: its status says enough."""
    try:
        return _decoded(reply, limits)
    except BadReply:
        if 200 <= reply.status < 300:
            raise
        return b""


def _decoded(reply: httpcore.Response, limits: Limits) -> bytes:
    coding = next((v for name, v in reply.headers if name.lower() == b"content-encoding"), b"").strip().lower()
    chunks = cast("Iterator[bytes]", reply.stream)
    if coding in {b"", b"identity"}:
        return _joined(chunks, limits.decoded)
    if coding in {b"gzip", b"x-gzip", b"deflate"}:
        return _joined(_inflated(chunks), limits.decoded)
    raise BadReply(f"the reply is encoded as {coding[:40]!r}, which was not asked for")


def _is_all(reply: httpcore.Response) -> bool:
    """Tell whether nothing stands behind a reply that was read to its end.

    What does would be taken for the answer to the next question, and so for the state of another order. Only
    h11 knows, and httpcore tells it for upgrades only, hence the private names; without them none is kept.
    """
    connection: Any = getattr(getattr(reply.stream, "_stream", None), "_connection", None)
    try:
        behind, _ = connection._h11_state.trailing_data  # noqa: SLF001
    except AttributeError:
        return False
    return not behind


def _joined(chunks: Iterator[bytes], most: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if len(body) > most:
            raise BadReply(f"the reply is longer than {most:,} bytes, which no answer needs")
    return bytes(body)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the decompressed body in pieces of bounded size: the caller counts them and stops in time."""
    inflate = None
    for chunk in chunks:
        if inflate is None:
            # gzip and zlib show in the first byte; a bare deflate stream, which some servers send, does not.
            known = chunk[:1] == b"\x1f" or chunk[:1] == b"\x78"
            inflate = zlib.decompressobj(zlib.MAX_WBITS | 32 if known else -zlib.MAX_WBITS)
        data = chunk
        while data:
            if inflate.eof:
                raise BadReply("the compressed reply goes on after its end")
            try:
                yield inflate.decompress(data, _STEP)
            except zlib.error as exc:
                raise BadReply(f"the compressed reply is damaged: {exc}") from None
            data = inflate.unconsumed_tail or inflate.unused_data
    if inflate is not None:
        yield inflate.flush()  # at most the rest of one match: all input is consumed
        if not inflate.eof:
            raise BadReply("the compressed reply ends too early")

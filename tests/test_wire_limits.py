"""Panels that are slow, huge, elsewhere or not there, in whole rounds: time and memory are bounded, the key stays.

What one request alone does at each of these limits is in `test_transport` and `test_transport_faults`.
"""

import shutil
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme
from bad_panel import Bend, changed, lateness, suffer
from raw_panel import Asked, RawPanel, ok
from transport_setting import addresses, dead_port
from wire_setting import HOST, KEY, PANEL, Scene, proven_scene, scene

from tracker.catalog import AGREEING
from tracker.panel.backend import Address
from tracker.rounds.catalog import catalog
from tracker.store.database import Database

ALLOWED = 0.5
"""Seconds that a request gets which will need more."""
OVERRUN = 1.0
MIB = 1024 * 1024
MOST = 32 * MIB
HEAD = b"HTTP/1.1 200 OK\r\n"
HOPELESS = 10 * 1000**3


@pytest.fixture(scope="module")
def at(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One scene for all: what one fault leaves behind would spoil the next test."""
    path = Path(shutil.copy(migrated_file, tmp_path_factory.mktemp("wire")))
    with proven_scene(f"sqlite:///{path}") as made:
        yield made
    assert KEY.encode() not in path.read_bytes()


# Time


def drips(head: bytes) -> Bend:
    """Send `head` at once and then, byte by byte, what never comes to an end."""

    def answer(asked: Asked, _good: bytes) -> None:
        asked.sock.sendall(head)
        asked.drip(b" " * 1000, 0.02)

    return answer


def stalls(data: Callable[[bytes], bytes]) -> Bend:
    """Send what `data` makes of the good body, then nothing until the client has had enough."""

    def answer(asked: Asked, good: bytes) -> None:
        asked.sock.sendall(data(good))
        asked.sock.recv(1)

    return answer


def interim(asked: Asked, _good: bytes) -> None:
    while not asked.over.wait(0.01):
        asked.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


SLOW: dict[str, Bend] = {
    "slow headers": drips(HEAD + b"x-slow: "),
    "slow body": drips(HEAD + b"content-length: 5000\r\n\r\n"),
    "slow chunks": drips(HEAD + b"transfer-encoding: chunked\r\n\r\n5000\r\n"),
    "a stall before the reply": stalls(lambda _: b""),
    "a stall in the headers": stalls(lambda _: HEAD),
    "a stall in the middle": stalls(lambda good: ok(good)[: len(good) // 2]),
    "a stall before the last byte": stalls(lambda good: ok(good)[:-1]),
    "no end of interim replies": interim,
}


@pytest.mark.parametrize("name", SLOW)
def test_a_round_is_held_to_its_deadline_by(at: Scene, name: str) -> None:
    with lateness() as late:
        suffered = suffer(at, SLOW[name], changed(at, "seconds", ALLOWED))
    assert suffered.outcome == "timeout"
    assert ALLOWED - 0.05 < suffered.seconds < ALLOWED + OVERRUN + late[0]


# Size


def floods(head: bytes, size: int, block: bytes) -> tuple[Bend, list[int]]:
    """Send `head` and then blocks up to `size` bytes, as long as somebody reads; count them."""
    sent = [0]

    def answer(asked: Asked, _good: bytes) -> None:
        asked.sock.sendall(head)
        for _ in range(size // len(block)):
            asked.sock.sendall(block)
            sent[0] += len(block)

    return answer, sent


BLOCK = b"x" * 65536
HUGE: dict[str, tuple[bytes, int, bytes]] = {
    "a body of 10 gb": (HEAD + f"content-length: {HOPELESS}\r\n\r\n".encode(), HOPELESS, BLOCK),
    "10 gb of unknown length": (HEAD + b"\r\n", HOPELESS, BLOCK),
    "10 gb in chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", HOPELESS, b"10000\r\n" + BLOCK + b"\r\n"),
    "a header line of 2 mb": (HEAD + b"x-long: ", 2 * MIB, BLOCK),
    "a status line of 2 mb": (b"HTTP/1.1 200 ", 2 * MIB, BLOCK),
    "a million headers": (HEAD, HOPELESS, b"x-one: 1\r\n" * 6000),
    "a chunk length of 2 mb": (HEAD + b"transfer-encoding: chunked\r\n\r\n", 2 * MIB, b"0" * 65536),
}


@pytest.mark.parametrize("name", HUGE)
def test_memory_is_not_filled_by(at: Scene, name: str) -> None:
    flood, sent = floods(*HUGE[name])
    assert peak(at, flood) < MOST
    assert sent[0] < 100 * MIB, "it was read on and on"


def test_memory_is_not_filled_by_a_gzip_bomb(at: Scene) -> None:
    pack, block = zlib.compressobj(1, wbits=31), b" " * MIB
    bomb = b"".join(pack.compress(block) for _ in range(100)) + pack.flush()
    assert len(bomb) < MIB, "it would be refused for its size on the wire"
    assert peak(at, lambda *_: ok(bomb, "content-encoding: gzip\r\n")) < MOST


def peak(at: Scene, bend: Bend) -> int:
    """Return the bytes that were needed at once to refuse such a reply, on both sides together."""
    tracemalloc.start()
    try:
        assert suffer(at, bend, requests=2).outcome == "bad_reply"
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Elsewhere


@pytest.mark.parametrize("status", [300, 301, 302, 303, 305, 307, 308])
def test_the_key_does_not_follow_a_redirect_to_another_host(at: Scene, status: int) -> None:
    with RawPanel(lambda _: ok({})) as other:
        location = f"location: {other.url}?key={KEY}\r\n"
        assert suffer(at, lambda *_: ok(b"", location, f"{status} Moved")).outcome == "server"
    assert other.connections == 0


# Not there


def refused() -> list[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return addresses(("127.0.0.1", listener.getsockname()[1]))


def no_such_name() -> list[Address]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def no_answer_about_the_name() -> list[Address]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


AWAY = {
    "a refused connection": refused,
    "a name that nobody knows": no_such_name,
    "a name server that fails": no_answer_about_the_name,
    "a name without an address": list,
}


@pytest.mark.parametrize("name", AWAY)
def test_a_panel_is_unreachable_by(at: Scene, name: str) -> None:
    suffered = suffer(at, lambda *_: None, changed(at, "resolve", AWAY[name]))
    assert (suffered.outcome, suffered.reached) == ("unreachable", 0)


@contextmanager
def hanging(at: Scene) -> Iterator[None]:
    with dead_port() as port:
        there = addresses(("127.0.0.1", port))
        with changed(at, "resolve", lambda: there), changed(at, "seconds", ALLOWED):
            yield


def test_a_panel_is_unreachable_by_a_connect_that_hangs(at: Scene) -> None:
    with lateness() as late:
        suffered = suffer(at, lambda *_: None, hanging(at))
    assert (suffered.outcome, suffered.reached) == ("unreachable", 0)
    assert ALLOWED - 0.05 < suffered.seconds < ALLOWED + OVERRUN + late[0]


KNOWN, STRANGER = trustme.CA(), trustme.CA()
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def served(authority: trustme.CA, name: str, until: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=LONG_AGO, not_after=until).configure_cert(context)
    return context


CERTIFICATES: dict[str, Callable[[], ssl.SSLContext]] = {
    "vouched for by nobody": lambda: served(STRANGER, HOST),
    "of another host": lambda: served(KNOWN, "other.example"),
    "that has expired": lambda: served(KNOWN, HOST, LONG_AGO + timedelta(days=90)),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_no_request_is_sent_under_a_certificate(sqlite_database: Database, name: str) -> None:
    trusting = ssl.create_default_context()
    KNOWN.configure_trust(trusting)
    with scene(sqlite_database, served(KNOWN, HOST), trusting) as at:
        suffered = suffer(at, lambda *_: None, changed(at.panel, "_tls", CERTIFICATES[name]()))
    assert (suffered.outcome, suffered.reached) == ("unreachable", 0)


# Too often


NOW = datetime.now(UTC)
HINTS: dict[str, tuple[str, float, float]] = {
    "seconds": ("retry-after: 7", 7, 7),
    "a date": (f"retry-after: {format_datetime(NOW + timedelta(minutes=50), usegmt=True)}", 600, 3000),
    "a date that has passed": (f"retry-after: {format_datetime(LONG_AGO, usegmt=True)}", 30, 30),
    "garbage": ("retry-after: \x1b[31msoon;DROP TABLE orders", 30, 30),
    "ten years": ("retry-after: 315360000", 3600, 3600),
    "ten years as a date": (
        f"retry-after: {format_datetime(NOW + timedelta(days=3650), usegmt=True)}",
        3600,
        3600,
    ),
    "400 digits": ("retry-after: " + "9" * 400, 30, 30),
    "a negative number": ("retry-after: -5", 30, 30),
    "no hint": ("x-hint: none", 30, 30),
}
"""A 429's header, and the seconds of the pause: at least, at most."""


@pytest.mark.parametrize("name", HINTS)
def test_a_429_pauses_the_panel_after_one_request_with(at: Scene, name: str) -> None:
    header, least, most = HINTS[name]
    at.budget.pauses.clear()
    suffered = suffer(at, lambda *_: ok(b"slow down", f"{header}\r\n", "429 Too Many Requests"))
    assert (suffered.outcome, suffered.reached) == ("rate_limited", 1)
    [pause] = at.budget.pauses
    assert least <= pause <= most


# A catalog that shrinks


def services(count: int) -> list[dict[str, object]]:
    return [{"service": number, "name": f"Service {number}", "rate": "0.90"} for number in range(1, count + 1)]


SHRUNKEN: dict[str, object] = {
    "emptied": [],
    "emptied in words": {"status": "success", "data": "Empty Data"},
    "halved": services(29),
    "of one service": services(1),
}


@pytest.mark.parametrize("name", SHRUNKEN)
def test_no_service_goes_after_a_catalog(at: Scene, name: str) -> None:
    at.answer = lambda _: ok(services(60))
    assert catalog(at.desk).fault is None
    at.forget()
    listed = at.database.history.services(PANEL, limit=None)
    changes = at.database.history.service_changes(limit=None)
    at.answer = lambda _: ok(SHRUNKEN[name])
    for _ in range(AGREEING - 1):
        assert catalog(at.desk).changed == 0
    assert at.anomalies() == {"": {"shrunken_catalog"}}
    at.answer = lambda _: ok(services(60))
    assert catalog(at.desk).changed == 0
    assert at.database.history.services(PANEL, limit=None) == listed
    assert at.database.history.service_changes(limit=None) == changes
    at.next_good_round()

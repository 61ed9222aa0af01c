"""The transport over real sockets: time and size, nothing escapes the deadline and the caps."""

import gzip
import os
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from raw_panel import LONG, Asked, RawPanel, ok
from simulation import Awake, undisturbed
from transport_setting import SHORT, SPARE, addresses, client, dead_port, held, post

from tracker.errors import BadReply, Interrupted, PanelFault, Stopped, TimedOut, Unreachable
from tracker.panel import Limits, NotSent, make_http_client
from tracker.panel.backend import Address, resolve_name

# Time


def test_headers_that_drip_are_held_to_the_deadline() -> None:
    def answer(asked: Asked) -> None:
        asked.drip(b"HTTP/1.1 200 OK\r\nx-slow: " + b"x" * 1000, 0.02)

    with RawPanel(answer) as panel, client() as http, held(SHORT), pytest.raises(TimedOut) as caught:
        post(http, panel, Limits(seconds=SHORT))
    assert caught.value.arrived


def test_a_body_that_drips_is_held_to_the_deadline() -> None:
    def answer(asked: Asked) -> None:
        asked.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        asked.drip(b" " * 1000, 0.02)

    with RawPanel(answer) as panel, client() as http, held(SHORT), pytest.raises(TimedOut):
        post(http, panel, Limits(seconds=SHORT))


def test_endless_interim_replies_are_held_to_the_deadline() -> None:
    def answer(asked: Asked) -> None:
        while not asked.over.wait(0.01):
            asked.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    with RawPanel(answer) as panel, client() as http, held(SHORT), pytest.raises(TimedOut):
        post(http, panel, Limits(seconds=SHORT))


def test_a_reader_that_never_reads_is_held_to_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, client() as http:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with held(SHORT), pytest.raises(TimedOut):
            http.post(url, content=b"x" * 30_000_000, extensions={"limits": Limits(seconds=SHORT)})


def test_a_connect_that_hangs_ends_at_the_deadline_as_unreachable() -> None:
    with dead_port() as port, client() as http, held(SHORT), pytest.raises(Unreachable) as caught:
        post(http, f"http://127.0.0.1:{port}/", Limits(seconds=SHORT))
    assert not caught.value.arrived


def test_several_addresses_share_the_time_and_the_living_one_is_found() -> None:
    with RawPanel(lambda _: ok({})) as panel, dead_port() as dead:
        found = addresses(("127.0.0.1", dead), ("127.0.0.1", dead), ("127.0.0.1", panel.port))
        with make_http_client(threading.Event(), resolve=lambda _host, _port: found) as http:
            limits = Limits(seconds=1.5)
            assert undisturbed(lambda: post(http, "http://panel.example/", limits)).status_code == 200


def test_a_name_resolution_that_hangs_ends_at_the_deadline() -> None:
    over = threading.Event()

    def resolve(_host: str, _port: int) -> list[Address]:
        over.wait(LONG)
        return []

    with make_http_client(threading.Event(), resolve=resolve) as http:
        with held(SHORT), pytest.raises(Unreachable):
            post(http, "http://panel.example/", Limits(seconds=SHORT))
        over.set()
        with pytest.raises(Unreachable, match="no address"):
            post(http, "http://panel.example/")


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    def resolve(_host: str, _port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with make_http_client(threading.Event(), resolve=resolve) as http, pytest.raises(Unreachable) as caught:
        post(http, "http://panel.example/")
    assert str(caught.value).startswith("the name panel.example cannot be resolved")
    assert resolve_name("127.0.0.1", 80)[0][4] == ("127.0.0.1", 80)


def test_nothing_is_written_after_the_deadline() -> None:
    with RawPanel(lambda _: ok({})) as panel, client() as http:
        with pytest.raises(Unreachable) as caught:
            post(http, panel, Limits(seconds=0.0))
        assert post(http, panel).status_code == 200
    assert not caught.value.arrived
    assert len(panel.asked) == 1


@pytest.mark.parametrize("where", ["headers", "body", "connect"])
def test_a_stop_is_noticed_soon(where: str) -> None:
    stop = threading.Event()
    reached = threading.Event()
    faults: list[PanelFault] = []

    def answer(asked: Asked) -> None:
        if where == "body":
            asked.sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n")
        reached.set()
        asked.over.wait(LONG)

    def ask(url: str) -> None:
        try:
            post(http, url)
        except PanelFault as fault:
            faults.append(fault)

    with RawPanel(answer) as panel, dead_port() as dead, client(stop) as http:
        url = f"http://127.0.0.1:{dead}/" if where == "connect" else panel.url
        thread = threading.Thread(target=ask, args=(url,))
        thread.start()
        assert where == "connect" or reached.wait(LONG)
        with Awake() as awake:
            stop.set()
            thread.join(LONG)
        assert awake.seconds < 0.5 + SPARE
    assert [type(fault) for fault in faults] == [NotSent if where == "connect" else Stopped]


# Size


def test_a_gzip_bomb_costs_little_memory_and_is_refused() -> None:
    bomb = gzip.compress(b"0" * 100_000_000, 9)
    assert len(bomb) < 1_000_000
    with RawPanel(lambda _: ok(bomb, "content-encoding: gzip\r\n")) as panel, client() as http:
        tracemalloc.start()
        with pytest.raises(BadReply, match="longer than"):
            post(http, panel)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 30_000_000


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", _raw_deflate),
     ("identity", bytes)],
)  # fmt: skip
def test_compressed_replies_arrive_as_they_were(coding: str, pack: Callable[[bytes], bytes]) -> None:
    body = os.urandom(50_000) + b"a" * 2_000_000 + os.urandom(100)
    with RawPanel(lambda _: ok(pack(body), f"content-encoding: {coding}\r\n")) as panel, client() as http:
        reply = post(http, panel, Limits(seconds=LONG, wire=3_000_000))
    assert reply.content == body
    assert "content-encoding" not in reply.headers


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("br", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0)),
        ("gzip", b"{}"),
        ("gzip", gzip.compress(b"{}" * 500, mtime=0)[:-9]),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more"),
        ("deflate", b"\xff\xff\xff"),
    ],
)
def test_a_reply_that_cannot_be_decompressed_is_a_bad_reply(coding: str, body: bytes) -> None:
    head = f"content-encoding: {coding}\r\n"
    with RawPanel(lambda _: ok(body, head)) as panel, client() as http, pytest.raises(BadReply):
        post(http, panel)


def test_a_body_larger_than_allowed_is_refused_while_it_comes() -> None:
    with RawPanel(lambda _: ok(b"x" * 5_000_000)) as panel, client() as http:
        with pytest.raises(BadReply, match="bytes"):
            post(http, panel)
        error_page = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 5_000_000
    with RawPanel(lambda _: error_page) as panel, client() as http:
        assert post(http, panel).status_code == 502


def test_ten_megabytes_of_headers_are_refused() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"x" * 10_000_000 + b"\r\n\r\n"
    many = b"HTTP/1.1 200 OK\r\n" + b"x-one: 1\r\n" * 1_000_000 + b"\r\n"
    replies = iter([head, many])
    with RawPanel(lambda _: next(replies)) as panel, client() as http:
        for _ in range(2):
            with pytest.raises(BadReply):
                post(http, panel)


def test_the_pool_is_intact_after_every_kind_of_fault() -> None:
    replies = iter(
        [ok({}), b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", None, ok(b"x" * 99)]
    )

    def answer(asked: Asked) -> bytes | None:
        reply = next(replies, ok({}))
        if reply is not None and reply.endswith(b"9\r\n\r\n"):
            asked.sock.sendall(reply)
            return None
        return reply

    with RawPanel(answer) as panel, client() as http:
        for fault in (None, BadReply, Interrupted, Interrupted, BadReply, None):
            if fault is None:
                assert post(http, panel).status_code == 200
            else:
                with pytest.raises(fault):
                    post(http, panel, Limits(seconds=LONG, wire=120))
        transport = http._transport
        assert not transport._pool._requests  # type: ignore[attr-defined]
        assert len(transport._pool.connections) == 1  # type: ignore[attr-defined]


def test_a_chunked_body_is_joined_and_a_cut_one_is_interrupted() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[1\r\n3\r\n,2]\r\n0\r\n\r\n"
    replies = iter([chunked, chunked[:-9]])

    def answer(asked: Asked) -> None:
        asked.sock.sendall(next(replies))

    with RawPanel(answer) as panel, client() as http:
        assert post(http, panel).json() == [1, 2]
        with pytest.raises(Interrupted):
            post(http, panel)

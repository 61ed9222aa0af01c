"""What a broken connection says of a request, and where the key goes."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_panel import LONG, Asked, RawPanel, ok
from transport_setting import SHORT, client, held, post

from tracker.errors import BadReply, Interrupted, Unreachable
from tracker.panel import Dropped, Limits
from tracker.panel.backend import Call

# What a broken connection says


def test_a_refused_connection_provably_did_not_arrive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with client() as http, pytest.raises(Unreachable) as caught:
        post(http, url)
    assert not caught.value.arrived


def test_a_connection_that_broke_before_anything_was_sent_did_not_deliver_the_request() -> None:
    call = Call("panel.example", time.monotonic() + LONG, 100, threading.Event())
    assert isinstance(call.broken("reset"), Unreachable)
    call.sent = 1
    assert isinstance(call.broken("reset"), Dropped)
    call.connected = True
    assert isinstance(call.broken("reset"), Interrupted)
    assert not isinstance(call.broken("reset"), Dropped)


def test_a_reply_cut_off_at_any_byte_is_interrupted() -> None:
    whole = ok({"order": 1})
    cut = [0]

    def answer(asked: Asked) -> None:
        asked.sock.sendall(whole[: cut[0]])

    with RawPanel(answer) as panel, client() as http:
        for cut[0] in range(len(whole)):
            with pytest.raises(Interrupted) as caught:
                post(http, panel)
            assert caught.value.arrived
            assert not isinstance(caught.value, Dropped)


def test_a_kept_connection_that_the_server_dropped_is_told_as_dropped() -> None:
    with RawPanel(lambda _: ok({}) if len(panel.asked) == 1 else None) as panel, client() as http:
        post(http, panel)
        with pytest.raises(Dropped):
            post(http, panel)
        assert [asked.connection for asked in panel.asked] == [1, 1]


def test_a_fresh_request_never_uses_a_kept_connection_and_keeps_none() -> None:
    with RawPanel(lambda _: ok({})) as panel, client() as http:
        post(http, panel)
        post(http, panel, Limits(seconds=LONG, fresh=True))
        post(http, panel, Limits(seconds=LONG, fresh=True))
        post(http, panel)
        assert [asked.connection for asked in panel.asked] == [1, 2, 3, 1]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_bytes_in_place_of_a_reply_are_a_reply_or_a_fault(data: st.DataObject) -> None:
    whole = ok({"a": 1}, "content-type: text/html\r\nlocation: http://[bad\r\nset-cookie: a=b\r\n")
    at = data.draw(st.integers(0, len(whole) - 1))
    bent = whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + data.draw(st.integers(0, 3)) :]

    def answer(asked: Asked) -> None:
        asked.sock.sendall(bent)

    with RawPanel(answer) as panel, client() as http, suppress(BadReply, Interrupted):
        assert "set-cookie" not in post(http, panel).headers


# Where the key goes


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_does_not_follow_a_redirect(status: int) -> None:
    def answer(_: Asked) -> bytes:
        return ok({}, f"location: {other.url}\r\n", f"{status} Moved")

    with RawPanel(lambda _: ok({})) as other, RawPanel(answer) as panel, client() as http:
        reply = post(http, panel)
    assert reply.status_code == status
    assert reply.extensions["location"] == other.url
    assert other.connections == 0


@pytest.mark.parametrize("location", ["http://x:port/", "http://", "//", "\x7f", "é", "javascript:1"])
def test_a_redirect_to_nowhere_is_a_redirect_like_any_other(location: str) -> None:
    with RawPanel(lambda _: ok({}, f"location: {location}\r\n", "302 X")) as panel, client() as http:
        assert post(http, panel).status_code == 302


def test_proxies_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawPanel(lambda _: ok({})) as proxy, RawPanel(lambda _: ok({})) as panel:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
        with client() as http:
            assert post(http, panel).status_code == 200
    assert proxy.connections == 0


AUTHORITY = trustme.CA()
"""Nobody but these tests trusts it."""


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_trusted_certificate_serves_many_requests_on_one_connection() -> None:
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    with RawPanel(lambda _: ok(b"x" * 300_000), server_tls()) as panel, client(tls=trusting) as http:
        assert [len(post(http, panel).content) for _ in range(3)] == [300_000] * 3
        assert panel.connections == 1


def test_a_certificate_that_nobody_vouches_for_gets_no_request() -> None:
    with RawPanel(lambda _: ok({}), server_tls()) as panel, client() as http:
        with pytest.raises(Unreachable, match="certificate"):
            post(http, panel)
        assert not panel.asked


def test_a_handshake_that_hangs_is_held_to_the_deadline_as_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, client() as http:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        with held(SHORT), pytest.raises(Unreachable):
            post(http, url, Limits(seconds=SHORT))


def test_bytes_behind_a_reply_are_not_taken_for_the_next_answer() -> None:
    def answer(_: Asked) -> bytes:
        return ok(len(panel.asked)) + (ok("stale") if len(panel.asked) == 1 else b"")

    with RawPanel(answer) as panel, client() as http:
        assert [post(http, panel).text for _ in range(3)] == ["1", "2", "3"]
        assert [asked.connection for asked in panel.asked] == [1, 2, 2]


def test_bytes_that_come_while_a_connection_is_idle_are_not_taken_for_an_answer() -> None:
    with RawPanel(lambda _: ok(len(panel.asked))) as panel, client() as http:
        assert post(http, panel).text == "1"
        panel.asked[0].sock.sendall(ok("stale"))
        assert post(http, panel).text == "2"
        assert [asked.connection for asked in panel.asked] == [1, 2]

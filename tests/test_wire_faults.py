"""Faults of a panel on the wire, one by one, each seen by a whole round: real sockets, client and database.

After each of them no order has changed, it is told what went wrong, and the next good reply is believed whole.
Faults of single orders within a good reply are in `test_wire_items`, those of the simulator in `test_any_reply`.
"""

import gzip
import json
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_panel import Bend, chunked, ends, raw, suffer
from raw_panel import Asked, ok
from wire_setting import IDS, KEY, Scene, heads, ids_of, item, proven_scene

HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something broke</h1></body></html>"


@pytest.fixture(scope="module")
def at(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One scene for all: what one fault leaves behind would spoil the next test."""
    path = Path(shutil.copy(migrated_file, tmp_path_factory.mktemp("wire")))
    with proven_scene(f"sqlite:///{path}") as made:
        yield made
    assert KEY.encode() not in path.read_bytes()


def page(status: str, body: bytes = HTML, kind: str = "text/html") -> Bend:
    return lambda _asked, _good: ok(body, f"content-type: {kind}\r\n", status)


def says(value: object) -> Bend:
    return lambda _asked, _good: ok(value)


def bent(change: Callable[[bytes], bytes]) -> Bend:
    return lambda _asked, good: ok(change(good))


def by_id(change: Callable[[str], str]) -> Bend:
    """Answer each order with the JSON text that `change` makes of its id."""
    return lambda asked, _good: ok(raw([(one, change(one)) for one in ids_of(asked)]))


def resets(data: Callable[[bytes], bytes]) -> Bend:
    """Send what `data` makes of the good body, and break."""

    def answer(asked: Asked, good: bytes) -> None:
        asked.sock.sendall(data(good))
        asked.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return answer


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def half_foreign(asked: Asked, _good: bytes) -> bytes:
    ids = ids_of(asked)
    mine = ids[: len(ids) // 2]
    return ok({one: item(one, 3) for one in [*mine, *(f"9{one}" for one in ids[len(mine) :])]})


def each(**changed: object) -> Bend:
    return by_id(lambda one: json.dumps({**item(one, 3), **changed}))


ERRORS = (403, 404, 500, 502, 503, *range(520, 525))

UNBELIEVED: dict[str, tuple[Bend, str]] = {
    **{f"{code} with html": (page(f"{code} X"), "server") for code in ERRORS},
    **{f"{code} and empty": (page(f"{code} X", b""), "server") for code in ERRORS},
    **{
        f"{code} in json": (
            page(f"{code} X", b'{"error": "SQLSTATE[HY000]"}', "application/json"),
            "server" if code >= 500 else "refused",
        )
        for code in ERRORS
    },
    "a page that echoes the key": (
        lambda asked, _: ok(f"<p>{asked.fields['key']} key={asked.fields['key']}&x=1</p>".encode()),
        "bad_reply",
    ),
    "200 with html": (page("200 OK"), "bad_reply"),
    "200 and empty": (page("200 OK", b""), "bad_reply"),
    "200 with an error for the whole batch": (says({"error": "Something is wrong"}), "refused"),
    "200 with rate limit exceeded": (says({"error": "Rate limit exceeded"}), "rate_limited"),
    "200 with temporarily unavailable": (says({"error": "This panel is temporarily unavailable"}), "unavailable"),
    "200 with invalid key": (says({"error": "Invalid API key"}), "key_refused"),
    "200 with incorrect request": (says({"error": "Incorrect request"}), "not_understood"),
    "truncated json of a known length": (ends(lambda good: ok(good)[: -len(good) // 2]), "interrupted"),
    "truncated json of an unknown length": (
        ends(lambda good: b"HTTP/1.1 200 OK\r\n\r\n" + half(good)),
        "bad_reply",
    ),
    "truncated json that counts its bytes": (bent(half), "bad_reply"),
    "truncated chunks": (ends(lambda good: half(chunked(good))), "interrupted"),
    "reset before the reply": (resets(lambda _: b""), "interrupted"),
    "reset in the headers": (resets(lambda good: ok(good)[:20]), "interrupted"),
    "reset in the body": (resets(lambda good: half(ok(good))), "interrupted"),
    "no http": (lambda *_: b"220 mail.example ESMTP\r\n\r\n", "bad_reply"),
    "a damaged gzip": (lambda _, good: ok(half(gzip.compress(good)), "content-encoding: gzip\r\n"), "bad_reply"),
    "gzip that is none": (lambda _, good: ok(good, "content-encoding: gzip\r\n"), "bad_reply"),
    "an encoding nobody asked for": (lambda _, good: ok(good, "content-encoding: br\r\n"), "bad_reply"),
    "null": (says(None), "bad_reply"),
    "true": (says(value=True), "bad_reply"),
    "a number": (says(7), "bad_reply"),
    "a number of 5,000 digits": (says(b"7" * 5000), "bad_reply"),
    "not a number": (says(b"NaN"), "bad_reply"),
    "1e400": (says(b"1e400"), "bad_reply"),
    "a text": (says("Pending"), "bad_reply"),
    "a lone surrogate": (says(b'"\\ud800"'), "bad_reply"),
    "nul": (says(b"\x00" * 100), "bad_reply"),
    "a list for an object": (lambda _, good: ok(list(json.loads(good).values())), "bad_reply"),
    "lists for objects": (by_id(lambda one: json.dumps(list(item(one, 3).values()))), "ok"),
    "nulls for objects": (by_id(lambda _: "null"), "bad_reply"),
    "texts for objects": (by_id(lambda _: '"Pending"'), "ok"),
    "a list for every value": (by_id(lambda one: json.dumps({k: [v] for k, v in item(one, 3).items()})), "ok"),
    "null for every value": (by_id(lambda one: json.dumps(dict.fromkeys(item(one, 3)))), "ok"),
    "the same id twice": (
        lambda asked, _: ok(
            raw([(one, f'{{"status": "{it}"}}') for one in ids_of(asked) for it in ("Paused", "?")])
        ),
        "bad_reply",
    ),
    "the same key twice": (by_id(lambda _: '{"status": "Pending", "status": "Completed"}'), "bad_reply"),
    "every id left out": (says({}), "ok"),
    "other ids than asked": (by_id(lambda _: "{}"), "ok"),
    "half of the ids foreign": (half_foreign, "bad_reply"),
    "200,000 levels of lists": (says(b"[" * 200_000), "bad_reply"),
    "200,000 levels of objects": (says(b'{"23501":' * 200_000), "bad_reply"),
    "nan for every figure": (by_id(lambda _: '{"status": "Partial", "remains": NaN, "charge": NaN}'), "ok"),
    "1e400 for every figure": (by_id(lambda _: '{"status": "Partial", "remains": 1e400}'), "ok"),
}
"""What is sent instead of an answer, and the outcome of its round; `ok`: each order has an anomaly of its own."""


@pytest.mark.parametrize("name", UNBELIEVED)
def test_no_order_changes_after(at: Scene, name: str) -> None:
    bend, outcome = UNBELIEVED[name]
    assert suffer(at, bend).outcome == outcome


NOTICE = b"<br />\n<b>Notice</b>:  Undefined index: x[0] in <b>/var/www/{api}.php</b> on line <b>7</b><br />\n"
DRESSED: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda body: ok(b"\xef\xbb\xbf" + body),
    "a php notice": lambda body: ok(NOTICE + body),
    "latin-1": lambda body: ok(body.replace(b'"USD"', b'"USD", "note": "Termin\xe9"')),
    "a charset of its own": lambda body: ok(
        body.replace(b'"USD"', b'"USD", "note": "\xc2\xfb"'), "content-type: text/html; charset=windows-1251\r\n"
    ),
    "the type of a page": lambda body: ok(body, "content-type: text/html\r\n"),
    "white space around it": lambda body: ok(b"\r\n \t" + body + b"\n\n"),
    "gzip": lambda body: ok(gzip.compress(body), "content-encoding: gzip\r\n"),
    "chunks": chunked,
    "no length": lambda body: b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + body,
    "http/1.0": lambda body: b"HTTP/1.0 200 OK\r\n\r\n" + body,
    "an interim reply before it": lambda body: b"HTTP/1.1 100 Continue\r\n\r\n" + ok(body),
    "another reply behind it": lambda body: ok(body) + ok({IDS[0]: {"status": "Fail"}}),
}
UNANNOUNCED = {"no length", "http/1.0"}
"""Where the end of the connection is the end of the body."""


@pytest.mark.parametrize("name", DRESSED)
def test_a_good_reply_is_believed_in(at: Scene, name: str) -> None:
    at.next_good_round()
    at.forget()
    at.turn += 1

    def answer(asked: Asked) -> bytes | None:
        reply = DRESSED[name](at.body(asked))
        if name not in UNANNOUNCED:
            return reply
        asked.sock.sendall(reply)
        return None

    at.answer = answer
    report = at.round()
    assert (report.fault, report.answered, report.anomalies) == (None, len(IDS), 0)
    assert at.known() == heads(at.turn)
    at.next_good_round()

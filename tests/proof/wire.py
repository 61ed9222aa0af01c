"""A good reply of 100 orders, cut and flipped at every byte: what is promised of bytes that go wrong on their way.

A cut reply brings nothing: no beginning of a JSON object is one. A flipped bit may make another good answer, for
nobody can tell a "156" that was a "157" from a true one. So what is promised of a flip is this: of each order is
believed exactly what the flipped bytes say of it, as another reader of the same rules finds it (`proof.reader`),
and so of each order that the flip did not touch what the good reply says, or nothing. Besides: no traceback, no
memory, no time beyond the deadline, and the next good reply is believed as a whole.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

import psutil
from bad_panel import changed, lateness
from raw_panel import Asked, ok
from wire_setting import IDS, Head, Scene, heads, items, proven_scene

from proof.reader import Reading, read
from proof.table import Figure, Profile
from tracker.errors import PanelFault
from tracker.model import BATCH, Status
from tracker.panel.faults import reply_value
from tracker.panel.wire import read_statuses
from tracker.rounds.desk import Report

MIB: Final = 1024 * 1024
MEMORY: Final = 32 * MIB
ALLOWED: Final = 0.25
"""Seconds that a request gets which is never answered to its end."""
OVERRUN: Final = 1.0
TURN: Final = 3

GOOD: Final = json.dumps(items(IDS, TURN), separators=(",", ":")).encode()
"""As PHP writes it."""
WHOLE: Final = ok(GOOD, "content-type: application/json\r\n")
UNANNOUNCED: Final = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + GOOD
"""The same reply of unknown length: only its content tells whether it is whole."""
SOME: Final = 25
STARTS: Final = [GOOD.index(f'"{one}":{{'.encode()) for one in IDS]
"""Where the part of each order begins."""


def flipped(data: bytes, at: int, bit: int) -> bytes:
    """Return `data` with one bit of the byte `at` flipped."""
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def believed(body: bytes) -> dict[str, Reading] | None:
    """Return what our reader believes of each order; None where it refuses the reply."""
    try:
        answers = read_statuses(reply_value(200, {}, body), IDS)
    except PanelFault:
        return None
    return {one: Reading(*answer[:6]) for one, answer in answers.items() if isinstance(answer, Status)}


# What is read


def cuts_read() -> Figure:
    """Read every beginning of the good reply."""
    for at in range(len(GOOD)):
        assert believed(GOOD[:at]) is None, f"the first {at} bytes are believed"
    return Figure("P4", "the body of a reply of 100 orders, cut at each byte and read", len(GOOD), "none believed")


def flips_read(profile: Profile) -> Figure:
    """Read the good reply with one bit flipped: all eight of each byte, or one where it is to be short.

    Short, it takes every byte of the first orders, and few of the others, which are alike.
    """
    good = believed(GOOD)
    assert good is not None
    assert good.keys() == set(IDS)
    times = refused = another = 0
    first = len(GOOD) if profile.long else STARTS[SOME]
    for at in (*range(first), *range(first, len(GOOD), 5)):
        for bit in range(8) if profile.long else [(at + profile.seed) % 8]:
            body = flipped(GOOD, at, bit)
            found, where = believed(body), f"byte {at}, bit {bit}: {body[max(at - 20, 0) : at + 20]!r}"
            assert found == read(body, IDS), where
            times += 1
            if found is None:
                refused += 1
                continue
            touched = IDS[max(bisect_right(STARTS, at) - 1, 0)]
            differing = {one for one, told in found.items() if told != good[one]}
            assert differing <= {touched}, where
            another += bool(differing)
    assert refused
    assert another
    told = (
        f"{refused} refused; {another} read as another good answer; else that order left out, or nothing changed"
    )
    return Figure("P4", "one bit of the body of 100 orders flipped, and read", times, told)


# What is sent


def one_reply(at: Scene, reply: bytes) -> Report:
    """Run a round of a single request, which brings these bytes and then the end."""

    def answer(asked: Asked) -> None:
        asked.sock.sendall(reply)

    at.answer, at.desk.status_limit = answer, BATCH
    return at.round(requests=1)


def good_again(at: Scene) -> None:
    """Check that the good reply is believed as a whole."""
    at.turn = TURN
    at.good_round()
    at.forget_requests()


class Footprint:
    """The memory of this process, the panel's side included, from a first look on."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._first = self._most = self._process.memory_info().rss

    def look(self) -> None:
        """Look again, and raise AssertionError where it has grown too much."""
        self._most = max(self._most, self._process.memory_info().rss)
        assert self._most - self._first < MEMORY, f"memory has grown by {self._most - self._first:,} bytes"

    def __str__(self) -> str:
        return f"memory +{(self._most - self._first) / MIB:.1f} MiB"


def spread(count: int, times: int) -> Sequence[int]:
    """Return `times` numbers below `count` at even distances, or all of them."""
    return [number * count // times for number in range(times)] if times < count else range(count)


def cuts_sent(profile: Profile, at: Scene) -> Figure:
    """Send the good reply cut at each byte, of announced and of unknown length, and end the connection."""
    times, footprint, before = 0, Footprint(), at.history()
    for whole in (WHOLE, UNANNOUNCED):
        body_at = whole.index(b"\r\n\r\n") + 4
        for cut in spread(len(whole), profile.often(20, len(whole))):
            report = one_reply(at, whole[:cut])
            unreadable = whole is UNANNOUNCED and cut >= body_at
            assert report.fault is not None, f"cut at byte {cut} it was believed"
            assert report.fault.kind == ("bad_reply" if unreadable else "interrupted"), f"cut at byte {cut}"
            assert at.history() == before, f"cut at byte {cut} it changed the history"
            good_again(at)
            footprint.look()
            times += 1
    return Figure("P4", "a reply of 100 orders cut at each byte, sent", times, f"no order changed; {footprint}")


def flips_sent(profile: Profile, at: Scene) -> Figure:
    """Send the good reply with one bit flipped at each byte, headers included, and end the connection."""
    times, another, footprint = 0, 0, Footprint()
    head, good = len(WHOLE) - len(GOOD), heads(TURN)
    for place in spread(len(WHOLE), profile.often(30, len(WHOLE))):
        for bit in profile.seed % 8, (profile.seed + place) % 8:
            reply = flipped(WHOLE, place, bit)
            report = one_reply(at, reply)
            told = read(reply[head:], IDS) if report.fault is None else {}
            assert told is not None, f"byte {place}, bit {bit}: believed, but not by another reader"
            expected = good | {one: _laid_over(good[one], reading) for one, reading in told.items()}
            assert at.known() == expected, f"byte {place}, bit {bit}: {reply[max(place - 20, 0) : place + 20]!r}"
            another += expected != good
            good_again(at)
            footprint.look()
            times += 1
    assert another
    found = f"each order as the bytes then say, or as it was ({another} times another answer); {footprint}"
    return Figure("P4", "one bit of a reply of 100 orders flipped, headers included, sent", times, found)


def _laid_over(known: Head, told: Reading) -> Head:
    return Head._make(before if now is None else now for before, now in zip(known, told[1:], strict=True))


def stalls_sent(profile: Profile, at: Scene) -> Figure:
    """Send a part of the good reply, and then nothing more for good."""
    worst, times = 0.0, profile.often(4, 200)
    for cut in spread(len(WHOLE), times):

        def answer(asked: Asked, cut: int = cut) -> None:
            asked.sock.sendall(WHOLE[:cut])
            asked.sock.recv(1)

        before, at.answer = at.history(), answer
        with lateness() as late, changed(at, "seconds", ALLOWED):
            report, seconds = at.round(), max(at.took)
        assert report.fault is not None
        assert report.fault.kind == "timeout"
        assert at.history() == before
        worst = max(worst, seconds - ALLOWED - late[0])
        assert worst < OVERRUN, f"stalled at byte {cut}, the request ended {worst:.3f} s after its deadline"
        good_again(at)
    told = f"no order changed; over at most {max(worst, 0) * 1000:.0f} ms after the deadline of {ALLOWED} s"
    return Figure("P4 P7", "a reply of 100 orders that stalls at a byte", times, told)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Yield a figure for each."""
    yield cuts_read()
    yield flips_read(profile)
    with proven_scene(url) as at:
        good_again(at)
        for prove_one in (cuts_sent, flips_sent, stalls_sent):
            profile.say(prove_one.__name__)
            yield prove_one(profile, at)

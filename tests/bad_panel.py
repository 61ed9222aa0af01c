"""A panel that answers badly for one round, and what is checked then: nothing changed, and people were told."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple, TypeAlias

from raw_panel import Asked
from wire_setting import KEY, Scene


@contextmanager
def lateness(step: float = 0.02) -> Iterator[list[float]]:
    """Give, at the end of the block, the seconds by which this machine itself wakes a thread too late, at most.

    A loaded machine, or a process that was paused, is late by itself; a deadline can be kept no better than that.
    """
    over, worst = threading.Event(), [0.0]

    def watch() -> None:
        began = time.monotonic()
        while not over.wait(step):
            now = time.monotonic()
            worst[0], began = max(worst[0], now - began - step), now

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield worst
    finally:
        over.set()
        thread.join()


def raw(told: Sequence[tuple[str, str]]) -> bytes:
    """Return the JSON text of an object, of which each value is a JSON text; keys may repeat."""
    return ("{" + ", ".join(f'"{key}": {value}' for key, value in told) + "}").encode()


Bend: TypeAlias = Callable[[Asked, bytes], bytes | None]
"""From a request and the good body to what is sent instead; None: what had to be sent was, and the line ends."""


class Suffered(NamedTuple):
    """A round with a bad panel."""

    outcome: str
    seconds: float
    """Of its longest request."""
    reached: int
    """Requests that reached the panel."""


@contextmanager
def changed(thing: object, name: str, value: object) -> Iterator[None]:
    """Change an attribute for the time of the block."""
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)


def suffer(
    at: Scene, bend: Bend, trouble: AbstractContextManager[None] | None = None, *, requests: int = 1000
) -> Suffered:
    """Have the panel answer all of a round in one bad way, on new connections while `trouble` lasts.

    Checks that nothing changed, that people were told, and that the next round is as good as ever.
    """
    at.next_good_round("connection: close\r\n" if trouble else "")
    at.forget()
    before, reached = at.history(), len(at.panel.asked)
    at.turn += 1  # what is believed falsely is news
    at.answer = lambda asked: bend(asked, at.body(asked))
    with trouble or nullcontext():
        at.took.clear()
        report, seconds = at.round(requests), max(at.took)
    assert at.history() == before
    assert report.answered == report.changed == 0
    told = at.told()
    assert told, "nobody was told"
    assert all(len(text) <= 500 and text.isprintable() and KEY not in text for text in told)
    reached = len(at.panel.asked) - reached
    at.next_good_round()
    return Suffered("ok" if report.fault is None else report.fault.kind, seconds, reached)


def ends(data: Callable[[bytes], bytes]) -> Bend:
    """Send what `data` makes of the good body, and end."""

    def answer(asked: Asked, good: bytes) -> None:
        asked.sock.sendall(data(good))

    return answer


def chunked(body: bytes) -> bytes:
    """Return a whole reply in one chunk."""
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"

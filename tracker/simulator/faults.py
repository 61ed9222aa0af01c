"""Misbehaviour by name: pages instead of an answer, bent answers, and connections that break.

A fault is a page (sent instead of an answer), a bend (the answer says something else), or a way of sending.
"""

import random
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from tracker.errors import UsageFault
from tracker.simulator import line
from tracker.simulator.api import Reply
from tracker.simulator.dialects import NOTICE
from tracker.simulator.line import Line, Response

BOMB_BYTES: Final = 64 * 1024 * 1024
"""Decoded size of the gzip bomb: eight times what a client should ever accept, and still harmless here."""

HEADER_BYTES: Final = 10 * 1024 * 1024
WORD: Final = "Reticulating"
"""The status that no panel has."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave."""

    about: str
    page: Callable[[], Response] | None = None
    bend: Callable[[Reply], Reply] | None = None
    preamble: bytes = b""
    send: Callable[[Line, Response], None] = line.whole
    acts: bool = True
    """Whether the panel still does what it was asked: then an order may exist that nobody was told of."""
    ruins: bool = True
    """Whether nothing of the reply counts as served."""
    actions: frozenset[str] = frozenset()
    """The actions it is meant for; none: all."""


def _page(code: int, body: str, headers: Mapping[str, str] | None = None) -> Callable[[], Response]:
    kind = "application/json" if body.startswith("{") else "text/html"
    response = Response(code, body.encode(), {"Content-Type": kind} | dict(headers or {}))
    return lambda: response


def _html(title: str) -> str:
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


@cache
def _bomb() -> Response:
    pack = zlib.compressobj(9, wbits=31)
    block = b" " * (1024 * 1024)
    body = b"".join(pack.compress(block) for _ in range(BOMB_BYTES // len(block))) + pack.flush()
    return Response(200, body, {"Content-Type": "application/json", "Content-Encoding": "gzip"})


def _huge_header() -> Response:
    return Response(200, b"{}", {"Content-Type": "application/json", "X-Padding": "x" * HEADER_BYTES})


def _leaves(value: object, change: Callable[[object], object]) -> object:
    """Return `value` with every scalar in it changed."""
    if isinstance(value, dict):
        return {key: _leaves(each, change) for key, each in value.items()}
    if isinstance(value, list):
        return [_leaves(each, change) for each in value]
    return change(value)


def _wrong_types(reply: Reply) -> Reply:
    return reply._replace(value=_leaves(reply.value, lambda leaf: [leaf]))


def _nulls(reply: Reply) -> Reply:
    return reply._replace(value=_leaves(reply.value, lambda _leaf: None))


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return [_lists(each) for each in value.values()]
    return [_lists(each) for each in value] if isinstance(value, list) else value


def _list_for_object(reply: Reply) -> Reply:
    return reply._replace(value=_lists(reply.value))


def _foreign_ids(reply: Reply) -> Reply:
    value = reply.value
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        return Reply(reply.code, {f"9{key}9": item for key, item in value.items()}, [])
    if isinstance(value, list):
        return Reply(reply.code, [item | {"refill": f"9{item['refill']}9"} for item in value], [])
    return reply  # a single answer names no id


def _missing_ids(reply: Reply) -> Reply:
    value = reply.value
    if isinstance(value, dict) and all(isinstance(item, dict) for item in value.values()):
        value = dict(list(value.items())[::2])
    elif isinstance(value, list):
        value = value[::2]
    else:
        return reply
    left = {id(item) for item in (value.values() if isinstance(value, dict) else value)}
    return Reply(reply.code, value, [told for told in reply.told if id(told.item) in left])


def _unknown_word(reply: Reply) -> Reply:
    for told in reply.told:
        told.item["status"] = WORD
    return reply


def _backwards(reply: Reply) -> Reply:
    for told in reply.told:
        told.item["status"] = "Pending"
        remains = told.item.get("remains")
        if remains is not None:
            told.item["remains"] = type(remains)(int(str(remains)) + 100)  # type: ignore[call-arg]
    return reply


def _emptied(reply: Reply) -> Reply:
    return reply._replace(value=[])


def _halved(reply: Reply) -> Reply:
    rows = reply.value if isinstance(reply.value, list) else []
    return reply._replace(value=rows[: len(rows) // 3])


_STATUSES: Final = frozenset({"status", "refill_status"})
_SERVICES: Final = frozenset({"services"})
_REDIRECT: Final = {"Location": "/elsewhere"}
_BUSY: Final = '{"error":"Rate limit exceeded"}'

FAULTS: Final[Mapping[str, Fault]] = {
    "http-500-html": Fault("an error page after the work was done", page=_page(500, _html("Server Error"))),
    "http-502": Fault("a gateway before the panel", page=_page(502, _html("Bad Gateway")), acts=False),
    "http-503-empty": Fault("nothing at all, and 503", page=_page(503, ""), acts=False),
    "cloudflare-520": Fault("a proxy that lost the answer", page=_page(520, _html("Error 520"))),
    "firewall-403": Fault("a firewall's page", page=_page(403, _html("Access denied")), acts=False),
    "rate-limit-429": Fault("429 with a hint", page=_page(429, _BUSY, {"Retry-After": "2"}), acts=False),
    "rate-limit-200": Fault("a rate limit told with 200", page=_page(200, _BUSY), acts=False),
    "temporarily-unavailable": Fault(
        "the panel's own excuse",
        page=_page(200, '{"error":"This panel is temporarily unavailable"}'),
        acts=False,
    ),
    "bad-key": Fault("a key refused falsely", page=_page(200, '{"error":"Invalid API key"}'), acts=False),
    "redirect-307": Fault("would have the form sent elsewhere", page=_page(307, "", _REDIRECT), acts=False),
    "not-json": Fault("a word instead of JSON", page=_page(200, "OK, done.")),
    "empty-body": Fault("200 and nothing", page=_page(200, "")),
    "gzip-bomb": Fault("64 MiB in 64 KiB", page=_bomb, acts=False),
    "huge-header": Fault("a header of 10 MiB", page=_huge_header, acts=False),
    "php-notice": Fault("a notice before the JSON, which is whole", preamble=NOTICE, ruins=False),
    "wrong-types": Fault("every scalar is a list", bend=_wrong_types),
    "nulls": Fault("every scalar is null", bend=_nulls),
    "list-for-object": Fault("every object is the list of its values", bend=_list_for_object),
    "foreign-ids": Fault(
        "bulk answers about ids nobody asked for", bend=_foreign_ids, ruins=False, actions=_STATUSES
    ),
    "missing-ids": Fault("every other id is left out", bend=_missing_ids, ruins=False, actions=_STATUSES),
    "unknown-word": Fault("a status that no panel has", bend=_unknown_word, ruins=False, actions=_STATUSES),
    "backwards": Fault("Pending again, more remains", bend=_backwards, ruins=False, actions=_STATUSES),
    "emptied-catalog": Fault("nothing is sold", bend=_emptied, actions=_SERVICES),
    "halved-catalog": Fault("two thirds of the catalog are gone", bend=_halved, actions=_SERVICES),
    "truncated": Fault("half of the announced body, then the end", send=line.truncated),
    "truncated-unannounced": Fault("half of a body of unknown length", send=line.truncated_unannounced),
    "reset-before": Fault("a reset instead of the reply", send=line.reset_before),
    "reset-in-body": Fault("a reset within the body", send=line.reset_in_body),
    "slow-headers": Fault("headers byte by byte", send=line.slow_headers, ruins=False),
    "slow-body": Fault("the body in a hundred pieces", send=line.slow_body, ruins=False),
    "stall": Fault("no reply, and no end", send=line.stall),
}


@dataclass(slots=True)
class _Wish:
    fault: Fault
    times: int | None
    share: float
    action: str | None

    def meets(self, action: str) -> bool:
        if self.action is not None and self.action != action:
            return False
        return not self.fault.actions or action in self.fault.actions


class Mischief:
    """Which requests are misbehaved to. Counted wishes come first, in the order of asking, then shares."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._rng = random.Random(seed)  # noqa: S311 - chooses requests, not secrets
        self._wishes: list[_Wish] = []

    def misbehave(
        self, name: str, *, times: int | None = None, share: float = 1.0, action: str | None = None
    ) -> None:
        """Misbehave to the next `times` requests, or to a `share` of all until `behave`.

        Only to requests of `action` where one is given. Raises `UsageFault` for a name that is no fault.
        """
        if name not in FAULTS:
            raise UsageFault(f"The simulator has no fault {name!r}; it has: {', '.join(sorted(FAULTS))}.")
        with self._lock:
            self._wishes.append(_Wish(FAULTS[name], times, share, action))

    def behave(self) -> None:
        """Misbehave no more."""
        with self._lock:
            self._wishes.clear()

    def pick(self, action: str) -> Fault | None:
        """Return the fault for a request, if it gets one; counted ones are used up."""
        with self._lock:
            meeting = [wish for wish in self._wishes if wish.meets(action)]
            for wish in meeting:
                if wish.times is not None:
                    wish.times -= 1
                    if wish.times <= 0:
                        self._wishes.remove(wish)
                    return wish.fault
            return next((wish.fault for wish in meeting if self._rng.random() < wish.share), None)

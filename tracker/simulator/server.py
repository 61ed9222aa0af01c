"""The simulated panel: a world, a dialect, faults, and the record of what was served.

Its owner uses the `Simulator` directly or, from another process, the same port (forms in, JSON out):

- `GET /truth?order=ID`: `{"order", "born", "now", "steps": [[at, status, charge, start_count, remains], ...]}`,
  the whole life of an order, its future included; `at` is in virtual seconds since `born`.
- `GET /served`: lines `{"ID": [[status, charge, currency, start_count, remains], ...]}`, what was said about each
  order (and `refill/ID`) in replies that arrived whole.
- `POST /spawn` with `count`, and `oldest` (virtual seconds) as wanted: makes orders of varied ages and lists what
  a client would know of them.
- `POST /misbehave` with `name`, and `times`, `share`, `action` as wanted. `POST /behave` ends it.
"""

import json
import time
from collections import Counter, deque
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Final, NamedTuple, Self

from tracker.errors import UsageFault
from tracker.simulator.api import Api, Reply
from tracker.simulator.clock import Clock
from tracker.simulator.dialects import DIALECTS
from tracker.simulator.faults import Fault, Mischief
from tracker.simulator.lifecycle import DAY
from tracker.simulator.line import Response
from tracker.simulator.listener import Listener, Sending
from tracker.simulator.record import Entry, Record, Served
from tracker.simulator.world import World

PATH: Final = "/api/v2"

KEPT_REQUESTS: Final = 100_000
"""The newest requests that `Simulator.requests` remembers."""

_GOOD: Final = Fault("as it should be", ruins=False)


class Request(NamedTuple):
    """A request that was made, with the ids it named; its action is the path where that is not the API's."""

    action: str
    ids: tuple[str, ...]
    at: float
    """`time.monotonic()` of its arrival."""


class Simulator:
    """A panel on 127.0.0.1, served while the context lasts.

    `speed` is virtual seconds a second (or give a `clock`); `latency` (seconds) passes before every answer;
    `requests_per_minute` is held in real time; `faults` are shares by name; `drip` is the seconds between the
    pieces of slow replies. The port is bound at once, so leave no simulator without entering it.

    Raises `UsageFault` for a dialect or fault that does not exist, OSError for a port in use.
    """

    def __init__(  # noqa: PLR0913 - each stands alone, and all have a default
        self,
        *,
        port: int = 0,
        seed: int = 0,
        speed: float = 1.0,
        clock: Clock | None = None,
        dialect: str = "documented",
        key: str = "demo-key",
        services: int = 60,
        requests_per_minute: int | None = None,
        latency: float = 0.0,
        faults: Mapping[str, float] | None = None,
        drip: float = 0.5,
    ) -> None:
        if dialect not in DIALECTS:
            raise UsageFault(f"The simulator has no dialect {dialect!r}; it has: {', '.join(sorted(DIALECTS))}.")
        self.drip = drip
        self.key = key
        self.latency = latency
        self.requests_per_minute = requests_per_minute
        self.requests: deque[Request] = deque(maxlen=KEPT_REQUESTS)
        self.counts: Counter[str] = Counter()
        self._let_in: deque[float] = deque()
        self._dialect = DIALECTS[dialect]
        self.world = World(
            clock or Clock(speed), seed=seed, services=services, opaque_ids=self._dialect.opaque_ids
        )
        self._api = Api(self.world, self._dialect, key)
        self._mischief = Mischief(seed)
        for name, share in (faults or {}).items():
            self.misbehave(name, share=share)
        self._record = Record()
        self._listener = Listener(port, self)
        self.port: int = self._listener.server_port
        self.url = f"http://127.0.0.1:{self.port}{PATH}"

    def __enter__(self) -> Self:
        self._thread = self._listener.run()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.end()
        self._thread.join(5.0)

    # What its owner asks

    def served(self, order_id: str) -> list[Served]:
        """Return what was said about an order in replies that arrived whole, in order, repeats kept."""
        return self._record.served(order_id)

    def served_refill(self, refill_id: str) -> list[str]:
        """Return the words that were said about a refill, as `served` does."""
        return [served.panel_status for served in self._record.served(f"refill/{refill_id}")]

    def subjects(self) -> list[str]:
        """Return every order (and `refill/ID`) that anything was said about."""
        return self._record.subjects()

    def misbehave(
        self, name: str, *, times: int | None = None, share: float = 1.0, action: str | None = None
    ) -> None:
        """Misbehave to the next `times` requests, or to a `share` of all; only to those of `action` if given."""
        self._mischief.misbehave(name, times=times, share=share, action=action)

    def behave(self) -> None:
        """Misbehave no more."""
        self._mischief.behave()

    # What the listener asks

    def handle(self, method: str, path: str, form: Mapping[str, str]) -> Sending:
        """Answer one request."""
        if path == PATH:
            return self._answer(method, form)
        try:
            response = self._control(method, path, form)
        except (KeyError, ValueError, UsageFault) as error:
            response = Response(400, f"{error}\n".encode(), {"Content-Type": "text/plain; charset=utf-8"})
        return Sending(response)

    def void(self, claims: tuple[Entry, ...]) -> None:
        """Learn that a reply did not arrive whole."""
        self._record.void(claims)

    # Inside

    def _answer(self, method: str, form: Mapping[str, str]) -> Sending:
        action = form.get("action", "")
        limited = self._note(action, form)
        fault = self._mischief.pick(action) or _GOOD
        if self.latency:
            self._listener.stopping.wait(self.latency)
        with self.world.lock:  # until it is recorded, so that the record has the order of generation
            if limited:
                reply, fault = self._api.refuse("Rate limit exceeded"), _GOOD
            elif not fault.acts:
                reply = Reply(200, None, [])
            elif method != "POST":
                reply = self._api.refuse("Incorrect request")
            else:
                reply = self._api.answer(form)
            if fault.bend:
                reply = fault.bend(reply)
            claims = [] if fault.ruins else self._record.claim(reply.told)
        return Sending(self._response(fault, reply), fault.send, tuple(claims))

    def _response(self, fault: Fault, reply: Reply) -> Response:
        if fault.page:
            return fault.page()
        body = self._dialect.preamble + fault.preamble + json.dumps(reply.value).encode()
        headers = {"Content-Type": "text/html" if fault.preamble else self._dialect.content_type}
        return Response(reply.code, body, headers | ({"Retry-After": "1"} if reply.code == 429 else {}))

    def _note(self, action: str, form: Mapping[str, str]) -> bool:
        """Remember a request; return whether it is one too many within a minute."""
        named = form.get("orders") or form.get("refills") or form.get("order") or form.get("refill") or ""
        now = time.monotonic()
        with self.world.lock:
            self.requests.append(Request(action, tuple(named.split(",")) if named else (), now))
            self.counts[action] += 1
            while self._let_in and now - self._let_in[0] >= 60.0:
                self._let_in.popleft()
            if self.requests_per_minute is not None and len(self._let_in) >= self.requests_per_minute:
                return True
            self._let_in.append(now)
            return False

    def _control(self, method: str, path: str, form: Mapping[str, str]) -> Response:
        value: object = None
        match method, path:
            case "GET", "/truth":
                order_id = form["order"]
                born, now = self.world.born(order_id), self.world.clock.now()
                value = {"order": order_id, "born": born, "now": now, "steps": self.world.truth(order_id)}
            case "GET", "/served":
                lines = [_json({key: self._record.served(key)}) for key in self._record.subjects()]
                return Response(200, b"".join(lines), {"Content-Type": "application/jsonl"})
            case "POST", "/spawn":
                oldest = float(form.get("oldest", 3 * DAY))
                value = [placed._asdict() for placed in self.world.spawn(int(form["count"]), oldest=oldest)]
            case "POST", "/misbehave":
                times = int(form["times"]) if "times" in form else None
                share = float(form.get("share", 1.0))
                self.misbehave(form["name"], times=times, share=share, action=form.get("action"))
            case "POST", "/behave":
                self.behave()
            case _:
                self._note(path, form)
                return Response(
                    404, b"<html><body><h1>404 Not Found</h1></body></html>", {"Content-Type": "text/html"}
                )
        return Response(200, _json(value), {"Content-Type": "application/json"})


def _json(value: object) -> bytes:
    """Return one line of JSON; amounts as text."""
    return json.dumps(value, default=_text).encode() + b"\n"


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"no JSON for {value!r}")

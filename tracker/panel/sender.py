"""One request to one panel, from its slot in the budget to its typed answer or its fault."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlencode

import httpx

from tracker.errors import ConfigurationFault, KeyRefused, PanelFault, RateLimited, Refused, Unreachable
from tracker.panel.backend import Dropped, NotSent, uptime
from tracker.panel.budget import Budget
from tracker.panel.faults import LONGEST_HINT, reply_value
from tracker.panel.redact import holds, redact, without
from tracker.panel.transport import MIB, Limits

READ: Final = Limits()
CATALOG: Final = Limits(seconds=90.0, wire=16 * MIB, decoded=32 * MIB)
"""8,000 services with descriptions are 4.5 MB, and were seen to take 45 s."""
CHANGE: Final = Limits(seconds=60.0, fresh=True)
"""For `add`, `refill` and `cancel`: one POST, never a second one. A late reply saves a person much work, so it is
waited for longer than that of a read."""

LIMITED_SECONDS: Final = 30.0
"""The pause after "too many requests" without a hint; doubled each time in a row."""
_FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_SENTENCE: Final = 500
"""Characters of an error's text: our sentence, and a snippet inside it."""

A = TypeVar("A")
Observer: TypeAlias = Callable[[str, str, float], None]
"""Called after each request with its action, `ok` or the fault's kind, and the seconds it took."""


@dataclass(frozen=True, slots=True)
class Account:
    """One configured panel."""

    name: str
    url: str
    key: str = field(repr=False)


class Sender:
    """Sends requests for one account, from any thread. `requests` counts all that were sent."""

    def __init__(
        self,
        account: Account,
        http: httpx.Client,
        budget: Budget,
        stop: threading.Event,
        observe: Observer | None = None,
    ) -> None:
        self.name = account.name
        self.requests = 0
        self._key = account.key
        self._url = _url(account)
        self._secrets = (account.key, self._url.password)
        self._http = http
        self._budget = budget
        self._stop = stop
        self._observe = observe
        self._lock = threading.Lock()
        self._limited = 0
        self._key_refused: KeyRefused | None = None
        """The last such fault."""

    def holds_key(self, text: str) -> bool:
        """Tell whether a text that we are given tells the key."""
        return holds(text, self._secrets)

    def turn(self, what: str, until: float | None = None) -> None:
        """Wait for a slot of the budget, not beyond `until`. Raises NotSent where none comes or we are stopped."""
        if not self._budget.acquire(self._stop, until):
            why = "stopped" if self._stop.is_set() else "too many requests, or a pause that the panel wants, stood"
            raise NotSent(f"{self.name}: {what}: {why} before it was sent")

    def send(
        self,
        action: str,
        fields: Mapping[str, str],
        what: str,
        read: Callable[[object], A],
        limits: Limits = READ,
        *,
        in_turn: bool = False,
    ) -> A:
        """Return what `read` makes of the reply; `what` names the asking in the text of a fault.

        `in_turn` says that `turn` was waited for already.
        A read is sent a second time after a dropped connection and after a failed connect, within the time of the
        first. Raises PanelFault; ConfigurationFault and UsageFault never come from here.
        """
        left = limits.seconds
        repeatable = not limits.fresh
        known = self._key_refused
        while True:
            if not in_turn:
                self.turn(what, limits.until)
            in_turn = False
            # What came while this one waited is its answer too: some panels ban a host after five such tries.
            if (fault := self._key_refused) is not None and fault is not known:
                raise KeyRefused(*fault.args)
            started = uptime()
            try:
                return self._once(action, fields, what, read, replace(limits, seconds=left))
            except (Dropped, Unreachable):
                left -= uptime() - started
                if not repeatable or left <= 0:
                    raise
                repeatable = False

    def _once(
        self,
        action: str,
        fields: Mapping[str, str],
        what: str,
        read: Callable[[object], A],
        limits: Limits,
    ) -> A:
        with self._lock:
            self.requests += 1
        started = time.monotonic()
        outcome = "ok"
        try:
            reply = self._http.post(
                self._url,
                content=_form({"key": self._key, "action": action, **fields}),
                headers=_FORM,
                extensions={"limits": limits},
            )
            body = without(reply.content, self._secrets)
            location = reply.extensions.get("location", "")
            answer = read(
                reply_value(reply.status_code, reply.headers, body, location=location, changing=limits.fresh)
            )
        except PanelFault as fault:
            outcome = fault.kind
            self._named(fault, what)
            if isinstance(fault, RateLimited):
                self._pause(fault)
            elif isinstance(fault, KeyRefused):
                self._key_refused = fault
            raise fault from None
        finally:
            if self._observe is not None:
                self._observe(action, outcome, time.monotonic() - started)
        self._limited = 0
        return answer

    def _pause(self, fault: RateLimited) -> None:
        with self._lock:
            own = min(LIMITED_SECONDS * 2 ** min(self._limited, 10), LONGEST_HINT)
            self._limited += 1
        self._budget.pause(own if fault.retry_after is None else fault.retry_after)

    def _named(self, fault: PanelFault, what: str) -> None:
        """Say in the fault's text which panel was asked for what, and take the key out of it."""
        sentence = str(fault)
        if isinstance(fault, Refused):
            fault.text = redact(fault.text, self._secrets)
            sentence = f'the panel refused: "{fault.text}"'
        fault.args = (redact(f"{self.name}: {what}: {sentence}", self._secrets, limit=_SENTENCE),)


def _form(fields: Mapping[str, str]) -> bytes:
    """Encode a form as httpx would; a list of ids without looking at each of its letters."""
    return urlencode(fields, safe=",").replace(",", "%2C").encode()


def _url(account: Account) -> httpx.URL:
    try:
        url = httpx.URL(account.url)
    except (httpx.InvalidURL, TypeError) as exc:
        raise ConfigurationFault(f"panel {account.name}: the url cannot be read: {exc}") from None
    if url.scheme not in {"http", "https"} or not url.host or (url.port or 0) > 65535:
        raise ConfigurationFault(f"panel {account.name}: the url must be like https://panel.example/api/v2")
    return url

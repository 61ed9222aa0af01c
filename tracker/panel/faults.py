"""Error texts and HTTP statuses as faults.

Panels word their errors as they like, so a text is matched loosely, the most consequential meaning first: a
refused key stops the panel, so "Incorrect request or API key" must not end as a form that is not understood.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from tracker.errors import (
    BadReply,
    KeyRefused,
    NotUnderstood,
    PanelFault,
    RateLimited,
    Refused,
    ServerFault,
    Unavailable,
)
from tracker.panel.decode import decode
from tracker.panel.redact import redact
from tracker.panel.words import fold

Meaning: TypeAlias = Literal["key", "rate", "unavailable", "not_found", "not_understood", "refused"]

LONGEST_HINT: Final = 3600.0
"""Seconds: a `Retry-After` of ten years must not stop us for ten years."""

_BAD: Final = r"invalid|incorrect|wrong|bad|unknown|missing|неверн\w*|некорректн\w*|недействительн\w*"
_KEY: Final = r"(?:api[\s-]?(?:key|token|ключ\w*)|ключ\w*(?:\s+api)?)"
# "Order not found for this API key" is about an order, so few words, and not that one, may stand between.
_GAP: Final = r"(?:(?!orders?\b|refills?\b)\w+\s+){0,2}"
_MEANINGS: Final[tuple[tuple[Meaning, re.Pattern[str]], ...]] = (
    ("rate", re.compile(r"rate.?limit|too many (?:requests|attempts)|request limit|слишком много запросов")),
    (
        "key",
        re.compile(
            rf"\b(?:{_BAD}|no)\s+{_GAP}{_KEY}"
            rf"|{_KEY}\s+{_GAP}(?:{_BAD}|not|inactive|disabled|expired|required|blocked)\b"
            r"|\b(?:invalid|incorrect|wrong) key\b|\bkey (?:is )?(?:invalid|incorrect|wrong)\b"
            r"|\baccount (?:is |has been |was )?(?:not active|inactive|suspended|disabled|banned|blocked|closed)"
            r"|api access (?:is )?(?:disabled|denied)|\bunauthori[sz]ed\b|\bunauthenticated\b"
            r"|аккаунт.*заблокирован"
        ),
    ),
    (
        "unavailable",
        re.compile(
            r"temporar(?:il)?y|maintenance|service unavailable|try again later|try later"
            r"|технические работы|временно"
        ),
    ),
    (
        "not_found",
        re.compile(
            r"\b(?:incorrect|invalid|wrong|bad|unknown) (?:order|refill)s?(?: ?id)?s?\W*$"
            r"|\b(?:order|refill|task|id)\b.*\b(?:not found|not exists?|does not exist|doesn'?t exist)"
            r"|\bno such (?:order|refill)|^not found\W*$"
            r"|\b(?:selected order|selected refill|(?:order|refill) id) is (?:invalid|incorrect|wrong)"
            r"|неверный (?:id|номер)|(?:заказ|рефилл?) не найден"
        ),
    ),
    (
        "not_understood",
        re.compile(
            r"\b(?:incorrect|invalid|bad|unknown|unsupported) (?:request|action|method|param\w*)"
            r"|\b(?:action|method)\b.*\b(?:not|unknown|unsupported)\b|not supported|\bmissing\b.*\bparam"
            r"|\bparam\w*\b.*\b(?:missing|required)\b"
            r"|\b(?:order|refill)s? (?:id )?(?:is |field is )?(?:missing|required)"
            r"|неверный запрос|некорректный запрос"
        ),
    ),
)


@lru_cache(maxsize=1024)
def _meaning(text: str) -> Meaning:
    folded = re.sub(r"[\s_]+", " ", text.lower())
    for meaning, pattern in _MEANINGS:
        if pattern.search(folded):
            return meaning
    return "refused"


def meaning(text: str) -> Meaning:
    """Return what an error text means; one that nobody listed refuses the request or the item."""
    return _meaning(text[:300])


def fault_of(text: str) -> PanelFault:
    """Return the fault that an error text means when it answers a whole request.

    A "no such order" is `Refused` here: whether one id or the request is meant is the reader's to know.
    """
    shown = redact(text)
    match meaning(text):
        case "key":
            return KeyRefused(f'the key is not accepted ("{shown}"): check the key, and the account at the panel')
        case "rate":
            return RateLimited(f'too many requests ("{shown}"): lower requests_per_minute')
        case "unavailable":
            return Unavailable(f'the panel says that it cannot answer now ("{shown}"): ask again later')
        case "not_understood":
            return NotUnderstood(shown)
        case _:
            return Refused(shown)


_FIGURES: Final = ("charge", "remains", "start_count", "orders", "runs", "posts", "quantity")


def has_figures(item: Mapping[str, object]) -> bool:
    """Tell whether an object carries anything that only an order has."""
    return any(item.get(name) is not None for name in _FIGURES)


def error_text(value: object) -> str | None:
    """Return the words of the error that `value` is, or None where it is none.

    Errors are `{"error": …}`, beside whatever else; `{"status": "error", "msg": …}` without figures (an order
    whose word is "Error" has some); `{"success": false, …}`; `{"status": {"error": …}}`; and a bare text.
    """
    if not isinstance(value, dict):
        return (value.strip() or None) if isinstance(value, str) else None
    for name in ("error", "errors"):
        if told := value.get(name):
            return _words(told, value)
    status = value.get("status")
    if isinstance(status, dict):
        return error_text(status)
    bad_status = status is False or (
        isinstance(status, str) and fold(status[:20]) in {"error", "fail", "failed", "false"}
    )
    if value.get("success") is False:
        return _message(value) or "success: false"
    return _message(value) if bad_status and not has_figures(value) else None


def _words(told: object, around: Mapping[str, object]) -> str:
    if isinstance(told, list):
        told = told[0]
    if isinstance(told, dict):
        return _message(told) or redact(repr(told)[:400])
    if isinstance(told, str):
        return told
    return _message(around) or f"error {redact(repr(told)[:100])}"


def _message(value: Mapping[str, object]) -> str | None:
    for name in ("msg", "message", "error", "text", "detail", "title"):
        told = value.get(name)
        if isinstance(told, str) and told.strip():
            return told
    return None


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` asks for (a number or an HTTP date), at most an hour.

    Garbage and the past are no hint: None. `now` is the moment to measure a date from, else the clock's.
    """
    if not header:
        return None
    header = header.strip()
    if re.fullmatch(r"[0-9]{1,30}(\.[0-9]{1,9})?", header, re.ASCII):
        return min(float(header), LONGEST_HINT)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    return min(seconds, LONGEST_HINT) if seconds > 0 else None


def reply_value(
    status: int, headers: Mapping[str, str], body: bytes, *, location: str = "", changing: bool = False
) -> object:
    """Return the JSON value of a reply of any HTTP status, for `wire` to read; or raise the fault that it is.

    An error that the panel told in JSON counts for more than the status, because many panels answer errors as 4xx.
    Beside a 5xx only words about the key, the rate, the form or an id are believed, and after a `changing` action
    none at all: the panel, or something before it, may have failed after the order was placed.
    `headers` are looked up by lower-case names; `location` is where a redirect would lead.
    """
    content_type = headers.get("content-type", "")
    if 200 <= status < 300:
        return _plain_value(body, content_type, changing=changing)
    if status < 400:
        raise ServerFault(
            f"HTTP {status} leads to {redact(location) or 'elsewhere'}: redirects are not "
            "followed, because the key would go along; set `url` to the final address"
        )
    if changing and status >= 500:
        raise ServerFault(_page(status, body))
    told = _told(body, content_type)
    sort = meaning(told) if told else None
    hint = retry_after(headers.get("retry-after"))
    if sort == "rate" or (status == 429 and sort != "key"):
        raise RateLimited(
            f"HTTP {status}, too many requests{f' ({redact(told)})' if told else ''}: lower requests_per_minute",
            hint,
        )
    if told is None:
        raise ServerFault(_page(status, body))
    if status >= 500:
        if sort not in {"key", "unavailable", "not_found", "not_understood"}:
            raise ServerFault(f"HTTP {status}: {redact(told)}")
    elif status == 401 and sort == "refused":
        raise KeyRefused(f'HTTP 401 ("{redact(told)}"): check the key, and the account at the panel')
    return {"error": told}


def _plain_value(body: bytes, content_type: str, *, changing: bool) -> object:
    """Decode a reply of HTTP 200, where a few panels tell their errors as plain text.

    After a `changing` action only what a panel says before it looks at an order is believed.
    """
    try:
        return decode(body, content_type)
    except BadReply:
        if len(body) < 300 and b"<" not in body and body[:1] not in {b"{", b"["}:
            words = body.decode(errors="replace")
            if meaning(words) in ({"key", "rate"} if changing else {"key", "rate", "unavailable"}):
                raise fault_of(words) from None
        raise


def _told(body: bytes, content_type: str) -> str | None:
    """Return the words of a JSON error page, `{"999": {"error": …}}` included."""
    try:
        value = decode(body, content_type)
    except BadReply:
        return None
    if isinstance(value, dict):
        only = next(iter(value.values())) if len(value) == 1 else None
        nested = error_text(only) if isinstance(only, dict) else None
        return error_text(value) or nested or _message(value)
    return error_text(value)


def _page(status: int, body: bytes) -> str:
    if status in {401, 403}:
        return f"HTTP {status} with a page instead of JSON: a firewall turns us away; ask the panel's support"
    if status in {404, 405, 410}:
        return f"HTTP {status} with a page instead of JSON: check `url`, it should end like /api/v2"
    start = redact(body[:400].decode(errors="replace"))
    return f"HTTP {status} from the panel or a gateway before it: {start or 'an empty page'}"

"""Durations, money, shares and moments as people read and type them: the one place that knows how."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from tracker.model import NO_CURRENCY

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_TYPED_UNITS: Final = {"w": 7 * 86400, **dict(_UNITS)}
_SPAN: Final = re.compile(r"(?:\d{1,6}[wdhms] ?)+")
_DASHED: Final = re.compile(r"\d{4}-\d{2}")
_CENTURY: Final = 36_525 * 86_400
"""Further back, the moments that databases know come to an end."""
_SPAN_REMEDY: Final = "write it like 45m, 6h, 3d, 1w or 1h30m"
_MOMENT_REMEDY: Final = (
    "write a time that is past (2h, 3d, 1w, 1h30m), a day (2026-11-23, today, yesterday), a month (2026-11) or "
    "a moment (2026-11-23T10:15, 2026-11-23T10:15:00+03:00); UTC where no offset is given"
)


def duration(seconds: float) -> str:
    """Return `seconds` in its two largest units: `3d 4h`, `2m 5s`, `45s`; tenths below ten seconds."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95 and round(seconds, 1) % 1:
        return f"{seconds:.1f}s"
    rest = round(seconds)
    for place, (letter, unit) in enumerate(_UNITS[:-1]):
        if rest >= unit:
            smaller, size = _UNITS[place + 1]
            count = rest % unit // size
            return f"{rest // unit}{letter}" + (f" {count}{smaller}" if count else "")
    return f"{rest}s"


def money(amount: Decimal, currency: str | None = None) -> str:
    """Return `amount` exactly, never with an exponent, and its currency where the panel told one."""
    text = format(amount, "f")
    return text if currency in {None, NO_CURRENCY} else f"{text} {currency}"


def share(part: float) -> str:
    """Return a part of 1 in per cent: `42%`; tenths where whole ones would say nothing (`0.4%`, `99.7%`)."""
    percent = part * 100
    near_an_end = 0 < abs(percent) < 1 or 99 < percent < 100
    return f"{percent:.1f}%" if near_an_end else f"{percent:.0f}%"


def change(part: float) -> str:
    """Return by how much something has grown, as a part of 1, in per cent with its sign: `+12%`."""
    return f"+{share(part)}" if part > 0 else share(part)


def iso(moment: datetime) -> str:
    """Return `moment` (aware) in UTC as ISO 8601 with a `Z`; raises ValueError where it is naive."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone cannot be shown in UTC")
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def when(moment: datetime, now: datetime, *, terminal: bool) -> str:
    """Return `moment` for a table: on a terminal local and short, with the year if it is another, else ISO UTC."""
    if not terminal:
        return iso(moment)
    local = moment.astimezone()
    return local.strftime("%m-%d %H:%M:%S" if local.year == now.astimezone().year else "%Y-%m-%d %H:%M")


def span_of(text: str) -> timedelta:
    """Return the time that a person means by `45m`, `3d`, `1w` or `1h30m`; raises ValueError with the remedy."""
    if _SPAN.fullmatch(text.strip()) is None:
        raise ValueError(f"{text!r} is no time span: {_SPAN_REMEDY}.")
    seconds = sum(int(count) * _TYPED_UNITS[unit] for count, unit in re.findall(r"(\d+)([wdhms])", text))
    if seconds > _CENTURY:
        raise ValueError(f"{text!r} is longer than a century: {_SPAN_REMEDY}.")
    return timedelta(seconds=seconds)


def moment_of(text: str, now: datetime) -> datetime:
    """Return the moment, in UTC, that a person means; raises ValueError with the remedy.

    A span (`3d`) is so long ago, a day or a month is its beginning. UTC where no offset is given, for the days of
    the history are those of UTC too.
    """
    try:
        return _moment_of(text.strip(), now)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no moment: {_MOMENT_REMEDY}.") from None


def _moment_of(text: str, now: datetime) -> datetime:
    if text in {"today", "yesterday"}:
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=text == "yesterday")
    if _SPAN.fullmatch(text):
        return now - span_of(text)
    if _DASHED.match(text) is None:  # 20261123 is ISO too, but could be meant as anything
        raise ValueError(text)
    moment = datetime.fromisoformat(f"{text}-01" if _DASHED.fullmatch(text) else text)
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment).astimezone(UTC)


def period(since: str | None, until: str | None) -> str:
    """Return the period that was typed as a sentence says it: ` in the last 3d`, ` from 2026-11 until today`."""
    if since is not None and until is None and _SPAN.fullmatch(since.strip()):
        return f" in the last {since.strip()}"
    start, end = (None if text is None else _ago(text.strip()) for text in (since, until))
    if start is not None and end is not None:
        return f" from {start} until {end}"
    return f" since {start}" if start is not None else f" before {end}" if end is not None else ""


def _ago(text: str) -> str:
    return f"{text} ago" if _SPAN.fullmatch(text) else text

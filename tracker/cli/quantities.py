"""Durations, money and moments as people read them: the one place that knows how."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from tracker.model import NO_CURRENCY

_UNITS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


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

"""What people and files give for an order, as values; what cannot be meant raises ValueError with the reason."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeVar

from tracker.errors import UsageFault

T = TypeVar("T")

LARGEST: Final = 2**63 - 1
"""Of the databases' whole numbers."""

LONGEST_ID: Final = 100
"""Characters of an id: as many as are believed in a panel's answer (`tracker.panel.fields`)."""

LONGEST_REFERENCE: Final = 200
"""Characters of a reference: as many as `tracker add` takes (`tracker.actions.forms`)."""

FIRST_SECOND: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND: Final = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp())
"""A plain number outside of these is no time in seconds: `20261123` is a day, `1795774500000` milliseconds."""


_SPREADSHEET: Final = re.compile(r"[0-9]+(?:\.[0-9]*(?:[eE][+-]?[0-9]+)?|[eE]\+[0-9]+)", re.ASCII)
"""How programs that took an id for a number write it: `23501.0`, `1.23457E+11`. The id itself may be lost."""

_FORMULA: Final = re.compile(r"[=@]|[+-][0-9]", re.ASCII)


def given(read: Callable[[str], T], text: str | None, option: str = "") -> T | None:
    """Read what was typed after an option, if it was. Raises `UsageFault`."""
    try:
        return None if text is None else read(text)
    except ValueError as error:
        raise UsageFault(f"{option}{error}.") from None


def id_of(text: str, of: str = "an order") -> str:
    """Return an id: those of orders travel in a list with commas, and one with a quote is from a broken line."""
    if len(text) > LONGEST_ID:
        raise ValueError(f"{shown(text)} cannot be the id of {of}: it has more than {LONGEST_ID} characters")
    if text.isalnum():
        return text
    if _SPREADSHEET.fullmatch(text):
        raise ValueError(f"{shown(text)} cannot be the id of {of}: a spreadsheet made a number of it")
    if _FORMULA.match(text):
        raise ValueError(f"{shown(text)} cannot be the id of {of}: it is a formula, or has a sign")
    if not text or "," in text or '"' in text or " " in text or not text.isprintable():
        raise ValueError(f"{shown(text)} cannot be the id of {of}: no comma, no space, no quote")
    return text


def text_of(text: str) -> str:
    """Return a text that both databases can keep."""
    if not text.isprintable():
        if "\0" in text:
            raise ValueError(f"{shown(text)} holds a NUL character")
        if not is_unicode(text):
            raise ValueError(f"{shown(text)} is no Unicode text: save the file as UTF-8")
    return text


def ref_of(text: str) -> str:
    """Return a reference, which has an index: Postgres takes no entry of several thousand bytes there."""
    if len(text) > LONGEST_REFERENCE:
        raise ValueError(f"{shown(text)} is longer than {LONGEST_REFERENCE} characters")
    return text_of(text)


def is_unicode(text: str) -> bool:
    """Whether `text` was all decoded: bytes that are no UTF-8 come as lone surrogates."""
    return not any("\ud800" <= one <= "\udfff" for one in text)


@lru_cache(maxsize=4096)
def whole_of(text: str, least: int = 1) -> int:
    """Return a whole number from `least` on."""
    if text.isascii() and text.isdecimal() and len(text) <= 19 and least <= (number := int(text)) <= LARGEST:
        return number
    raise ValueError(f"{shown(text)} is no whole number from {least} on")


def amount_of(text: str) -> int | None:
    """Return the runs of a drip-feed, or the minutes between them; shops say 0 where there is none."""
    return whole_of(text, 0) or None


@lru_cache(maxsize=4096)
def time_of(text: str) -> datetime:
    """Return the moment of an ISO 8601 text, in UTC where it tells no offset, or of unix seconds."""
    try:
        if text.isascii() and text.isdecimal():
            seconds = int(text[:20])
            if FIRST_SECOND <= seconds < LAST_SECOND:
                return datetime.fromtimestamp(seconds, UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            if FIRST_SECOND <= moment.timestamp() < LAST_SECOND:
                return moment
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{shown(text)} is no time like 2026-11-23T10:15:00Z, and no unix seconds")


def past(text: str) -> datetime:
    """Return the moment of a text as `time_of` reads it, of something that has happened: not after tomorrow."""
    moment = time_of(text)
    if moment > datetime.now(UTC) + timedelta(days=1):  # a clock, or an offset that was left out, may be wrong
        raise ValueError(f"{shown(text)} is in the future")
    return moment


def shown(text: str) -> str:
    """Return a text as part of a sentence: quoted, on one line, not too long, bytes that are no text as such."""
    quoted = repr(text[:60]).replace("\\udc", "\\x")
    return f"{quoted}…" if len(text) > 60 else quoted

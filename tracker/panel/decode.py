"""From the bytes of a reply to a JSON value, whatever stands around it.

A number that Python cannot hold (5,000 digits, `1e400`, `NaN`) becomes a `Decimal` that no field accepts, so that
it spoils its own item only. What nobody can read, or what contradicts itself, is a `BadReply`.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Final

from tracker.errors import BadReply
from tracker.panel.redact import redact

NOISE: Final = 64 * 1024
"""PHP notices before the JSON are looked through this far; more is a page, not a notice."""

_NAN: Final = Decimal("NaN")
# A value inside another one follows a colon, a comma or a bracket, so it is no candidate.
_STARTS: Final = re.compile(r"[^\s:,\[{]\s*([{\[])")
# Only tables of single bytes: Python knows "charsets" that are slow or do something else altogether.
_CHARSET: Final = re.compile(r"charset=[\"']?((?:windows|cp|iso-8859|koi8)[\w-]*)", re.IGNORECASE)


class _Contradiction(Exception):
    """One object gives two values for the same key."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        for key, value in pairs:
            if made[key] != value:
                raise _Contradiction(key)
    return made


def _float(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what decimal holds
        return _NAN


def _int(text: str) -> object:
    return int(text) if len(text) < 100 else _NAN


def _constant(_: str) -> Decimal:
    return _NAN


_QUICK: Final = json.JSONDecoder(parse_float=_float, parse_constant=_constant)
"""Takes half the time, but does not notice a contradiction."""
_PLAIN: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_CAREFUL: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_constant=_constant, parse_int=_int
)
"""Slower, because it calls Python for each integer: only for a reply with one that `int` refuses."""


def decode(body: bytes, content_type: str = "") -> object:
    """Return the JSON value in `body`: plain Python, with `Decimal` for every number that has a fraction.

    A byte order mark, another charset than UTF-8, and notices before the value are passed over.
    Raises BadReply, with a snippet, where there is no such value or where an object contradicts itself.
    """
    text = _text(body, content_type)
    try:
        try:
            return _value(text)
        except json.JSONDecodeError:
            return _after_noise(text)
    except _Contradiction as exc:
        raise BadReply(f"the reply gives two values for {redact(repr(exc.args[0]))} in one object") from None
    except RecursionError:
        raise BadReply("the reply is nested too deeply to be an answer") from None


def _value(text: str) -> object:
    try:
        if text.startswith("{"):
            value = _QUICK.decode(text)
            # No key can have been overwritten where as many pairs are left as there are colons, for each has one.
            if _pairs(value) == text.count(":"):
                return value
        return _PLAIN.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _CAREFUL.decode(text)


def _pairs(value: object) -> int | None:
    """Return the pairs of an object of flat objects, as a reply about many orders is; None for any other value."""
    if isinstance(value, dict) and set(map(type, value.values())) == {dict}:
        return len(value) + sum(map(len, value.values()))
    return None


def _text(body: bytes, content_type: str) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        named = _CHARSET.search(content_type)
        try:
            return body.decode(named[1] if named else "latin-1")
        except (LookupError, UnicodeError):
            return body.decode("latin-1")


def _after_noise(text: str) -> object:
    """Return the JSON value that ends the text, behind notices.

    It must not be a part of another value, or a reply that was cut off could be read as the answer to another
    question.
    """
    stripped = text.strip()
    if not stripped:
        raise BadReply("the reply is empty")
    if stripped[0] in "{[":
        raise _unreadable(stripped)
    tried = 0
    for start in _STARTS.finditer(stripped, 0, NOISE):
        try:
            return _value(stripped[start.start(1) :])
        except json.JSONDecodeError:
            tried += 1
            if tried == 8:  # notices hold a bracket or two; trying each of thousands would be quadratic
                break
    raise _unreadable(stripped)


def _unreadable(text: str) -> BadReply:
    page = "an HTML page" if text[:200].lower().startswith(("<!doctype", "<html")) else "no JSON"
    return BadReply(f"the reply is {page}: {redact(text)}")

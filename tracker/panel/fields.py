"""One value of a reply, cleaned: text, id, count, money, flag, currency.

Each function returns None where the panel told nothing (absent, null, an empty text) and raises `OddValue` where
it told something that cannot be meant. Money never passes through a float and is rounded here, before anything is
compared: a product such as 0.30000000000000004 would look like progress at every poll.
"""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from tracker.panel.redact import redact

ID_LIMIT: Final = 100
"""Characters of an id; the longest seen are 26."""
_LONGEST_ID: Final = 10 ** (ID_LIMIT - 1)
WORD_LIMIT: Final = 100
"""Characters of a status word; a longer one is a page, and is cut."""
_FIGURE_LIMIT: Final = 60
_LARGEST: Final = 2**63

# NUL and lone surrogates are valid JSON, but one of them fails a whole batch of rows on PostgreSQL.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_INTEGRAL: Final = re.compile(r"([+-]?[0-9]{1,19})(?:\.0*)?", re.ASCII)
_AMOUNT: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
# At most 15 digits and 8 decimals, so nothing to round.
_USUAL: Final = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,8})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3,8}", re.ASCII)

_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_PLACES: Final = Decimal("1e-8")
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN)
_STORED: Final = Context(prec=15, rounding=ROUND_HALF_EVEN)
"""15 significant digits: what a NUMERIC column of SQLite gives back exactly."""


class OddValue(ValueError):
    """A value that cannot be meant; the text says which, redacted and capped."""


def text(value: object, limit: int = 2000) -> str | None:
    """Return a text without NUL and lone surrogates, stripped and capped; None for any other type."""
    if not isinstance(value, str):
        return None
    return _UNSTORABLE.sub("", value).strip()[:limit]


def ident(value: object) -> str | None:
    """Return an id as text; None for what cannot be one (a flag, an empty text, one with a comma or a space)."""
    if type(value) is int:
        return str(value) if -_LONGEST_ID < value < _LONGEST_ID else None
    if isinstance(value, str) and 0 < len(value) <= ID_LIMIT:
        if value.isascii() and value.isalnum():
            return value
        if not re.search(r"[,\s]", value) and value.isprintable():
            return value
    return None


def count(value: object) -> int | None:
    """Return a whole number, negative ones included, below 2**63 (what a column holds)."""
    if value is None:
        return None
    if type(value) is str:
        if len(value) < 19 and value.isdecimal() and value.isascii():
            return int(value)
        stripped = value.strip()
        if not stripped:
            return None
        found = _INTEGRAL.fullmatch(stripped)
        if found is None:
            raise OddValue(f"{redact(repr(value))} is no whole number")
        number = int(found[1])
    elif type(value) is int:
        number = value
    elif isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 19 and value == int(value):
        number = int(value)
    else:
        raise OddValue(f"{_shown(value)} is no whole number")
    if -_LARGEST < number < _LARGEST:
        return number
    raise OddValue(f"{_shown(value)} is too large a number")


def money(value: object) -> Decimal | None:
    """Return an amount, half even to 8 decimals and 15 significant digits, without trailing zeros.

    Formatted with `f` it is never in exponent form. "1,234.50" is odd: nobody can say which mark is the point.
    """
    if value is None:
        return None
    if type(value) is str:
        if len(value) > _FIGURE_LIMIT:
            raise OddValue(f"{redact(repr(value))} is no amount")
        return _money_of_text(value)
    if type(value) is int:
        if -_LARGEST < value < _LARGEST:
            return _stored(Decimal(value))
    elif isinstance(value, Decimal):
        return _stored(value)
    raise OddValue(f"{_shown(value)} is no amount")


# Most orders did not move since the last poll, and prices are few: a hit costs a tenth of the work.
@lru_cache(maxsize=32768)
def _money_of_text(value: str) -> Decimal | None:
    if _USUAL.fullmatch(value):
        return Decimal(value.rstrip("0") if "." in value else value) or _ZERO
    stripped = value.strip()
    if not stripped:
        return None
    if _AMOUNT.fullmatch(stripped) is None:
        raise OddValue(f"{redact(repr(value))} is no amount")
    return _stored(Decimal(stripped))


def _stored(amount: Decimal) -> Decimal:
    if not amount:
        if amount.is_finite():
            return _ZERO
    elif amount.is_finite() and amount.adjusted() < 15:
        try:
            if amount.adjusted() < -9:
                return _ZERO
            if amount.as_tuple().exponent < -8:  # type: ignore[operator]  # finite: the exponent is a number
                amount = amount.quantize(_PLACES, context=_EXACT)
            amount = amount.normalize(_STORED)
            return amount if amount.as_tuple().exponent <= 0 else amount.quantize(_ONE, context=_EXACT)  # type: ignore[operator]
        except InvalidOperation:  # more digits than even `_EXACT` holds
            pass
    raise OddValue(f"{_shown(amount)} is no amount")


_FLAGS: Final[dict[object, bool]] = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


def flag(value: object) -> bool | None:
    """Return a yes or no, in any of its spellings (`bool("0")` would be True)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        folded = value.strip().lower()
        if not folded:
            return None
        if folded in _FLAGS:
            return _FLAGS[folded]
    raise OddValue(f"{_shown(value)} is neither yes nor no")


@lru_cache(maxsize=256)
def _currency_of_text(value: str) -> str | None:
    code = value.strip().upper()
    if not code:
        return None
    if _CURRENCY.fullmatch(code) is None:
        raise OddValue(f"{redact(repr(value))} is no currency")
    return code


def currency(value: object) -> str | None:
    """Return a currency's code, 3 to 8 letters in upper case."""
    if value is None:
        return None
    if type(value) is str and len(value) <= _FIGURE_LIMIT:
        return _currency_of_text(value)
    raise OddValue(f"{_shown(value)} is no currency")


def _shown(value: object) -> str:
    """Return a value for a sentence; never its whole text, which may be megabytes long."""
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return redact(repr(value)[:100])

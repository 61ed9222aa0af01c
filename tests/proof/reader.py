"""Another reader of replies: the standard library's JSON and the documented rules, in as few words as possible.

Made for good replies of which a bit is wrong; what those cannot hold (errors, lists, numbers) it does not know.
What our own reader makes of the same bytes must be the same.
"""

import json
import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

STATES: Final = {
    "pending": "pending",
    "inprogress": "in_progress",
    "processing": "processing",
    "partial": "partial",
    "completed": "completed",
}


class Reading(NamedTuple):
    """What is said about an order; a figure that is not told is None."""

    state: str
    panel_status: str
    charge: Decimal | None
    currency: str | None
    start_count: int | None
    remains: int | None


class _Unbelievable(ValueError):
    """What cannot be meant."""


def read(body: bytes, ids: Collection[str]) -> dict[str, Reading] | None:
    """Return what a reply says of each of `ids`; one of which nothing can be believed is left out.

    None where the reply as a whole cannot be: no JSON, two things at once, half of it about others.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    try:
        told = json.loads(text, object_pairs_hook=_once)
    except ValueError:
        return None
    foreign = sum(one not in ids for one in told)
    if foreign and foreign * 2 >= len(told):
        return None
    found = {}
    for one in told.keys() & set(ids):
        try:
            found[one] = _reading(tuple(told[one].items()))
        except _Unbelievable:
            continue
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs) and any(made[key] != value for key, value in pairs):
        raise _Unbelievable
    return made


@lru_cache(maxsize=256)  # nearly all items are those of the reply before
def _reading(pairs: tuple[tuple[str, str], ...]) -> Reading:
    item = dict(pairs)
    word = item.get("status", "").strip()
    if not word:
        raise _Unbelievable
    charge = _matching(item, "charge", r"[+-]?(\d+\.?\d*|\.\d+)")
    currency = _matching(item, "currency", "[A-Za-z]{3,8}")
    return Reading(
        STATES.get(re.sub(r"[\s_-]", "", word.lower()), "unknown"),
        word,
        None if charge is None else round(Decimal(charge), 8),
        None if currency is None else currency.upper(),
        _whole(item, "start_count"),
        _whole(item, "remains"),
    )


def _whole(item: Mapping[str, str], name: str) -> int | None:
    told = _matching(item, name, r"[+-]?\d+(\.0*)?")
    return None if told is None else int(told.partition(".")[0])


def _matching(item: Mapping[str, str], name: str, pattern: str) -> str | None:
    told = item.get(name, "").strip()
    if told and not re.fullmatch(pattern, told, re.ASCII):
        raise _Unbelievable
    return told or None

"""Intents as people read them: in `tracker intents`, in `tracker show`, and as a note below lists of orders."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tracker.cli.columns import Column
from tracker.cli.quantities import duration, money
from tracker.model import NO_CURRENCY, Intent

if TYPE_CHECKING:
    from tracker.store.database import Database

INTENTS: Final = (
    Column("sent_at", "sent", rank=2),
    Column("uuid", "intent"),
    Column("panel", rank=3),
    Column("action"),
    Column("state", state=True),
    Column("order_id", "order"),
    Column("refill_id", "refill", rank=8),
    Column("service_id", "service", rank=4),
    Column("ref", rank=5),
    Column("price", right=True, rank=6),
    Column("currency", rank=7),
    Column("link", rank=10),
    Column("note", fold=True, rank=9, made=True),
    *(Column(name, more=True) for name in ("quantity", "payload", "balance_before", "balance_after")),
    *(Column(name, more=True) for name in ("deadline_at", "finished_at", "error", "resolution")),
    Column("asked", more=True, made=True),
)
"""An intent as a row; tables show the beginning of its uuid."""

SHORT: Final = 8
"""Characters of an intent's uuid that people see; any unambiguous beginning names it."""

_ENDED_EARLY: Final = frozenset({"canceled", "refunded", "partial", "failed", "expired"})
"""States in which a panel gives money back, so that a charge below the price is no surprise."""


def short(uuid: str) -> str:
    """Return the beginning of a uuid that people type."""
    return uuid[:SHORT]


def in_words(intent: Intent) -> str:
    """Return what was wanted: `add of service 412 for https://…`, `refill of order acme/23501`."""
    if intent.action != "add":
        return f"{intent.action} of order {intent.panel}/{intent.order_id}"
    target = f" for {intent.link}" if intent.link else ""
    return f"add of service {intent.service_id} at {intent.panel}{target}"


def intent_row(intent: Intent) -> dict[str, object]:
    """Return an intent as a row: every column of the journal, `asked` in words, and a `note`: what came of it."""
    return {**intent._asdict(), "asked": in_words(intent), "note": intent.resolution or intent.error}


def unknown_note(database: "Database") -> str | None:
    """Return a sentence about intents whose outcome is unknown, None where there are none."""
    count = database.intents.unfinished().unknown
    if not count:
        return None
    are = "intent has" if count == 1 else "intents have"
    return f"{count} {are} an unknown outcome, which may have cost money: `tracker intents --state unknown`"


def told_of(intents: Sequence[Intent], order: Mapping[str, Any], now: datetime) -> list[tuple[str, str]]:
    """Return what was asked for one order through tracker, and what came of it, as (label, value), oldest first.

    `order` is its row in `orders`; texts of panels in it are not made safe for a terminal yet.
    """
    told: list[tuple[str, str]] = []
    for intent in intents:
        ago = f"{duration((now - intent.sent_at).total_seconds())} ago"
        if intent.action == "add":
            told.append(("bought", f"{ago} by intent {short(intent.uuid)}{_person(intent)}"))
            told += [("price", price) for price in _price(intent, order)]
        else:
            told.append((f"{intent.action} asked", f"{ago}; {_came(intent, order)}"))
    return told


def _person(intent: Intent) -> str:
    return f", {intent.resolution}" if intent.state == "resolved" and intent.resolution else ""


def _came(intent: Intent, order: Mapping[str, Any]) -> str:
    """Return what came of a refill or a cancel."""
    match intent.state:
        case "confirmed":
            return _said_yes(intent, order)
        case "rejected":
            return f"the panel refused: {intent.error}"
        case "unsent":
            return "it never reached the panel"
        case "resolved":
            return intent.resolution or "resolved by a person"
        case "sending":
            return "on its way, or lost: not known yet"
        case _:
            return f"the outcome is unknown: `tracker resolve {short(intent.uuid)}`"


def _said_yes(intent: Intent, order: Mapping[str, Any]) -> str:
    if intent.action == "refill":
        return f"the panel took it as refill {intent.refill_id}"
    state = order["state"]
    if state in {"canceled", "refunded", "partial"} and order["state_at"] >= intent.sent_at:
        return f"the panel said yes, and the order is {state}"
    if order["settled_at"] is not None:
        return f"the panel said yes, yet the order is {state}"
    return "the panel said yes, not canceled yet"


def _price(intent: Intent, order: Mapping[str, Any]) -> list[str]:
    """Return the catalog's price beside what the panel charged; nothing where the price could not be told."""
    if intent.price is None:
        return []
    expected = f"{money(intent.price, intent.currency)} by the catalog"
    charge, currency = order["charge"], order["currency"]
    if not charge and order["settled_at"] is None:
        return [f"{expected}; not charged yet"]
    if charge is None:  # of a drip-feed, for one
        return [f"{expected}; the panel told no charge"]
    charged = f"{expected}; charged {money(charge, currency)}"
    if len({currency, intent.currency} - {None, NO_CURRENCY}) > 1:
        return [charged]  # two currencies cannot be compared
    return [charged + _difference(intent.price, charge, order["state"])]


def _difference(price: Decimal, charge: Decimal, state: str) -> str:
    """Say how far the charge is from the price; panels round what they charge to two decimals or more."""
    places = max(2, -int(charge.as_tuple().exponent))
    if round(price, places) == charge:
        return ""
    less = charge < price
    if less and state in _ENDED_EARLY:
        return f", for it is {state}"
    return f", {money(abs(charge - price))} {'less' if less else 'more'}"

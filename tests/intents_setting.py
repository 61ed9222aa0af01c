"""What the tests of the journal share: wishes, an answer, and intents in any state."""

from decimal import Decimal

from tracker.model import Outcome, Wish
from tracker.store.database import Database

LINK = "https://example.com/ü"
ADD = Wish(
    "acme",
    "add",
    {"service": "17", "link": LINK, "quantity": "1000", "runs": "3", "interval": "60"},
    service_id="17",
    link=LINK,
    quantity=1000,
    price=Decimal("0.90"),
    currency="USD",
    balance_before=Decimal("100.84292"),
)
REFILL = Wish("acme", "refill", {"order": "23501"}, order_id="23501")
CANCEL = Wish("acme", "cancel", {"order": "23501"}, order_id="23501")
PLACED = Outcome("confirmed", order_id="23501")
LONG_AGO = -3600.0
"""Seconds that a request may take, so that its deadline was an hour ago."""


def begin(
    database: Database,
    wish: Wish = ADD,
    outcome: Outcome | None = None,
    seconds: float = 30,
    *,
    despite_unknown: bool = False,
) -> str:
    """Put a wish into the journal, with what became of it if that is given; return its uuid."""
    uuid = database.intents.begin(wish, seconds=seconds, despite_unknown=despite_unknown)
    if outcome is not None:
        database.intents.finish(uuid, outcome)
    return uuid


def state(database: Database, uuid: str) -> str:
    return database.intents.find(uuid).state

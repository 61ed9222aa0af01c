"""The simulator's catalog: about 60 services that drift as virtual time goes by, and what `add` needs of each.

Pure functions of virtual time. Prices rise, services go for some hours a day and return, new ones appear.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tracker.errors import Refused
from tracker.model import Service
from tracker.simulator.lifecycle import DAY, HOUR, QUANTUM

CATEGORIES: Final = ("Followers", "Likes", "Views", "Comments", "Shares", "Traffic")
NETWORKS: Final = ("Instagram", "Telegram", "YouTube", "TikTok", "VK", "X")

TYPES: Final = (
    *("Default",) * 11,
    "Package",
    "Custom Comments",
    "Mentions Hashtag",
    "Poll",
    "Comment Replies",
    "Invites from Groups",
    "SEO",
    "Web Traffic",
    "Subscriptions",
)
"""One service of each type in twenty, the others Default."""

NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "Mentions Hashtag": ("hashtag",),
    "Poll": ("answer_number",),
    "Invites from Groups": ("groups",),
    "SEO": ("keywords",),
    "Web Traffic": ("country",),
    "Custom Comments": ("comments",),
    "Comment Replies": ("username", "comments"),
    "Subscriptions": ("username", "min", "max", "posts"),
}
"""Fields that `add` needs beside `link` and `quantity`, by type, as API v2 asks for them."""

BY_LINES: Final = frozenset({"Custom Comments", "Comment Replies"})
"""Types whose quantity is the number of their comments."""

MOST_CHILDREN: Final = 50
"""Runs of a drip-feed or posts of a subscription: bounds what one request can make."""

NEWCOMERS: Final = 6
"""Services that appear later, one every five virtual hours."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A service and its drift."""

    service: Service
    appears_at: float = 0.0
    rises_every: float | None = None
    """Virtual seconds between two rises of its price by 4 %."""
    away_from: float | None = None
    """Second of the virtual day from which it is gone for four hours."""

    def at(self, now: float) -> Service | None:
        """Return the service as listed at `now`, None while it is not."""
        if now < self.appears_at:
            return None
        if self.away_from is not None and self.away_from <= now % DAY < self.away_from + 4 * HOUR:
            return None
        if self.rises_every is None or self.service.rate is None:
            return self.service
        rises = min(int(max(now, 0.0) // self.rises_every), 50)
        rate = self.service.rate * Decimal("1.04") ** rises
        return self.service._replace(rate=rate.quantize(Decimal("0.0001")))


def assortment(rng: random.Random, size: int) -> dict[str, Listing]:
    """Return `size` listings by service id, and a few more that appear later."""
    listings = [_listing(rng, number) for number in range(1, size + NEWCOMERS + 1)]
    return {listing.service.service_id: listing for listing in (*listings[:size], *_later(listings[size:]))}


def _later(listings: list[Listing]) -> list[Listing]:
    return [
        Listing(listing.service, appears_at=(5 * number + 1) * HOUR) for number, listing in enumerate(listings)
    ]


def _listing(rng: random.Random, number: int) -> Listing:
    kind = TYPES[number % len(TYPES)]
    category = CATEGORIES[number % len(CATEGORIES)]
    network = NETWORKS[number * 7 // 3 % len(NETWORKS)]
    lowest = 1 if kind == "Package" else rng.choice((10, 20, 50, 100))
    service = Service(
        service_id=str(number),
        name=f"{network} {category} {number}" + (" | Package" if kind == "Package" else ""),
        type=kind,
        category=f"{network} {category}",
        rate=Decimal(str(round(rng.lognormvariate(0, 1.2) + 0.01, 2))),
        min=lowest,
        max=1 if kind == "Package" else lowest * rng.choice((100, 500, 1000)),
        refill=rng.random() < 0.6,
        cancel=rng.random() < 0.5,
    )
    return Listing(
        service,
        rises_every=rng.uniform(4, 24) * HOUR if number % 4 == 1 else None,
        away_from=rng.uniform(1, 19) * HOUR if number % 15 == 2 else None,
    )


def cost(service: Service, quantity: int) -> Decimal:
    """Return the price of `quantity` pieces: `rate` is for 1000, for a package for the whole."""
    rate = service.rate or Decimal(0)
    return (rate if service.type == "Package" else rate * quantity / 1000).quantize(QUANTUM)


def most(service: Service, quantity: int, fields: Mapping[str, str]) -> Decimal:
    """Return the most that an order can cost, its children included; `fields` as accepted by `wanted`."""
    if service.type == "Subscriptions":
        return cost(service, max(int(fields["min"]), int(fields["max"]))) * int(fields["posts"])
    return cost(service, quantity) * (drip(fields)[0] or 1)


def drip(fields: Mapping[str, str]) -> tuple[int, int]:
    """Return (runs, minutes between them), (0, 0) for an order that is delivered at once; raises `Refused`."""
    if not fields.get("runs"):
        return 0, 0
    runs = whole(fields["runs"], "runs")
    interval = whole(fields.get("interval") or "0", "interval")
    if not 1 <= runs <= MOST_CHILDREN:
        raise Refused("neworder.error.runs")
    return runs, interval


def wanted(service: Service, link: str, quantity: str, fields: Mapping[str, str]) -> int:
    """Return how many pieces an `add` asks for; 0 for a subscription, whose posts come later.

    Raises `Refused` with the panel's words for a missing field or a quantity outside of min and max.
    """
    if service.type != "Subscriptions" and not link:
        raise Refused("neworder.error.link")
    for name in NEEDED.get(service.type or "", ()):
        if not fields.get(name):
            raise Refused(f"neworder.error.{name}")
    if service.type == "Package":
        return 1
    if service.type == "Subscriptions":
        for name in ("min", "max"):
            _within(service, whole(fields[name], name))
        if not 1 <= whole(fields["posts"], "posts") <= MOST_CHILDREN:
            raise Refused("neworder.error.posts")
        return 0
    if service.type in BY_LINES:
        pieces = len([line for line in fields["comments"].splitlines() if line.strip()])
        # Comments are few: the minimum of the catalog is for pieces that cost nothing to write.
        return _within(service._replace(min=1), pieces)
    return _within(service, whole(quantity, "quantity"))


def whole(text: str, name: str) -> int:
    """Return the number (1 to 10 digits) that a form field says; raises `Refused` where it says none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise Refused(f"neworder.error.{name}")
    return int(text)


def _within(service: Service, quantity: int) -> int:
    if quantity < (service.min or 1):
        raise Refused("neworder.error.min_quantity")
    if service.max is not None and quantity > service.max:
        raise Refused("neworder.error.max_quantity")
    return quantity

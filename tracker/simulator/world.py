"""The account behind the simulated panel: catalog, orders, refills and balance, all as of a virtual now.

Nothing here knows of HTTP or of dialects. Refusals are `tracker.errors.Refused` with the panel's own words.
"""

import hashlib
import random
import threading
from collections.abc import Mapping
from decimal import Decimal
from math import inf
from typing import Final

from tracker.errors import Refused
from tracker.model import Service
from tracker.simulator import catalog, lifecycle
from tracker.simulator.books import TOP_UP, Ledger, Look, Order, Placed, RefillRequest
from tracker.simulator.clock import Clock
from tracker.simulator.lifecycle import DAY, HOUR, RUNNING, Life, Step

FIRST_ORDER: Final = 23501


class World:
    """One account. Every method is safe to call from any thread; hold `lock` to keep several calls together."""

    def __init__(self, clock: Clock, *, seed: int = 0, services: int = 60, opaque_ids: bool = False) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.currency = "USD"
        self._rng = random.Random(seed)  # noqa: S311 - a believable world, not a secret
        self._seed = seed
        self._opaque_ids = opaque_ids
        self._listings = catalog.assortment(self._rng, services)
        self._orders: dict[str, Order] = {}
        self._refills: dict[str, RefillRequest] = {}
        self._ledger = Ledger()

    # What a client asks

    def services(self) -> list[Service]:
        """Return the catalog as of now."""
        now = self.clock.now()
        listed = (listing.at(now) for listing in self._listings.values())
        return [service for service in listed if service is not None]

    def balance(self) -> Decimal:
        """Return what the account holds now."""
        with self.lock:
            self._ledger.settle(self.clock.now())
            return self._ledger.balance

    def place(
        self, service_id: str, link: str = "", quantity: int | str = "", fields: Mapping[str, str] | None = None
    ) -> str:
        """Place an order now and return its id. `fields` are the other form fields of `add`, `runs` among them.

        Raises `Refused` as the panel would: unknown service, bad fields, not enough funds.
        """
        fields = fields or {}
        with self.lock:
            now = self.clock.now()
            listing = self._listings.get(service_id)
            service = listing.at(now) if listing else None
            if service is None:
                raise Refused("error.incorrect_service_id")
            pieces = catalog.wanted(service, link, str(quantity), fields)
            self._ledger.settle(now)
            if catalog.most(service, pieces, fields) > self._ledger.balance:
                self._ledger.ask_owner(now)
                raise Refused("neworder.error.not_enough_funds")
            return self._take(service, link, pieces, fields, now).order_id

    def look(self, order_id: str) -> Look | None:
        """Return an order as of now; None for an id that the panel does not know (yet)."""
        order = self._orders.get(order_id)
        now = self.clock.now()
        if order is None or order.born > now:
            return None
        children = tuple(child for child in order.children if self._orders[child].born <= now)
        return Look(order, lifecycle.step_at(order.life, now - order.born), children)

    def refill(self, order_id: str) -> str:
        """Ask for a refill now and return its id; raises `Refused` as the panel would."""
        with self.lock:
            order, step = self._known(order_id)
            if order.refill_id and self.refill_word(order.refill_id) in RUNNING:
                raise Refused("There is already an open request for this order.")
            refillable = self._listings[order.service_id].service.refill
            if not refillable or step.status != "Completed" or step.charge is None:
                raise Refused("This order can not be refilled.")
            now = self.clock.now()
            life, order.life = lifecycle.refill(self._rng, order.life, now - order.born, order.quantity)
            order.refill_id = str(len(self._refills) + 1)
            self._refills[order.refill_id] = RefillRequest(order_id, now, life)
            return order.refill_id

    def refill_word(self, refill_id: str) -> str | None:
        """Return the status of a refill as of now; None for an id that the panel does not know."""
        refill = self._refills.get(refill_id)
        if refill is None:
            return None
        return lifecycle.word_at(refill.life, self.clock.now() - refill.born)

    def cancel(self, order_id: str) -> None:
        """Ask for an order to be canceled, which happens up to an hour later, if it has not ended by then.

        Raises `Refused` as the panel would.
        """
        with self.lock:
            order, step = self._known(order_id)
            if order.cancel_asked:
                raise Refused("Cancel already requested")
            if step.status not in RUNNING or not self._listings[order.service_id].service.cancel:
                raise Refused("Order cannot be cancelled")
            order.cancel_asked = True
            now = self.clock.now()
            at = now + self._rng.uniform(60, HOUR)
            for each in (order, *(self._orders[child] for child in order.children)):
                if each.born > at:
                    each.born = inf
                else:
                    each.life = lifecycle.canceled(each.life, at - each.born, each.quantity)
                self._ledger.expect(each, at)

    # What only the owner of the simulator asks

    def spawn(self, count: int, *, oldest: float = 3 * DAY) -> list[Placed]:
        """Place `count` orders as a client would have within the last `oldest` virtual seconds.

        More of them lately; the owner tops up whenever the balance would not pay for the next.
        """
        with self.lock:
            now = self.clock.now()
            simple = [service for service in self.services() if service.type not in catalog.NEEDED]
            subscriptions = [service for service in self.services() if service.type == "Subscriptions"]
            return [self._spawn_one(simple, subscriptions, now, oldest) for _ in range(count)]

    def truth(self, order_id: str) -> Life:
        """Return the whole life of an order, its future included; raises KeyError for an id nobody placed."""
        return self._orders[order_id].life

    def born(self, order_id: str) -> float:
        """Return the virtual moment at which an order was placed; raises KeyError for an id nobody placed."""
        return self._orders[order_id].born

    def refill_of(self, order_id: str) -> str | None:
        """Return the id of the newest refill of an order, None without one."""
        order = self._orders.get(order_id)
        return order.refill_id if order else None

    def order_ids(self) -> list[str]:
        """Return the ids of all orders that exist by now, children included."""
        with self.lock:
            now = self.clock.now()
            return [order.order_id for order in self._orders.values() if order.born <= now]

    # Inside

    def _known(self, order_id: str) -> tuple[Order, Step]:
        look = self.look(order_id)
        if look is None:
            raise Refused("Incorrect order ID")
        return look.order, look.step

    def _spawn_one(self, simple: list[Service], subscriptions: list[Service], now: float, oldest: float) -> Placed:
        rng = self._rng
        age = oldest * rng.random() ** 3
        name = f"{rng.getrandbits(40):010x}"
        fields: dict[str, str] = {}
        if subscriptions and rng.random() < 0.01:
            service = rng.choice(subscriptions)
            low = service.min or 1
            fields = {"username": name, "min": str(low), "max": str(low * 2), "posts": str(rng.randint(2, 8))}
            link, pieces = "", 0
        else:
            service = rng.choice(simple)
            link = f"https://example.com/p/{name}"
            pieces = (service.min or 1) * rng.choice((1, 1, 2, 5, 10)) if service.type == "Default" else 1
            if service.type == "Default" and rng.random() < 0.03:
                fields = {"runs": str(rng.randint(2, 6)), "interval": str(rng.choice((15, 30, 60)))}
        while self._ledger.balance < catalog.most(service, pieces, fields):
            self._ledger.balance += TOP_UP
        order = self._take(service, link, pieces, fields, now - age)
        self._ledger.settle(now)
        return Placed(order.order_id, service.service_id, link, pieces or None, age)

    def _take(self, service: Service, link: str, pieces: int, fields: Mapping[str, str], born: float) -> Order:
        order = self._write(service, link, pieces, born)
        if service.type == "Subscriptions":
            self._subscribe(order, service, fields)
        elif fields.get("runs"):
            order.runs, interval = catalog.drip(fields)
            moments = [born + run * interval * 60 for run in range(order.runs)]
            self._adopt(order, [self._child(order, service, pieces, at) for at in moments])
        else:
            self._begin(order, service, born)
        return order

    def _subscribe(self, order: Order, service: Service, fields: Mapping[str, str]) -> None:
        low, high, order.posts = (int(fields[name]) for name in ("min", "max", "posts"))
        at, children = order.born, []
        for _ in range(order.posts):
            at += self._rng.expovariate(1 / (8 * HOUR))
            children.append(self._child(order, service, self._rng.randint(low, max(low, high)), at))
        end = self._rng.choice(("Completed", "Completed", "Expired"))
        self._adopt(order, children, word="Active", end=end)

    def _child(self, order: Order, service: Service, pieces: int, born: float) -> Order:
        child = self._write(service, order.link, pieces, born)
        self._begin(child, service, order.born)
        return child

    def _adopt(
        self, order: Order, children: list[Order], *, word: str = "In progress", end: str = "Completed"
    ) -> None:
        order.children = tuple(child.order_id for child in children)
        last = max(child.born + child.life[-1].at for child in children)
        order.life = lifecycle.parent(last - order.born, word=word, end=end)

    def _begin(self, order: Order, service: Service, paid_at: float) -> None:
        start_count = int(self._rng.lognormvariate(7, 2))
        order.life = lifecycle.live(self._rng, order.quantity, catalog.cost(service, order.quantity), start_count)
        self._ledger.expect(order, paid_at)

    def _write(self, service: Service, link: str, pieces: int, born: float) -> Order:
        number = FIRST_ORDER + len(self._orders)
        order_id = str(number)
        if self._opaque_ids:
            order_id = hashlib.sha256(f"{self._seed}/{number}".encode()).hexdigest()[:24]
        order = self._orders[order_id] = Order(order_id, service.service_id, link, pieces, born)
        return order

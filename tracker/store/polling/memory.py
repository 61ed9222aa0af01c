"""The memory of one panel, under one lease: everything that a round writes to."""

from datetime import datetime

from sqlalchemy import Engine

from tracker.store.leases import Lease
from tracker.store.polling import parked
from tracker.store.polling.ledger import Ledger
from tracker.store.polling.orders import Orders
from tracker.store.polling.refills import Refills
from tracker.store.polling.services import Services


class Memory:
    """The books of one panel. Every write checks `lease` in its own transaction, or raises `LeaseLost`."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self.lease = lease
        self.orders = Orders(engine, lease)
        self.refills = Refills(engine, lease)
        self.services = Services(engine, lease)
        self.ledger = Ledger(engine, lease)
        self._engine = engine

    def unpark(self, now: datetime) -> int:
        """Make due what a clock that stood ahead of `now` has dealt; return how many orders and refills."""
        return parked.unpark(self._engine, self.lease, now)

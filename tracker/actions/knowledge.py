"""What we know before we act: the service, the order, the account's funds."""

from collections.abc import Mapping
from datetime import UTC
from decimal import Decimal
from typing import Any, Final, NamedTuple

from tracker.errors import PanelFault, UsageFault
from tracker.model import Service
from tracker.panel import PanelClient, uptime
from tracker.panel.fields import ident
from tracker.store.database import Database

FUNDS_SECONDS: Final = 15.0
"""How long an order waits for the balance, its turn included: that is good to know, and no more."""

_NEVER_READ: Final = "No catalog of {panel} is stored yet: it was read just now, and is not kept."


class KnownService(NamedTuple):
    """A service as the catalog has it, or a bare one by that id."""

    service: Service
    listed: bool = True
    notes: tuple[str, ...] = ()


class Known(NamedTuple):
    """An order as we know it; only its id where we do not."""

    order_id: str
    state: str | None = None
    service_id: str | None = None
    link: str | None = None
    service: Service | None = None

    @property
    def shown(self) -> str:
        """Its service, for a sentence."""
        return f"{self.service_id} ({self.service.name})" if self.service else f"{self.service_id}"


class Funds(NamedTuple):
    """What the account holds, as far as that could be read."""

    balance: Decimal | None
    currency: str | None
    notes: tuple[str, ...] = ()


NOT_ASKED: Final = Funds(None, None)


class Knowledge:
    """What the database, and where that is not enough the panel, tells about one panel."""

    def __init__(self, panel: str, client: PanelClient, database: Database) -> None:
        self._panel = panel
        self._client = client
        self._history = database.history
        self._live: Mapping[str, Service] = {}

    def service(self, service_id: str, *, needed: bool) -> KnownService:
        """Return a service of the catalog; with `needed` raises `UsageFault` for one that is gone or not in it."""
        service_id = self._id(service_id, "service")
        row = self._history.service(self._panel, service_id)
        if row is not None and (row["gone_at"] is None or not needed):
            return KnownService(_service(row))
        if not needed:
            return KnownService(Service(service_id, ""), listed=False)
        if row is not None:
            raise UsageFault(
                f"{self._panel}: service {service_id} ({row['name']}) left the catalog at "
                f"{row['gone_at'].astimezone(UTC):%Y-%m-%d %H:%M} UTC. `tracker poll catalog` reads it anew."
            )
        if self._history.services(self._panel, limit=1):
            raise UsageFault(
                f"{self._panel}: there is no service {service_id} in the catalog. `tracker services --panel "
                f"{self._panel}` lists it; `tracker poll catalog` reads it anew."
            )
        return self._read_now(service_id)

    def _read_now(self, service_id: str) -> KnownService:
        """Look into a catalog that is read now, once, and kept in memory only: storing it is polling's affair."""
        if not self._live:
            self._live = {service.service_id: service for service in self._client.services()}
        if service_id not in self._live:
            raise UsageFault(f"{self._panel}: the panel has no service {service_id} in the catalog read just now.")
        return KnownService(self._live[service_id], notes=(_NEVER_READ.format(panel=self._panel),))

    def order(self, order_id: str, *, needed: bool) -> Known:
        """Return what is known of an order; with `needed` raises `UsageFault` for one that is not followed."""
        order_id = self._id(order_id, "order")
        rows = self._history.find(order_id, self._panel)
        if not rows:
            if needed:
                raise UsageFault(
                    f"{self._panel}: order {order_id} is not known here. "
                    f"`tracker track --panel {self._panel} {order_id}` starts following it."
                )
            return Known(order_id)
        row = rows[0]
        found = self._history.service(self._panel, row["service_id"]) if row["service_id"] else None
        return Known(
            order_id, row["state"], row["service_id"], row["link"], None if found is None else _service(found)
        )

    def _id(self, given: str, of: str) -> str:
        """Return an id as panels take it. Two ids in one would be two wishes in one request."""
        found = ident(given.strip())
        if found is None:
            raise UsageFault(f"{self._panel}: {given!r} is no id of one {of}.")
        return found

    def funds(self, price: Decimal | None) -> Funds:
        """Return the account's balance as of now. A panel that does not tell it keeps nobody from ordering."""
        try:
            balance, currency = self._client.balance(uptime() + FUNDS_SECONDS)
        except PanelFault as fault:
            last = next((row["currency"] for row in self._history.balances(self._panel, limit=1)), None)
            return Funds(None, last, (f"The balance could not be read: {fault}",))
        short = price is not None and balance < price
        notes = (f"The account holds {balance:f} {currency}, which is less than the price.",) if short else ()
        return Funds(balance, currency, notes)


def _service(row: Mapping[str, Any]) -> Service:
    return Service(**{name: row[name] for name in Service._fields})

"""The two sides a round talks to, as it needs them: a panel that answers and a store that remembers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from tracker.catalog import Difference, Doubt, Known
from tracker.decide import Decision, RefillDecision
from tracker.errors import PanelFault
from tracker.model import (
    Anomaly,
    Answer,
    Balance,
    Learned,
    Odd,
    Order,
    Plan,
    RefillAnswer,
    RefillPlan,
    RoundRow,
    Service,
)

A_co = TypeVar("A_co", covariant=True)


class Work(Protocol):
    """The ids of one request."""

    @property
    def ids(self) -> Sequence[str]:
        """At most as many as the panel takes in one request."""


W = TypeVar("W", bound=Work)


class Answers(Protocol[A_co]):
    """Answers by asked id."""

    @property
    def foreign(self) -> Sequence[str]:
        """Ids that were answered though nobody asked; ignored."""

    @property
    def fault(self) -> PanelFault | None:
        """What ended the asking early, where it took several requests: an absent id was not asked about then."""

    def get(self, key: str, /) -> A_co | None:
        """Return the answer about one id."""


class Abilities(Protocol):
    """What the panel is known to understand; None: not tried yet. Whoever asks it learns."""

    bulk_status: bool | None
    bulk_refill: bool | None


class Services(Protocol):
    """A catalog as told, and what in it was not believed."""

    @property
    def odd(self) -> Sequence[Odd]:
        """Fields that made no sense and are told as None, rows without an id that are left out."""

    def __iter__(self) -> Iterator[Service]: ...

    def __len__(self) -> int: ...


class Panel(Protocol):
    """A remote account. Methods that return one answer raise `PanelFault`; `statuses` gives faults as values."""

    @property
    def requests(self) -> int:
        """Requests sent so far, of all kinds."""

    def statuses(
        self, next_work: Callable[[], W | None], before_waiting: Callable[[], None], /
    ) -> Iterator[tuple[W, Answers[Answer] | PanelFault]]:
        """Ask about works as `next_work` gives them, several together; yield each with its outcome.

        `before_waiting` is called where the next outcome does not come at once.
        """

    def refill_statuses(self, ids: Sequence[str], /) -> Answers[RefillAnswer]:
        """Ask about refills by their ids."""

    def services(self) -> Services:
        """Return the catalog."""

    def balance(self) -> Balance:
        """Return the balance."""


class OrderStore(Protocol):
    """The orders of the panel."""

    def plan(self, now: datetime, requests: int, per_request: int, *, force: bool = False) -> Plan:
        """Return the orders for a round of at most `requests` requests."""

    def load(self, keys: Sequence[int]) -> list[Order]:
        """Return the open orders among `keys`, as they are now."""

    def apply(self, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        """Write `decisions` in one transaction; return those that were written."""


class RefillStore(Protocol):
    """The refills of the panel."""

    def plan(self, now: datetime, limit: int, *, force: bool = False) -> RefillPlan:
        """Return at most `limit` due refills."""

    def reopen_orders(self, now: datetime) -> int:
        """Follow the closed orders of new refills again."""

    def apply(self, decisions: Sequence[RefillDecision], now: datetime, round_id: str) -> Sequence[RefillDecision]:
        """Write `decisions` in one transaction; return those that were written."""


class ServiceStore(Protocol):
    """The catalog of the panel."""

    def known(self) -> Mapping[str, Known]:
        """Return the catalog as last seen."""

    def doubt(self) -> Doubt | None:
        """Return the shrunken catalog that is not believed yet."""

    def write(self, difference: Difference, now: datetime) -> None:
        """Write what changed."""

    def write_doubt(self, doubt: Doubt, detail: str, now: datetime) -> None:
        """Remember a shrunken catalog."""


class Ledger(Protocol):
    """The other books of the panel."""

    def snapshot(self, balance: Balance, now: datetime) -> None:
        """Write one balance."""

    def learn(self, learned: Learned) -> None:
        """Remember what the panel understands."""

    def finish_round(self, row: RoundRow, anomalies: Sequence[Anomaly]) -> None:
        """Write the row of a round."""


class Store(Protocol):
    """The memory of one panel."""

    @property
    def orders(self) -> OrderStore:
        """Its orders."""

    @property
    def refills(self) -> RefillStore:
        """Its refills."""

    @property
    def services(self) -> ServiceStore:
        """Its catalog."""

    @property
    def ledger(self) -> Ledger:
        """Its other books."""

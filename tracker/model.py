"""The words of the project as records: states, what a panel said, and what we know.

Nothing here imports anything of ours, reads a clock, or touches the outside. Records that are made for every
order of every poll are named tuples: they are as immutable as a frozen dataclass and three times cheaper to make.
Every `datetime` is aware (from Postgres in its session's zone), every amount of money a `Decimal`, every id text.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

OpenState: TypeAlias = Literal["new", "pending", "processing", "in_progress", "paused", "active", "unknown"]
SettledState: TypeAlias = Literal["completed", "partial", "canceled", "refunded", "failed", "expired", "missing"]
State: TypeAlias = OpenState | SettledState
RefillState: TypeAlias = Literal[
    "requested", "pending", "in_progress", "unknown", "completed", "rejected", "failed", "canceled", "missing"
]
Kind: TypeAlias = Literal["statuses", "refills", "catalog", "balance"]
Action: TypeAlias = Literal["add", "refill", "cancel"]
IntentState: TypeAlias = Literal["sending", "confirmed", "rejected", "unsent", "unknown", "resolved"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OPEN_STATES: Final[tuple[State, ...]] = get_args(OpenState)
SETTLED_STATES: Final[tuple[State, ...]] = get_args(SettledState)
STATES: Final[tuple[State, ...]] = OPEN_STATES + SETTLED_STATES
REFILL_STATES: Final[tuple[RefillState, ...]] = get_args(RefillState)
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
INTENT_STATES: Final[tuple[IntentState, ...]] = get_args(IntentState)

SETTLED: Final[frozenset[str]] = frozenset(SETTLED_STATES)
REFILL_SETTLED: Final[frozenset[str]] = frozenset({"completed", "rejected", "failed", "canceled", "missing"})

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code for "no currency": the panel told none."""

BATCH: Final = 100
"""Ids in one request: the documented most of API v2; panels answer falsely, or not at all, beyond it."""


class Status(NamedTuple):
    """What a panel said about one order. A figure that it did not tell is None."""

    state: State
    panel_status: str
    charge: Decimal | None = None
    currency: str | None = None
    start_count: int | None = None
    remains: int | None = None
    children: tuple[str, ...] = ()
    """Ids of the orders that a drip-feed or a subscription has placed so far."""


class RefillStatus(NamedTuple):
    """What a panel said about one refill."""

    state: RefillState
    panel_status: str


class NotFound(NamedTuple):
    """The panel says that it knows no such id: a suspicion, not a state, for panels say it wrongly."""

    text: str


class Odd(NamedTuple):
    """An item of a reply that could not be believed."""

    kind: str
    """`absent`, `bad_item` or `item_error`; or `alone_` and the kind of fault that asking about it alone met."""
    detail: str
    """Redacted and capped by whoever made it."""


Answer: TypeAlias = Status | NotFound | Odd
RefillAnswer: TypeAlias = RefillStatus | NotFound | Odd


class Order(NamedTuple):
    """An order as the database knows it: all that deciding about an answer needs."""

    key: int
    """`orders.id`; `order_id` is the panel's name for it."""
    order_id: str
    state: State
    panel_status: str | None
    charge: Decimal | None
    currency: str | None
    start_count: int | None
    remains: int | None
    quantity: int | None
    seq: int
    """Number of its newest transition; 0 for an order that was never answered."""
    state_at: datetime
    state_remains: int | None
    """`remains` when the state began."""
    changed_at: datetime | None
    was_checked_at: object
    """When it was last answered, as the database gives it: only a guard, compared and never read."""
    settled_at: datetime | None
    misses: int
    """0: fine. 1: a batch did not answer it, or it spoils batches, so it is asked singly. 1 + n: n single answers
    "no such id"."""
    missed_at: datetime | None
    next_poll_at: datetime | None = None
    """When it was to be asked, where it is settled; None for any other."""


class Refill(NamedTuple):
    """A refill as the database knows it."""

    key: int
    order_id: str
    refill_id: str
    state: RefillState
    panel_status: str | None
    seq: int
    state_at: datetime
    checked_at: datetime | None
    settled_at: datetime | None
    misses: int
    missed_at: datetime | None
    next_poll_at: datetime | None = None
    """When it was to be asked."""


class Anomaly(NamedTuple):
    """A kind of reply that was not believed; `order_id` is empty where it concerns the whole panel."""

    order_id: str
    kind: str
    detail: str


class Service(NamedTuple):
    """One row of a panel's catalog. What the panel did not tell is None."""

    service_id: str
    name: str
    type: str | None = None
    category: str | None = None
    rate: Decimal | None = None
    """Price of 1000."""
    min: int | None = None
    max: int | None = None
    refill: bool | None = None
    cancel: bool | None = None


class Balance(NamedTuple):
    """What the account holds."""

    balance: Decimal
    currency: str = NO_CURRENCY


class Plan(NamedTuple):
    """The orders of one round by key, sorted."""

    keys: Sequence[int] = ()
    """For batches."""
    singles: Sequence[int] = ()
    """Suspected ones, to be asked about singly."""
    doubted: Sequence[int] = ()
    """Suspected ones whose turn has not come: for batches of their own, where there is room."""


class RefillPlan(NamedTuple):
    """The refills of one round: those for batches, and those to be asked about singly."""

    refills: Sequence[Refill] = ()
    singles: Sequence[Refill] = ()


class Learned(NamedTuple):
    """What a panel was learned to understand; None: not tried yet."""

    bulk_status: bool | None = None
    bulk_refill: bool | None = None
    learned_at: datetime | None = None


class Counts(NamedTuple):
    """What one round did; part of its row in `rounds` and of its line in the log."""

    requests: int = 0
    asked: int = 0
    answered: int = 0
    changed: int = 0
    anomalies: int = 0


class Keep(NamedTuple):
    """For how many seconds what is kept; None: forever."""

    rounds: float | None = 90 * 86400.0
    anomalies: float | None = None
    progress: float | None = None
    """Changes of figures within a state; the last one of each state stays."""
    closed_orders: float | None = None
    """Orders since they were closed, each with everything that belongs to it."""


class RoundRow(NamedTuple):
    """One finished round."""

    round_id: str
    kind: Kind
    started_at: datetime
    finished_at: datetime
    counts: Counts
    outcome: str
    """`ok`, or the kind of the fault that ended it (`stopped` is our own)."""
    error: str | None = None


class OrderFilter(NamedTuple):
    """Which orders are meant; what is empty or None does not narrow."""

    panel: str | None = None
    states: Sequence[str] = ()
    services: Sequence[str] = ()
    refs: Sequence[str] = ()
    link: str | None = None
    """A text that the link holds, in any case."""
    open_only: bool = False
    """Only orders that are not settled and still followed."""
    silent: timedelta | None = None
    """Only open orders whose state and figures have not changed for so long."""
    since: datetime | None = None
    """Only orders that changed (or, if they never did, were first tracked) at this moment or later."""
    until: datetime | None = None
    """Only orders that changed, or were first tracked, before this moment."""


class Wish(NamedTuple):
    """A change that somebody wants made at a panel: what goes into the journal before anything is sent."""

    panel: str
    action: Action
    payload: Mapping[str, str]
    """The fields of the form as they are sent, without the key and the action."""
    service_id: str | None = None
    link: str | None = None
    """What the order is for: the link, or the user name where the service's type has no link."""
    quantity: int | None = None
    order_id: str | None = None
    """Of a refill or a cancel: the order that it is about."""
    ref: str | None = None
    price: Decimal | None = None
    """What the catalog says that it costs; None where that cannot be told."""
    currency: str | None = None
    balance_before: Decimal | None = None


class Outcome(NamedTuple):
    """What became of a POST."""

    state: Literal["confirmed", "rejected", "unsent", "unknown"]
    order_id: str | None = None
    """The new order of an `add` that was confirmed."""
    refill_id: str | None = None
    """The id of a `refill` that was confirmed."""
    error: str | None = None
    """The panel's words, or what broke."""
    balance_after: Decimal | None = None


class Intent(NamedTuple):
    """A row of the journal: a wish, and what became of it."""

    uuid: str
    panel: str
    action: Action
    state: IntentState
    payload: Mapping[str, str]
    service_id: str | None
    link: str | None
    quantity: int | None
    order_id: str | None
    refill_id: str | None
    order_key: int | None
    ref: str | None
    price: Decimal | None
    currency: str | None
    balance_before: Decimal | None
    balance_after: Decimal | None
    sent_at: datetime
    deadline_at: datetime
    """After this nothing is written to the panel any more, so what is still `sending` then is `unknown`."""
    finished_at: datetime | None
    error: str | None
    resolution: str | None
    """Why an `unknown` one is resolved: the word of a person, or the order's own state."""

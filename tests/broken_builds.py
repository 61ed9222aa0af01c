"""An account that is polled by the real rounds, client and store over real sockets, and builds that are broken.

A mutation is a change of code, so here, and only for this, code is replaced while a test runs: each build leaves
out or misplaces one thing that a promise rests on. The life that it leads is the same for all of them: the panel
goes on from round to round, the database fails before a transaction, and replies are overtaken by later ones.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

import pytest
from cli_setting import KEY, settings_of, sql
from proof.truth import Truth
from sqlalchemy import ColumnElement, Connection, Engine, literal, select
from sqlalchemy.exc import IntegrityError

from tracker import decide
from tracker.daemon.post import Post, connections
from tracker.decide import Decision
from tracker.errors import DatabaseUnreachable
from tracker.model import Order, Status
from tracker.settings import Every
from tracker.simulator import ManualClock, Simulator
from tracker.simulator.listener import Sending
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease, fenced
from tracker.store.polling import orders as orders_module
from tracker.store.polling import statements
from tracker.store.polling.orders import Orders
from tracker.store.polling.statements import OrderStatements
from tracker.store.schema import orders

PANEL: Final = "acme"
ORDERS: Final = 30
STEP: Final = 900.0
"""Seconds of the panel's life between two rounds: what is being delivered has moved by then."""
ROUNDS: Final = 6
RACES: Final = 6
"""Orders that are asked about twice at once, after each round."""

FAULTS: Final = {3: 1, 5: 2}
"""Round -> which of its transactions finds the database away."""

DELIVERING: Final = "SELECT order_id FROM orders WHERE state = 'in_progress' ORDER BY id LIMIT :most"

NOTHING: Final = select(literal(1))


class SlowLine(Simulator):
    """A panel whose next reply stays on its way while something else happens."""

    meanwhile: Callable[[], object] | None = None

    def handle(self, method: str, path: str, form: Mapping[str, str]) -> Sending:
        """Answer, then let happen what is to."""
        sending = super().handle(method, path, form)
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        return sending


class Weather:
    """Has the database away at one transaction that writes orders, if it is told so."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.countdown = 0
        patch.setattr(orders_module, "fenced", self.begin)

    @contextmanager
    def begin(self, engine: Engine, lease: Lease) -> Iterator[Connection]:
        """Begin a transaction, or fail to."""
        self.countdown -= 1
        if self.countdown == 0:
            raise DatabaseUnreachable("it is away")
        with fenced(engine, lease) as connection:
            yield connection


def live(database: Database, url: str, patch: pytest.MonkeyPatch) -> Truth:
    """Lead the life of an account with this build; return what its panel says of it."""
    weather, clock, stop = Weather(patch), ManualClock(), threading.Event()
    lease = database.acquire(PANEL, "build", 3600)
    assert isinstance(lease, Lease)
    with SlowLine(seed=3, clock=clock, key=KEY) as panel, connections(stop) as connect:
        settings, truth = settings_of(panel, PANEL), Truth({PANEL: panel})
        placed = [one.order_id for one in panel.world.spawn(ORDERS, oldest=STEP)]
        database.track(PANEL, [NewOrder(one) for one in placed])
        post, other = (Post(settings, Every(), database, lease, connect=connect, stop=stop) for _ in range(2))
        for number in range(1, ROUNDS + 1):
            clock.advance(STEP)
            weather.countdown = FAULTS.get(number, 0)
            before = truth.mark()
            try:
                report = post.tick("statuses", force=True)
            except DatabaseUnreachable:
                truth.doubt(since=before)  # it said so: these replies may be missing
            else:
                assert report is not None
                assert report.fault is None
            weather.countdown = 0
            for (order_id,) in sql(url, DELIVERING, most=RACES):
                _overtake(panel, clock, truth, (post, other), order_id)
        return truth


def _overtake(panel: SlowLine, clock: ManualClock, truth: Truth, posts: Sequence[Post], order_id: str) -> None:
    """Ask about one order, and once more before the reply is there: it is older than what is known then."""
    post, other = posts
    before = truth.mark()

    def ask_again() -> None:
        clock.advance(STEP / RACES)
        other.tick_orders([order_id])

    clock.advance(STEP / RACES)
    panel.meanwhile = ask_again
    with suppress(IntegrityError):  # where a state has moved, even an unguarded build meets the key of transitions
        post.tick_orders([order_id])
    truth.doubt(since=before)  # the one that came late is dropped


Build = Callable[[pytest.MonkeyPatch], None]
"""Breaks the code until the test is over."""


def unguarded(patch: pytest.MonkeyPatch) -> None:
    """Write an order whatever has become of it since it was read."""

    def by_id(_dialect: str, row: dict[str, ColumnElement[Any]]) -> ColumnElement[bool]:
        return orders.c.id == row["key"]

    patch.setattr(statements, "_unmoved", by_id)


def torn(patch: pytest.MonkeyPatch) -> None:
    """Write transitions in a transaction of their own, after that of their heads."""
    whole = Orders.apply

    def apply(self: Orders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        sql, second = self._statements, vars(orders_module)["fenced"]
        insert, sql.write_transition = sql.write_transition, NOTHING  # type: ignore[assignment]  # the mutation
        try:
            written = whole(self, decisions, round_id)
        finally:
            sql.write_transition = insert
        if moved := [(one.before.key, one.before.state) for one in written if one.transition]:
            with second(self._engine, self._lease) as connection:
                connection.execute(insert, {**sql.moved.parameters(moved), "round": round_id})
        return written

    patch.setattr(Orders, "apply", apply)


def swallowing(patch: pytest.MonkeyPatch) -> None:
    """Take a batch that could not be written for written."""
    whole = Orders.apply

    def apply(self: Orders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        with suppress(DatabaseUnreachable):
            return whole(self, decisions, round_id)
        return decisions

    patch.setattr(Orders, "apply", apply)


def without(statement: str) -> Build:
    """Leave out a statement of the history: heads move, and nothing tells how."""

    def build(patch: pytest.MonkeyPatch) -> None:
        whole = OrderStatements.__init__

        def make(self: OrderStatements, dialect: str) -> None:
            whole(self, dialect)
            setattr(self, statement, NOTHING)

        patch.setattr(OrderStatements, "__init__", make)

    return build


def repeating(patch: pytest.MonkeyPatch) -> None:
    """Take each answer for news."""
    whole = decide._after

    def after(order: Order, told: Status, now: datetime) -> Order:
        return whole(order, told, now)._replace(seq=order.seq + 1, changed_at=now)

    patch.setattr(decide, "_is_known", lambda *_: False)
    patch.setattr(decide, "_after", after)

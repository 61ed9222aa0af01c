"""Every method of the store, by what it does, for the tests that hold all of them to one promise."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from books import NOW, PENDING, decisions

from tracker.catalog import Difference, Doubt
from tracker.decide import decide_refill
from tracker.grace import Moment
from tracker.model import (
    Anomaly,
    Balance,
    Counts,
    Keep,
    Learned,
    Order,
    Outcome,
    Refill,
    RefillStatus,
    RoundRow,
    Service,
    Wish,
)
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.journal.intents import Intents
from tracker.store.leases import Lease
from tracker.store.polling.ledger import Ledger
from tracker.store.polling.memory import Memory
from tracker.store.polling.orders import Orders
from tracker.store.polling.refills import Refills
from tracker.store.polling.services import Services
from tracker.store.reading.glance import Glance
from tracker.store.reading.history import History
from tracker.store.upkeep.fitness import Fitness
from tracker.store.upkeep.retention import Retention

Write: TypeAlias = Callable[[Memory, Sequence[Order]], object]
"""Writes under a lease; the orders are those that `orders.apply` decides about."""

MINUTE = timedelta(minutes=1)
REFILL = Refill(1, "1", "1", "requested", None, 0, NOW, None, None, 0, None)
WRITES: Final[dict[str, Write]] = {
    "orders.apply": lambda memory, read: memory.orders.apply(
        decisions(read, {one.order_id: PENDING for one in read}), "round"
    ),
    "refills.apply": lambda memory, _: memory.refills.apply(
        [decide_refill(REFILL, RefillStatus("completed", "Completed"), Moment(NOW, Pacing()))], NOW, "round"
    ),
    "refills.reopen_orders": lambda memory, _: memory.refills.reopen_orders(datetime.now(UTC) + MINUTE),
    "unpark": lambda memory, _: memory.unpark(datetime(2001, 1, 1, tzinfo=UTC)),
    "services.write": lambda memory, _: memory.services.write(Difference([Service("1", "A")], [], []), NOW),
    "services.write_doubt": lambda memory, _: memory.services.write_doubt(Doubt("digest", 1), "0 of 9", NOW),
    "ledger.open": lambda memory, _: memory.ledger.open("https://elsewhere.example/api/v2"),
    "ledger.learn": lambda memory, _: memory.ledger.learn(Learned(bulk_status=True)),
    "ledger.snapshot": lambda memory, _: memory.ledger.snapshot(Balance(Decimal(1)), NOW),
    "ledger.finish_round": lambda memory, _: memory.ledger.finish_round(
        RoundRow("round", "statuses", NOW, NOW, Counts(), "ok"), [Anomaly("", "foreign_ids", "9")]
    ),
}
LEASE = Lease("acme", "test", 1)
WISH = Wish("acme", "cancel", {"order": "2"}, order_id="2")
LOST_SECONDS: Final = -3600.0
"""Of a request whose deadline was an hour ago; `intents.recover` writes only where there is such an intent."""


def lost(database: Database) -> str:
    """Return the uuid of the only intent."""
    return database.intents.list()[0].uuid


OTHERS: Final[dict[str, Callable[[Database], object]]] = {
    "acquire": lambda database: database.acquire("acme", "test", 60),
    "renew": lambda database: database.renew(LEASE, 60),
    "release": lambda database: database.release(LEASE),
    "track": lambda database: database.track("acme", [NewOrder("9")]),
    "untrack": lambda database: database.untrack("acme", "1"),
    "take_in": lambda database: database.take_in("acme", [NewOrder("9")]),
    "track_refill": lambda database: database.track_refill("acme", "9", "9"),
    "make_due": lambda database: database.make_due("acme"),
    "retention.step": lambda database: database.retention().step(NOW, Keep()),
    "intents.begin": lambda database: database.intents.begin(WISH, seconds=30),
    "intents.finish": lambda database: database.intents.finish(lost(database), Outcome("rejected")),
    "intents.recover": lambda database: database.intents.recover(),
    "intents.resolve": lambda database: database.intents.resolve(lost(database), None),
}
READS: Final[dict[str, Callable[[Database, Memory], object]]] = {
    "orders.plan": lambda _, memory: memory.orders.plan(NOW, 1, 100),
    "orders.load": lambda _, memory: memory.orders.load([1]),
    "orders.count": lambda _, memory: memory.orders.count(),
    "orders.find": lambda _, memory: memory.orders.find(["1"]),
    "refills.plan": lambda _, memory: memory.refills.plan(NOW, 1),
    "services.known": lambda _, memory: memory.services.known(),
    "services.doubt": lambda _, memory: memory.services.doubt(),
    "holder_of": lambda database, _: database.holder_of("acme"),
    "holders": lambda database, _: database.holders(),
    "schema": lambda database, _: database.schema(),
    "require": lambda database, _: database.require(),
    "intents.find": lambda database, _: database.intents.find(lost(database)),
    "intents.list": lambda database, _: database.intents.list(),
    "intents.of_order": lambda database, _: database.intents.of_order(1),
    "intents.unfinished": lambda database, _: database.intents.unfinished(),
    "intents.evidence": lambda database, _: database.intents.evidence(database.intents.list()[0]),
    "sizes": lambda database, _: database.sizes(NOW),
    "size": lambda database, _: database.size(),
    "tally": lambda database, _: database.tally(),
    "vitals": lambda database, _: database.vitals(NOW, lambda *_: 60.0),
    "verify": lambda database, _: database.verify(),
    "fitness.server": lambda database, _: database.fitness().server(),
    "glance.look": lambda database, _: database.glance(timedelta(days=1)).look(NOW, "changes"),
    "history.orders": lambda database, _: database.history.orders(),
    "history.find": lambda database, _: database.history.find("1"),
    "history.stuck": lambda database, _: database.history.stuck(),
    "history.timeline": lambda database, _: database.history.timeline(1),
    "history.tempo": lambda database, _: database.history.tempo(),
    "history.spend": lambda database, _: database.history.spend(),
    "history.refunds": lambda database, _: database.history.refunds(),
    "history.price_changes": lambda database, _: database.history.price_changes(),
    "history.balance_daily": lambda database, _: database.history.balance_daily(),
    "history.newest_transitions": lambda database, _: database.history.newest_transitions(5),
    "history.services": lambda database, _: database.history.services(),
    "history.service": lambda database, _: database.history.service("acme", "1"),
    "history.service_changes": lambda database, _: database.history.service_changes(),
    "history.balances": lambda database, _: database.history.balances(),
    "history.refills": lambda database, _: database.history.refills(),
    "history.rounds": lambda database, _: database.history.rounds(),
    "history.last_success": lambda database, _: database.history.last_success("acme", "statuses", NOW),
    "history.anomalies": lambda database, _: database.history.anomalies(),
    "history.panels": lambda database, _: database.history.panels(),
    "export": lambda database, _: [step.rows() for step in database.export("orders").steps()],
}

ELSEWHERE: Final = frozenset(
    {
        *("upgrade", "close", "back_up", "restoring", "retention.walk"),
        *("fitness.disk", "fitness.locked", "fitness.try_writing"),
    }
)
"""Methods that other tests hold to it, or that ask no database."""


def public() -> set[str]:
    """Return the name of every public method of the store."""
    parts: dict[str, type] = {
        "": Database,
        "orders.": Orders,
        "refills.": Refills,
        "services.": Services,
        "ledger.": Ledger,
        "intents.": Intents,
        "history.": History,
        "retention.": Retention,
        "glance.": Glance,
        "fitness.": Fitness,
    }
    makers = {"memory", "retention", "glance", "fitness"}
    names = {
        before + name
        for before, part in parts.items()
        for name in dir(part)
        if not name.startswith("_") and callable(getattr(part, name))
    }
    return (names - makers) | {"unpark"}

"""A history that is sound but for one row of each kind that `tracker verify` has to find."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from books import NOW, follow, poll, table
from cli_setting import plain
from sqlalchemy import text

from tracker.catalog import Difference, ServiceChange
from tracker.decide import Moment, decide_refill
from tracker.model import Balance, Outcome, RefillState, RefillStatus, Status, Wish
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.polling.memory import Memory
from tracker.store.schema import metadata
from tracker.store.verifying.sweep import Verdict

Names: TypeAlias = frozenset[str]
"""Rules as `table.rule`."""

MINUTE: Final = timedelta(minutes=1)

LIFE: Final = (
    Status("pending", "Pending", Decimal("0.9"), "USD", 10, 1000),
    Status("in_progress", "In progress", Decimal("0.9"), "USD", 10, 1000),
    Status("in_progress", "In progress", Decimal("0.9"), "USD", 10, 600),
    Status("in_progress", "In progress", Decimal("0.9"), "USD", 10, 300),
    Status("processing", "Processing", Decimal("0.9"), "USD", 10, 300),
    Status("processing", "Processing", Decimal("0.9"), "USD", 10, 200),
)
"""What a panel says of each order: three transitions; progress twice in the second state, once in the third."""

REFILLED: Final[tuple[RefillState, ...]] = ("pending", "in_progress", "completed")


class Case(NamedTuple):
    """One thing that another program does to the rows of one order, refill, service or intent."""

    sql: str
    breaks: Names
    only: str = ""
    """The database on which alone this is possible."""


def _breaks(*names: str) -> Names:
    return frozenset(names)


def _head(change: str, *names: str, only: str = "") -> Case:
    return Case(f"UPDATE orders SET {change} WHERE id = :key", _breaks(*names), only)


def _tail(change: str, seq: int, *names: str) -> Case:
    return Case(f"UPDATE transitions SET {change} WHERE order_key = :key AND seq = {seq}", _breaks(*names))


def _went_on(change: str, remains: int, *names: str) -> Case:
    return Case(f"UPDATE progress SET {change} WHERE order_key = :key AND remains = {remains}", _breaks(*names))


ORDERS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another state": _head("state = 'paused'", "orders.head"),
    "another word": _head("panel_status = 'Working'", "orders.head"),
    "a seq without its transition": _head("seq = 4", "orders.head"),
    "a seq that was left behind": _head(
        "seq = 2, state = 'in_progress', panel_status = 'In progress', remains = 300",
        *("orders.beyond_head", "orders.state_at", "orders.figures"),
    ),
    "a state before the first": _head("seq = 0", "orders.head", "orders.beyond_head", "orders.changed_at"),
    "a state that began at another time": _head("state_at = tracked_at", "orders.state_at"),
    "other figures": _head("remains = 199", "orders.figures"),
    "figures that are gone": _head("charge = NULL", "orders.figures"),
    "no time of its last change": _head("changed_at = NULL", "orders.changed_at"),
    "settled while it is open": _head("settled_at = changed_at", "orders.settled"),
    "closed before it settled": _head(
        "settled_at = changed_at, closed_at = tracked_at", "orders.settled", "orders.closed_early"
    ),
    "its own parent": _head("parent = id", "orders.parent"),
    "a parent at another panel": _head("parent = (SELECT id FROM orders WHERE panel = 'other')", "orders.parent"),
    "an endless charge": _head("charge = 1000000000000000", "orders.amount", "orders.figures"),
    "a charge that is a text": _head("charge = 'abc'", "orders.amount", "orders.figures", only="sqlite"),
    "a charge that is no number": _head("charge = 'NaN'", "orders.amount", "orders.figures", only="postgresql"),
    "an infinite charge": _head("charge = '-Infinity'", "orders.amount", "orders.figures", only="postgresql"),
    "a currency that is none": _head("currency = 'us$'", "orders.currency", "orders.figures"),
    "a transition that is gone": Case(
        "DELETE FROM transitions WHERE order_key = :key AND seq = 1",
        _breaks("transitions.gap", "transitions.chain"),
    ),
    "a transition that says the same": _tail(
        "to_state = 'pending', panel_status = 'Pending'", 2, "transitions.repeat", "transitions.chain"
    ),
    "a state that nothing led to": _tail("from_state = 'paused'", 3, "transitions.chain"),
    "a state that does not exist": _tail(
        "to_state = 'shipped'", 2, "transitions.unknown_state", "transitions.chain"
    ),
    "a figure that was forgotten": _tail("remains = NULL", 2, "transitions.forgotten"),
    "an absurd amount on the way": _tail("charge = -1000000000000000", 2, "transitions.amount"),
    "a currency of two letters on the way": _tail("currency = 'US'", 2, "transitions.currency"),
    "an order that is gone": Case(
        "DELETE FROM orders WHERE id = :key",
        _breaks("transitions.orphan"),
    ),
    "progress of a state that never was": _went_on(
        "seq = 9", 200, "progress.stray_progress", "orders.beyond_head", "orders.figures"
    ),
    "progress of a state that was over": _went_on("seq = 1", 300, "progress.progress_back"),
    "progress that says the same": _went_on("remains = 600", 300, "progress.progress_repeat"),
    "progress that says what its transition says": _went_on("remains = 1000", 600, "progress.progress_repeat"),
    "progress that is not in the head": _went_on("remains = 250", 200, "orders.figures"),
    "progress that forgets a figure": _went_on("start_count = NULL", 300, "progress.forgotten"),
    "progress with an absurd amount": _went_on("charge = 1000000000000000", 600, "progress.amount"),
    "progress with a currency that is none": _went_on("currency = 'dollars and cents'", 600, "progress.currency"),
}
"""What is done to an order that lived through `LIFE`."""

REFILLS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another state": Case("UPDATE refills SET state = 'rejected' WHERE id = :key", _breaks("refills.head")),
    "history beyond": Case(
        "UPDATE refills SET seq = 2, state = 'in_progress', panel_status = 'In_progress' WHERE id = :key",
        _breaks("refills.beyond_head", "refills.state_at", "refills.settled"),
    ),
    "a state that began at another time": Case(
        "UPDATE refills SET state_at = tracked_at WHERE id = :key", _breaks("refills.state_at")
    ),
    "not settled": Case("UPDATE refills SET settled_at = NULL WHERE id = :key", _breaks("refills.settled")),
    "closed before it settled": Case(
        "UPDATE refills SET closed_at = '2001-01-01 00:00:00' WHERE id = :key", _breaks("refills.closed_early")
    ),
    "of an order that is not here": Case(
        "UPDATE refills SET order_id = 'nowhere' WHERE id = :key", _breaks("refills.refill_of_nothing")
    ),
    "a gap": Case(
        "DELETE FROM refill_transitions WHERE refill_key = :key AND seq = 1",
        _breaks("refill_transitions.gap", "refill_transitions.chain"),
    ),
    "a repeat": Case(
        "UPDATE refill_transitions SET to_state = 'pending', panel_status = 'Pending'"
        " WHERE refill_key = :key AND seq = 2",
        _breaks("refill_transitions.repeat", "refill_transitions.chain"),
    ),
    "a state that does not exist": Case(
        "UPDATE refill_transitions SET to_state = 'requested' WHERE refill_key = :key AND seq = 2",
        _breaks("refill_transitions.unknown_state", "refill_transitions.chain"),
    ),
    "gone": Case("DELETE FROM refills WHERE id = :key", _breaks("refill_transitions.orphan")),
}

INTENTS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "no order": Case(
        "UPDATE intents SET order_key = NULL WHERE uuid = :key", _breaks("intents.intent_without_order")
    ),
    "another's order": Case(
        "UPDATE intents SET order_id = '1' WHERE uuid = :key", _breaks("intents.intent_of_other")
    ),
    "an order without an outcome": Case(
        "UPDATE intents SET state = 'unknown' WHERE uuid = :key", _breaks("intents.order_not_bought")
    ),
    "bought twice": Case(
        "INSERT INTO intents (uuid, panel, action, state, payload, order_id, order_key, deadline_at, finished_at)"
        " SELECT uuid || '-twin', panel, action, state, payload, order_id, order_key, deadline_at, finished_at"
        " FROM intents WHERE uuid = :key",
        _breaks("intents.bought_twice"),
    ),
    "being sent and finished": Case(
        "UPDATE intents SET state = 'sending', order_key = NULL WHERE uuid = :key", _breaks("intents.finished")
    ),
    "a reason and no question": Case(
        "UPDATE intents SET resolution = 'so' WHERE uuid = :key", _breaks("intents.resolution")
    ),
    "a deadline before it was sent": Case(
        "UPDATE intents SET deadline_at = '2001-01-01 00:00:00' WHERE uuid = :key", _breaks("intents.deadline")
    ),
    "an absurd price": Case(
        "UPDATE intents SET price = 1000000000000000 WHERE uuid = :key", _breaks("intents.amount")
    ),
    "a currency that is none": Case(
        "UPDATE intents SET currency = '' WHERE uuid = :key", _breaks("intents.currency")
    ),
    "a refill that is not here": Case(
        "UPDATE intents SET action = 'refill', refill_id = 'r404' WHERE uuid = :key",
        _breaks("intents.refill_lost"),
    ),
}

SERVICES: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another value": Case(
        "UPDATE service_changes SET old = '7' WHERE service_id = :key AND new = '1.5'",
        _breaks("service_changes.service_chain"),
    ),
    "no change": Case(
        "UPDATE service_changes SET new = old WHERE service_id = :key AND new = '1.5'",
        _breaks("service_changes.service_repeat"),
    ),
    "gone twice": Case(
        "UPDATE service_changes SET field = 'gone' WHERE service_id = :key AND field = 'returned'",
        _breaks("service_changes.service_presence"),
    ),
    "back without having gone": Case(
        "DELETE FROM service_changes WHERE service_id = :key AND field = 'gone'",
        _breaks("service_changes.service_presence"),
    ),
}

BALANCES: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "an absurd amount": Case(
        "UPDATE balance_snapshots SET balance = 1000000000000000 WHERE id = :key",
        _breaks("balance_snapshots.amount"),
    ),
    "a currency that is none": Case(
        "UPDATE balance_snapshots SET currency = 'usd' WHERE id = :key", _breaks("balance_snapshots.currency")
    ),
}

KINDS: Final[Mapping[str, Mapping[str, Case]]] = {
    "orders": ORDERS,
    "refills": REFILLS,
    "intents": INTENTS,
    "services": SERVICES,
    "balances": BALANCES,
}

_KEY_OF: Final = {
    "orders": ("orders", "id"),
    "transitions": ("orders", "order_key"),
    "progress": ("orders", "order_key"),
    "refills": ("refills", "id"),
    "refill_transitions": ("refills", "refill_key"),
    "intents": ("intents", "uuid"),
    "service_changes": ("services", "service_id"),
    "balance_snapshots": ("balances", "id"),
}
"""Table -> what its rows belong to, and the column that says so."""

Keys: TypeAlias = Mapping[str, Mapping[str, object]]
"""Kind -> case -> the key of what is to be broken."""


def fill(database: Database, memory: Memory) -> Keys:
    """Make a sound history with something of its own for each case; return its keys."""
    follow(database, "elsewhere", panel="other")
    ids = [f"o{number}" for number in range(len(ORDERS))]
    keys = follow(database, *ids)
    for minute, status in enumerate(LIFE, 1):
        poll(memory, dict.fromkeys(ids, status), NOW + minute * MINUTE)
    for number in range(len(BALANCES)):
        memory.ledger.snapshot(Balance(Decimal(number), "USD"), NOW + number * MINUTE)
    made: dict[str, list[object]] = {
        "orders": list(keys),
        "refills": list(_refills(database, memory)),
        "intents": [_bought(database, f"b{number}") for number in range(len(INTENTS))],
        "services": list(_services(memory)),
        "balances": _ids(database, "balance_snapshots"),
    }
    return {kind: dict(zip(cases, made[kind], strict=True)) for kind, cases in KINDS.items()}


def _refills(database: Database, memory: Memory) -> list[object]:
    for number in range(len(REFILLS)):
        database.track_refill("acme", "o0", f"r{number}")
    for minute, state in enumerate(REFILLED, 1):
        now = NOW + minute * MINUTE
        plan = memory.refills.plan(now, 100, force=True)
        told = RefillStatus(state, state.capitalize())
        decided = [decide_refill(one, told, Moment(now, Pacing())) for one in plan.refills]
        memory.refills.apply(decided, now, "round")
    return _ids(database, "refills")


def _bought(database: Database, order_id: str) -> str:
    wish = Wish("acme", "add", {"link": order_id}, "7", order_id, 100, price=Decimal("0.9"), currency="USD")
    uuid = database.intents.begin(wish, seconds=15)
    database.intents.finish(uuid, Outcome("confirmed", order_id))
    return uuid


def _services(memory: Memory) -> Iterator[str]:
    for number in range(len(SERVICES)):
        dearer = [ServiceChange(f"s{number}", "rate", *pair) for pair in (("0.9", "1.2"), ("1.2", "1.5"))]
        moved = [ServiceChange(f"s{number}", "gone"), ServiceChange(f"s{number}", "returned")]
        memory.services.write(Difference([], [], [*dearer, *moved]), NOW)
        yield f"s{number}"


def _ids(database: Database, name: str) -> list[object]:
    return [row["id"] for row in sorted(table(database, metadata.tables[name]), key=lambda row: row["id"])]


def break_all(url: str, keys: Keys) -> dict[tuple[str, str], Names]:
    """Break what each case names, as far as this database takes it; return which rules each should break."""
    expected = {}
    with plain(url) as connection:
        dialect = connection.dialect.name
        if dialect == "postgresql":  # as SQLite, which checks no foreign key unless it is told to
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        for kind, cases in KINDS.items():
            for name, case in cases.items():
                if case.only in {"", dialect}:
                    connection.execute(text(case.sql), {"key": keys[kind][name]})
                    expected[kind, name] = case.breaks
    return {case: names for case, names in expected.items() if names}


def found(verdict: Verdict, keys: Keys) -> dict[tuple[str, str], Names]:
    """Return the rules that the rows of each case break."""
    names = {(kind, key): name for kind, made in keys.items() for name, key in made.items()}
    broken: dict[tuple[str, str], Names] = {}
    for one in verdict.violations:
        kind, column = _KEY_OF[one.table]
        for row in one.rows:
            key = row[column].removesuffix("-twin") if kind == "intents" else row[column]
            case = kind, names.get((kind, key), str(row))
            broken[case] = broken.get(case, frozenset()) | {f"{one.table}.{one.rule}"}
    return broken

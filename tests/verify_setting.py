"""What the tests of `tracker verify` share: a sound history, `broken_rows` in it, and what was found of them."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Final, TypeAlias

from books import NOW, follow, poll, table
from broken_rows import BALANCES, INTENTS, KINDS, ORDERS, REFILLS, SERVICES, Names
from cli_setting import plain
from sqlalchemy import text

from tracker.catalog import Difference, ServiceChange
from tracker.decide import decide_refill
from tracker.grace import Moment
from tracker.model import Balance, Outcome, RefillState, RefillStatus, Status, Wish
from tracker.pace import Pacing
from tracker.store.database import Database
from tracker.store.polling.memory import Memory
from tracker.store.schema import metadata
from tracker.store.verifying.sweep import Verdict

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

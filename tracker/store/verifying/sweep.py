"""Going through a whole database step by step, with flat memory, beside whoever writes to it.

A step is one read transaction of some thousand heads with all of their rows: one snapshot, so there is no false
alarm while the daemon writes, and a short one, so SQLite can fold its log back and Postgres can vacuum. What is
added behind the place where it is by then is not looked at.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Column, Connection, Engine, Select, bindparam, func, select

from tracker.store.engine import reading
from tracker.store.schema import balance_snapshots, intents, orders, refills, service_changes
from tracker.store.verifying import histories, ledgers
from tracker.store.verifying.rules import FLAG, Check, Narrowed, Rule

STEP: Final = 2_000
"""Heads of one step; orders with ten transitions each are some 60 ms of reading. For larger steps Postgres reads
other tables as a whole to look things up there."""

MOST: Final = 10
"""Rows of one rule that are told; the rest is counted."""

Watch: TypeAlias = Callable[[str, float], object]
"""Told which table is gone through, and which part of it is done, from 0 to 1."""

_ALONE: Final = select(
    func.set_config("max_parallel_workers_per_gather", "0", True), func.set_config("jit", "off", True)
)
"""A step takes milliseconds, and beside polling nobody should take more than one core of Postgres' machine."""


class Violation(NamedTuple):
    """A rule that rows of a table break."""

    rule: str
    promise: str
    says: str
    table: str
    number: int
    """How many rows."""
    rows: list[dict[str, Any]]
    """The first of them: keys and values as the database has them, and what they should agree with."""


class Verdict(NamedTuple):
    """What was looked at, and what was found."""

    checked: dict[str, int]
    """Table -> rows."""
    violations: list[Violation]


class _Walk(NamedTuple):
    """Checks that are made along one key."""

    key: Column[Any]
    lowest: object
    highest: object
    checks: Callable[[Narrowed], list[Check]]


_KEYS: Final = (-(2**63), 2**63 - 1)
_MOMENTS: Final = (datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))

WALKS: Final = (
    _Walk(orders.c.id, *_KEYS, histories.of_orders),
    _Walk(refills.c.id, *_KEYS, histories.of_refills),
    _Walk(intents.c.sent_at, *_MOMENTS, ledgers.of_intents),
    _Walk(service_changes.c.id, *_KEYS, ledgers.of_services),
    _Walk(balance_snapshots.c.id, *_KEYS, ledgers.of_balances),
)


def verify(engine: Engine, narrowed: Narrowed, watch: Watch, most: int) -> Verdict:
    """Look at everything; see `tracker.store.database.Database.verify`."""
    found = _Found(most)
    for walk in WALKS:
        looks = [_Look(check, check.statement(), check.counting()) for check in walk.checks(narrowed)]
        found.checked |= dict.fromkeys((look.check.table.name for look in looks), 0)
        for low, high, share in _ranges(engine, walk):
            with reading(engine) as connection:
                if engine.dialect.name == "postgresql":
                    connection.execute(_ALONE)
                for look in looks:
                    found.look(connection, look, {"low": low, "high": high})
            watch(walk.key.table.name, share)
    return Verdict(found.checked, list(found.violations.values()))


def _ranges(engine: Engine, walk: _Walk) -> Iterator[tuple[Any, Any, float]]:
    """Yield the ends of each step, the lower one not in it, and which part of the way is done by then."""
    key, low = walk.key, walk.lowest
    bound = bindparam("low", type_=key.type)
    there = select(key).where(key > bound).order_by(key).offset(STEP - 1).limit(1)
    with reading(engine) as connection:
        first, last = connection.execute(select(func.min(key), func.max(key))).one()
    while True:
        with reading(engine) as connection:
            high = connection.execute(there, {"low": low}).scalar()
        if high is None:  # the last step takes what has no head as well
            yield low, walk.highest, 1.0
            return
        yield low, high, min((high - first) / (last - first), 1.0) if last != first else 1.0
        low = high


class _Look(NamedTuple):
    """A check with its statements, which are made once."""

    check: Check
    statement: Select[*tuple[Any, ...]]
    counting: Select[int]


class _Found:
    """What was looked at and found so far; of each rule at most `most` rows are kept."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.checked: dict[str, int] = {}
        self.violations: dict[tuple[str, str], Violation] = {}

    def look(self, connection: Connection, look: _Look, ends: Mapping[str, Any]) -> None:
        """Make one check of one step."""
        table, rules = look.check.table.name, look.check.rules
        self.checked[table] += connection.execute(look.counting, ends).scalar_one()
        for row in connection.execute(look.statement, ends).mappings():
            shown = {name: value for name, value in row.items() if not name.startswith(FLAG)}
            for rule in rules:
                if row[FLAG + rule.name]:
                    self._add(table, rule, shown)

    def _add(self, table: str, rule: Rule, row: dict[str, Any]) -> None:
        one = self.violations.get((table, rule.name)) or Violation(
            rule.name, rule.promise, rule.says, table, 0, []
        )
        rows = [*one.rows, row] if one.number < self._most else one.rows
        self.violations[table, rule.name] = one._replace(number=one.number + 1, rows=rows)

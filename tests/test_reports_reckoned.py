"""Every sum, share and percentile that people are told, against plain Python over the raw tables."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from math import ceil, floor
from typing import Any

import pytest
from books import execute, table
from filled import DAY, HOUR, whole_second
from sqlalchemy import insert

from tracker.model import REFILL_SETTLED, SETTLED
from tracker.store.database import Database
from tracker.store.schema import (
    balance_snapshots,
    orders,
    panels,
    progress,
    refills,
    services,
    transitions,
)

Row = dict[str, Any]
Rows = list[Row]

PANELS = ("acme", "beta", "gone")
LIVES = (
    ("pending", "in_progress", "completed"),
    ("in_progress", "partial", "in_progress", "completed"),
    ("processing", "canceled"),
    ("completed", "refunded"),
    ("partial",),
    ("pending", "active"),
    (),
)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def midnight(database: Database) -> datetime:
    """Fill the database with a drawn history around the midnights before this one; return that of today."""
    rng, today = random.Random(44), whole_second().replace(hour=0, minute=0, second=0)
    told = [{"name": "acme", "url": "https://acme.example", "currency": "USD"}, {"name": "beta", "url": "x"}]
    execute(database, insert(panels), [{"currency": None, **row} for row in told])
    times = {"first_seen_at": today, "last_seen_at": today}
    execute(database, insert(services), [{"panel": "acme", "service_id": "1", "name": "Likes", **times}])
    heads: Rows = []
    moved: Rows = []
    went: Rows = []
    for key in range(1, 161):
        heads.append(_order(rng, key, heads, today))
        _live(rng, heads[-1], moved, went)
    for one, rows in ((orders, heads), (transitions, moved), (progress, went)):
        execute(database, insert(one), rows)
    execute(database, insert(refills), [_refill(rng, number, today) for number in range(60)])
    execute(database, insert(balance_snapshots), [_snapshot(rng, today) for _ in range(120)])
    return today


def _near_midnight(rng: random.Random, today: datetime, days: int) -> datetime:
    edge = rng.choice((-HOUR, -MICROSECOND, timedelta(0), MICROSECOND, HOUR, timedelta(hours=rng.uniform(0, 20))))
    return today - rng.randrange(1, days) * DAY + edge


def _amount(rng: random.Random) -> Decimal:
    return Decimal(rng.choice((0, 1, 10, 300_000, rng.randrange(10**8)))).scaleb(-6)


def _order(rng: random.Random, key: int, before: Rows, today: datetime) -> Row:
    tracked = _near_midnight(rng, today, 45)
    waited = rng.choice((timedelta(0), HOUR, HOUR + timedelta(seconds=1), 3 * DAY))
    panel = rng.choice(PANELS)
    kin = [row["id"] for row in before if row["panel"] == panel and row["parent"] is None]
    return {
        "id": key,
        "panel": panel,
        "order_id": str(key),
        "service_id": rng.choice((None, "1", "2")),
        "quantity": rng.choice((None, 0, 100, 1000, 2**63 - 1)),
        "parent": rng.choice(kin) if kin and rng.random() < 0.2 else None,
        "ordered_at": rng.choice((None, tracked - waited, tracked - waited)),
        "tracked_at": tracked,
        "currency": rng.choice((None, "USD", "EUR")),
        "remains": None,
        "charge": None,
        "state": "new",
        "state_at": tracked,
    }


def _live(rng: random.Random, head: Row, moved: Rows, went: Rows) -> None:
    at, state = head["tracked_at"], "new"
    for seq, to_state in enumerate(rng.choice(LIVES), 1):
        at += timedelta(seconds=rng.choice((0, 1, 60, 3600, rng.uniform(0, 9000))))
        figures = {"charge": rng.choice((None, _amount(rng))), "remains": rng.choice((None, 0, 10, -(2**63)))}
        move = {"order_key": head["id"], "seq": seq, "at": at, "from_state": state, "to_state": to_state}
        moved.append({**move, **figures, "round": "r"})
        for _ in range(rng.randrange(3)):
            figures = {"charge": rng.choice((None, _amount(rng))), "remains": rng.choice((None, 5))}
            went.append({"order_key": head["id"], "seq": seq, "at": at, **figures})
        head.update(figures, state=to_state, state_at=at)
        state = to_state


def _refill(rng: random.Random, number: int, today: datetime) -> Row:
    state = rng.choice(("requested", "pending", "completed", "rejected", "missing"))
    told = {"panel": rng.choice(PANELS), "order_id": str(rng.randrange(1, 200)), "refill_id": str(number)}
    return {**told, "state": state, "tracked_at": _near_midnight(rng, today, 45)}


def _snapshot(rng: random.Random, today: datetime) -> Row:
    told = {"panel": rng.choice(PANELS), "currency": rng.choice(("USD", "USD", "EUR"))}
    return {**told, "at": _near_midnight(rng, today, 6), "balance": _amount(rng)}


def _begun(row: Row) -> datetime:
    begun: datetime = row["ordered_at"] or row["tracked_at"]
    return begun


def _second(moment: datetime) -> int:
    return floor(moment.timestamp())


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, Rows]:
    groups: dict[Any, Rows] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return groups


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [one for one in amounts if one is not None]
    return sum(known, Decimal()) if known else None


def _share(part: int, whole: int) -> float | None:
    """Return a share as the views round it: half up, exactly."""
    if not whole:
        return None
    return float((Decimal(part) / whole).quantize(Decimal("0.0001"), ROUND_HALF_UP))


class Books:
    """The raw tables, and what they amount to."""

    def __init__(self, database: Database) -> None:
        self.orders, self.refills = table(database, orders), table(database, refills)
        self.snapshots = table(database, balance_snapshots)
        self.moves = _grouped(table(database, transitions), lambda row: row["order_key"])
        self.steps = _grouped(table(database, progress), lambda row: row["order_key"])
        self._by_id = {row["id"]: row for row in self.orders}
        self._panels = {row["name"]: row["currency"] for row in table(database, panels)}

    def currency(self, row: Row) -> str:
        return row["currency"] or self._panels.get(row["panel"]) or "XXX"

    def counts(self, row: Row) -> bool:
        return row["parent"] is None or not (self._by_id[row["parent"]]["charge"] or 0) > 0

    def spend(self, since: datetime, until: datetime) -> dict[Any, Any]:
        bought = [row for row in self.orders if self.counts(row) and since <= _begun(row) < until]
        groups = _grouped(
            bought,
            lambda row: (row["panel"], _begun(row).date().isoformat(), row["service_id"], self.currency(row)),
        )
        return {
            key: (len(rows), _sum(row["charge"] for row in rows), sum(row["charge"] is None for row in rows))
            for key, rows in groups.items()
        }

    def refunds(self, since: datetime, until: datetime) -> dict[Any, Any]:
        early = [row for row in self.orders if row["state"] in {"partial", "canceled", "refunded"}]
        ended = [row for row in early if self.counts(row) and since <= row["state_at"] < until]
        groups = _grouped(ended, lambda row: (row["panel"], row["service_id"], row["state"], self.currency(row)))
        return {key: self._back(rows) for key, rows in groups.items()}

    def _back(self, rows: Rows) -> tuple[Any, ...]:
        paid = {row["id"]: self._highest(row["id"]) for row in rows}
        both = [(paid[row["id"]], row["charge"]) for row in rows]
        back = _sum(None if highest is None or now is None else highest - now for highest, now in both)
        return len(rows), _sum(paid.values()), _sum(row["charge"] for row in rows), back

    def _highest(self, key: int) -> Decimal | None:
        told = [row["charge"] for row in (*self.moves[key], *self.steps[key]) if row["charge"] is not None]
        return max(told, default=None)

    def days(self, since: datetime, until: datetime) -> dict[Any, Any]:
        found: dict[Any, list[tuple[Decimal, Decimal]]] = defaultdict(list)
        for account, rows in _grouped(self.snapshots, lambda row: (row["panel"], row["currency"])).items():
            rows.sort(key=lambda row: (row["at"], row["id"]))
            for before, row in pairwise([rows[0], *rows]):
                if since <= row["at"] < until:
                    moved = row["balance"] - before["balance"]
                    found[(*account, row["at"].date().isoformat())].append((row["balance"], moved))
        return {key: self._day(steps) for key, steps in found.items()}

    @staticmethod
    def _day(steps: list[tuple[Decimal, Decimal]]) -> tuple[Any, ...]:
        balances = [balance for balance, _ in steps]
        spent = sum((-moved for _, moved in steps if moved < 0), Decimal())
        added = sum((moved for _, moved in steps if moved > 0), Decimal())
        return balances[0], balances[-1], min(balances), max(balances), spent, added, len(balances)

    def tempo(self, begin: datetime) -> dict[Any, Any]:
        bought = [row for row in self.orders if _begun(row) >= begin]
        groups = _grouped(bought, lambda row: (row["panel"], row["service_id"]))
        return {key: (*self._tempo(rows), *self._repaired(key, begin)) for key, rows in groups.items()}

    def _tempo(self, rows: Rows) -> tuple[Any, ...]:
        lives = [self._life(row) for row in rows]
        starts, finishes = ([time for time in times if time is not None] for times in zip(*lives, strict=True))
        settled = [row["state"] for row in rows if row["state"] in SETTLED]
        shares = [_share(settled.count(state), len(settled)) for state in ("completed", "partial", "canceled")]
        return len(rows), len(settled), *self._ranks(starts), *self._ranks(finishes), *shares

    @staticmethod
    def _ranks(times: list[int]) -> tuple[int, int | None, int | None]:
        times.sort()
        half, most = (times[ceil(len(times) * tenths / 10) - 1] if times else None for tenths in (5, 9))
        return len(times), half, most

    def _life(self, row: Row) -> tuple[int | None, int | None]:
        ordered, tracked = row["ordered_at"], row["tracked_at"]
        prompt = ordered is not None and _second(tracked) - _second(ordered) <= 3600
        begun = _second(_begun(row))

        def first(*states: str) -> int | None:
            move = next((move for move in self.moves[row["id"]] if move["to_state"] in states), None)
            return _second(move["at"]) - begun if move and (move["seq"] > 1 or prompt) else None

        return first("in_progress", "active", "completed", "partial"), first("completed", "partial")

    def _repaired(self, key: tuple[str, str | None], begin: datetime) -> tuple[int, float | None]:
        mine = {row["order_id"] for row in self.orders if (row["panel"], row["service_id"]) == key}
        told = [row for row in self.refills if row["panel"] == key[0] and row["order_id"] in mine]
        states = [row["state"] for row in told if row["tracked_at"] >= begin]
        ended = [state for state in states if state in REFILL_SETTLED]
        return len(states), _share(ended.count("completed"), len(ended))


def _picked(rows: Rows, key: tuple[str, ...], values: tuple[str, ...]) -> dict[Any, Any]:
    found = {tuple(row[name] for name in key): tuple(row[name] for name in values) for row in rows}
    assert len(found) == len(rows), "two rows for the same"
    return found


SPEND = ("panel", "day", "service_id", "currency"), ("orders", "charge", "unpriced")
REFUNDS = ("panel", "service_id", "state", "currency"), ("orders", "charged", "charge", "refunded")
DAYS = (
    ("panel", "currency", "day"),
    ("opening", "closing", "lowest", "highest", "spent", "added", "snapshots"),
)
TEMPO = (
    ("panel", "service_id"),
    (
        *("orders", "settled", "starts", "start_median_seconds", "start_p90_seconds"),
        *("finishes", "finish_median_seconds", "finish_p90_seconds"),
        *("completed_share", "partial_share", "canceled_share", "refills", "refill_success_share"),
    ),
)


def test_every_report_is_what_plain_python_makes_of_the_raw_tables(database: Database, midnight: datetime) -> None:
    books, history = Books(database), database.history
    long_ago, later = midnight - 100 * DAY, midnight + 100 * DAY
    spans = [(midnight - days * DAY, midnight - DAY) for days in (2, 3, 5, 20)]
    for since, until in [(long_ago, later), *spans, (midnight - 4 * DAY + MICROSECOND, later)]:
        span: dict[str, Any] = {"since": since, "until": until, "limit": None}
        assert _picked(history.spend(**span), *SPEND) == books.spend(since, until)
        assert _picked(history.refunds(**span), *REFUNDS) == books.refunds(since, until)
        assert _picked(history.balance_daily(**span), *DAYS) == books.days(since, until)
    for begin in (long_ago, midnight - 10 * DAY, midnight - 3 * DAY - HOUR):
        assert _picked(history.tempo(since=begin, limit=None), *TEMPO) == books.tempo(begin)


def test_a_panel_and_a_service_alone_are_a_part_of_the_whole(database: Database, midnight: datetime) -> None:
    history, since = database.history, midnight - 40 * DAY
    reads: tuple[Callable[..., Rows], ...] = (history.spend, history.refunds, history.tempo)
    for read in reads:
        whole = read(since=since, limit=None)
        for panel in PANELS:
            mine = [row for row in whole if row["panel"] == panel]
            assert read(panel, since=since, limit=None) == mine
            assert read(panel, "2", since=since, limit=None) == [row for row in mine if row["service_id"] == "2"]
    days = history.balance_daily(limit=None)
    assert history.balance_daily("acme", limit=None) == [row for row in days if row["panel"] == "acme"]

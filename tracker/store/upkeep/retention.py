"""Forgetting what is older than it is kept, in small steps that never hold up polling.

    rounds, anomalies   by themselves; nothing points to them but the name of a round in the history
    progress            superseded rows: of each state the last old one stays, so the history still goes on from
                        row to row without a repeat (P2), and its end is still the head (P3)
    closed orders       each in one transaction with its transitions, progress, refills, intents and anomalies, and
                        with the orders that it placed: a child without its parent would be followed anew

Each step reads one bounded page, then deletes by key in one short transaction that looks again at whatever may
have changed since. Killed anywhere, what was committed is whole, and the next walk finds the rest. Needs no
lease: any process may do this. Two at once take turns on Postgres, by an advisory lock; on SQLite they delete the
same rows, which is harmless.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine, and_, delete, func, select, tuple_

from tracker.model import Keep
from tracker.store.engine import reading, writing
from tracker.store.schema import anomalies, orders, progress, rounds, transitions
from tracker.store.upkeep import families
from tracker.store.upkeep.families import Family

PAGE: Final = 1_000
"""Rows of one step, read and deleted: 5 to 20 ms of writing on SQLite (tests/bench/retention.py)."""

ROOTS: Final = 100
"""Closed orders of one step; fewer where their histories are longer than a page together."""

ADVISORY_LOCK: Final = 0x747261636B6570
"""Postgres' lock against two that prune at once; it ends with the transaction."""

FIGURES: Final = ("charge", "currency", "start_count", "remains")

Place: TypeAlias = tuple[Any, ...]
"""Where a walk has come to: the key of the last row that it is done with."""


class Pruned(NamedTuple):
    """What was deleted, or would be."""

    rounds: int = 0
    anomalies: int = 0
    progress: int = 0
    closed_orders: int = 0
    rows: int = 0
    """All rows, those of the histories of closed orders included."""
    more: bool = False
    """Whether there is more to look at."""

    def plus(self, other: "Pruned") -> "Pruned":
        """Return both together; there is more if `other` says so."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in self._fields[:-1]}
        return Pruned(**counts, more=other.more)


class _Look(NamedTuple):
    """What one step of a walk goes by."""

    engine: Engine
    cutoff: datetime
    place: Place | None
    """None: at the beginning."""
    write: bool


Walk: TypeAlias = Callable[[_Look], tuple[Pruned, Place | None]]
"""Returns what was deleted, and where to go on; None where it is through."""


class _Taken(Exception):  # never leaves this module
    """Somebody else prunes at this moment."""


class Retention:
    """One walk after another through a database; the place of the present one is remembered between steps."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._restart()

    def _restart(self) -> None:
        self._turn = 0
        self._place: Place | None = None

    def step(self, now: datetime, keep: Keep, *, write: bool = True) -> Pruned:
        """Do one bounded step; with `write=False` only say what it would delete.

        Where `more` is False the walk is through (or somebody else prunes): the next step begins a new one.
        Raises `DatabaseUnreachable` or `DatabaseUnfit`, with nothing half deleted; it may be tried again.
        """
        while self._turn < len(keep) and keep[self._turn] is None:
            self._turn, self._place = self._turn + 1, None
        if self._turn == len(keep):
            self._restart()
            return Pruned()
        cutoff = now - timedelta(seconds=keep[self._turn] or 0)
        try:
            found, self._place = WALKS[self._turn](_Look(self._engine, cutoff, self._place, write))
        except _Taken:
            self._restart()
            return Pruned()
        if self._place is None:
            self._turn += 1
        return found._replace(more=True)

    def walk(self, now: Callable[[], datetime], keep: Keep, *, write: bool = True) -> Iterator[Pruned]:
        """Yield what each step of one whole walk did; whoever asks for the next one may pause before."""
        self._restart()
        while (done := self.step(now(), keep, write=write)).more:
            yield done


def _alone(connection: Connection) -> None:
    """Be the only one that prunes until the end of the transaction, or raise `_Taken`."""
    if connection.dialect.name == "postgresql":
        mine = select(func.pg_try_advisory_xact_lock(ADVISORY_LOCK))
        if not connection.execute(mine).scalar_one():
            raise _Taken


def _rounds(look: _Look) -> tuple[Pruned, Place | None]:
    old = rounds.c.started_at < look.cutoff
    if not look.write:
        with reading(look.engine) as connection:
            count = connection.execute(select(func.count()).select_from(rounds).where(old)).scalar_one()
        return Pruned(rounds=count, rows=count), None
    oldest = select(rounds.c.round).where(old).order_by(rounds.c.started_at).limit(PAGE)
    with writing(look.engine) as connection:
        _alone(connection)
        count = connection.execute(delete(rounds).where(rounds.c.round.in_(oldest))).rowcount
    return Pruned(rounds=count, rows=count), () if count == PAGE else None


def _anomalies(look: _Look) -> tuple[Pruned, Place | None]:
    key = tuple_(*anomalies.primary_key)
    old = anomalies.c.last_at < look.cutoff
    page = select(*anomalies.primary_key, old).order_by(*anomalies.primary_key).limit(PAGE)
    with reading(look.engine) as connection:
        rows = connection.execute(page if look.place is None else page.where(key > look.place)).all()
    doomed = [tuple(row[:-1]) for row in rows if row[-1]]
    count = len(doomed)
    if doomed and look.write:
        with writing(look.engine) as connection:
            _alone(connection)
            # Looked at again: it may have been seen once more since.
            count = connection.execute(delete(anomalies).where(key.in_(doomed), old)).rowcount
    return Pruned(anomalies=count, rows=count), tuple(rows[-1][:-1]) if len(rows) == PAGE else None


def _progress(look: _Look) -> tuple[Pruned, Place | None]:
    p, t = progress.c, transitions.c
    page = (
        select(
            p.order_key,
            p.seq,
            p.id,
            (p.at < look.cutoff).label("old"),
            and_(*(p[name].is_not_distinct_from(t[name]) for name in FIGURES)).label("repeats"),
        )
        .join_from(progress, transitions, and_(t.order_key == p.order_key, t.seq == p.seq))
        .where(tuple_(p.order_key, p.id) > (look.place or (0, 0)))
        .order_by(p.order_key, p.id)
        .limit(PAGE)
    )
    with reading(look.engine) as connection:
        rows = connection.execute(page).all()
    doomed, place = _superseded(rows)
    if doomed and look.write:
        with writing(look.engine) as connection:
            _alone(connection)
            connection.execute(delete(progress).where(p.id.in_(doomed)))
    return Pruned(progress=len(doomed), rows=len(doomed)), place


def _superseded(rows: Sequence[Any]) -> tuple[list[int], Place | None]:
    """Return the ids of a page that can go, and where the next page begins.

    Of each state only the oldest rows go, one after the other, never one from between: then the last old one and
    the row after it were neighbors before. Where it says what the transition says, it goes too, for the row after
    it says something else; with none after it, it is what the order was last told, and stays with the row before
    it between them. Cut by the end of the page, a state is looked at again from the rows that stayed there.
    """
    doomed: list[int] = []
    young_in, again = None, 1
    for (order_key, _), group in itertools.groupby(rows, key=lambda row: (row.order_key, row.seq)):
        if order_key == young_in:
            continue
        state = list(group)
        old = list(itertools.takewhile(lambda row: row.old, state))
        young_in = order_key if len(old) < len(state) else None
        repeats = bool(old) and old[-1].repeats
        kept = 1 if not repeats else 0 if len(old) < len(state) else 2
        doomed += [row.id for row in old[: max(len(old) - kept, 0)]]
        again = min(kept, len(state))
    if len(rows) < PAGE:
        return doomed, None
    if rows[-1].order_key == young_in:
        return doomed, (young_in, families.LARGEST)
    last = rows[-1 - again]
    return doomed, (last.order_key, last.id)


def _closed_orders(look: _Look) -> tuple[Pruned, Place | None]:
    old = and_(orders.c.parent.is_(None), func.coalesce(orders.c.closed_at < look.cutoff, False))
    page = select(orders.c.id, old.label("old")).where(orders.c.id > (look.place or (0,))[0])
    with reading(look.engine) as connection:
        rows = connection.execute(page.order_by(orders.c.id).limit(PAGE)).all()
        roots = [row.id for row in rows if row.old][: ROOTS + 1]
        found = families.find(connection, roots[:ROOTS], look.cutoff)
        place = (rows[-1].id,) if len(rows) == PAGE else None
        if len(roots) > ROOTS:
            place = (roots[ROOTS - 1],)
        chosen = _first(found)
        if len(chosen) < len(found):
            place = (chosen[-1].root,)
        refills = families.refills_of(connection, chosen)
    if not chosen or not look.write:
        return _forgotten(chosen, sum(one.rows for one in chosen) + len(refills)), place
    with writing(look.engine) as connection:
        _alone(connection)
        same = families.lock(connection, chosen, look.cutoff)
        return _forgotten(same, families.forget(connection, same, refills)), place


def _first(found: Sequence[Family]) -> list[Family]:
    """Return as many families as make a page of rows together, the first one however large it is."""
    sums = itertools.accumulate(one.rows for one in found)
    return [one for one, rows in zip(found, sums, strict=True) if rows <= PAGE or one is found[0]]


def _forgotten(chosen: Sequence[Family], rows: int) -> Pruned:
    return Pruned(closed_orders=sum(len(one.keys) for one in chosen), rows=rows)


WALKS: Final[Sequence[Walk]] = (_rounds, _anomalies, _progress, _closed_orders)
"""In the order of the fields of `Keep`."""

"""P7: while panel and database are well, every open order is answered in time, whatever else is followed.

In time is: within twice the larger of its pace (the interval that it was dealt) and a full sweep (open orders over
the ids that the budget can ask in a minute). Polled in virtual time as the daemon does, over the real store.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from proof.station import Station, station
from proof.table import Figure, Profile
from tracker.model import BATCH, KINDS, Kind
from tracker.settings import Every
from tracker.simulator import DIALECT_NAMES
from tracker.store.schema import orders

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PANEL: Final = "acme"
EVERY: Final = Every()

SEARCH: Final = 3 * BATCH.bit_length()
"""Requests that it takes to find one id in a batch that is refused for it: two for each halving, and one for each
batch that is again twice as large."""


class Case(NamedTuple):
    """What is followed, where, and how fast."""

    dialect: str = "documented"
    per_minute: int = 60
    many: int = 100
    """Orders that were placed."""
    bogus: int = 0
    """Ids that nobody placed."""
    poison: int = 0
    """Orders that make the panel refuse whatever names them."""
    seed: int = 1

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self._asdict().items())


class Lag(NamedTuple):
    """How long the worst of all orders waited, as a share of what is allowed, and which one."""

    share: float = 0.0
    order_id: str = ""
    waited: float = 0.0
    allowed: float = 0.0


def worst(url: str, case: Case, hours: float) -> Lag:
    """Poll `case` so long and for four sweeps in an empty, migrated database; return the worst lag of all."""
    with station(url, {PANEL: case.dialect}, seed=case.seed, every=EVERY) as made:
        made.configure(EVERY, requests_per_minute=float(case.per_minute))
        _follow(made, case)
        ids = 1 if made.simulators[PANEL]._dialect.bulk is False else BATCH
        lag, end = Lag(), made.time.passed + hours * HOUR + 4 * MINUTE * case.many / (ids * case.per_minute)
        due: dict[Kind, float] = dict.fromkeys(KINDS, made.time.passed)
        while made.time.passed < end:
            kind = min(due, key=due.__getitem__)
            made.time.pass_(due[kind] - made.time.passed)
            made.tick(PANEL, kind)
            due[kind] = max(due[kind] + getattr(EVERY, kind), made.time.passed)
            if kind == "statuses":
                lag = max(lag, _lag(made, case, ids))
        assert not made.found, made.found
        return lag


def _follow(made: Station, case: Case) -> None:
    random = Random(case.seed)
    placed = [one.order_id for one in made.simulators[PANEL].world.spawn(case.many, oldest=3 * DAY)]
    made.poison.update(random.sample(placed, case.poison))
    bogus = [f"no{number}" for number in range(case.bogus)]
    made.sound.bogus[PANEL].update(bogus)
    rows = [{"panel": PANEL, "order_id": one} for one in (*placed, *bogus)]
    random.shuffle(rows)
    with made.engine.begin() as connection:
        connection.execute(insert(orders), rows)


def _lag(made: Station, case: Case, ids: int) -> Lag:
    """Return the worst lag at this moment."""
    wanted = (orders.c.order_id, orders.c.tracked_at, orders.c.checked_at, orders.c.next_poll_at)
    with made.engine.connect() as connection:
        rows = connection.execute(select(*wanted).where(orders.c.closed_at.is_(None))).all()
    requests = ceil(len(rows) / ids) + SEARCH * case.poison
    sweep = requests / case.per_minute * MINUTE
    asked = [row for row in rows if row.order_id not in made.poison | made.sound.bogus[PANEL]]
    return max((_of(row, made.time.wall(), sweep) for row in asked), default=Lag())


def _of(row: Any, now: datetime, sweep: float) -> Lag:  # noqa: ANN401  # a row of four columns
    since = row.checked_at or row.tracked_at
    pace = (row.next_poll_at - row.checked_at).total_seconds() if row.checked_at else 0.0
    allowed = 2 * max(pace, sweep, EVERY.statuses)
    waited = (now - since).total_seconds()
    return Lag(waited / allowed, row.order_id, waited, allowed)


@st.composite
def cases(draw: st.DrawFn, most: int) -> Case:
    """Draw a case of at most so many orders."""
    per_minute = draw(st.sampled_from((1, 2, 5, 10, 30, 60, 120)) | st.integers(1, 120))
    many = draw(st.integers(1, most))
    return Case(
        dialect=draw(st.sampled_from(DIALECT_NAMES)),
        per_minute=per_minute,
        many=many,
        bogus=draw(st.integers(0, many // 4)),
        poison=draw(st.integers(0, min(many // 10, 3))),
        seed=draw(st.integers(0, 99)),
    )


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Draw many cases, each in a copy of the empty SQLite database `url`."""
    began, lags = time.monotonic(), list[Lag]()

    @seed(profile.seed)
    @settings(
        max_examples=profile.often(3, 150), deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=cases(most=profile.often(100, 1000)))
    def in_time(case: Case) -> None:
        profile.say(str(case))
        lags.append(in_a_copy(url, case, 3.0 if profile.long else 0.5))
        assert lags[-1].share <= 1, lags[-1]

    in_time()
    yield Figure(
        "P7",
        "drawn numbers of orders, unknown and poisonous ids, budgets of 1 to 120 requests a minute, and dialects",
        len(lags),
        f"no open order waited longer than {max(lags).share:.0%} of what is promised; "
        f"{time.monotonic() - began:.0f} s",
    )


def in_a_copy(url: str, case: Case, hours: float) -> Lag:
    """Return the worst lag of a case that is polled in a copy of an empty SQLite database."""
    with tempfile.TemporaryDirectory(prefix="progress-") as folder:
        path = Path(folder) / "tracker.db"
        shutil.copy(url.removeprefix("sqlite:///"), path)
        return worst(f"sqlite:///{path}", case, hours)

"""A month of everything that can go wrong, from one seed: the same seed is the same month to the microsecond.

    cd tests && python -m proof.month --seed 17 [--days 30] [--database postgres]

Two panels, a shop, two daemons and one database in virtual time (`proof.station`). Panels break in every way that
the simulator knows, databases fail at statements and around COMMITs, daemons die, sleep and lose their lease in
a request, clocks are set wrong, paces change, history is pruned (`proof.calendar`). Prints what happened and what
is wrong.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import NamedTuple

import psycopg
from bench.common import databases
from psycopg import sql
from sqlalchemy import Text, cast, func, make_url, select

from proof.calendar import MINUTE, Calendar, every
from proof.ground import kind_of
from proof.station import station
from proof.table import Figure, Profile
from proof.virtual import own_clock
from tracker.simulator import DIALECT_NAMES
from tracker.store.database import Database, opened
from tracker.store.schema import metadata, orders, progress, transitions


class Told(NamedTuple):
    """What a month was."""

    seed: int
    counts: Counter[str]
    digest: str
    """Of every row of the database at the end."""
    wrong: list[str]


def live(url: str, seed: int, days: float) -> Told:
    """Live through the month of `seed` in a migrated, empty database with a clock of its own (`proof.virtual`)."""
    dialects = Random(seed).sample(DIALECT_NAMES, 2)
    named = {f"panel{number}": dialect for number, dialect in enumerate(dialects)}
    with station(url, named, seed=seed, every=every(30 * MINUTE)) as made:
        calendar = Calendar(made, seed, days)
        calendar.run()
        for table in (orders, transitions, progress):
            with made.engine.connect() as connection:
                made.counts[table.name] = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return Told(seed, made.counts, digest(made.sound.database), calendar.wrong)


def digest(database: Database) -> str:
    """Return what tells whether two databases hold the same history; names that each run makes up are left out."""
    sha = hashlib.sha256()
    with database._engine.connect() as connection:
        for table in metadata.sorted_tables:
            columns = [cast(column, Text) for column in table.columns if column.name not in {"round", "url"}]
            if table.name == "rounds":
                columns.sort(key=str)
            for row in connection.execute(select(*columns).order_by(*columns)):
                sha.update(repr((table.name, *row)).encode())
    return sha.hexdigest()


@contextmanager
def copied(template: str, name: str) -> Iterator[str]:
    """Copy a database that nobody is connected to, for the time of a block; give the copy's URL."""
    url = make_url(template)
    if kind_of(template) == "SQLite":
        with tempfile.TemporaryDirectory(prefix="month-") as folder:
            path = Path(folder) / f"{name}.db"
            shutil.copy(str(url.database), path)
            yield f"sqlite:///{path}"
        return
    made, like = sql.Identifier(name), sql.Identifier(str(url.database))
    server = url.set(drivername="postgresql", database="postgres").difference_update_query(["options"])
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, like))
        yield url.set(database=name).render_as_string(hide_password=False)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))


def apart(template: str, seed: int, days: float) -> Told:
    """Live through a month in a copy of the database `template`, in a process of a pool."""
    with copied(template, f"month{seed}") as url:
        return live(url, seed, days)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Live through many months, two at a time; `url` is an empty database, of which copies are made."""
    kind, template = kind_of(url), own_clock(url)
    days, began = 30 if profile.long else 3, time.monotonic()
    seeds = [profile.seed + number for number in range(profile.often(2, 50))]
    counts = Counter[str]()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for told in pool.map(apart, [template] * len(seeds), seeds, [days] * len(seeds)):
            profile.say(f"month of seed {told.seed}: {told.counts['requests']} requests")
            again = f"python -m proof.month --seed {told.seed} --days {days} --database {kind.lower()}"
            assert not told.wrong, f"{again}: {told.wrong[:5]}"
            counts += told.counts
    yield Figure(
        "P1 P2 P3 P4 P6",
        f"{days} virtual days of everything that can go wrong, each time of another seed, {kind}",
        len(seeds),
        f"nothing lost, twice, or invented in {summary(counts)}; {time.monotonic() - began:.0f} s",
    )


def summary(counts: Counter[str]) -> str:
    """Return in a sentence what happened."""
    faults = sum(count for name, count in counts.items() if name.startswith("panel fault"))
    return (
        f"{counts['requests']:,} requests about {counts['orders']:,} orders, "
        f"{counts['transitions']:,} transitions, {faults:,} spells of panel faults, "
        f"{counts['database faults']:,} database faults, "
        f"{counts['kills']:,} kills, {counts['takeovers']:,} takeovers within a request, "
        f"{counts['clock']:,} clocks set wrong"
    )


def main() -> int:
    """Live through one month and tell of it; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof.month", description="Live through one month again.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, default=30)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    asked = parser.parse_args()
    with databases([asked.database]) as make:
        url, began = make(asked.database), time.monotonic()
        with opened(url, create=True) as database:
            database.upgrade()
        told = live(own_clock(url), asked.seed, asked.days)
    for name, count in sorted(told.counts.items()):
        print(f"{count:9,}  {name}")
    print(f"{summary(told.counts)}; {time.monotonic() - began:.0f} s\ndigest {told.digest}")
    print(*(told.wrong or ["nothing is wrong"]), sep="\n")
    return int(bool(told.wrong))


if __name__ == "__main__":
    sys.exit(main())

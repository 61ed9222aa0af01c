"""Sweeps over many open orders: time and memory, beside a bare loop and a script written by hand.

    cd tests && python -m bench.sweep [--quick | --full] [--orders 1000 10000] [--database sqlite] > sweep.json

Every piece runs in a process of its own, whose CPU time and peak memory are the operating system's figures, and
so do the panel and Postgres. `bare` only fetches and parses the same replies with the same HTTP client. `script`
is what a user would write by hand: the same loop with plain sqlite3 or psycopg, `executemany`, one commit a
batch. `tracker` is the real round of statuses: plan, load, ask, decide, write. A tenth of the orders change
their state from sweep to sweep, and four tenths their figures. The first sweep of each piece, in which
everything is new, is not counted.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any, Final

import httpx
from bench.common import FIRST, KEY, Figures, apart, databases, fill, panel, peak_mib, plain, polling, sweep, turn

from tracker.panel import make_http_client

IN_FLIGHT: Final = 2
"""What a panel has unless it is configured otherwise. Bare loop and script, like any first script, have one."""

Sweeps = Callable[[ExitStack, str, int, str], Callable[[], None]]
"""Prepares (stack, panel's address, orders, database's address) and returns what does one sweep."""


def batches(count: int) -> Iterator[list[str]]:
    """Cut the ids of all orders into batches."""
    for start in range(FIRST, FIRST + count, 100):
        yield [str(one) for one in range(start, min(start + 100, FIRST + count))]


def fetch(http: httpx.Client, url: str, ids: list[str]) -> dict[str, dict[str, str]]:
    """Ask about one batch."""
    told: dict[str, dict[str, str]] = http.post(
        url, data={"key": KEY, "action": "status", "orders": ",".join(ids)}
    ).json()
    return told


def bare(stack: ExitStack, url: str, count: int, _database: str) -> Callable[[], None]:
    """Only ask and parse."""
    http = stack.enter_context(make_http_client(threading.Event()))

    def once() -> None:
        for ids in batches(count):
            fetch(http, url, ids)

    return once


SCRIPT_TABLES: Final = (
    "CREATE TABLE o (id INTEGER PRIMARY KEY, status TEXT, charge NUMERIC, start_count INT, remains INT, at TEXT)",
    "CREATE TABLE h (id INTEGER, at TEXT, status TEXT, charge NUMERIC, start_count INT, remains INT)",
    "CREATE INDEX h_id ON h (id)",
)


def script(stack: ExitStack, url: str, count: int, database: str) -> Callable[[], None]:
    """Do what a user would write by hand."""
    http = stack.enter_context(make_http_client(threading.Event()))
    connection = stack.enter_context(plain(database))
    cursor = connection.cursor()
    mark = "%s"
    if database.startswith("sqlite"):
        mark = "?"
        for pragma in ("journal_mode=wal", "synchronous=normal"):
            cursor.execute(f"PRAGMA {pragma}")
    for statement in SCRIPT_TABLES:
        cursor.execute(statement)
    cursor.executemany(f"INSERT INTO o (id) VALUES ({mark})", ((FIRST + one,) for one in range(count)))
    connection.commit()
    select = "SELECT id, status, remains FROM o WHERE id IN ({})"
    head = "UPDATE o SET status=?, charge=?, start_count=?, remains=?, at=? WHERE id=?".replace("?", mark)
    history = f"INSERT INTO h VALUES ({', '.join([mark] * 6)})"

    def once() -> None:
        for ids in batches(count):
            told = fetch(http, url, ids)
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            cursor.execute(select.format(",".join([mark] * len(ids))), [int(one) for one in ids])
            known = {str(row[0]): (row[1], row[2]) for row in cursor.fetchall()}
            heads, rows = [], []
            for one, it in told.items():
                status, charge = it["status"], it["charge"]
                start, remains = int(it["start_count"]), int(it["remains"])
                heads.append((status, charge, start, remains, now, int(one)))
                if known[one] != (status, remains):
                    rows.append((int(one), now, status, charge, start, remains))
            cursor.executemany(head, heads)
            cursor.executemany(history, rows)
            connection.commit()

    return once


def tracker(stack: ExitStack, url: str, count: int, database: str) -> Callable[[], None]:
    """Run real rounds; its database was filled by another process, whose memory is not this one's."""
    post = stack.enter_context(polling(database, url, IN_FLIGHT))
    return lambda: sweep(post, count)


PIECES: Final[dict[str, Sweeps]] = {"bare": bare, "script": script, "tracker": tracker}


def measure(name: str, url: str, count: int, database: str, sweeps: int) -> Figures:
    """Run one piece in this process and return its figures for one sweep, medians of `sweeps`."""
    walls, cpus = [], []
    with ExitStack() as stack:
        once = PIECES[name](stack, url, count, database)
        for number in range(sweeps + 1):
            turn(url, number)
            wall, cpu = time.perf_counter(), time.process_time()
            once()
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
    wall, cpu = median(walls[1:]), median(cpus[1:])
    return {
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "wall_us_per_order": round(wall / count * 1e6, 2),
        "cpu_us_per_order": round(cpu / count * 1e6, 2),
        "peak_mib": round(peak_mib(), 1),
    }


def compare(kind: str, count: int, url: str, make: Callable[[str], str]) -> Figures:
    """Return the figures of all pieces over `count` orders in a database of `kind`, and their ratios."""
    found: Figures = {"bench": "sweep", "database": kind, "orders": count}
    for name in PIECES:
        database = make(kind)
        if name == "tracker":
            fill(database, count)
        found[name] = apart(
            "sweep", name, url, count, database, 5 if count <= 10_000 else 3 if count < 10**6 else 1
        )
    for one, other in (("script", "bare"), ("tracker", "bare"), ("tracker", "script")):
        for figure in ("wall", "cpu"):
            found[f"{one}_to_{other}_{figure}"] = round(found[one][f"{figure}_s"] / found[other][f"{figure}_s"], 2)
    return found


def sentence(row: Figures) -> str:
    """Return one comparison for a person."""
    costs = ", ".join(f"{name} {row[name]['wall_us_per_order']:.1f}" for name in PIECES)
    return (
        f"{row['database']:8} {row['orders']:9,} orders: µs an order: {costs}; tracker to script "
        f"{row['tracker_to_script_wall']:.2f} (CPU {row['tracker_to_script_cpu']:.2f}), "
        f"peak {row['tracker']['peak_mib']:.0f} MiB"
    )


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    size.add_argument("--quick", dest="orders", action="store_const", const=[1_000, 10_000])
    size.add_argument("--full", dest="orders", action="store_const", const=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--piece", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        name, url, count, database, sweeps = options.piece
        print(json.dumps(measure(name, url, int(count), database, int(sweeps))))
        return
    rows: list[dict[str, Any]] = []
    with panel() as url, databases(options.database) as make:
        for kind in options.database:
            for count in options.orders:
                rows.append(compare(kind, count, url, make))
                print(sentence(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

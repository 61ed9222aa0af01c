"""A sweep in which nothing changed: what it writes to the disk, per order.

    cd tests && python -m bench.quiet [--quick] [--orders 10000 100000] [--database sqlite] > quiet.json

On SQLite these are the bytes that the write-ahead log grows by while a reader keeps it from starting over, on
Postgres the distance that the log moves (`pg_current_wal_lsn`), which holds whole pages after each checkpoint.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.common import Figures, databases, fill, panel, plain, polling, sweep, turn

WARM: Final = 2
"""Sweeps before the measured one: the first brings news, the second finds room on the pages."""


@contextmanager
def written(database: str) -> Iterator[Callable[[], int]]:
    """Give what returns the bytes of the log that were written since the beginning of the block."""
    with plain(database) as connection:
        if database.startswith("sqlite"):
            wal = Path(database.removeprefix("sqlite:///") + "-wal")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM orders").fetchone()
            before = wal.stat().st_size
            yield lambda: wal.stat().st_size - before
            return
        connection.autocommit = True
        [start] = connection.execute("SELECT pg_current_wal_lsn()").fetchone()
        moved = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)"
        yield lambda: int(connection.execute(moved, [start]).fetchone()[0])


def measure(url: str, count: int, database: str) -> Figures:
    """Return the bytes that one quiet sweep wrote."""
    fill(database, count)
    turn(url, 0)
    with polling(database, url, 2) as post:
        for _ in range(WARM):
            sweep(post, count)
        with written(database) as bytes_written:
            sweep(post, count)
            found = bytes_written()
    return {"bytes": found, "bytes_per_order": round(found / count)}


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, nargs="+", default=[10_000, 100_000])
    size.add_argument("--quick", dest="orders", action="store_const", const=[5_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    rows: list[Figures] = []
    with panel() as url, databases(options.database) as make:
        for kind in options.database:
            for count in options.orders:
                found = measure(url, count, make(kind))
                rows.append({"bench": "quiet", "database": kind, "orders": count, **found})
                told = f"{found['bytes_per_order']} bytes an unchanged order"
                print(f"{kind:8} {count:9,} orders: {told}", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

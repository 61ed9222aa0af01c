"""Exports of a long history: rows a second and memory, beside the plain query and a script written by hand.

    cd tests && python -m bench.export [--quick | --full] [--rows 1000000] [--database sqlite] > export.json

Every piece runs in a process of its own, whose peak memory is the operating system's figure. `query` only fetches
the same rows, joined with their orders, in one go through the driver; `copy` is what Postgres itself has for this;
`script` is what a user would write by hand: the same query through a server's cursor, and `csv.writer`. `csv`,
`jsonl` and `parquet` are the real command into a file: short transactions, all cells looked at.
"""

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.common import Figures, apart, databases, peak_mib, plain

from tracker.cli.asking.export_run import run
from tracker.store.database import opened

EVENTS: Final = 10
"""Transitions of one order."""

NUMBERS: Final = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) ",
    "postgres": "WITH n(i) AS (SELECT generate_series(1, {count})) ",
}
MOMENT: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', (i * 7 + s * 977) || ' seconds') "
    "|| substr(CAST(1000 + (i * 7 + s) % 1000 AS TEXT), 2)",
    "postgres": "timestamptz '2026-01-01 UTC' + make_interval(secs => i * 7 + s * 977 + (i * 7 + s) % 1000 / 1e6)",
}
ORDERS: Final = """
    INSERT INTO orders (id, panel, order_id, service_id, link, quantity, ref) {numbers}
    SELECT i, 'senderin', CAST(i + 1000000 AS TEXT), CAST(i % 800 AS TEXT),
           'https://www.instagram.com/p/C' || CAST(i AS TEXT) || '/?igsh=MzRlODBi', 1000, 'a-' || CAST(i AS TEXT)
      FROM n
"""
TRANSITIONS: Final = """
    INSERT INTO transitions (order_key, seq, at, from_state, to_state, panel_status, charge, currency, start_count,
                             remains, round) {numbers}, m(s) AS (VALUES {events})
    SELECT i, s, {moment}, 'pending', 'in_progress', 'In progress',
           round(CAST((i * 7919 + s * 104729) % 10000000 / 100000.0 AS NUMERIC), 5), 'USD', i * 31, 1000 - s * 100,
           '6b1f3c1e-1f0a-4b43-9d8e-' || CAST(100000000000 + i AS TEXT) FROM n, m
"""
QUERY: Final = """
    SELECT o.panel, o.order_id, t.* FROM transitions t JOIN orders o ON o.id = t.order_key
     ORDER BY t.order_key, t.seq
"""

Piece = Callable[[str, str], None]
"""Reads all transitions of a database (its URL, a folder to write in)."""


def fill(database: str, kind: str, rows: int) -> None:
    """Make a history of `rows` transitions."""
    with opened(database, create=True) as made:
        made.upgrade()
    numbers = NUMBERS[kind].format(count=rows // EVENTS)
    events = ", ".join(f"({event})" for event in range(1, EVENTS + 1))
    with plain(database) as connection:
        connection.execute(ORDERS.format(numbers=numbers))
        connection.execute(TRANSITIONS.format(numbers=numbers, events=events, moment=MOMENT[kind]))
        connection.execute("ANALYZE")


def query(database: str, _folder: str) -> None:
    """Fetch the rows and drop them."""
    with plain(database) as connection:
        cursor = connection.cursor("rows") if "postgres" in database else connection.cursor()
        cursor.execute(QUERY)
        while cursor.fetchmany(5000):
            pass


def script(database: str, folder: str) -> None:
    """Do what a user would write by hand."""
    with plain(database) as connection, Path(folder, "script.csv").open("w", newline="") as file:
        cursor = connection.cursor("rows") if "postgres" in database else connection.cursor()
        cursor.execute(QUERY)
        writer = csv.writer(file)
        while rows := cursor.fetchmany(5000):
            writer.writerows(rows)


def copy(database: str, folder: str) -> None:
    """Have Postgres write the CSV."""
    statement = f"COPY ({QUERY}) TO STDOUT (FORMAT csv, HEADER)"
    with (
        plain(database) as connection,
        Path(folder, "copy.csv").open("wb") as file,
        connection.cursor().copy(statement) as blocks,
    ):
        file.writelines(blocks)


def tracker(form: str) -> Piece:
    """Return the command itself."""

    def piece(database: str, folder: str) -> None:
        with opened(database) as known:
            done = run(
                known.export("transitions"), "transitions", f"{folder}/out.{form}", form, after=None, append=False
            )
        assert done.fault is None, done

    return piece


PIECES: Final[dict[str, Piece]] = {
    "query": query,
    "script": script,
    "copy": copy,
    "csv": tracker("csv"),
    "jsonl": tracker("jsonl"),
    "parquet": tracker("parquet"),
}


def measure(piece: str, database: str, folder: str) -> Figures:
    """Run one piece; return what it took."""
    began, cpu = time.perf_counter(), os.times().user
    PIECES[piece](database, folder)
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(os.times().user - cpu, 2),
        "peak_mib": round(peak_mib()),
    }


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rows", type=int, default=1_000_000)
    size.add_argument("--quick", dest="rows", action="store_const", const=200_000)
    size.add_argument("--full", dest="rows", action="store_const", const=10_000_000)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--piece", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        print(json.dumps(measure(*options.piece)))
        return
    figures: list[Figures] = []
    with databases(options.database) as make:
        for kind in options.database:
            database = make(kind)
            fill(database, kind, options.rows)
            folder = make("sqlite").removeprefix("sqlite:///").rpartition("/")[0]
            for piece in PIECES:
                if piece == "copy" and kind == "sqlite":
                    continue
                found = apart("export", piece, database, folder)
                a_second = round(options.rows / found["seconds"])
                figures.append(
                    {"bench": "export", "database": kind, "piece": piece, "rows": options.rows, **found}
                )
                figures[-1]["rows_a_second"] = a_second
                told = f"{a_second:9,} rows/s  {found['peak_mib']:4} MiB"
                print(f"{kind:8} {options.rows:10,} rows  {piece:8}{told}", file=sys.stderr, flush=True)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

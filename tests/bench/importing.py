"""What `tracker import` costs, beside a bare `executemany` of the same rows into the same empty table.

    cd tests && python -m bench.importing [--quick | --full] [--database sqlite postgres] > importing.json

`bare` inserts rows that are in memory already, in one transaction. `script` has them read from the file by
`csv.reader`, as one would by hand: nothing is checked, and a second run fails. `tracker` is the command, with its
modules loaded before, and `again` the same once more: all is known. Every piece is a process of its own with an
empty database of its own. While another `tracker` runs on SQLite, `wait_ms` is the longest that a writer beside it
had to wait for its turn. `--full` takes a million rows as well.
"""

import argparse
import csv
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from bench.common import TESTS, Figures, apart, databases, peak_mib, plain

from tracker.cli.main import run
from tracker.store.database import opened

NAMES: Final = ("panel", "order_id", "service_id", "link", "quantity", "ref", "ordered_at")


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """Make orders as a shop exports them."""
    for one in range(count):
        link, at = f"https://example.com/p/{one}", f"2026-01-{1 + one % 28:02} 10:{one % 60:02}:00"
        yield (
            "bench",
            str(23501 + one),
            str(one % 500),
            link,
            str(100 + one % 90),
            f"shop-{one}",
            at,
        )


def write_file(folder: Path, count: int) -> Path:
    """Write the file to import, and a configuration beside it; return its path."""
    path = folder / f"{count}.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(NAMES)
        writer.writerows(rows(count))
    return path


def insert(database: str, given: Iterable[Sequence[str]]) -> None:
    """Insert rows as they are, in one transaction."""
    mark = "?" if database.startswith("sqlite") else "%s"
    marks = ", ".join([mark] * len(NAMES))
    with plain(database) as connection:
        connection.cursor().executemany(f"INSERT INTO orders ({', '.join(NAMES)}) VALUES ({marks})", given)


def bare(path: Path, database: str) -> Callable[[], object]:
    with path.open(newline="") as stream:
        given = list(csv.reader(stream))[1:]
    return lambda: insert(database, given)


def script(path: Path, database: str) -> Callable[[], object]:
    def once() -> None:
        with path.open(newline="") as stream:
            reader = csv.reader(stream)
            next(reader)
            insert(database, reader)

    return once


def tracker(path: Path, database: str) -> Callable[[], object]:
    command(write_file(path.parent, 0), database)
    return lambda: command(path, database)


def command(path: Path, database: str) -> None:
    config = path.with_suffix(".toml")
    config.write_text(f'database_url = "{database}"\n')
    code = run(["import", str(path), "--config", str(config)])
    assert code == 0, code


def again(path: Path, database: str) -> Callable[[], object]:
    command(path, database)
    return tracker(path, database)


PIECES: Final = {"bare": bare, "script": script, "tracker": tracker, "again": again}


def measure(name: str, path: Path, database: str) -> Figures:
    """Run one piece in this process and return its figures."""
    once = PIECES[name](path, database)
    wall, cpu = time.perf_counter(), time.process_time()
    once()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    count = int(path.stem)
    return {
        "wall_s": round(wall, 3),
        "cpu_s": round(cpu, 3),
        "rows_per_s": round(count / wall),
        "cpu_us_per_row": round(cpu / count * 1e6, 2),
        "peak_mib": round(peak_mib(), 1),
    }


def longest_wait(path: Path, database: str) -> float:
    """Return the longest that a writer waits, in milliseconds, while another process imports the file."""
    command = [sys.executable, "-m", "bench.importing", "--piece", "tracker", str(path), database]
    longest = 0.0
    with (
        closing(sqlite3.connect(database.removeprefix("sqlite:///"), timeout=60, isolation_level=None)) as writer,
        subprocess.Popen(command, cwd=TESTS, stdout=subprocess.DEVNULL) as importing,
    ):
        while importing.poll() is None:
            began = time.perf_counter()
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("COMMIT")
            longest = max(longest, time.perf_counter() - began)
            time.sleep(0.01)
    assert importing.returncode == 0
    return round(longest * 1000, 1)


def compare(kind: str, count: int, folder: Path, make: Callable[[str], str]) -> Figures:
    """Return the figures of all pieces for a file of `count` rows, and their ratios."""
    found: Figures = {"bench": "importing", "database": kind, "rows": count}
    path = write_file(folder, count)
    for name in PIECES:
        found[name] = apart("importing", name, path, empty(make(kind)))
    for yardstick in ("bare", "script"):
        for figure in ("wall", "cpu"):
            ratio = found["tracker"][f"{figure}_s"] / found[yardstick][f"{figure}_s"]
            found[f"tracker_to_{yardstick}_{figure}"] = round(ratio, 2)
    if kind == "sqlite":
        found["wait_ms"] = longest_wait(path, empty(make(kind)))
    return found


def empty(database_url: str) -> str:
    """Make the schema; return the address."""
    with opened(database_url, create=True) as database:
        database.upgrade()
    return database_url


def sentence(row: Figures) -> str:
    """Return one comparison for a person."""
    speeds = ", ".join(f"{name} {row[name]['rows_per_s']:,}" for name in PIECES)
    wait = f"; a writer beside it waited {row['wait_ms']:.0f} ms at most" if "wait_ms" in row else ""
    return (
        f"{row['database']:8} {row['rows']:9,} rows: rows a second: {speeds}; tracker to bare "
        f"{row['tracker_to_bare_wall']:.2f} (CPU {row['tracker_to_bare_cpu']:.2f}), "
        f"peak {row['tracker']['peak_mib']:.0f} MiB{wait}"
    )


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--rows", type=int, nargs="+", default=[100_000])
    size.add_argument("--quick", dest="rows", action="store_const", const=[10_000])
    size.add_argument("--full", dest="rows", action="store_const", const=[100_000, 1_000_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--piece", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        name, path, database = options.piece
        with closing(sys.stdout) as out:
            sys.stdout = sys.stderr  # what the command says is no figure
            print(json.dumps(measure(name, Path(path), database)), file=out)
        return
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, databases(options.database) as make:
        for kind in options.database:
            for count in options.rows:
                found.append(compare(kind, count, Path(folder), make))
                print(sentence(found[-1]), file=sys.stderr, flush=True)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

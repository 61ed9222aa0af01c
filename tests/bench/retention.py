"""How fast what is old is forgotten, and how long one step of it holds up whoever writes.

    cd tests && python -m bench.retention [--orders 100000] [--database sqlite] > retention.json

The history is that of `bench.past` (ten transitions an order), with 20 more rows of progress for each tenth order
and 200,000 rounds. What is older than 30 days goes, and most orders that are closed, without a pause between the
steps. `held_up` is what another writer of the same database waits, who begins a transaction every 5 ms.
"""

import argparse
import json
import sys
import threading
import time
from datetime import UTC, datetime
from statistics import median
from typing import Final, Self

from bench import past
from bench.common import Figures, databases, plain

from tracker.model import Keep
from tracker.store.database import Database, opened

MONTH: Final = 30 * 86400.0
HOUR: Final = 3600.0
ROUNDS: Final = 200_000
ROUNDS_SQL: Final = """
INSERT INTO rounds (round, panel, kind, started_at, finished_at, outcome)
{numbers} SELECT 'round-' || i, 'bench', 'statuses', {begun_at}, {begun_at}, 'ok' FROM n
"""
PROGRESS_SQL: Final = """
INSERT INTO progress (order_key, seq, at, charge, currency, start_count, remains)
{numbers} SELECT 1 + i * 10 % ({count} / 2), 10, {begun_at}, {charge}, 'USD', i % 5000, i FROM n
"""


class Writer:
    """Another writer: changes a row of its own again and again, and keeps how long each took."""

    def __init__(self, database: Database) -> None:
        self.seconds: list[float] = []
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        while not self._stop.wait(0.005):
            began = time.perf_counter()
            self._database.acquire("other", "bench", 60)
            self.seconds.append(time.perf_counter() - began)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def forget(url: str, keep: Keep) -> Figures:
    """Prune once; return the rows a second, and how long steps and other writers took at worst, in ms."""
    with opened(url) as database:
        now = datetime.now(UTC)
        steps, rows = [], 0
        began = mark = time.perf_counter()
        with Writer(database) as writer:
            for done in database.retention().walk(lambda: now, keep):
                rows += done.rows
                steps.append(time.perf_counter() - mark)
                mark = time.perf_counter()
        seconds = time.perf_counter() - began
    return {
        "rows": rows,
        "rows_a_second": round(rows / seconds),
        "steps": len(steps),
        "step_ms_median": round(median(steps) * 1000, 1),
        "step_ms_longest": round(max(steps) * 1000, 1),
        "held_up_ms_median": round(median(writer.seconds) * 1000, 1),
        "held_up_ms_longest": round(max(writer.seconds) * 1000, 1),
    }


def main() -> None:
    """Print the figures of each database as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--database", choices=["sqlite", "postgres"], action="append")
    given = parser.parse_args()
    kinds = given.database or ["sqlite", "postgres"]
    figures: Figures = {}
    with databases(kinds) as make:
        for kind in kinds:
            url = make(kind)
            past.make(url, given.orders)
            with plain(url) as connection:
                dialect = past.DIALECTS["sqlite" if kind == "sqlite" else "postgresql"]
                for template, rows in ((ROUNDS_SQL, ROUNDS), (PROGRESS_SQL, given.orders * 2)):
                    connection.execute(past.filled(template, dialect, rows))
            figures[kind] = {
                "rounds": forget(url, Keep(MONTH, None, None, None)),
                "progress": forget(url, Keep(None, None, MONTH, None)),
                "closed_orders": forget(url, Keep(None, None, None, HOUR)),
            }
    json.dump({"orders": given.orders, **figures}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()

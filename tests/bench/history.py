"""How long the common questions take on a long history, beside the plain SQL that answers the same.

    cd tests && python -m bench.history [--quick | --full] [--orders 100000] [--database sqlite] > history.json

The history is made by `bench.past`: ten transitions for each order, a tenth of them within the last 30 days.
`--full` takes a million orders, some minutes, and 6 GB for a while. Each figure is the median of some askings in
milliseconds: `read` through `database.history`, rows of Python included; `view` from the view; `plain` by hand on
the tables, where that is easy: the plain tempo knows only how long orders take to finish.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any, Final, NamedTuple, TypeAlias

from bench import past
from bench.common import Figures, databases, plain

from tracker.store.database import opened
from tracker.store.reading.history import History

Asked: TypeAlias = Callable[[], object]

PATIENCE: Final = 2.0
"""Seconds of asking the same: quick questions are asked often."""

DAY_AGO: Final = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S', 'now', '-1 day')",
    "postgres": "now() - interval '1 day'",
}
MONTH_AGO: Final = {name: text.replace("1 day", "30 days") for name, text in DAY_AGO.items()}
SECONDS: Final = {
    "sqlite": "(julianday({1}) - julianday({0})) * 86400",
    "postgres": "extract(epoch FROM {1} - {0})",
}


class Question(NamedTuple):
    """One question, asked in three ways."""

    name: str
    most_ms: float | None
    """What the project aims at."""
    read: Callable[[History, str], object]
    view: str | None
    plain: str


def _show(history: History, order_id: str) -> object:
    [head] = history.find(order_id)
    return history.timeline(head["id"])


QUESTIONS: Final = (
    Question(
        "show of one order",
        50.0,
        _show,
        "SELECT * FROM order_timeline WHERE order_id = '{order}' ORDER BY seq, step",
        """SELECT t.at, t.seq, t.to_state, t.remains, t.charge FROM orders o, transitions t
           WHERE t.order_key = o.id AND o.order_id = '{order}' UNION ALL
           SELECT p.at, p.seq, NULL, p.remains, p.charge FROM orders o, progress p
           WHERE p.order_key = o.id AND o.order_id = '{order}' ORDER BY 1""",
    ),
    Question(
        "stuck, 50 of them",
        50.0,
        lambda history, _: history.stuck(limit=50),
        "SELECT * FROM stuck_orders ORDER BY silent_seconds DESC LIMIT 50",
        """SELECT * FROM orders WHERE closed_at IS NULL AND settled_at IS NULL AND changed_at <= {day_ago}
           ORDER BY changed_at LIMIT 50""",
    ),
    Question(
        "service_tempo",
        2000.0,
        lambda history, _: history.tempo(limit=None),
        "SELECT * FROM service_tempo",
        """WITH times AS (SELECT o.service_id, {finish} AS took,
               row_number() OVER (PARTITION BY o.service_id ORDER BY {finish}) AS place,
               count(*) OVER (PARTITION BY o.service_id) AS times
             FROM orders o JOIN transitions t ON t.order_key = o.id
             WHERE o.ordered_at >= {month_ago} AND t.to_state IN ('completed', 'partial') AND t.at >= {month_ago})
           SELECT service_id, max(times), min(CASE WHEN place * 2 >= times THEN took END),
               min(CASE WHEN place * 10 >= times * 9 THEN took END) FROM times GROUP BY service_id""",
    ),
    Question(
        "the newest 50 orders",
        None,
        lambda history, _: history.orders(limit=50),
        None,
        "SELECT * FROM orders ORDER BY coalesce(changed_at, tracked_at) DESC LIMIT 50",
    ),
    Question(
        "spend on a service",
        None,
        lambda history, _: history.spend(service="41", limit=None),
        "SELECT * FROM daily_spend WHERE service_id = '41'",
        """SELECT substr(CAST(ordered_at AS TEXT), 1, 10), sum(charge) FROM orders WHERE service_id = '41'
           GROUP BY 1""",
    ),
    Question(
        "refunds of 30 days",
        None,
        lambda history, _: history.refunds(since=datetime.now(UTC) - timedelta(days=30), limit=None),
        None,
        """SELECT o.service_id, o.state, count(*), sum(o.charge), sum((SELECT max(t.charge) FROM transitions t
           WHERE t.order_key = o.id)) FROM orders o
           WHERE o.state IN ('partial', 'canceled', 'refunded') AND o.state_at >= {month_ago} GROUP BY 1, 2""",
    ),
)


def measure(database_url: str, kind: str, count: int) -> Iterator[Figures]:
    """Yield the figures of each question."""
    spelled = {
        "order": str(1_000_000 + count * 97 // 100),
        "day_ago": DAY_AGO[kind],
        "month_ago": MONTH_AGO[kind],
        "finish": SECONDS[kind].format("o.ordered_at", "t.at"),
    }
    with opened(database_url) as database, plain(database_url) as connection:
        database.require()
        for question in QUESTIONS:
            ways: dict[str, Asked] = {"read_ms": partial(question.read, database.history, spelled["order"])}
            for way, query in (("view_ms", question.view), ("plain_ms", question.plain)):
                if query is not None:
                    ways[way] = partial(_fetched, connection, query.format(**spelled))
            yield {
                "question": question.name,
                "most_ms": question.most_ms,
                **{way: _median_ms(ask) for way, ask in ways.items()},
            }


def _fetched(connection: Any, query: str) -> object:  # noqa: ANN401  # of either driver
    return connection.execute(query).fetchall()


def _median_ms(ask: Asked) -> float:
    """Return how long `ask` takes; what it reads has been read before."""
    ask()
    times: list[float] = []
    while sum(times) < PATIENCE and len(times) < 50:
        began = time.perf_counter()
        assert ask(), "the question found nothing"
        times.append(time.perf_counter() - began)
    return round(median(times) * 1000, 1)


def main() -> None:
    """Print the figures as JSON, and lines for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, nargs="+", default=[100_000])
    size.add_argument("--quick", dest="orders", action="store_const", const=[10_000])
    size.add_argument("--full", dest="orders", action="store_const", const=[1_000_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    rows: list[Figures] = []
    for kind in options.database:
        for count in options.orders:
            with databases([kind]) as make:
                rows += _one(make(kind), kind, count)
    print(json.dumps(rows, indent=2))


def _one(database_url: str, kind: str, count: int) -> list[Figures]:
    began = time.monotonic()
    past.make(database_url, count)
    took = time.monotonic() - began
    print(
        f"{kind} {count:,} orders, {10 * count:,} transitions, made in {took:.0f} s", file=sys.stderr, flush=True
    )
    print(f"{'':24}{'read':>10}{'view':>10}{'plain':>10}{'aim':>8}  ms", file=sys.stderr)
    rows: list[Figures] = []
    for found in measure(database_url, kind, count):
        rows.append({"bench": "history", "database": kind, "orders": count, **found})
        numbers = "".join(
            f"{found[way]:10,.1f}" if way in found else f"{'':10}" for way in ("read_ms", "view_ms", "plain_ms")
        )
        aim = "" if found["most_ms"] is None else f"{found['most_ms']:.0f}"
        print(f"{found['question']:24}{numbers}{aim:>8}", file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()

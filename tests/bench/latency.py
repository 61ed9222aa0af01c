"""A round over a slow panel: how near it comes to the ideal, in which all that may be in flight always is.

    cd tests && python -m bench.latency [--quick] [--orders 10000] [--database sqlite] > latency.json

The panel takes 150 ms for each reply, 8 requests are in flight, the budget is lifted. Ideal are batches / 8 x
150 ms. `waves` is the same rounded up to whole replies, which nothing can beat.
"""

import argparse
import json
import sys
import time
from math import ceil
from statistics import median
from typing import Final

from bench.common import Figures, apart, databases, fill, panel, polling, sweep, turn

SECONDS: Final = 0.150
IN_FLIGHT: Final = 8
SWEEPS: Final = 3


def measure(url: str, count: int, database: str) -> Figures:
    """Return the seconds of a round in this process, the median of some."""
    walls = []
    with polling(database, url, IN_FLIGHT) as post:
        for number in range(SWEEPS + 1):
            turn(url, number)
            began = time.perf_counter()
            sweep(post, count)
            walls.append(time.perf_counter() - began)
    batches = ceil(count / 100)
    ideal, wall = batches / IN_FLIGHT * SECONDS, median(walls[1:])
    return {
        "wall_s": round(wall, 3),
        "ideal_s": round(ideal, 3),
        "waves_s": round(ceil(batches / IN_FLIGHT) * SECONDS, 3),
        "wall_to_ideal": round(wall / ideal, 3),
    }


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, default=10_000)
    size.add_argument("--quick", dest="orders", action="store_const", const=4_000)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--piece", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.piece:
        url, count, database = options.piece
        print(json.dumps(measure(url, int(count), database)))
        return
    rows: list[Figures] = []
    with panel(SECONDS) as url, databases(options.database) as make:
        for kind in options.database:
            database = make(kind)
            fill(database, options.orders)
            found = apart("latency", url, options.orders, database)
            rows.append({"bench": "latency", "database": kind, "orders": options.orders, **found})
            told = "{wall_s:.2f} s, {wall_to_ideal:.2f} times the ideal {ideal_s:.2f} s".format(**found)
            print(f"{kind:8} {options.orders:9,} orders: {told}", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

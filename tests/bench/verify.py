"""How long `tracker verify` takes on a long history, in how much memory, and what polling beside it feels of it.

    cd tests && python -m bench.verify [--quick | --full] [--orders 100000] [--database sqlite] > verify.json

The history is that of `bench.past`: ten transitions and a row of progress for each order. `--full` takes a million
orders. It is verified in a process of its own, whose peak memory is the operating system's figure: once alone, and
again and again while the open orders, a twenty-fifth of all, are polled. `poll` is a sweep over them without
that, `poll_beside` one with it.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench import past
from bench.common import Figures, apart, databases, panel, peak_mib, polling, turn

from tracker.daemon.post import Post
from tracker.store.database import opened

SWEEPS = 3


def piece(url: str) -> Figures:
    """Verify once, in this process."""
    with opened(url) as database:
        began = time.perf_counter()
        verdict = database.verify()
        seconds = time.perf_counter() - began
    assert not verdict.violations, verdict.violations[0]
    return {"seconds": round(seconds, 2), "peak_mib": round(peak_mib()), "checked": verdict.checked}


def sweeps(post: Post, panel_url: str, first: int) -> float:
    """Poll all open orders a few times; return the median of the microseconds that an order took."""
    times = []
    for number in range(first, first + SWEEPS):
        turn(panel_url, number)
        began = time.perf_counter()
        report = post.tick("statuses", force=True)
        assert report is not None
        assert report.fault is None, report
        times.append((time.perf_counter() - began) / report.answered * 1e6)
    return round(median(times), 1)


@contextmanager
def verifying(url: str) -> Iterator[list[float]]:
    """Verify again and again while a block runs; give the seconds that each took."""
    stop, seconds = threading.Event(), list[float]()

    def verify() -> None:
        while not stop.is_set():
            seconds.append(apart("verify", url)["seconds"])

    thread = threading.Thread(target=verify)
    thread.start()
    try:
        yield seconds
    finally:
        stop.set()
        thread.join()


def measure(url: str) -> Figures:
    """Return the figures of one database that has its history."""
    found = apart("verify", url)
    with panel() as panel_url, polling(url, panel_url, in_flight=2) as post:
        sweeps(post, panel_url, 0)  # what the history says of them is not what this panel says
        found["poll_us"] = sweeps(post, panel_url, SWEEPS)
        with verifying(url) as seconds:
            found["poll_beside_us"] = sweeps(post, panel_url, 2 * SWEEPS)
    return {**found, "seconds_beside": median(seconds)}


def main() -> None:
    """Print the figures of each database as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, default=100_000)
    size.add_argument("--quick", dest="orders", action="store_const", const=10_000)
    size.add_argument("--full", dest="orders", action="store_const", const=1_000_000)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--piece", metavar="URL", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.piece:
        print(json.dumps(piece(given.piece)))
        return
    rows = []
    for kind in given.database:
        with databases([kind]) as make:
            url = make(kind)
            past.make(url, given.orders)
            rows.append({"bench": "verify", "database": kind, **measure(url)})
        print(rows[-1], file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

"""Races of daemons for one lease, and a PostgreSQL that crashes under one: takeover times, and what never may be.

    cd tests && python -m bench.races [--races 200] [--lease 1.0] [--database sqlite] > races.json
    cd tests && python -m bench.races --races 12 --lease 20      # the real lease: each takes about 20 s
    cd tests && python -m bench.races --races 0 --crashes 30 --kills 300

A race stops, kills or pauses the daemon that leads, or kills all and starts three at once; it ends when somebody
else has written. Paused inside a SQLite write, a process blocks everybody until it goes on: such races are counted
and not timed. A crash is `pg_ctl restart -m immediate`; it ends when a round has.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Final, get_args

from bench.common import Figures, databases
from cli_setting import KEY, Running, configure
from racing import Kind, Run, track
from troubled_postgres import ask_about_everything, crash, follow, kill_backends, lies, seconds_until_a_round

from tracker.simulator import Clock, Simulator
from tracker.store.database import opened

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
AT_A_TIME: Final = 20
"""Races on one history; then a new one, for the whole of it is checked each time."""


def race(url: str, count: int, lease_seconds: float, random: Random) -> tuple[list[Run], list[str]]:
    """Race `count` times on one database; return the runs, and what never may be."""
    folder = Path(tempfile.mkdtemp(prefix="bench-races-"))
    with opened(url, create=True) as database:
        database.upgrade()
    with track(url, folder, lease_seconds) as one:
        runs = [one.race(random.choice(KINDS)) for _ in range(count)]
        one.finish()
        found = one.violations()
    shutil.rmtree(folder)
    return runs, found


def times(runs: Sequence[Run]) -> Figures:
    """Return the takeover times of each kind of race."""
    found: Figures = {}
    for kind in KINDS:
        timed = [run.seconds for run in runs if run.kind == kind and not run.blocked]
        if timed:
            found[kind] = {
                "races": len(timed),
                "median_s": round(median(timed), 2),
                "worst_s": round(max(timed), 2),
            }
    return found


def trouble(url: str, crashes: int, kills: int) -> Figures:
    """Crash the server and kill its sessions under a daemon; return how soon it was back, and its lies."""
    with opened(url) as database:
        database.upgrade()
    folder = Path(tempfile.mkdtemp(prefix="bench-races-"))
    stopped: list[float] = []
    clock = Clock(2400.0, lambda: stopped[0] if stopped else time.monotonic())
    with Simulator(seed=5, clock=clock, key=KEY, latency=0.02) as panel:
        follow(panel, url, 200)
        with Running(configure(folder, {"acme": panel.url}, url)) as running:
            running.until("round.finished", kind="statuses")
            back = []
            for _ in range(crashes):
                crash(url)
                back.append(seconds_until_a_round(running))
            killed = 0
            while killed < kills:
                killed += kill_backends(url)
                seconds_until_a_round(running)
            stopped.append(time.monotonic())
            with opened(url) as database:
                ask_about_everything(database)
            running.signal()
            code = running.ended()
    shutil.rmtree(folder)
    figures = {"median_s": round(median(back), 2), "worst_s": round(max(back), 2)} if back else {}
    return {"crashes": crashes, "killed": killed, **figures, "exit_code": code, "violations": lies(panel, url)}


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--lease", type=float, default=1.0, help="seconds; the real one is 20")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--crashes", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    rows: list[Figures] = []
    with databases(options.database) as make:
        for kind in options.database:
            runs: list[Run] = []
            found: list[str] = []
            random = Random(options.seed)
            while len(runs) < options.races:
                more, wrong = race(make(kind), min(AT_A_TIME, options.races - len(runs)), options.lease, random)
                runs, found = runs + more, found + wrong
                print(f"{kind:8} {len(runs):4} races, {len(found)} violations", file=sys.stderr, flush=True)
            if runs:
                blocked = sum(run.blocked for run in runs)
                rows.append({"bench": "races", "database": kind, "lease_s": options.lease, "races": len(runs)})
                rows[-1] |= {"blocked": blocked, "takeover": times(runs), "violations": found}
                print(f"{kind:8} {json.dumps(rows[-1]['takeover'])}, {blocked} blocked", file=sys.stderr)
            if kind == "postgres" and options.crashes + options.kills:
                rows.append({"bench": "trouble", **trouble(make(kind), options.crashes, options.kills)})
                print(json.dumps(rows[-1]), file=sys.stderr)
    print(json.dumps(rows, indent=2))
    sys.exit(any(row["violations"] for row in rows))


if __name__ == "__main__":
    main()

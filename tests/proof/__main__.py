"""Prove the promises at length and print a table of figures.

    cd tests && python -m proof                    # everything, short: minutes
    cd tests && python -m proof --long --write     # as docs/reliability.md states it; writes its table: hours
    cd tests && python -m proof --long --only kills --seed 7

Ends with 1 where a promise is broken: the table says which, stderr how to see it again.
"""

import argparse
import importlib
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.common import databases

from proof.table import Figure, Profile, Proof, Rows, table
from tracker.store.database import opened

BOTH: Final = ("sqlite", "postgres")
PROOFS: Final[dict[str, Sequence[str]]] = {
    "matrix": BOTH,
    "commits": ("postgres",),
    "storage": BOTH,
    "migrations": BOTH,
    "wire": ("sqlite",),
    "flapping": ("sqlite",),
    "kills": BOTH,
    "clocks": BOTH,
    "races": BOTH,
    "crashes": ("postgres",),
    "model": BOTH,
    "month": BOTH,
    "progress": ("sqlite",),
    "verifying": BOTH,
    "mutants": ("sqlite",),
}
"""Module of this package -> the kinds of database that it is run on, one after the other."""

PAGE: Final = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
BROKEN: Final = "**BROKEN**: "


def run(name: str, kinds: Sequence[str], profile: Profile) -> Iterator[Figure]:
    """Run one module on each kind of database; a proof that fails is a figure as well."""
    prove: Proof = importlib.import_module(f"proof.{name}").prove
    with databases(kinds) as make:
        for kind in kinds:
            url, began = make(kind), time.monotonic()
            with opened(url, create=True) as database:
                database.upgrade()
            print(f"{name}, {kind}", file=sys.stderr, flush=True)
            try:
                yield from prove(profile, url)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other proofs are run and the table says so
                traceback.print_exc()
                yield Figure("", f"{name}, {kind}", 0, f"{BROKEN}{str(error)[:300] or type(error).__name__}")
            print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def write(rows: Rows, profile: Profile) -> None:
    """Put rows into the page, in place of those of the same modules."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    before, _, tail = rest.partition(END)
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    note = f"The {'long' if profile.long else 'short'} profile, {where}:\n\n"
    PAGE.write_text(f"{head}{BEGIN}{note}{table(rows, before)}{END}{tail}", encoding="utf-8")


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proof", description="Prove the promises at length.")
    parser.add_argument("--long", action="store_true", help="as often as docs/reliability.md states")
    parser.add_argument("--only", action="append", choices=PROOFS, help="run this module alone; may be repeated")
    parser.add_argument("--database", choices=BOTH, help="run on this kind alone")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn at random")
    parser.add_argument("--write", action="store_true", help=f"put the rows into docs/{PAGE.name}")
    asked = parser.parse_args()
    profile = Profile(asked.long, asked.seed, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    rows = {}
    for name in asked.only or PROOFS:
        rows[name] = list(run(name, [kind for kind in PROOFS[name] if asked.database in {None, kind}], profile))
    print(table(rows))
    if asked.write:
        write(rows, profile)
    return int(any(figure.result.startswith(BROKEN) for figures in rows.values() for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

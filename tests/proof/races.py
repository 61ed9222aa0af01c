"""P6: daemons of their own processes stop, die, pause and start at once; the database witnesses who writes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from statistics import median

from bench.races import KINDS
from racing import track

from proof.table import Figure, Profile

LEASE: float = 1.0
"""Seconds; the real lease has 20."""


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Race on one database; a figure for each kind of race."""
    random = Random(profile.seed)
    with tempfile.TemporaryDirectory(prefix="proof-") as folder, track(url, Path(folder), LEASE) as one:
        runs = []
        for number in range(profile.often(8, 200)):
            runs.append(one.race(random.choice(KINDS)))
            profile.say(f"race {number + 1}: {runs[-1].kind}, {runs[-1].seconds:.1f} s")
        one.finish()
        found = one.violations()
        assert not found, f"seed {profile.seed}: {found}"
    kind_of_database = url.partition(":")[0].partition("+")[0]
    for kind in KINDS:
        of_kind = [run for run in runs if run.kind == kind]
        timed = [run.seconds for run in of_kind if not run.blocked]
        taken = f"; taken over after {median(timed):.1f} s, at most {max(timed):.1f} s" if timed else ""
        blocked = sum(run.blocked for run in of_kind)
        paused = f"; {blocked} were paused inside a write, so that nobody could" if blocked else ""
        yield Figure(
            "P6 P2 P3",
            f"the leader of three daemons: {kind} (lease of {LEASE:.0f} s), {kind_of_database}",
            len(of_kind),
            f"no row by anybody but the holder{taken}{paused}",
        )

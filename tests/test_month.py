"""A few days of everything that can go wrong, which their seed brings back to the microsecond."""

import shutil
from pathlib import Path

import pytest
from proof.month import live

pytestmark = pytest.mark.once

DAYS = 2.0
SEED = 5


def test_days_of_faults_break_no_promise_and_their_seed_brings_them_back(
    migrated_file: Path, tmp_path: Path
) -> None:
    """As `python -m proof --long --only month`, which lives through months of fifty seeds."""
    days = []
    for name in ("once", "again"):
        path = tmp_path / f"{name}.db"
        shutil.copy(migrated_file, path)
        days.append(live(f"sqlite:///{path}", SEED, DAYS))
    once, again = days
    assert once.wrong == []
    assert once.counts["kills"], once.counts
    assert once.counts["database faults"], once.counts
    assert once.counts["takeovers"], once.counts
    assert once == again


def test_another_seed_is_another_history(migrated_file: Path, tmp_path: Path) -> None:
    digests = set()
    for seed in (1, 2):
        path = tmp_path / f"{seed}.db"
        shutil.copy(migrated_file, path)
        digests.add(live(f"sqlite:///{path}", seed, 0.1).digest)
    assert len(digests) == 2

"""Races of real daemons for one lease, on both databases: never two writers, and never nobody for long.

The long version, with figures: `cd tests && python -m bench.races`.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from conftest import Postgres
from racing import Kind, track

pytestmark = pytest.mark.once

LEASE_SECONDS = 1.5
RACES: tuple[Kind, ...] = ("kill", "pause", "stop", "pause", "start")
LONGEST = 1.5
"""Of a lease: a real one of 20 s is taken over within 30."""
LOADED = 10.0
"""Seconds that a busy machine takes on top; where it stands still for longer, not in half of the races."""


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with the newest schema, whose tables may be changed."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "tracker.db")
        yield f"sqlite:///{tmp_path}/tracker.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    name = server.create("migrated")
    yield server.url(name)
    server.drop(name)


def test_races_bring_no_second_writer_and_no_long_gap(url: str, tmp_path: Path) -> None:
    with track(url, tmp_path, LEASE_SECONDS) as one:
        runs = [one.race(kind) for kind in RACES]
        one.finish()
        assert one.violations() == []
    waited = [run.seconds for run in runs if not run.blocked]
    assert len(waited) >= 3
    assert median(waited) < LONGEST * LEASE_SECONDS + LOADED, runs

"""A few days of everything that can go wrong, which their seed brings back to the microsecond."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from proof.month import live
from proof.virtual import own_clock

pytestmark = pytest.mark.once

DAYS = 2.0
SEED = 5


@pytest.fixture(params=["sqlite", "postgres"])
def made(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> Callable[[], str]:
    """What makes an empty database with the newest schema, and a clock that can be ruled; returns its URL."""
    if request.param == "sqlite":
        names = iter(("one.db", "other.db"))
        return lambda: f"sqlite:///{shutil.copy(migrated_file, tmp_path / next(names))}"
    server = request.getfixturevalue("postgres")

    def make() -> str:
        name = server.create("migrated")
        request.addfinalizer(partial(server.drop, name))
        return own_clock(server.url(name))

    return make


def test_days_of_faults_break_no_promise_and_their_seed_brings_them_back(made: Callable[[], str]) -> None:
    """As `python -m proof --long --only month`, which lives through months of fifty seeds."""
    once, again = live(made(), SEED, DAYS), live(made(), SEED, DAYS)
    assert once.wrong == []
    assert once.counts["kills"], once.counts
    assert once.counts["database faults"], once.counts
    assert once.counts["takeovers"], once.counts
    assert once == again


def test_another_seed_is_another_history(made: Callable[[], str]) -> None:
    assert live(made(), 1, 0.1).digest != live(made(), 2, 0.1).digest

"""A state machine over everything that polls finds nothing wrong, and finds what is planted."""

import pytest
from proof.model import run
from proof.planted import BUILDS

from tracker.store.database import Database

pytestmark = pytest.mark.once


def test_no_order_of_steps_breaks_a_promise(sqlite_database: Database) -> None:
    """As `python -m proof --long --only model`, which runs thousands of steps, on Postgres as well."""
    counts = run(sqlite_database._engine.url.render_as_string(), examples=10, steps=12, number=1, shrink=False)
    assert counts["kills"] + counts["database faults"] + counts["takeovers"] > 5, counts


@pytest.mark.parametrize(
    ("build", "number"),
    # With these numbers a few examples are enough; any other finds it too, later.
    [("swallowed", 1), ("split", 3), ("unguarded", 4), ("hurried", 7), ("closed_early", 1)],
)
def test_the_machine_finds_a_fault_that_is_planted(build: str, number: int, sqlite_database: Database) -> None:
    url = sqlite_database._engine.url.render_as_string()
    with BUILDS[build](), pytest.raises(AssertionError):
        run(url, examples=300, steps=12, number=number, shrink=False)

"""Every step of every kind of round fails once, before it was done or after: nothing is lost, twice or half.

The long version, with every step, two and three in a row: `cd tests && python -m proof --long --only matrix`.
"""

import itertools
from collections.abc import Sequence
from contextlib import suppress

import pytest
from fakes import FakeOrders
from proof import faked, matrix
from proof.drivers import break_database
from proof.steps import Steps
from proof.table import Profile

from tracker.decide import Decision
from tracker.errors import DatabaseUnreachable
from tracker.model import KINDS
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder
from tracker.store.polling.orders import Orders

pytestmark = pytest.mark.once


@pytest.mark.parametrize("burst", [1, 2])
@pytest.mark.usefixtures("database")
def test_a_round_of_which_any_step_fails_loses_nothing_and_writes_nothing_twice(
    database_url: str, burst: int
) -> None:
    account = matrix.run(database_url, Profile(seed=burst), burst)
    kinds = {edge.partition(":")[0] for edge in account.steps.broken}
    assert kinds == set(matrix.WORKS)
    assert any(": before " in edge for edge in account.steps.broken)
    assert any(": after " in edge for edge in account.steps.broken)


def test_whichever_step_of_a_read_fails_the_next_write_succeeds(database: Database) -> None:
    """A connection that stayed read-only ended the daemon: the file seemed to be write-protected."""
    steps = Steps()
    break_database(database._engine, steps)
    database.close()
    for number in itertools.count(1):
        with steps.armed("read"), suppress(DatabaseUnreachable):
            database.holders()
        assert database.track("acme", [NewOrder(str(number))])
        if len(steps.broken) < number:
            break
    assert len(steps.broken) > 8


def test_every_sequence_of_two_faults_over_fakes_leaves_what_the_panel_said() -> None:
    lived = faked.count(2)
    assert lived.keys() == set(KINDS)
    assert min(lived.values()) > 20, "each call is two edges, each followed by each"


def half_written(orders: FakeOrders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
    WRITE(orders, decisions[::2], round_id)
    return decisions


def written_twice(orders: FakeOrders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
    written = WRITE(orders, decisions, round_id)
    orders.written += written
    return written


WRITE = FakeOrders.apply


@pytest.mark.parametrize("broken", [half_written, written_twice])
def test_a_store_that_writes_half_a_batch_or_one_twice_is_found(
    monkeypatch: pytest.MonkeyPatch, broken: object
) -> None:
    """The store is replaced by a wrong one on purpose: a comparison that finds nothing proves nothing."""
    monkeypatch.setattr(FakeOrders, "apply", broken)
    with pytest.raises(AssertionError, match="remembers"):
        faked.count(1)


def test_a_round_that_swallows_a_fault_of_the_database_is_found(
    monkeypatch: pytest.MonkeyPatch, sqlite_database: Database
) -> None:
    """As above, for the real thing."""
    apply = Orders.apply

    def swallowed(orders: Orders, decisions: Sequence[Decision], round_id: str) -> Sequence[Decision]:
        with suppress(DatabaseUnreachable):
            return apply(orders, decisions, round_id)
        return decisions

    monkeypatch.setattr(Orders, "apply", swallowed)
    with pytest.raises(AssertionError, match="nobody was told of the fault at statuses: "):
        matrix.run(str(sqlite_database._engine.url), Profile(long=True))  # each step: a share may miss it

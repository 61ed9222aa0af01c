"""One poller per panel: who gets the right, who loses it, and that the loser writes nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from books import NOW, PENDING, everything, follow, loaded, order_row, poll, table
from simulation import PATIENCE, until
from sqlalchemy import text
from store_methods import WRITES, Write

from tracker.errors import DatabaseUnreachable, LeaseLost
from tracker.model import Learned
from tracker.store import leases as leases_module
from tracker.store.database import Database, opened
from tracker.store.leases import Held, Lease, fenced
from tracker.store.polling.memory import Memory
from tracker.store.schema import leases


def taken(database: Database, holder: str, seconds: float = 60) -> Lease:
    lease = database.acquire("acme", holder, seconds)
    assert isinstance(lease, Lease)
    return lease


def test_the_first_to_ask_gets_the_lease_and_the_second_is_told_who_holds_it(database: Database) -> None:
    assert taken(database, "first").term == 1
    held = database.acquire("acme", "second", 60)
    assert isinstance(held, Held)
    assert (held.holder, held.expired) == ("first", False)
    assert timedelta(seconds=50) < held.expires_at - datetime.now(UTC) < timedelta(seconds=70)


def test_panels_are_leased_apart(database: Database) -> None:
    taken(database, "first")
    assert isinstance(database.acquire("other", "second", 60), Lease)


def test_a_lease_that_ended_is_taken_over_with_a_higher_term(database: Database) -> None:
    old = taken(database, "first", seconds=0)
    new = taken(database, "second")
    assert (old.term, new.term) == (1, 2)
    assert not database.renew(old, 60)
    assert database.renew(new, 60)


def test_renewing_pushes_the_end_so_that_nobody_else_gets_it(database: Database) -> None:
    lease = taken(database, "first", seconds=0)
    assert database.renew(lease, 60)
    assert isinstance(database.acquire("acme", "second", 60), Held)


def test_releasing_lets_the_next_one_in_at_once_and_terms_keep_growing(database: Database) -> None:
    database.release(taken(database, "first"))
    before = database.holder_of("acme")
    assert before is not None
    assert (before.holder, before.expired) == ("first", True)
    assert taken(database, "second").term == 2


def test_releasing_a_lease_that_was_lost_does_not_end_the_new_one(database: Database) -> None:
    old = taken(database, "first", seconds=0)
    taken(database, "second")
    database.release(old)
    assert isinstance(database.acquire("acme", "third", 60), Held)


def test_who_restarts_under_the_same_name_gets_a_new_term_and_fences_its_former_self(database: Database) -> None:
    before, after = taken(database, "first"), taken(database, "first")
    assert after.term == before.term + 1
    assert not database.renew(before, 60)


def test_nobody_holds_what_was_never_leased(database: Database) -> None:
    assert database.holder_of("acme") is None


@pytest.mark.parametrize("former", [False, True], ids=["free", "expired"])
def test_of_many_that_race_for_a_lease_exactly_one_wins(
    database: Database, database_url: str, *, former: bool
) -> None:
    if former:
        taken(database, "former", seconds=0)
    racers = 6
    line = threading.Barrier(racers)

    def race(number: int) -> Lease | Held:
        with opened(database_url) as mine:
            mine.holder_of("acme")  # connected before the start
            line.wait(timeout=PATIENCE)
            return mine.acquire("acme", f"racer {number}", 60)

    with ThreadPoolExecutor(racers) as pool:
        results = list(pool.map(race, range(racers)))
    [winner] = [one for one in results if isinstance(one, Lease)]
    assert {one.holder for one in results} == {winner.holder}
    assert winner.term == 1 + former


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_who_lost_the_lease_writes_nothing_at_all(database: Database, memory: Memory, write: Write) -> None:
    """P6, for every method that writes under a lease."""
    follow(database, "1")
    follow(database, "2", state="completed", closed_at=NOW)
    database.track_refill("acme", "1", "1")
    database.track_refill("acme", "2", "2")
    read = loaded(memory, "1")
    database.release(memory.lease)
    taken(database, "second")
    before = everything(database)
    with pytest.raises(LeaseLost, match=r"acme.*test.*taken over"):
        write(memory, read)
    assert everything(database) == before


def test_an_expired_lease_that_nobody_took_over_still_writes(database: Database) -> None:
    memory = database.memory(taken(database, "first", seconds=0))
    follow(database, "1")
    assert len(poll(memory, {"1": PENDING})) == 1


def test_a_takeover_waits_for_a_write_that_has_begun(database: Database, database_url: str) -> None:
    """The check alone does not fence: who was checked commits first, and the new holder sees what it wrote."""
    lease = taken(database, "first", seconds=0)
    began, finish = threading.Event(), threading.Event()

    def hold() -> None:
        with fenced(database._engine, lease) as connection:
            began.set()
            finish.wait(timeout=PATIENCE)
            connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', 'late')"))

    with ThreadPoolExecutor(2) as pool, opened(database_url) as other:
        holding = pool.submit(hold)
        assert began.wait(timeout=PATIENCE)
        taking = pool.submit(taken, other, "second")
        if database_url.startswith("postgresql"):
            until(lambda: _waits_for_a_lock(database), "the takeover to wait for the writer")
        assert not taking.done()
        finish.set()
        assert taking.result(timeout=PATIENCE).term == 2
        holding.result(timeout=PATIENCE)
        assert order_row(other, "late")["seq"] == 0


def _waits_for_a_lock(database: Database) -> bool:
    with database._engine.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
        return bool(connection.execute(waiting).scalar_one())


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_holder_that_is_paused_before_its_commit_is_ended_and_writes_nothing(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that sleeps between its check and its COMMIT must not commit late nor hold the panel for long."""
    monkeypatch.setattr(leases_module, "PAUSE_LIMIT", "200ms")
    monkeypatch.setattr(leases_module, "_MINE", leases_module._checks())  # built once, with the limit in it
    lease = taken(database, "paused", seconds=0)

    def write_and_pause(other: Database) -> None:
        with fenced(database._engine, lease) as connection:
            connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', 'never')"))
            # Waits until the server has ended the paused transaction.
            assert taken(other, "awake").term == 2

    with opened(database_url) as other:
        with pytest.raises(DatabaseUnreachable):
            write_and_pause(other)
        assert other.history.find("never") == []
        assert table(other, leases)[0]["holder"] == "awake"
    with pytest.raises(LeaseLost):
        database.memory(lease).ledger.learn(Learned())

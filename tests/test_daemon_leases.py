"""One poller per panel: leases as the daemon and `poll` beside it live with them."""

from pathlib import Path

import pytest
from cli_setting import (
    KEY,
    Running,
    configure,
    daemon_in_a_thread,
    settings_of,
    sql,
    typed,
)
from simulation import until

from tracker.errors import LeaseHeld, LeaseLost
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.leases import Held, Lease


def rounds(database: Database, panel: str, kind: str = "balance") -> int:
    """Return how many rounds of a kind ended well."""
    rows = database.history.rounds(panel, limit=None)
    return sum(row["kind"] == kind and row["outcome"] == "ok" for row in rows)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tracker.db"


def test_a_second_daemon_gets_the_holders_name_and_exit_code_11(tmp_path: Path, url: str) -> None:
    with Simulator(key=KEY) as panel, Simulator(key=KEY) as free, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=1.0) as (daemon, ended):
            assert daemon.started.wait(10)
            held = database.holder_of("acme")
            assert held is not None
            config = configure(tmp_path, {"a-free-one": free.url, "acme": panel.url}, url)
            with Running(config) as second:
                assert second.ended() == 11
                (line,) = second.lines("daemon.failed", exit_code=11)
                assert held.holder in line["error"]
                assert "acme" in line["error"]
                assert free.counts.total() == 0, "it asked before it held every lease"
            before = rounds(database, "acme")
            until(lambda: rounds(database, "acme") > before, "the first one to go on")
        assert ended.error is None
        other = database.holder_of("a-free-one")
        assert other is not None
        assert other.expired, "the second one keeps a lease that it does not use"


def test_the_lease_of_a_killed_daemon_is_waited_for(url: str) -> None:
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        assert isinstance(database.acquire("acme", "killed", 1.0), Lease)
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (daemon, ended):
            until(daemon.started.is_set, "the lease to end")
        assert ended.error is None
        assert sql(url, "SELECT term FROM leases") == [(2,)]


def test_a_live_holder_is_told_from_a_dead_one_by_its_renewals(url: str) -> None:
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        lease = database.acquire("acme", "host/1/alive", 60.0)
        assert isinstance(lease, Lease)
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (_, ended):
            until(lambda: database.renew(lease, 60.0) and ended.error is not None, "it to see a renewal")
        assert isinstance(ended.error, LeaseHeld)
        assert "host/1/alive" in str(ended.error)
        assert panel.counts.total() == 0


def test_one_that_lost_its_lease_ends_and_writes_nothing(url: str) -> None:
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=1.0) as (daemon, ended):
            until(lambda: rounds(database, "acme") > 0, "a first round")
            sql(url, "UPDATE leases SET holder = 'usurper', term = term + 1")
            before = len(database.history.rounds(limit=None))
            assert daemon.stopping.wait(10)
        assert isinstance(ended.error, LeaseLost)
        assert ended.error.exit_code == 11
        assert len(database.history.rounds(limit=None)) == before
        held = database.holder_of("acme")
        assert held is not None
        assert (held.holder, held.expired) == ("usurper", False), "it released a lease that was not its own"


def test_a_poll_beside_it_makes_the_orders_due_and_says_so(tmp_path: Path, url: str) -> None:
    with Simulator(key=KEY) as panel, opened(url, create=True) as database:
        database.upgrade()
        order_id = panel.world.spawn(1)[0].order_id
        database.track("acme", [])
        sql(url, f"INSERT INTO orders (panel, order_id) VALUES ('acme', '{order_id}')")
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]):
            until(lambda: database.history.find(order_id)[0]["checked_at"] is not None, "the first answer")
            checked_at = database.history.find(order_id)[0]["checked_at"]
            sql(url, "UPDATE orders SET next_poll_at = '2100-01-01 00:00:00'")
            config = configure(tmp_path, {"acme": panel.url}, url)
            poll = typed("poll", order_id, config=config)
            holder = database.holder_of("acme")
            assert isinstance(holder, Held)
            assert holder.holder in poll.stderr
            assert "1 more of its orders is due now" in poll.stderr
            assert (poll.returncode, poll.stdout) == (0, "")
            until(lambda: database.history.find(order_id)[0]["checked_at"] > checked_at, "it to be asked again")

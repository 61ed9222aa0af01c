"""One poller per panel: a second daemon stands by and takes over; a `poll` beside one makes orders due."""

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cli_setting import (
    KEY,
    Running,
    configure,
    daemon_in_a_thread,
    settings_of,
    sql,
    typed,
)
from promises import broken
from simulation import PATIENCE, Awake, until

from tracker import logs
from tracker.daemon.post import Post
from tracker.daemon.service import Daemon
from tracker.daemon.status import PanelStatus
from tracker.settings import PanelSettings
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.leases import Held, Lease

SHORT = 1.0
"""Seconds of a lease, where one has to end."""


class Log(io.StringIO):
    """What the daemons of this process log."""

    def lines(self, event: str, **fields: object) -> list[dict[str, Any]]:
        told = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in told if line["event"] == event and fields.items() <= line.items()]


@pytest.fixture
def log() -> Iterator[Log]:
    stream = Log()
    logs.configure(stream, secrets=(), json=True)
    yield stream
    structlog.reset_defaults()


@pytest.fixture
def panel() -> Iterator[Simulator]:
    with Simulator(key=KEY) as one:
        yield one


def rounds(database: Database, name: str) -> int:
    return len(database.history.rounds(name, limit=None))


def of(daemon: Daemon, name: str = "acme") -> PanelStatus:
    (found,) = [one for one in daemon.status().panels if one.name == name]
    return found


def usurp(url: str, name: str = "acme", ends: str = "expires_at") -> None:
    """Take a lease as another machine's clock would let it: as if ours had ended long ago."""
    sql(
        url,
        f"UPDATE leases SET holder = 'usurper', term = term + 1, expires_at = {ends} WHERE panel = '{name}'",
    )


def test_the_second_stands_by_and_leads_at_once_when_the_first_stops(
    database: Database, panel: Simulator, log: Log
) -> None:
    settings = [settings_of(panel, "acme")]
    with daemon_in_a_thread(database, settings) as (first, _):
        assert first.started.wait(PATIENCE)
        with daemon_in_a_thread(database, settings) as (second, ended):
            assert second.started.wait(PATIENCE), "one that stands by has started as well"
            assert (of(second).state, of(second).holder) == ("standing_by", first.holder)
            before = rounds(database, "acme")
            until(lambda: rounds(database, "acme") > before, "the first one to go on")
            assert of(first).state == "leading"
            first.stopping.set()
            with Awake() as awake:
                until(lambda: of(second).state == "leading", "the takeover")
            assert awake.seconds < 15, "it waited for the end of a lease of 20 s"
            before = rounds(database, "acme")
            until(lambda: rounds(database, "acme") > before, "the second one to poll")
        assert ended.error is None
    (line,) = log.lines("panel.standing_by")
    assert (line["panel"], line["holder"], line["level"]) == ("acme", first.holder, "info")
    assert [(line["term"], line["after"]) for line in log.lines("panel.leading")] == [(1, None), (2, first.holder)]


def test_the_lease_of_a_killed_daemon_is_taken_over_when_it_ends(database: Database, panel: Simulator) -> None:
    assert isinstance(database.acquire("acme", "killed", SHORT), Lease)
    with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (daemon, ended):
        until(lambda: of(daemon).state == "leading", "the lease to end")
        assert of(daemon).term == 2
    assert ended.error is None


def test_one_that_lost_its_lease_writes_nothing_stands_by_and_leads_again(
    database: Database, database_url: str, panel: Simulator, log: Log
) -> None:
    with daemon_in_a_thread(database, [settings_of(panel, "acme")], lease_seconds=SHORT) as (daemon, ended):
        until(lambda: rounds(database, "acme") > 0, "a first round")
        assert isinstance(database.acquire("another", "usurper", 3600.0), Lease)
        usurp(database_url, ends="(SELECT expires_at FROM leases WHERE panel = 'another')")
        before = rounds(database, "acme")
        until(lambda: log.lines("panel.standing_by", holder="usurper") != [], "it to stand by again")
        assert rounds(database, "acme") == before
        assert log.lines("lease.lost", panel="acme", level="warning")
        held = database.holder_of("acme")
        assert held is not None
        assert (held.holder, held.expired) == ("usurper", False), "it released a lease that was not its own"
        sql(database_url, "UPDATE leases SET expires_at = '2000-01-01 00:00:00'")
        until(lambda: rounds(database, "acme") > before, "it to poll again")
        assert of(daemon).term == 3
    assert ended.error is None


def test_one_lost_lease_does_not_disturb_another_panel(
    database: Database, database_url: str, panel: Simulator
) -> None:
    panels = [settings_of(panel, "kept"), settings_of(panel, "lost")]
    with daemon_in_a_thread(database, panels) as (daemon, ended):
        until(lambda: rounds(database, "lost") > 0 and rounds(database, "kept") > 0, "both to run")
        kept = daemon._keeper._seats["kept"].shift
        usurp(database_url, "lost")
        until(lambda: of(daemon, "lost").state == "standing_by", "the loss")
        before = rounds(database, "kept")
        until(lambda: rounds(database, "kept") > before, "the other one to go on")
        assert daemon._keeper._seats["kept"].shift is kept
    assert ended.error is None


def test_leases_are_renewed_while_others_are_waited_for(database: Database, panel: Simulator) -> None:
    other = database.acquire("other", "somebody", 3600.0)
    assert isinstance(other, Lease)
    panels = [settings_of(panel, "acme"), settings_of(panel, "other")]
    with daemon_in_a_thread(database, panels, lease_seconds=SHORT) as (daemon, _):
        assert daemon.started.wait(PATIENCE)
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 2 * SHORT and of(daemon).state == "leading", "two leases' time")
        held = database.holder_of("acme")
        assert held is not None
        assert (held.holder, held.expired, of(daemon).term) == (daemon.holder, False, 1)
        assert of(daemon, "other").state == "standing_by"


def test_a_panel_that_never_answers_costs_nobody_a_lease(database: Database, panel: Simulator) -> None:
    with Simulator(key=KEY, latency=3600) as silent:
        panels = [settings_of(panel, "acme"), settings_of(silent, "silent")]
        with daemon_in_a_thread(database, panels, lease_seconds=SHORT) as (daemon, _):
            until(lambda: silent.counts.total() > 0, "it to be asked")
            began, before = time.monotonic(), rounds(database, "acme")
            until(lambda: time.monotonic() - began > 2 * SHORT, "two leases' time")
            until(lambda: rounds(database, "acme") > before, "the healthy one to go on")
            assert [(one.state, one.term) for one in daemon.status().panels] == [("leading", 1)] * 2


def test_nothing_is_asked_while_a_lease_may_have_ended(database: Database, panel: Simulator) -> None:
    with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (daemon, _):
        until(lambda: rounds(database, "acme") > 0, "a first round")
        seat = daemon._keeper._seats["acme"]
        seat.renewed_at -= 3600  # as after a pause of an hour; nothing is renewed before the next turn
        assert seat.shift is not None
        assert not daemon._keeper._may_tick(seat)
        until(lambda: daemon._keeper._may_tick(seat), "a renewal")


def test_two_that_start_together_lead_every_panel_once(database: Database, panel: Simulator) -> None:
    panels = [settings_of(panel, f"p{number}") for number in range(5)]
    with (
        daemon_in_a_thread(database, panels) as (first, _),
        daemon_in_a_thread(database, panels) as (second, _),
    ):
        assert first.started.wait(PATIENCE)
        assert second.started.wait(PATIENCE)
        states = [{of(one, panel.name).state for one in (first, second)} for panel in panels]
        assert states == [{"leading", "standing_by"}] * 5


def test_a_second_process_says_whom_it_stands_by_for(tmp_path: Path, panel: Simulator) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    with opened(url, create=True) as database:
        database.upgrade()
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (first, _):
            assert first.started.wait(PATIENCE)
            with Running(configure(tmp_path, {"acme": panel.url}, url)) as second:
                second.until("daemon.started", panels={"acme": "standing_by"})
                second.until("panel.standing_by", panel="acme", holder=first.holder)
                first.stopping.set()
                second.until("panel.leading", panel="acme", after=first.holder)
                second.signal()
                assert second.ended() == 0
    assert broken(url) == {}


def test_a_bug_in_beginning_one_panel_is_loud_and_the_others_are_polled(
    database: Database, panel: Simulator, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(settings: PanelSettings, *arguments: Any, **options: Any) -> Post:  # noqa: ANN401 - passed on
        if settings.name == "a-broken":
            raise ZeroDivisionError
        return Post(settings, *arguments, **options)

    monkeypatch.setattr("tracker.daemon.seat.Post", begin)
    panels = [settings_of(panel, "a-broken"), settings_of(panel, "fine")]
    with daemon_in_a_thread(database, panels) as (_, ended):
        until(lambda: rounds(database, "fine") > 0, "the other one to be polled")
    assert log.lines("leases.crashed", panel="a-broken")
    assert ended.error is None


def test_a_poll_beside_it_makes_the_orders_due_and_says_so(tmp_path: Path, panel: Simulator) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    with opened(url, create=True) as database:
        database.upgrade()
        order_id = panel.world.spawn(1)[0].order_id
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

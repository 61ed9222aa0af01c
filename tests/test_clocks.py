"""The wall clock is set, or the process suspended: polling goes on, nothing is lost, nothing closes for a leap.

The long version, with every step on the real daemon: `cd tests && python -m proof --long --only clocks`. What a
clock that is set does to the scheduler is tested in `test_ticker.py`, to retention in `test_pruning.py`.
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from random import Random

import pytest
from answers import ABSENT, HALF_DONE, UNKNOWN_ID, ago, decided, later, settled
from books import NOW, execute, follow, order_row
from cli_setting import KEY, settings_of, sql
from fakes import Abilities, Clock, FakePanel, Told
from proof import clocks
from proof.clocks import HOUR, YEAR
from proof.table import Profile
from sqlalchemy import update

from tracker.daemon.clock import WallClock
from tracker.daemon.post import Post, connections, utc_now
from tracker.decide import decide, decide_refill
from tracker.errors import DatabaseUnreachable
from tracker.grace import Moment
from tracker.model import Answer, Learned, Refill, RefillStatus, SettledState, Status
from tracker.pace import Pacing
from tracker.panel import uptime
from tracker.rounds.desk import Desk
from tracker.rounds.statuses import statuses
from tracker.settings import Every, PanelSettings, Secret
from tracker.simulator import Simulator
from tracker.store import engine as engine_module
from tracker.store.database import Database
from tracker.store.leases import BEYOND, Held, Lease
from tracker.store.polling.memory import Memory
from tracker.store.schema import refills

pytestmark = pytest.mark.once

DONE = Status("completed", "completed", remains=0)
GRACE = timedelta(seconds=Pacing().grace)
YOUNG = 2
"""Minutes between two answers at the least that a young order is worth."""

needs_faketime = pytest.mark.skipif(
    clocks.library() is None, reason="nothing sets the clock of a process here: Debian's package libfaketime does"
)


@needs_faketime
def test_a_daemon_of_1970_goes_on_when_the_clock_is_set_right_and_wrong_and_right_again(
    sqlite_database: Database,
) -> None:
    clocks.set_the_clock(Profile(), str(sqlite_database._engine.url), (-HOUR,))


@pytest.mark.usefixtures("database")
def test_a_suspended_daemon_goes_on_where_it_was(database_url: str) -> None:
    clocks.suspend(Profile(), database_url)


# Rounds


def answer(ids: Sequence[str]) -> Told[Answer]:
    """Answer by the name of the order."""
    by: dict[str, Answer] = {"p": Status("pending", "Pending"), "d": DONE, "m": UNKNOWN_ID, "o": ABSENT}
    return Told({one: by[one[0]] for one in ids})


class Hour:
    """A panel that is polled each minute, by a clock that is set after twenty of them."""

    def __init__(self, memory: Memory, *, bulk: bool = False) -> None:
        self.memory, self.panel, self.clock = memory, FakePanel(answer), Clock(NOW)
        self.desk = Desk("acme", self.panel, memory, self.clock, Abilities(bulk_status=bulk), random=Random(5))
        self.asked: dict[str, list[int]] = defaultdict(list)
        self.minute = 0

    def is_set(self, seconds: float) -> None:
        self.clock.pass_(seconds=seconds)
        self.memory.unpark(self.clock.now)  # as the daemon does at its next tick

    def pass_(self, minutes: int) -> None:
        for _ in range(minutes):
            self.minute += 1
            self.clock.pass_(minutes=1)
            before = len(self.panel.asked)
            statuses(self.desk, 100, may_go_on=lambda: True)
            for ids in self.panel.asked[before:]:
                self.asked[ids[0]].append(self.minute)


@pytest.mark.parametrize("step", clocks.ALL_STEPS)
def test_after_a_step_no_order_waits_long_or_is_asked_more_often_than_a_young_one_and_none_is_closed(
    sqlite_database: Database, step: int
) -> None:
    database = sqlite_database
    lease = database.acquire("acme", "test", 3600)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    memory.ledger.open("https://acme.example/api/v2")
    ids = [f"{kind}{number}" for kind in "pdmo" for number in range(2)]
    follow(database, *ids)
    hour = Hour(memory)
    hour.pass_(20)
    pending = {one: order_row(database, one) for one in ids if one.startswith("p")}
    hour.is_set(step)
    hour.pass_(30)
    since = {one: [minute for minute in hour.asked[one] if minute > 20] for one in ids}
    for order_id, row in pending.items():
        pace = (row["next_poll_at"] - row["checked_at"]).total_seconds() / 60
        [last] = [minute for minute in hour.asked[order_id] if minute <= 20][-1:]
        assert since[order_id][0] - last <= 2 * pace + 1, f"{order_id} had a pace of {pace} minutes"
    assert all(len(minutes) <= 30 / YOUNG + 1 for minutes in since.values()), since
    assert all(len(minutes) <= 1 for one, minutes in since.items() if one.startswith("d")), since
    assert all(order_row(database, one)["closed_at"] is None for one in ids)


@pytest.mark.parametrize(
    "steps", [(YEAR, -HOUR), (56 * YEAR, -1), (YEAR, 2 * YEAR), (YEAR, -YEAR, YEAR), (-YEAR, YEAR, -HOUR)]
)
def test_no_steps_after_each_other_close_an_order(
    database: Database, memory: Memory, steps: Sequence[int]
) -> None:
    memory.ledger.open("https://acme.example/api/v2")
    follow(database, "d1", "m1", "o1")
    hour = Hour(memory)
    hour.pass_(45)
    for step in steps:
        hour.is_set(step)
        hour.pass_(3)
    assert [order_row(database, one)["closed_at"] for one in ("d1", "m1", "o1")] == [None, None, None]


def test_what_was_answered_later_than_now_is_due_and_nothing_else_is(database: Database, memory: Memory) -> None:
    answered, missed, tracked = (
        follow(database, name, next_poll_at=later(60), **{name: later(5)})  # type: ignore[arg-type]  # a column
        for name in ("checked_at", "missed_at", "tracked_at")
    )
    follow(database, "as-it-should-be", checked_at=ago(hours=1), next_poll_at=later(60))
    follow(database, "of-another", panel="other", checked_at=later(5), next_poll_at=later(60))
    follow(database, "closed", checked_at=later(5), next_poll_at=later(60), closed_at=NOW)
    database.track_refill("acme", "1", "7")
    execute(database, update(refills).values(checked_at=later(5), next_poll_at=later(60)))
    assert memory.unpark(NOW) == 4
    assert list(memory.orders.plan(NOW, 5, 1).keys) == [*answered, *missed, *tracked]
    assert [refill.refill_id for refill in memory.refills.plan(NOW, 5).refills] == ["7"]
    assert memory.unpark(NOW) == 0


def test_what_a_clock_parked_is_not_forgotten_where_the_database_fails_just_then(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine_module.PRAGMAS, "busy_timeout", 20)
    path, stop = str(sqlite_database._engine.url.database), threading.Event()
    lease = sqlite_database.acquire("acme", "me", 60)
    assert isinstance(lease, Lease)
    with Simulator(key=KEY) as panel, connections(stop) as connect:
        post = Post(settings_of(panel, "acme"), Every(), sqlite_database, lease, connect=connect, stop=stop)
        order_id = panel.world.spawn(1)[0].order_id
        ahead = utc_now() + timedelta(days=1)
        [key] = follow(sqlite_database, order_id, checked_at=ahead, next_poll_at=ahead + timedelta(hours=1))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseUnreachable):
                post.tick("statuses")
        report = post.tick("statuses")
        assert report is not None
        assert report.answered == 1
    assert order_row(sqlite_database, order_id)["id"] == key


@pytest.mark.parametrize(("days", "known"), [(0, False), (-2, None), (365, None)])
def test_what_a_panel_did_not_understand_yesterday_or_by_a_clock_far_ahead_is_tried_again(
    database: Database, lease: Lease, memory: Memory, days: int, *, known: bool | None
) -> None:
    memory.ledger.open("http://127.0.0.1:9")
    memory.ledger.learn(Learned(bulk_status=False, learned_at=utc_now() + timedelta(days=days)))
    panel, stop = PanelSettings("acme", "http://127.0.0.1:9", Secret(KEY), None), threading.Event()
    with connections(stop) as connect:
        post = Post(panel, Every(), database, lease, connect=connect, stop=stop)
        assert post.desk.abilities.bulk_status is known


# Leases


def test_a_lease_of_a_clock_that_stood_years_ahead_keeps_nobody_from_polling(
    database: Database, database_url: str
) -> None:
    lease = database.acquire("acme", "killed in 2082", 20)
    sql(database_url, "UPDATE leases SET expires_at = '2082-01-01 00:00:00'")
    held = database.holder_of("acme")
    assert held is not None
    assert held.expired
    assert isinstance(lease, Lease)
    assert database.acquire("acme", "the next one", 20) == Lease("acme", "the next one", lease.term + 1)


def test_the_longest_lease_there_is_keeps_others_from_polling(database: Database) -> None:
    assert isinstance(database.acquire("acme", "first", BEYOND), Lease)
    assert isinstance(database.acquire("acme", "second", 20), Held)


# Closing


def asked_until_closed(leap: timedelta, at: timedelta, jitter: float = 0.0) -> list[timedelta]:
    """Ask about an order that settled at NOW whenever it is due; return how long after, by a clock that is true.

    The one that it is due by leaps meanwhile. The last answer closes the order.
    """
    order, due, asked = settled(since=NOW), later(6 * 3600), list[timedelta]()
    while True:
        asked.append(due - NOW if due - NOW < at else max(at, due - NOW - leap))
        moment = Moment(NOW + asked[-1] + (leap if asked[-1] >= at else timedelta(0)), Pacing())
        decision = decide(order._replace(next_poll_at=due), DONE, moment, jitter)
        if decision.closed_at is not None:
            return asked
        order, due = decision.after, decision.next_poll_at


@pytest.mark.parametrize(("jitter", "times"), [(0.0, 6), (0.999, 7)])
def test_a_settled_order_closes_at_its_first_answer_after_the_grace_time(jitter: float, times: int) -> None:
    asked = asked_until_closed(timedelta(0), at=timedelta(0), jitter=jitter)
    assert len(asked) == times
    assert [moment >= GRACE for moment in asked] == [False] * (times - 1) + [True]


@pytest.mark.parametrize("at", [timedelta(hours=hours) for hours in (1, 13, 49, 97, 150)], ids=str)
@pytest.mark.parametrize("days", [1, 3, 7, 14, 22, 366, 56 * 366])
def test_a_leap_ahead_leaves_a_settled_order_most_of_its_grace_time(days: int, at: timedelta) -> None:
    asked = asked_until_closed(timedelta(days=days), at)
    assert asked[-1] >= timedelta(hours=42)
    if days > 7:
        after = [moment for moment in asked if moment >= at]
        assert after[-1] - after[0] >= 0.9 * GRACE, "it is asked once more, and a grace time later"


@pytest.mark.parametrize("state", ["completed", "missing"])
def test_an_order_whose_answers_always_come_late_is_closed_all_the_same(state: SettledState) -> None:
    order, now = settled(state, since=NOW), NOW
    for _ in range(5):
        now += timedelta(days=20)  # a panel that allows far too few requests
        decision = decided(order, UNKNOWN_ID if state == "missing" else DONE, now=now)
        order = decision.after._replace(next_poll_at=decision.next_poll_at)
        if decision.closed_at is not None:
            break
    assert decision.closed_at == now


def test_a_settled_refill_is_not_closed_by_a_leap_either() -> None:
    since = ago(hours=1)
    done = Refill(3, "1", "7", "completed", "Completed", 1, since, since, since, 0, None, later(5 * 3600))
    told, leapt = RefillStatus("completed", "Completed"), NOW + timedelta(days=366)
    first = decide_refill(done, told, Moment(leapt, Pacing()))
    assert first.closed_at is None
    due = first.next_poll_at
    assert decide_refill(first.after._replace(next_poll_at=due), told, Moment(due, Pacing())).closed_at == due


# Moments ahead of the clock


def test_an_order_that_settled_later_than_now_settled_now() -> None:
    decision = decided(settled(since=later(YEAR)), DONE)
    assert decision.after.settled_at == NOW
    assert not decision.changed
    assert decided(settled(since=NOW), DONE).after.settled_at == NOW


def test_a_suspicion_that_is_dated_later_than_now_is_confirmed_ten_minutes_from_now() -> None:
    suspected = HALF_DONE._replace(misses=3, missed_at=later(YEAR))
    first = decided(suspected, UNKNOWN_ID, singly=True)
    assert (first.after.misses, first.after.missed_at, first.next_poll_at) == (3, NOW, later(600))
    then = decided(first.after, UNKNOWN_ID, now=later(600), singly=True)
    assert then.after.state == "missing"


# The clock itself


def test_a_clock_that_is_set_back_is_noticed_once_and_one_that_is_slowed_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = 0.0
    monkeypatch.setattr("tracker.daemon.clock.time.time", lambda: uptime() + 1000 + wrong)
    clock = WallClock()
    assert not clock.was_set_back()
    wrong = -0.4
    assert not clock.was_set_back()
    wrong = -3600.0
    assert clock.was_set_back()
    assert not clock.was_set_back()
    wrong = 3600.0
    assert clock.moved() == pytest.approx(7200, abs=1)

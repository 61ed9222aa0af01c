"""The clock traps of `tracker.daemon.ticker`, on the real scheduler, with the wall clock moved under it."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import apscheduler.schedulers.base
import pytest
from simulation import PATIENCE, until

from tracker.daemon import ticker
from tracker.daemon.ticker import Every, Ticker

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class WallClock(datetime):
    """The wall clock, which somebody may set."""

    wrong_by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # a plain one will do
        return datetime.now(tz) + cls.wrong_by


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> type[WallClock]:
    monkeypatch.setattr(WallClock, "wrong_by", timedelta(0))
    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", WallClock)
    monkeypatch.setattr(ticker, "datetime", WallClock)
    return WallClock


@pytest.fixture
def ticks() -> Iterator[Ticker]:
    one = Ticker()
    yield one
    one.stop()


class Counting:
    """Work that counts how often it was done."""

    def __init__(self) -> None:
        self.done = 0

    def __call__(self) -> None:
        self.done += 1


class Held:
    """Work that lasts until it is let go; notes how often it ran, and how many together at most."""

    def __init__(self) -> None:
        self.begun = 0
        self.together = 0
        self.most_together = 0
        self.let_go = threading.Event()

    def __call__(self) -> None:
        self.begun += 1
        self.together += 1
        self.most_together = max(self.most_together, self.together)
        self.let_go.wait(PATIENCE)
        self.together -= 1


def test_work_is_done_at_once_and_then_at_every_interval(ticks: Ticker) -> None:
    work = Counting()
    ticks.add("acme", "statuses", 0.01, work)
    ticks.start()
    until(lambda: work.done >= 5, "five ticks")


def test_a_clock_set_back_an_hour_stops_ticks_only_until_the_supervisor_looks(
    ticks: Ticker, wall_clock: type[WallClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "LATE", 0.2)
    work = Counting()
    ticks.add("acme", "statuses", 0.05, work)
    ticks.start()
    until(lambda: work.done >= 2, "the first ticks")
    wall_clock.wrong_by = timedelta(hours=-1)
    until(lambda: ticks.rearm_late() == ["acme/statuses"], "the supervisor to find the job late")
    before = work.done
    until(lambda: work.done >= before + 3, "ticks by the new time")
    assert ticks.rearm_late() == []


def test_a_clock_set_forward_a_year_brings_one_tick_and_not_one_for_each_missed(
    ticks: Ticker, wall_clock: type[WallClock]
) -> None:
    work = Counting()
    ticks.add("acme", "statuses", 60.0, work)
    ticks.start()
    until(lambda: work.done == 1, "the first tick")
    wall_clock.wrong_by = timedelta(days=366)
    ticks._scheduler.wakeup()
    until(lambda: work.done == 2, "the tick of the new time")
    assert Every(60.0).get_next_fire_time(NOW, NOW + timedelta(days=366)) == NOW + timedelta(days=366, minutes=1)


def test_a_stuck_panel_does_not_starve_another(ticks: Ticker) -> None:
    stuck, healthy = Held(), Counting()
    for kind in ("statuses", "refills", "catalog", "balance"):
        ticks.add("stuck", kind, 0.01, stuck)
    ticks.add("healthy", "statuses", 0.01, healthy)
    ticks.start()
    until(lambda: stuck.begun == 1 and healthy.done >= 5, "ticks of the healthy panel")
    assert stuck.begun == 1
    stuck.let_go.set()


def test_work_never_runs_twice_at_a_time(ticks: Ticker) -> None:
    slow, beside = Held(), Counting()
    ticks.add("acme", "statuses", 0.01, slow)
    ticks.add("other", "statuses", 0.01, beside)
    ticks.start()
    until(lambda: beside.done >= 10, "the time of ten ticks")
    slow.let_go.set()
    until(lambda: slow.begun >= 3, "ticks afterwards")
    assert slow.most_together == 1


def test_work_that_outlasts_its_interval_is_done_again_at_once(
    ticks: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, interval = Held(), 0.3
    ticks.add("acme", "statuses", interval, slow)
    ticks.start()
    job = ticks._jobs["acme/statuses"]
    until(lambda: job.skipped, "a tick that comes while the work is being done")
    # From here on the trigger gives no tick within the test: only the one that was skipped is left.
    monkeypatch.setattr(Every, "get_next_fire_time", lambda _self, _previous, now: now + timedelta(hours=1))
    ticks._scheduler.modify_job("acme/statuses", next_run_time=datetime.now(UTC) + timedelta(hours=1))
    slow.let_go.set()
    until(lambda: slow.begun == 2, "the skipped tick")


def test_work_that_waits_for_its_panel_is_not_late(ticks: Ticker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker, "LATE", 0.0)
    long, waiting = Held(), Counting()
    ticks.add("acme", "catalog", 0.01, long)
    ticks.add("acme", "statuses", 0.01, waiting)
    ticks.start()
    until(lambda: long.begun == 1, "the long work to begin")
    assert ticks.rearm_late() == []
    long.let_go.set()
    until(lambda: waiting.done > 0, "the work that waited")


def test_stopping_waits_for_the_work_under_way_even_where_a_tick_was_skipped(ticks: Ticker) -> None:
    slow = Held()
    ticks.add("acme", "statuses", 0.01, slow)
    ticks.start()
    until(lambda: ticks._jobs["acme/statuses"].skipped, "a skipped tick")
    stopper = threading.Thread(target=ticks.stop)
    stopper.start()
    until(lambda: ticks._stopped, "the end to begin")
    slow.let_go.set()
    stopper.join(PATIENCE)
    assert not stopper.is_alive()
    assert slow.together == 0
    assert slow.begun == 1


def test_a_panel_that_is_removed_ends_its_work_and_ticks_no_more_while_others_do(ticks: Ticker) -> None:
    slow, waiting, beside = Held(), Counting(), Counting()
    ticks.add("acme", "statuses", 0.01, slow)
    ticks.start()
    until(lambda: slow.begun == 1, "the work to begin")
    ticks.add("acme", "refills", 3600.0, waiting)
    ticks.add("other", "statuses", 0.01, beside)
    gone = ticks.remove("acme")
    before = beside.done
    until(lambda: beside.done > before + 5, "ticks of the other one")
    assert not gone.is_set(), "work is still under way"
    slow.let_go.set()
    assert gone.wait(PATIENCE)
    assert (slow.begun, slow.together) == (1, 0)
    again = Counting()
    ticks.add("acme", "statuses", 0.01, again)
    until(lambda: again.done >= 3, "ticks of one that came back")
    assert slow.begun == 1


def test_a_panel_has_not_moved_since_its_work_began_or_should_have(
    ticks: Ticker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ticker, "LATE", 0.0)
    held = Held()
    ticks.add("acme", "statuses", 0.01, held)
    assert ticks.unmoved("unknown") == 0.0
    until(lambda: ticks.unmoved("acme") > 0.1, "time without a tick, as nothing was started")
    ticks.start()
    until(lambda: held.begun == 1, "the work to begin")
    assert ticks.unmoved("acme") < 0.1
    until(lambda: ticks.unmoved("acme") > 0.1, "time in which it does not end")
    held.let_go.set()


def test_work_that_raises_goes_on_ticking(ticks: Ticker, caplog: pytest.LogCaptureFixture) -> None:
    calls = Counting()

    def broken() -> None:
        calls()
        raise RuntimeError("a bug")

    ticks.add("acme", "statuses", 0.01, broken)
    ticks.start()
    until(lambda: calls.done >= 3, "ticks after the first crash")
    assert "a bug" in caplog.text

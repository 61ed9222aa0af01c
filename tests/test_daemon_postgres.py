"""A daemon on a PostgreSQL that crashes under it, kills its sessions, or hides behind a pooler.

The long version, with figures: `cd tests && python -m bench.races --postgres`.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from cli_setting import KEY, Running, configure
from conftest import Postgres
from simulation import until
from troubled_postgres import (
    ask_about_everything,
    crash,
    follow,
    kill_backends,
    lies,
    pooler,
    seconds_until_a_round,
    why_no_pooler,
)

from tracker.simulator import Clock, Simulator
from tracker.store.database import opened

CRASHES, KILLS = 3, 12
SOON = 2.0
LOADED = 8.0
"""Seconds that a machine busy with other things takes on top; where it stands still, not for every crash."""


class StoppableTime:
    """Passes, until it is stopped for good."""

    def __init__(self) -> None:
        self.stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self.stopped_at is None else self.stopped_at


@pytest.fixture
def passing() -> StoppableTime:
    return StoppableTime()


@pytest.fixture
def panel(passing: StoppableTime) -> Iterator[Simulator]:
    with Simulator(seed=5, clock=Clock(2400.0, passing), key=KEY, latency=0.02) as one:
        yield one


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    name = postgres.create("migrated")
    yield postgres.url(name)
    postgres.drop(name)


def finish(running: Running, panel: Simulator, url: str, passing: StoppableTime) -> None:
    """Stop time, have everything asked, end the daemon, and compare with the truth."""
    passing.stopped_at = time.monotonic()
    with opened(url) as database:
        ask_about_everything(database)
    running.signal()
    assert running.ended() == 0, "".join(running.raw[-3:])
    assert not running.lines("tick.crashed")
    assert lies(panel, url) == []


def test_it_polls_soon_after_each_crash_of_the_server(
    url: str, tmp_path: Path, panel: Simulator, passing: StoppableTime
) -> None:
    follow(panel, url, 100)
    with Running(configure(tmp_path, {"acme": panel.url}, url)) as running:
        running.until("round.finished", kind="statuses")
        took = []
        for _ in range(CRASHES):
            crash(url)
            took.append(seconds_until_a_round(running))
        assert median(took) < SOON + LOADED
        assert running.lines("database.unreachable")
        finish(running, panel, url, passing)


def test_it_minds_no_session_that_is_killed_under_load(
    url: str, tmp_path: Path, panel: Simulator, passing: StoppableTime
) -> None:
    follow(panel, url, 100)
    with Running(configure(tmp_path, {"acme": panel.url}, url)) as running, opened(url) as database:
        running.until("round.finished", kind="statuses")
        killed = 0
        while killed < KILLS:
            until(lambda: database.make_due("acme") >= 0, "work")
            killed += kill_backends(url)
            asked = panel.counts.total()
            until(lambda: panel.counts.total() > asked, "it to ask on")  # noqa: B023  # used at once
        seconds_until_a_round(running)
        finish(running, panel, url, passing)


def test_two_daemons_share_a_panel_through_a_transaction_pooler(
    url: str, tmp_path: Path, panel: Simulator, passing: StoppableTime
) -> None:
    if why := why_no_pooler():
        pytest.skip(why)
    follow(panel, url, 100)
    # Not below pytest's own folder: the pooler is another user's, and only its owner may enter that.
    with tempfile.TemporaryDirectory(prefix="tracker-pooler-") as folder, pooler(url, Path(folder)) as pooled:
        config = configure(tmp_path, {"acme": panel.url}, pooled)
        with Running(config) as first:
            first.until("round.finished", kind="statuses")
            with Running(config) as second:
                second.until("panel.standing_by", panel="acme")
                first.signal()
                assert first.ended() == 0
                second.until("round.finished", 5)
                finish(second, panel, url, passing)
                assert not second.lines("database.unreachable")

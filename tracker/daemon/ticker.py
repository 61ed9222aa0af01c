"""Ticks by APScheduler, with its known traps closed.

It is told to tick and nothing else; all state is in our tables. A job that waited is still run
(`misfire_grace_time=None`), once (`coalesce`), never twice at a time (`max_instances=1`). Each panel has a worker
thread of its own, so that a stuck panel cannot starve a healthy one; panels come and go while it ticks.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    JobEvent,
)
from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from tracker.daemon.clock import WallClock

LATE: Final = 2.0
"""Intervals without a tick after which a job is armed anew, and seconds that are always allowed on top."""


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler ships no types
    """An interval that never catches up.

    APScheduler's own interval trigger counts on from the last fire time: after the wall clock jumped a year ahead
    it builds one datetime for each minute of that year before it runs again.
    """

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime:
        """Return now for the first time, and one interval after now from then on."""
        return now if previous is None else now + self._interval


class _OneThread(BasePoolExecutor):  # type: ignore[misc]  # as above
    """The thread of one panel."""

    def __init__(self, panel: str) -> None:
        self.pool = ThreadPoolExecutor(1, f"ticks-{panel}")
        super().__init__(self.pool)


@dataclass(slots=True)
class _Job:
    panel: str
    name: str
    seconds: float
    work: Callable[[], None]
    armed_at: float = field(default_factory=time.monotonic)
    """When it last ended, or was armed anew."""
    ended_at: float = field(default_factory=time.monotonic)
    began_at: float | None = None
    """Since when it runs; None while it does not."""
    skipped: bool = False
    """Whether its next tick came while it was still running."""


class Ticker:
    """Calls each piece of work every so many seconds, each panel's in that panel's own thread."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._jobs: dict[str, _Job] = {}
        self._threads: dict[str, _OneThread] = {}
        self._stopped = False
        self._clock = WallClock()
        self._scheduler.add_listener(self._after, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._scheduler.add_listener(self._skip, EVENT_JOB_MAX_INSTANCES)
        # It warns of each tick that comes while the last one runs; a full round is no news.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

    def add(self, panel: str, kind: str, seconds: float, work: Callable[[], None]) -> None:
        """Call `work` at once and then every `seconds`, never twice at a time. `work` raises nothing."""
        if panel not in self._threads:
            self._threads[panel] = _OneThread(panel)
            self._scheduler.add_executor(self._threads[panel], panel)
        job = _Job(panel, f"{panel}/{kind}", seconds, work)
        self._jobs[job.name] = job
        self._scheduler.add_job(self._tick, Every(seconds), [job], id=job.name, executor=panel)

    def remove(self, panel: str) -> threading.Event:
        """Call nothing of `panel` any more; return what is set as soon as the work under way has ended."""
        for job in self._of(panel):
            del self._jobs[job.name]
            self._scheduler.remove_job(job.name)
        self._scheduler.remove_executor(panel, shutdown=False)
        gone = threading.Event()
        pool = self._threads.pop(panel).pool
        pool.submit(gone.set)  # one thread does all in turn, so this is the last
        pool.shutdown(wait=False)
        return gone

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def arm(self, panel: str, kind: str) -> None:
        """Call one piece of work now, and not only when it is next due."""
        if job := self._jobs.get(f"{panel}/{kind}"):
            self._arm(job)

    def rearm_late(self) -> list[str]:
        """Arm anew the jobs that should have ticked by the monotonic clock; return their names.

        The wall clock that APScheduler goes by may have been set back: without this, nothing runs until it has
        caught up with itself. Where that is seen, all jobs are armed. A job that waits for its panel's thread is
        not late: it has ticked.
        """
        if self._clock.was_set_back():
            for job in self._of():
                self._arm(job)
        now, jobs = time.monotonic(), self._of()
        busy = {job.panel for job in jobs if job.began_at is not None}
        late = [job for job in jobs if job.panel not in busy and now - job.armed_at > _allowed(job)]
        for job in late:
            job.armed_at = now
            self._arm(job)
        return [job.name for job in late]

    def unmoved(self, panel: str) -> float:
        """Return for how many seconds nothing of `panel` has begun or ended that should have."""
        now, jobs = time.monotonic(), self._of(panel)
        running = [now - job.began_at for job in jobs if job.began_at is not None]
        return max(running or [now - job.ended_at - _allowed(job) for job in jobs], default=0.0)

    def stop(self) -> None:
        """Wait for the ticks under way and end."""
        self._stopped = True
        if self._scheduler.running:
            # Asked to wait itself, it would hold a lock that work at its end needs.
            self._scheduler.shutdown(wait=False)
        for thread in self._threads.values():
            thread.pool.shutdown()

    def _of(self, panel: str | None = None) -> list[_Job]:
        return [job for job in list(self._jobs.values()) if panel in {None, job.panel}]

    def _tick(self, job: _Job) -> None:
        job.began_at = time.monotonic()
        try:
            job.work()
        finally:
            job.began_at = None
            job.armed_at = job.ended_at = time.monotonic()

    def _skip(self, event: JobEvent) -> None:
        if job := self._jobs.get(event.job_id):
            job.skipped = job.began_at is not None

    def _after(self, event: JobEvent) -> None:
        """Tick again at once where a tick was skipped: a slow panel must not be asked half as often as it can."""
        job = self._jobs.get(event.job_id)
        if job is not None and job.skipped:
            job.skipped = False
            self._arm(job)

    def _arm(self, job: _Job) -> None:
        if not self._stopped:
            with suppress(JobLookupError):  # it was removed meanwhile
                self._scheduler.modify_job(job.name, next_run_time=datetime.now(UTC))


def _allowed(job: _Job) -> float:
    """Return how many seconds after its last end a job may be without being late."""
    return LATE * job.seconds + LATE

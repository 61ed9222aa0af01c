"""Ticks by APScheduler, with its known traps closed.

It is told to tick and nothing else; all state is in our tables. A job that waited is still run
(`misfire_grace_time=None`), once (`coalesce`), never twice at a time (`max_instances=1`). Each panel has a worker
thread of its own, so that a stuck panel cannot starve a healthy one.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.events import (
    EVENT_JOB_ERROR,
    EVENT_JOB_EXECUTED,
    EVENT_JOB_MAX_INSTANCES,
    JobEvent,
)
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

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


@dataclass(slots=True)
class _Job:
    panel: str
    name: str
    seconds: float
    work: Callable[[], None]
    ended_at: float = field(default_factory=time.monotonic)
    running: bool = False
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
        self._arming = threading.Lock()
        self._stopped = False
        self._scheduler.add_listener(self._after, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._scheduler.add_listener(self._skip, EVENT_JOB_MAX_INSTANCES)
        # It warns of each tick that comes while the last one runs; a full round is no news.
        logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

    def add(self, panel: str, kind: str, seconds: float, work: Callable[[], None]) -> None:
        """Call `work` at once and then every `seconds`, never twice at a time. `work` raises nothing."""
        if panel not in {job.panel for job in self._jobs.values()}:
            self._scheduler.add_executor(ThreadPoolExecutor(1), panel)
        job = _Job(panel, f"{panel}/{kind}", seconds, work)
        self._jobs[job.name] = job
        self._scheduler.add_job(self._tick, Every(seconds), [job], id=job.name, executor=panel)

    def start(self) -> None:
        """Begin to tick."""
        self._scheduler.start()

    def rearm_late(self) -> list[str]:
        """Arm anew the jobs that should have ticked by the monotonic clock; return their names.

        The wall clock that APScheduler goes by may have stepped back: without this, nothing runs until it has
        caught up with itself. A job that waits for its panel's thread is not late: it has ticked.
        """
        now, busy = time.monotonic(), {job.panel for job in self._jobs.values() if job.running}
        late = [
            job
            for job in self._jobs.values()
            if job.panel not in busy and now - job.ended_at > LATE * job.seconds + LATE
        ]
        for job in late:
            job.ended_at = now
            self._arm(job)
        return [job.name for job in late]

    def stop(self) -> None:
        """Wait for the ticks under way and end."""
        with self._arming:
            self._stopped = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _tick(self, job: _Job) -> None:
        job.running = True
        try:
            job.work()
        finally:
            job.running = False
            job.ended_at = time.monotonic()

    def _skip(self, event: JobEvent) -> None:
        job = self._jobs[event.job_id]
        job.skipped = job.running

    def _after(self, event: JobEvent) -> None:
        """Tick again at once where a tick was skipped: a slow panel must not be asked half as often as it can."""
        job = self._jobs[event.job_id]
        if job.skipped:
            job.skipped = False
            self._arm(job)

    def _arm(self, job: _Job) -> None:
        with self._arming:
            if not self._stopped:  # a scheduler that waits for its threads holds the lock that this would take
                self._scheduler.modify_job(job.name, next_run_time=datetime.now(UTC))

"""Time that passes only where a proof lets it, for all that reads a clock: program, simulators, database.

A month of polling then takes seconds, and the same seed gives the same month to the microsecond.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import structlog
from sqlalchemy import Connection, Engine, create_engine, event

from tracker.panel import Budget
from tracker.store.database import Database
from tracker.store.schema import metadata
from tracker.store.types import utc_text, utcnow

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)

ORIGIN: Final = 1e6
"""What the clocks that cannot be set stand at in the beginning: as on a machine that has run for days."""

SILENT: Final = 50
"""Only what is critical is logged, which nothing here is: millions of lines would cost more than all the rest."""


class Time:
    """Virtual seconds since the beginning, and a wall clock that can be set wrong."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.ahead = 0.0
        """Seconds by which the wall clock is wrong."""

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.passed += max(seconds, 0.0)

    def steady(self) -> float:
        """Return what a clock says that cannot be set."""
        return ORIGIN + self.passed

    def wall(self) -> datetime:
        """Return what the wall clock says."""
        return EPOCH + timedelta(seconds=self.passed + self.ahead)


class Stop(threading.Event):
    """A stop that nobody is waited for: who waits for it lets time pass."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        """Let `timeout` seconds pass; return whether it is set."""
        if not self.is_set() and timeout is not None:
            self._time.pass_(timeout)
        return self.is_set()


@contextmanager
def ruled(time: Time) -> Iterator[None]:
    """Have everything that polls go by `time`, in this process and while a block runs; nothing is logged."""
    clocks: dict[str, Any] = {
        "tracker.daemon.post.utc_now": time.wall,
        "tracker.daemon.post.time": SimpleNamespace(monotonic=time.steady),
        "tracker.daemon.clock.time": SimpleNamespace(time=lambda: time.wall().timestamp()),
        "tracker.daemon.clock.uptime": time.steady,
        "tracker.daemon.post.Budget": partial(Budget, clock=time.steady),
        "tracker.panel.backend.uptime": time.steady,
        "tracker.panel.transport.uptime": time.steady,
        "tracker.panel.sender.uptime": time.steady,
        "tracker.panel.transport.KEEP_SECONDS": None,  # by the machine's own clock; `inside.Wire` has one of ours
    }
    before = structlog.get_config()
    with ExitStack() as stack:
        for name, clock in clocks.items():
            stack.enter_context(patch(name, clock))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENT))
        stack.callback(structlog.configure, **before)
        yield


def rule_database(database: Database, time: Time) -> Engine:
    """Have the clock of `database` go by `time`, defaults of columns included; return its engine."""
    engine = database._engine
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", partial(_own_strftime, time))
    else:
        event.listen(engine, "begin", partial(_tell_now, time))
    return engine


def _own_strftime(time: Time, connection: Any, _record: object) -> None:  # noqa: ANN401  # has no type
    """Replace the one function by which our SQL asks SQLite for the time (`tracker.store.types.utcnow`)."""

    def strftime(form: str, when: str, later: str = "0 seconds") -> str:
        assert (form, when) == ("%Y-%m-%d %H:%M:%f000", "now"), form
        return utc_text(time.wall() + timedelta(seconds=float(later.removesuffix(" seconds"))))

    connection.create_function("strftime", -1, strftime)


NOW: Final = "tracker.now"

_OWN: Final = f"""
CREATE SCHEMA virtual;
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT current_setting('{NOW}')::timestamptz $$
"""
_SEARCH: Final = "options=-csearch_path%3Dvirtual,pg_catalog,public"


def own_clock(url: str) -> str:
    """Give a Postgres database a clock that can be ruled; return the URL under which it can.

    SQLite needs none: its clock is a function of each connection.
    """
    if url.startswith("sqlite"):
        return url
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(_OWN)
        for table in metadata.sorted_tables:
            for column in table.columns:
                if isinstance(getattr(column.server_default, "arg", None), utcnow):
                    connection.exec_driver_sql(
                        f"ALTER TABLE {table.name} ALTER {column.name} SET DEFAULT virtual.clock_timestamp()"
                    )
    engine.dispose()
    return f"{url}{'&' if '?' in url else '?'}{_SEARCH}"


def _tell_now(time: Time, connection: Connection) -> None:
    connection.exec_driver_sql("SELECT set_config(%s, %s, true)", (NOW, utc_text(time.wall()) + "+00"))

"""The three pages of the endpoint: `/healthz`, `/readyz` and `/metrics`. None of them waits for the database."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, NamedTuple

from tracker.daemon.health.endpoint import Endpoint, Page
from tracker.daemon.health.metrics import CONTENT_TYPE, Known, Metrics
from tracker.daemon.health.onlooker import Onlooker
from tracker.daemon.health.vitality import Configured, Finding, Health, examine, unreachable
from tracker.daemon.status import DaemonStatus
from tracker.pace import patience
from tracker.settings import Address, Every
from tracker.store.database import Database
from tracker.store.reading.vitals import PanelVitals, Size

FRESH: Final = 5.0
"""Seconds for which a look at the database is good enough, however fast it was."""

PATHS: Final = ("/healthz", "/readyz", "/metrics")


class _Look(NamedTuple):
    vitals: list[PanelVitals]
    size: Size


class Pages:
    """What is answered, from the daemon's own `status` and from looks at the database that nobody waits for."""

    def __init__(self, database: Database, status: Callable[[], DaemonStatus]) -> None:
        self._database = database
        self._status = status
        self._metrics = Metrics()
        self._lock = threading.Lock()
        self._vitals = Onlooker("vitals", self._look, FRESH)
        self._tally = Onlooker("tally", database.tally, FRESH)

    def answer(self, path: str) -> Page:
        """Return the page of a path."""
        status = self._status()
        if path == "/healthz":
            known = self._known(status)
            told = {**known.health.as_json(), "looked_at": known.looked_at, "daemon": _own(status)}
            return _json(_status(well=known.health.working), told)
        if path == "/readyz":
            return _json(_status(well=status.ready), {"ready": status.ready, **_own(status)})
        if path == "/metrics":
            known = self._known(status)
            with self._lock:
                return Page(HTTPStatus.OK, self._metrics.text(known), CONTENT_TYPE)
        return Page(HTTPStatus.NOT_FOUND, f"There are {', '.join(PATHS)}.\n".encode())

    def close(self) -> None:
        """End the looking."""
        self._vitals.stop()
        self._tally.stop()

    def _look(self) -> _Look:
        panels = {one.name: one for one in self._status().panels}

        def patience_with(name: str, orders: int, bulk_status: bool | None) -> float:  # noqa: FBT001  # as it is learned
            one = panels.get(name)
            limit, shortest = (one.per_minute, one.every.statuses) if one else (None, Every().statuses)
            return patience(orders, limit, bulk_status, shortest)

        return _Look(self._database.vitals(datetime.now(UTC), patience_with), self._database.size())

    def _known(self, status: DaemonStatus) -> Known:
        """Put together what is known right now."""
        if not status.ready:  # there may be no tables yet
            starting = Finding("stopped", None, "the daemon is still starting", "see its log, if this takes long")
            return Known(status, Health(datetime.now(UTC), (starting,)))
        seen, tally = self._vitals.seen(), self._tally.seen(0.0)
        health = Health(datetime.now(UTC), (*_stuck(status), *_away(seen.error)))
        if seen.value is None:
            return Known(status, health, tally=tally.value)
        configured = [
            Configured(one.name, one.per_minute, one.state == "paused", one.every) for one in status.panels
        ]
        memory = {one.name: one.figures for one in status.panels}
        judged = examine(seen.value.vitals, configured, health.at, memory, seen.at)
        health = Health(health.at, health.findings + judged.findings, judged.panels)
        reachable = seen.error is None
        return Known(status, health, seen.value.vitals, tally.value, seen.value.size, seen.at, reachable=reachable)


def _away(error: str | None) -> list[Finding]:
    return [] if error is None else [unreachable(error)]


def _stuck(status: DaemonStatus) -> list[Finding]:
    """Say what of this process does not move."""
    remedy = "restart it: with a watchdog, systemd does; please report what the log says"
    return [Finding("stopped", None, f"{part} has not moved for far too long", remedy) for part in status.stuck]


def _own(status: DaemonStatus) -> dict[str, object]:
    """Return what the process knows of itself, as JSON values."""
    return {"name": status.holder, "status": status.text, "panels": {one.name: one.state for one in status.panels}}


def _json(status: HTTPStatus, told: Mapping[str, object]) -> Page:
    return Page(status, json.dumps(told, default=_plain, indent=1).encode() + b"\n", "application/json")


def _plain(value: object) -> str:
    return f"{value.isoformat().removesuffix('+00:00')}Z" if isinstance(value, datetime) else str(value)


def _status(*, well: bool) -> HTTPStatus:
    return HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE


@contextmanager
def serving(
    address: Address | None, database: Database, status: Callable[[], DaemonStatus]
) -> Iterator[int | None]:
    """Serve the pages at `address` while a block runs, and yield the port; do nothing where there is none.

    Raises `ConfigurationFault` where the address cannot be had.
    """
    if address is None:
        yield None
        return
    pages = Pages(database, status)
    endpoint = Endpoint(address, pages.answer)
    try:
        yield endpoint.port
    finally:
        pages.close()  # first, for others wait for what it sees
        endpoint.close()

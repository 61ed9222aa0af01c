"""Who polls what: takes leases, renews them, stands by for those of others, and follows the configuration.

All of it is done by one thread that polls nothing, so that no panel, however slow, costs another one its lease.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.daemon.post import RENEWALS
from tracker.daemon.seat import STUCK_SECONDS, Assignment, House, Seat, Shift
from tracker.daemon.status import PanelStatus, Record
from tracker.errors import DatabaseUnreachable, LeaseLost, TrackerError
from tracker.panel import uptime
from tracker.settings import Every, PanelSettings
from tracker.store.leases import Held, Lease

LOOKS: Final = 20
"""In the time of a lease: once a second for one of 20 s."""

TURNS: Final = 2 * LOOKS
"""In the time of a lease: how often it is asked what is to be done at all, which costs nothing."""

log: FilteringBoundLogger = structlog.get_logger()


class Keeper:
    """Moves the seats of `holder`'s panels. `run` is its thread; `want` and what only reads is for any thread."""

    def __init__(self, house: House, holder: str, stopping: threading.Event) -> None:
        self._house, self._holder, self._stopping = house, holder, stopping
        self._random = Random()  # noqa: S311  # keeps daemons from looking in step, no secret
        self._wanted: Mapping[str, Assignment] = {}
        self._paused: Sequence[PanelSettings] = ()
        self._seats: dict[str, Seat] = {}
        self._records: dict[str, Record] = {}
        self._looks_at = self._tries_at = 0.0
        self._turned_at = uptime()
        self._wanting = threading.Lock()
        self.settled = threading.Event()
        """Set once each panel that is wanted is led or stood by for."""

    def want(self, panels: Sequence[PanelSettings], every: Every) -> None:
        """Poll these panels from now on, but for paused ones; those that stay the same are not disturbed."""
        with self._wanting:
            self._paused = [panel for panel in panels if panel.paused]
            self._wanted = {panel.name: Assignment(panel, every) for panel in panels if not panel.paused}
            self.settled.clear()

    def run(self) -> None:
        """Take turns until stopped."""
        while not self._stopping.is_set():
            with self._house.trouble.survived("leases.crashed"):
                self._turn()
            self._turned_at = uptime()
            hurry = 1 if self.settled.is_set() else 0.1
            self._stopping.wait(hurry * self._house.lease_seconds / TURNS)

    def interrupt(self) -> None:
        """Let all requests under way go, at once."""
        for seat in list(self._seats.values()):
            if seat.shift is not None:
                seat.shift.interrupt()

    def leave(self) -> None:
        """Give everything back, after the last tick of all; not while `run` runs."""
        for seat in self._seats.values():
            if seat.shift is not None:
                seat.shift.close()
            self._release(seat)

    def panels(self) -> tuple[PanelStatus, ...]:
        """Return every configured panel as it stands."""
        found = {panel.name: PanelStatus(panel.name, "paused") for panel in self._paused}
        found |= {name: PanelStatus(name, "changing") for name in self._wanted}
        found |= {seat.name: seat.status(self._holder) for seat in list(self._seats.values())}
        return tuple(found[name] for name in sorted(found))

    def seats(self) -> list[Seat]:
        """Return the seats that lead right now."""
        return [seat for seat in list(self._seats.values()) if seat.leading]

    def stuck(self) -> list[str]:
        """Return what has stood still for far longer than it may."""
        unmoved = {
            seat.name: shift.unmoved() for seat in list(self._seats.values()) if (shift := seat.shift) is not None
        }
        unmoved["leases"] = uptime() - self._turned_at
        return sorted(name for name, seconds in unmoved.items() if seconds > STUCK_SECONDS)

    # One turn

    def _turn(self) -> None:
        with self._wanting:
            wanted = self._wanted
        self._follow(wanted)
        for seat in self._seats.values():
            if seat.shift is not None and seat.shift.lost and seat.lease is not None:
                self._lose(seat)
        self._clear(wanted)
        if not self._house.trouble.reachable:
            if uptime() < self._tries_at:
                return
            self._tries_at = uptime() + self._house.lease_seconds / TURNS
        for seat in self._seats.values():
            self._renew(seat)
        self._look()
        for seat in self._seats.values():
            if self._house.trouble.reachable:
                with self._house.trouble.survived("leases.crashed", panel=seat.name):
                    self._begin(seat)
            if self._house.trouble.reachable and seat.shift is not None and seat.leading:
                seat.shift.catch_up()
        with self._wanting:
            if wanted is self._wanted and all(seat.leading or seat.holder for seat in self._seats.values()):
                self.settled.set()

    def _follow(self, wanted: Mapping[str, Assignment]) -> None:
        """Make new seats, and end the shifts of those that changed or are not wanted any more."""
        for name, assignment in wanted.items():
            if name not in self._seats:
                record = self._records.setdefault(name, Record())
                self._seats[name] = Seat(assignment, record)
                self._looks_at = 0.0
        for name, seat in self._seats.items():
            if seat.assignment != wanted.get(name):
                seat.assignment = wanted.get(name, seat.assignment)
                if seat.shift is not None:
                    seat.shift.end()

    def _clear(self, wanted: Mapping[str, Assignment]) -> None:
        """Close the shifts that are over, and leave the seats that are not wanted any more."""
        for name, seat in list(self._seats.items()):
            if seat.shift is not None and seat.shift.over:
                seat.shift.close()
                seat.shift = None
            if name not in wanted and seat.shift is None:
                self._release(seat)
                del self._seats[name]
                log.info("panel.left", panel=name)

    def _renew(self, seat: Seat) -> None:
        """Renew a lease in time. Raises what the database raises."""
        house, began = self._house, uptime()
        if seat.lease is None:
            return
        if house.trouble.reachable and began - seat.renewed_at < house.lease_seconds / RENEWALS:
            return
        if house.database.renew(seat.lease, house.lease_seconds):
            seat.renewed_at = began
        else:
            self._lose(seat)
        house.trouble.back()

    def _lose(self, seat: Seat) -> None:
        """Stand by again: somebody else has the lease."""
        lease, seat.lease, seat.since = seat.lease, None, datetime.now(UTC)
        if lease is not None:
            log.warning("lease.lost", panel=seat.name, term=lease.term, remedy="none needed: it stands by again")
        if seat.shift is not None:
            seat.shift.end()
        self._looks_at = 0.0

    def _look(self) -> None:
        """Take what leases are free, of panels that are stood by for. Raises what the database raises."""
        house, now = self._house, uptime()
        waiting = [seat for seat in self._seats.values() if seat.standing_by]
        if not waiting or now < self._looks_at:
            return
        self._looks_at = now + self._random.uniform(0.5, 1.5) * house.lease_seconds / LOOKS
        holders = house.database.holders()
        for seat in waiting:
            held = holders.get(seat.name)
            if held is not None and not held.expired and held.holder != self._holder:
                self._stand_by(seat, held)
                continue
            began = uptime()
            got = house.database.acquire(seat.name, self._holder, house.lease_seconds)
            if isinstance(got, Lease):
                seat.lease, seat.renewed_at = got, began
            else:
                self._stand_by(seat, got)
        house.trouble.back()

    def _stand_by(self, seat: Seat, held: Held) -> None:
        if seat.holder is None:
            log.info("panel.standing_by", panel=seat.name, holder=held.holder, until=held.expires_at)
        seat.holder = held.holder

    def _begin(self, seat: Seat) -> None:
        """Begin to poll where there is a lease and no shift. Raises what the database raises."""
        if seat.lease is None or seat.shift is not None or self._stopping.is_set():
            return
        if uptime() < seat.begins_at:
            return
        seat.begins_at = uptime() + self._house.lease_seconds / LOOKS
        after, lease = seat.holder, seat.lease
        try:
            seat.shift = Shift(self._house, seat.assignment, lease, seat.record, lambda: self._may_tick(seat))
        except LeaseLost:
            self._lose(seat)
            return
        seat.holder, seat.since = None, datetime.now(UTC)
        log.info("panel.leading", panel=seat.name, holder=self._holder, term=lease.term, after=after)

    def _may_tick(self, seat: Seat) -> bool:
        """Whether the lease surely holds: one that was paused may have been followed by somebody else."""
        return uptime() - seat.renewed_at < self._house.lease_seconds

    def _release(self, seat: Seat) -> None:
        """Give a lease back; where that fails, it expires by itself."""
        lease, seat.lease = seat.lease, None
        if lease is None or not self._house.trouble.reachable:
            return
        try:
            self._house.database.release(lease)
        except DatabaseUnreachable as error:
            self._house.trouble.away(error)
        except TrackerError as error:
            log.warning("lease.kept", panel=seat.name, error=str(error), remedy="none needed: it expires soon")

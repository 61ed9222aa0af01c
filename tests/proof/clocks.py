"""The wall clock is set, the process is suspended: polling goes on, nothing is lost, nothing closes for a leap.

The clock of a real daemon is set by libfaketime, which answers for the C library, and so for SQLite, whose `now`
dates leases there; Postgres keeps its own. Monotonic clocks stay true, as they do where somebody sets the time.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from typing import Final, Self, TextIO

from cli_setting import KEY, TRACKER, configure, sql
from simulation import PATIENCE, until
from warm import Warm

from proof.ground import PanelTime, all_answered, empty, follow, kind_of, make_due, now, seeded, silence, spelled
from proof.table import Figure, Profile
from proof.truth import Truth
from tracker.daemon.post import utc_now
from tracker.pace import Pacing
from tracker.simulator import Clock, Simulator
from tracker.store.database import opened

HOUR, YEAR = 3600, 366 * 86400
LEAPS: Final = (1, HOUR, YEAR, 56 * YEAR)
ALL_STEPS: Final = (*LEAPS, *(-seconds for seconds in LEAPS[:3]))

TICKS: Final = 3
"""Intervals at most from a step to the next tick; then so many ticks are waited for."""

SPEED: Final = 2400.0
ORDERS: Final = 30


def library() -> Path | None:
    """Return libfaketime, where Debian (package libfaketime) puts it."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Set the clock in every way, start in 1970, and suspend the process."""
    yield set_the_clock(profile, url, ALL_STEPS, every=5 if profile.long else 1)
    yield suspend(profile, url)


def set_the_clock(profile: Profile, url: str, steps: Sequence[int], every: int = 1) -> Figure:
    """Start in 1970, set the clock right; then set it wrong by each of `steps` (seconds) and right again."""
    gaps: dict[int, float] = {}
    with seeded(profile.seed), Watched(url, profile.seed, every, ahead=-int(time.time()) + 86400) as one:
        one.asks_about_all()
        moves = [0, *(ahead for step in steps for ahead in (step, 0))]
        for before, ahead in zip([one.ahead, *moves], moves, strict=False):
            gaps[ahead - before] = max(one.sets_clock(ahead), gaps.get(ahead - before, 0.0))
            profile.say(f"set by {ahead - before:+,} s: the next tick after {gaps[ahead - before]:.1f} s")
        assert one.closed == 0, "a leap has closed orders"
        one.ends()
    if profile.long:  # a machine that is busy with other tests is late for reasons of its own
        assert max(gaps.values()) <= TICKS * every, gaps
    what = f"the clock set by -1 s to -56 years and +1 s to +56 years, started in 1970, {kind_of(url)}"
    result = (
        f"the next tick at most {max(gaps.values()) / every:.1f} intervals later; nothing lost, nothing twice, "
        "no order closed"
    )
    return Figure("P1 P2 P3 P7", what, len(gaps), result)


def suspend(profile: Profile, url: str) -> Figure:
    """SIGSTOP the process for a while, again and again."""
    seconds, times, every = (180, 3, 5) if profile.long else (1, 2, 1)
    gaps = []
    empty(url)
    with seeded(profile.seed), Watched(url, profile.seed, every) as one:
        for _ in range(times):
            one.asks_about_all()
            one.process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)  # that it is so long is what is proven
            gaps.append(one.goes_on(lambda: one.process.send_signal(signal.SIGCONT)))
        one.ends()
    if profile.long:
        assert max(gaps) <= TICKS * every, gaps
    result = (
        f"the next tick at most {max(gaps) / every:.1f} intervals after it went on; nothing lost, nothing twice"
    )
    return Figure("P1 P2 P3 P6", f"suspended for {seconds} s by SIGSTOP, {kind_of(url)}", times, result)


class Watched:
    """A panel that keeps the truth, and a daemon that polls it; `ahead`: by a clock so many seconds ahead."""

    def __init__(self, url: str, seed: int, every: int, ahead: int | None = None) -> None:
        self._url, self.ahead, self._time = url, ahead or 0, PanelTime()
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clocks-")))
            self._database = stack.enter_context(opened(url))
            clock = Clock(SPEED, self._time)
            self._panel = stack.enter_context(Simulator(seed=seed, clock=clock, key=KEY))
            follow(url, "acme", self._panel, ORDERS, oldest=10 * HOUR)  # some have settled already
            self._truth = Truth({"acme": self._panel})
            config = configure(self._folder, {"acme": self._panel.url}, url, f"{every}s")
            self._log = self._folder / "log"
            log = stack.enter_context(self._log.open("w"))
            self.process = self._start(config, log, ahead)
            stack.push(self.process.__exit__)  # it waits for the end
            stack.callback(self.process.kill)
            self._left = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    @property
    def closed(self) -> int:
        """Count the orders that are closed."""
        return int(sql(self._url, "SELECT count(*) FROM orders WHERE closed_at IS NOT NULL")[0][0])

    def sets_clock(self, ahead: int) -> float:
        """Set the clock to be so much ahead; return the seconds of the longest gap between ticks from then on."""
        began, then = time.monotonic(), utc_now() + timedelta(seconds=ahead)
        wanted = self._orders("next_poll_at <= :then OR checked_at > :then", then=spelled(then))
        gap = self.goes_on(lambda: self._set(ahead))
        self.asks_about(wanted, began)
        latest = then + timedelta(seconds=Pacing().grace + PATIENCE)
        until(lambda: not self._orders("next_poll_at > :latest", latest=spelled(latest)), "parked ones to be due")
        return gap

    def goes_on(self, act: Callable[[], None]) -> float:
        """Act, and wait for ticks; return the seconds of the longest gap between them."""
        began = time.monotonic()
        act()

        def ticks() -> list[float]:
            return [request.at for request in list(self._panel.requests) if request.action == "balance"]

        until(lambda: sum(at > began for at in ticks()) >= TICKS, "the next ticks")
        times = [began, *(at for at in ticks() if at > began)][: TICKS + 1]
        return max(later - earlier for earlier, later in pairwise(times))

    def asks_about_all(self) -> None:
        """Wait until every order was answered at least once."""
        until(lambda: not self._orders("checked_at IS NULL"), "every order to be answered")

    def asks_about(self, wanted: set[str], since: float) -> None:
        """Wait until orders were asked about since a moment."""

        def asked() -> set[str]:
            requests = [one for one in list(self._panel.requests) if one.at > since and one.action == "status"]
            return {order_id for one in requests for order_id in one.ids}

        until(lambda: wanted <= asked(), "orders to be asked about")

    def ends(self) -> None:
        """Stop the panel's time, have all of it asked, end the daemon, and check everything."""
        self._time.stop()
        moment = now()
        make_due(self._database, self._url, "acme")
        until(lambda: all_answered(self._url, moment), "every order to be answered")
        self.process.terminate()
        code, log = self.process.wait(PATIENCE), self._log.read_text()
        assert code == 0, log
        assert "crashed" not in log, log
        silence({"acme": self._panel})
        self._truth.check(self._database, self._url)

    def _orders(self, condition: str, **values: object) -> set[str]:
        rows = sql(self._url, f"SELECT order_id FROM orders WHERE {condition}", **values)
        return {order_id for (order_id,) in rows}

    def _start(self, config: Path, log: TextIO, ahead: int | None) -> Popen[bytes] | Warm:
        command = ["run", "--config", str(config)]
        if ahead is None:
            return Warm(command, stderr=log)
        self._set(ahead)
        return Popen([*TRACKER, *command], env=os.environ | self._faked(), stderr=log)

    def _set(self, ahead: int) -> None:
        self.ahead = ahead
        new = self._folder / "new"
        new.write_text(f"{ahead:+}\n")
        new.rename(self._folder / "ahead")

    def _faked(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / "ahead"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

"""The fault matrix: every step of every kind of round x {failed, failed but done}, then on as if nothing had been.

Real rounds of a real `Post` over real sockets and a real database. One account lives on through all of it: each
try breaks one step that was never broken before, asks again without a fault, and compares what is remembered.
"""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

from cli_setting import KEY, settings_of
from simulation import until
from structlog.testing import capture_logs

from proof import faked
from proof.drivers import break_database
from proof.ground import empty, kind_of
from proof.steps import Steps, break_line
from proof.table import Figure, Profile
from proof.truth import Truth
from tracker.daemon.post import Post, connections
from tracker.errors import DatabaseUnreachable, Refused
from tracker.model import KINDS, Kind, OrderFilter
from tracker.settings import Every
from tracker.simulator import ManualClock, Simulator
from tracker.store.database import Database, opened
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease

Work: TypeAlias = Kind | Literal["lease"]
"""The kinds of round, and taking the lease and opening the books before the first one."""

WORKS: Final[tuple[Work, ...]] = (*KINDS, "lease")

UNTOLD: Final = re.compile(r"\w+: (before|after) (request of|;|ROLLBACK|PRAGMA|fetch, which came after PRAGMA)")
"""A lost request is in the report of its round. What fails as a connection goes back to the pool (a PRAGMA that is
put back, a ROLLBACK of nothing), or as it is tried out when it is taken from there (`;`), costs only that."""

STEP: Final = timedelta(hours=9)
"""Between two tries: an order lives for a few of them, and is closed twenty later."""

NEWCOMERS: Final = 2
BATCH: Final = 10
"""Ids in one request, so that a round has several."""

UNKNOWN: Final = "404404"
"""An order that the panel does not know."""

QUIET: Final = 12
"""Tries in a row that meet no new step; then all were broken."""

SHARES: Final = 23
"""The short profile breaks one in so many."""

FRESH: Final = 3
"""Of so many tries one begins without a connection to the database."""

CHECKED: Final = 8
"""Tries between two comparisons with the truth."""


class Account:
    """A panel's account that is polled through faults, on one database."""

    def __init__(self, url: str, database: Database, panel: Simulator, clock: ManualClock, steps: Steps) -> None:
        self.steps = steps
        self.truth = Truth({"acme": panel})
        self._url, self._database, self._panel, self._clock = url, database, panel, clock
        self._began = datetime.now(UTC)
        self._stack = ExitStack()
        self._connect = self._stack.enter_context(connections(threading.Event(), self._observe))
        self._observed = self._expected = self._tries = 0
        self._post: Post | None = None
        self._begin()
        database.track("acme", [NewOrder(UNKNOWN)])

    def close(self) -> None:
        """Close the connections to the panel."""
        if self._post is not None:
            self._post.client.close()
        self._stack.close()

    def attempt(self, kind: Work) -> bool:
        """Let time pass, work once with a fault and once without; return whether there was one."""
        self._live(kind)
        mark, before = self.truth.mark(), len(self.steps.broken)
        self._tries += 1
        if self._tries % FRESH == 0:
            self._database.close()  # so that connecting is a step as well
        told = False
        with self.steps.armed(kind):
            try:
                self._work(kind)
            except DatabaseUnreachable:
                told = True
        if told:
            until(self._rests, "the requests in flight to end")
            self.truth.doubt(since=mark)
        broke = self.steps.broken[before:]
        for edge in broke:
            assert told or UNTOLD.match(edge), f"nobody was told of the fault at {edge}"
        self._work(kind)
        return bool(broke)

    def break_all(self, kind: Work, patience: int) -> None:
        """Break one step after the other, until so many tries in a row met no new one; check now and then."""
        quiet = tries = 0
        while quiet < patience:
            tries += 1
            quiet = 0 if self.attempt(kind) else quiet + 1
            if tries % CHECKED == 0:
                self.check()
        self.check()

    def check(self) -> None:
        """Compare what is remembered with the panel; raise AssertionError where it differs."""
        what = f"after faults at {self.steps.broken[-CHECKED:]}"
        found = [one for one in self.truth.wrong(self._database, self._url) if UNKNOWN not in one]
        assert not found, f"{what}: {found[:3]}"
        assert self._database._engine.pool.checkedout() == 0, what  # type: ignore[attr-defined]

    def check_small(self) -> None:
        """Poll catalog and balance, and compare those with the panel."""
        for kind in ("catalog", "balance"):
            self._work(kind)
        listed = {one.service_id: one.rate for one in self._panel.world.services()}
        known = self._database.history.services("acme")
        assert {row["service_id"]: row["rate"] for row in known if row["gone_at"] is None} == listed
        [newest] = self._database.history.balances("acme", limit=1)
        assert newest["balance"] == self._panel.world.balance()

    def _now(self) -> datetime:
        return self._began + timedelta(seconds=self._clock.now())

    def _observe(self, *_: object) -> None:
        self._observed += 1

    def _rests(self) -> bool:
        post = self._post
        return post is None or self._observed >= self._expected + post.client.requests

    def _begin(self) -> None:
        """Take the lease and open the books, as the keeper does."""
        if self._post is not None:
            self._post.client.close()
            self._expected += self._post.client.requests
            self._post = None
        lease = self._database.acquire("acme", "matrix", 3600)
        assert isinstance(lease, Lease)
        assert self._database.renew(lease, 3600)
        settings = settings_of(self._panel, "acme")
        self._post = Post(settings, Every(), self._database, lease, connect=self._connect, stop=threading.Event())
        self._post.desk.clock = self._now

    def _work(self, kind: Work) -> None:
        if kind == "lease" or self._post is None:
            self._begin()
            return
        self._post.desk.status_limit = BATCH
        self._post.tick(kind, force=True)

    def _live(self, kind: Work) -> None:
        """Let time pass at the panel; somebody buys and asks for refills."""
        self._clock.advance(STEP.total_seconds())
        if kind not in {"statuses", "refills"}:
            return
        placed = self._panel.world.spawn(NEWCOMERS, oldest=STEP.total_seconds())
        self._database.track("acme", [NewOrder(one.order_id) for one in placed])
        if kind == "refills":
            self._work("statuses")
            self._refill()

    def _refill(self) -> None:
        for order in self._database.history.orders(OrderFilter("acme", ("completed",)), limit=3):
            try:
                refill_id = self._panel.world.refill(order["order_id"])
            except Refused:
                continue
            self._database.track_refill("acme", order["order_id"], refill_id)


def run(url: str, profile: Profile, burst: int = 1) -> Account:
    """Break every step (or a share of them, briefly) on the database at `url`; return the account, checked."""
    shares = profile.often(SHARES, 1)
    steps = Steps(burst, (profile.seed % shares, shares))
    with opened(url) as database:
        break_database(database._engine, steps)
        with account(url, database, steps, profile.seed) as one:
            for kind in WORKS:
                one.break_all(kind, profile.often(2, QUIET))
                profile.say(f"{kind}: {len(steps.broken)} of {len(steps.met)} edges broken so far")
            one.check_small()
    return one


@contextmanager
def account(url: str, database: Database, steps: Steps, seed: int = 1) -> Iterator[Account]:
    """Give an account at a panel that loses requests and replies at the edges."""
    empty(url)
    clock = ManualClock()
    with _silence(), Simulator(seed=seed, clock=clock, key=KEY) as panel:
        break_line(panel, steps)
        one = Account(url, database, panel, clock, steps)
        try:
            yield one
        finally:
            one.close()


@contextmanager
def _silence() -> Iterator[None]:
    """Log nothing, not even of the connections that could not be given back."""
    pools = logging.getLogger("sqlalchemy.pool")
    level = pools.level
    pools.setLevel(logging.CRITICAL)
    try:
        with capture_logs():
            yield
    finally:
        pools.setLevel(level)


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Break each step by itself, then two and three in a row, on the database at `url`; and over fakes."""
    for burst in (1, 2, 3):
        steps = run(url, profile, burst).steps
        failed = "one step fails" if burst == 1 else f"{burst} steps in a row fail"
        what = f"rounds of which {failed}, before it was done or after (statement, request …), {kind_of(url)}"
        found = f"of {len(steps.met)} edges; nothing lost, twice or half"
        yield Figure("P1 P2 P3", what, len(steps.broken), found)
    if url.startswith("sqlite"):
        faults = profile.often(2, 3)
        lived = faked.count(faults)
        what = f"rounds over fakes, each sequence of {faults} faults"
        yield Figure("P1 P2 P3", what, sum(lived.values()), "nothing lost, twice or half")

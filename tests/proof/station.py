"""Everything that polls, in one thread and in virtual time: daemons that die, panels that lie, a shop, a checker.

The daemons are the real posts, rounds, client and store; only time, sockets and the moment of death are ours. What
can fail is an *edge* (`proof.edges`), and a proof arms it: the n-th from now on does what it says.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import text

from proof.edges import Edges, database_fault
from proof.poller import Poller, Round
from proof.sound import Sound
from proof.virtual import Time, rule_database, ruled
from tracker.daemon.post import LEASE_SECONDS
from tracker.model import Kind
from tracker.settings import Every, PanelSettings, Secret
from tracker.simulator import Clock, Simulator
from tracker.simulator.api import Told
from tracker.simulator.line import Response
from tracker.simulator.listener import Sending
from tracker.simulator.record import Entry
from tracker.simulator.server import PATH
from tracker.store.database import Database
from tracker.store.following.tracking import NewOrder

KEY: Final = "k3y"
POLLERS: Final = ("a", "b")

MINUTE: Final = 60.0
PATIENCE: Final = timedelta(days=1)
"""How long a panel that is well may take to answer about everything, with one request a minute."""


class Request(NamedTuple):
    """A request that arrived, and what the budget allowed at that time."""

    at: float
    by: str
    per_minute: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: the simulator that keeps the truth, and how it is polled."""

    name: str
    simulator: Simulator
    settings: PanelSettings
    recent: deque[Request]
    """Its requests of the last minute."""


class Station:
    """Panels, a database, two daemons and a shop. Made by `station`."""

    def __init__(self, url: str, panels: Mapping[str, Simulator], time: Time, every: Every, seed: int) -> None:
        self.url, self.time, self.every, self.seed = url, time, every, seed
        self.panels = {name: _panel(name, simulator) for name, simulator in panels.items()}
        self.simulators = panels
        self.edges = Edges()
        self.counts: Counter[str] = Counter()
        self.found: list[str] = []
        """What is wrong about how panels were asked."""
        self.poison: set[str] = set()
        """Ids that make a panel refuse whatever names them."""
        self.database = Database(url)
        self.engine = rule_database(self.database, time)
        self.sound = Sound(url, panels, time)
        self.under_way: list[Round] = []
        """The rounds that are, one within a request of the other."""
        self.pollers = {name: Poller(self, name) for name in POLLERS}
        for name, simulator in panels.items():
            self._note_claims(name, simulator)

    def _note_claims(self, name: str, simulator: Simulator) -> None:
        record = simulator._record
        claim = record.claim

        def noted(told: list[Told]) -> list[Entry]:
            self.under_way[-1].heard.update((name, one.key) for one in told)
            return claim(told)

        record.claim = noted  # type: ignore[method-assign, assignment]  # the record as before, and noted

    def answer(self, simulator: Simulator, form: dict[str, str]) -> Sending:
        """Have a request answered, with what is armed around it."""
        self.edges.cross("ask")
        panel = next(one for one in self.panels.values() if one.simulator is simulator)
        self._note(panel, form)
        ids = {one for name in ("order", "orders") for one in form.get(name, "").split(",")}
        if self.poison & ids:
            sending = Sending(Response(200, b'{"error":"Something went wrong"}', {}))
        else:
            sending = simulator.handle("POST", PATH, form)
        self.edges.cross("told")
        return sending

    def _note(self, panel: Panel, form: dict[str, str]) -> None:
        self.counts["requests"] += 1
        if self.under_way[-1].overtaken:
            return  # paused between its slot and its request; what it has loaded may be closed by now
        now, recent = self.time.steady(), panel.recent
        by = self.under_way[-1].poller.name
        recent.append(Request(now, by, panel.settings.requests_per_minute))
        while now - recent[0].at >= MINUTE:
            recent.popleft()
        mine = [one for one in recent if one.by == by]  # the budget holds for each process
        most = max(one.per_minute for one in mine)
        if len(mine) > most:
            self.found.append(f"{panel.name} was asked too often, {most} are allowed: {mine}")
        if closed := self.sound.closed(panel.name, form.get("orders", form.get("order", "")).split(",")):
            self.found.append(f"{panel.name} was asked about closed orders: {closed}")

    def sql(self, statement: str, **values: object) -> int:
        """Run a statement as a shop would, which has no idea of tracker; return the rows it touched."""
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).rowcount

    def insert(self, panel: str, order_id: str) -> None:
        """Have a new order followed by plain SQL."""
        self.sql("INSERT INTO orders (panel, order_id) VALUES (:panel, :id)", panel=panel, id=order_id)

    def follow(self, panel: str, order_id: str) -> None:
        """Follow an order as a person would; again, if need be."""
        self.sound.untracked.discard((panel, order_id))
        self.database.track(panel, [NewOrder(order_id)])

    def untrack(self, panel: str, order_id: str) -> None:
        """End to follow an order."""
        self.sound.untracked.add((panel, order_id))
        for round_ in self.under_way:
            round_.undone = True
        self.database.untrack(panel, order_id)

    def configure(self, every: Every, **panel: Any) -> None:  # noqa: ANN401  # fields of PanelSettings
        """Change the configuration of all that polls."""
        self.every = every
        self.panels = {
            name: replace(one, settings=replace(one.settings, **panel)) for name, one in self.panels.items()
        }

    def fault(self) -> None:
        """Raise what a driver raises where the database is away."""
        self.counts["database faults"] += 1
        database_fault(self.engine)

    def take_over(self) -> None:
        """Pause whoever is in a round until its lease has ended, and have the other one poll meanwhile."""
        round_ = self.under_way[-1]
        [other] = [one for one in self.pollers.values() if one is not round_.poller]
        if not other.awake or len(self.under_way) > 1:
            return
        self.counts["takeovers"] += 1
        round_.poller.awake, round_.overtaken = False, True
        self.time.pass_(LEASE_SECONDS + 1)
        # What the paused one heard is older than what its successor is told.
        self.sound.doubt_these(round_.heard)
        round_.heard.clear()
        other.tick(round_.panel, "statuses", force=True)
        round_.poller.awake = True

    def tick(self, panel: str, kind: Kind, *, force: bool = False) -> str:
        """Let whoever leads do one round; return how that ended."""
        leading = [one for one in self.pollers.values() if one.awake and one.leads(panel)]
        for one in leading or self.pollers.values():
            if one.awake and (outcome := one.tick(panel, kind, force=force)) != "stands by":
                return outcome
        return "nobody leads"

    def recover(self) -> None:
        """Let everything be well again."""
        self.edges.disarm()
        self.poison.clear()
        self.time.ahead = 0.0
        for simulator in self.simulators.values():
            simulator.behave()
        for poller in self.pollers.values():
            poller.awake = True

    def ask_about_everything(self, panel: str) -> list[str]:
        """Have every order of a panel that is well answered once more; return what could not be."""
        began, silent = self.time.wall(), [""]
        while silent and self.time.wall() - began < PATIENCE:
            self.time.pass_(MINUTE)
            ended = self.tick(panel, "refills", force=True), self.tick(panel, "statuses", force=True)
            silent = self.sound.silent(panel, began)
        return [f"{panel} was asked until {ended} and still {silent} were not answered"] if silent else []

    def close(self) -> None:
        """Close every connection."""
        for poller in self.pollers.values():
            poller.close()
        self.database.close()
        self.sound.database.close()


def _panel(name: str, simulator: Simulator) -> Panel:
    return Panel(name, simulator, PanelSettings(name, simulator.url, Secret(KEY), None, in_flight=1), deque())


@contextmanager
def station(
    url: str, dialects: Mapping[str, str], *, seed: int = 1, every: Every | None = None
) -> Iterator[Station]:
    """Open a station over a migrated database without rows; `dialects` by the names of its panels."""
    time = Time()
    clock = Clock(time=time.steady)
    with ExitStack() as stack:
        stack.enter_context(ruled(time))
        panels = {
            name: Simulator(seed=seed + number, clock=clock, dialect=dialect, key=KEY)
            for number, (name, dialect) in enumerate(dialects.items())
        }
        for panel in panels.values():
            panel._listener.server_close()  # its port was only needed for a name of its own
        made = Station(url, panels, time, every or Every(), seed)
        stack.callback(made.close)
        yield made

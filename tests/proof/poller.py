"""One daemon process of a station, without its threads: leases, posts, and how a round of theirs ends."""

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from proof.edges import Killed
from proof.inside import Inline, inside_client
from proof.virtual import Stop, rule_database
from tracker.daemon.post import LEASE_SECONDS, Post
from tracker.errors import DatabaseUnreachable, LeaseLost
from tracker.model import Kind
from tracker.panel import Abilities, Account, Budget, PanelClient
from tracker.settings import Every, PanelSettings
from tracker.store.database import Database
from tracker.store.leases import Lease

if TYPE_CHECKING:
    from proof.station import Station


@dataclass(slots=True)
class Round:
    """A round that is under way."""

    poller: "Poller"
    panel: str
    heard: Counter[tuple[str, str]]
    """What the panel said to it, by panel and order (or `refill/ID`)."""
    overtaken: bool = False
    """Whether another process has polled meanwhile."""
    undone: bool = False
    """Whether an order was untracked meanwhile: what was heard of it may be dropped."""


class Poller:
    """One daemon process that tries to lead every panel."""

    def __init__(self, station: "Station", name: str) -> None:
        self.name = name
        self.awake = True
        """Neither paused nor dead."""
        self._station = station
        self._life = 1
        self._database = Database(station.url)
        self._engine = rule_database(self._database, station.time)
        station.edges.watch(self._engine)
        self._stop = Stop(station.time)
        ports = {one.simulator.port: one.simulator for one in station.panels.values()}
        self._http = inside_client(ports, station.answer, self._stop, station.time)
        self._posts: dict[str, tuple[Post, Lease, tuple[PanelSettings, Every]]] = {}

    def leads(self, panel: str) -> bool:
        """Whether it believes that it leads."""
        return panel in self._posts

    def tick(self, panel: str, kind: Kind, *, force: bool = False) -> str:
        """Do one round if it leads or can; return its outcome, or why there was none."""
        station = self._station
        round_ = Round(self, panel, Counter())
        station.under_way.append(round_)
        outcome = "crashed"
        try:
            post = self._post(panel)
            if post is None:
                outcome = "stands by"
            elif (report := post.tick(kind, force=force)) is None:
                outcome = "left in peace"
            else:
                outcome = "ok" if report.fault is None else report.fault.kind
        except LeaseLost:
            self._posts.pop(panel, None)
            outcome = "lease lost"
        except DatabaseUnreachable:
            outcome = "database away"
        except Killed:
            self.die()
            outcome = "killed"
        finally:
            station.under_way.pop()
            station.counts[f"{kind}: {outcome}"] += 1
        if round_.undone or outcome in {"lease lost", "database away", "killed"}:
            station.sound.doubt_these(round_.heard)
        return outcome

    def _post(self, panel: str) -> Post | None:
        station = self._station
        wanted = station.panels[panel].settings, station.every
        if panel not in self._posts:
            lease = self._take(panel)
        else:
            post, lease, configured = self._posts[panel]
            if not self._database.renew(lease, LEASE_SECONDS):
                del self._posts[panel]
                return None
            if configured == wanted:
                return post
        if lease is None:
            return None
        station.counts["shifts"] += 1
        post = Post(*wanted, self._database, lease, connect=self._connect, stop=self._stop)
        post.desk.random = Random(f"{station.seed} {self.name} {self._life} {panel}")
        self._posts[panel] = post, lease, wanted
        return post

    def _take(self, panel: str) -> Lease | None:
        # Those that are awake renew theirs every five seconds, in threads of their own.
        for other in self._station.pollers.values():
            if other.awake and panel in other._posts:
                other._database.renew(other._posts[panel][1], LEASE_SECONDS)
        taken = self._database.acquire(panel, f"{self.name}{self._life}", LEASE_SECONDS)
        return taken if isinstance(taken, Lease) else None

    def _connect(self, panel: PanelSettings, budget: Budget, abilities: Abilities) -> PanelClient:
        account = Account(panel.name, panel.url, panel.key.reveal())
        client = PanelClient(
            account,
            http=self._http,
            budget=budget,
            abilities=abilities,
            stop=self._stop,
            in_flight=panel.in_flight,
        )
        client._workers = Inline()  # type: ignore[assignment]  # in this thread
        return client

    def die(self) -> None:
        """End without a word; the next life knows what the database knows."""
        self._station.counts["kills"] += 1
        self._posts.clear()
        self._engine.dispose()
        self._life += 1

    def close(self) -> None:
        """Close its connections."""
        self._http.close()
        self._database.close()

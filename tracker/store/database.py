"""One database: the front door of this package for everything above it."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from tracker.errors import DatabaseUnfit
from tracker.store import leases, migrate
from tracker.store.engine import open_engine, shown
from tracker.store.following import intake, tracking
from tracker.store.following.intake import Intake
from tracker.store.following.tracking import Followed, NewOrder, Untracked
from tracker.store.journal.intents import Intents
from tracker.store.leases import Held, Lease
from tracker.store.migrate import Schema
from tracker.store.polling.memory import Memory
from tracker.store.reading.export import Export, Span
from tracker.store.reading.glance import Glance
from tracker.store.reading.history import History
from tracker.store.reading.vitals import PanelVitals, Patience, Size, Tally, look_at_vitals, measure, tally
from tracker.store.upkeep import backup, sizes
from tracker.store.upkeep.backup import Progress
from tracker.store.upkeep.fitness import Fitness
from tracker.store.upkeep.retention import Retention
from tracker.store.upkeep.sizes import Sizes
from tracker.store.verifying import sweep
from tracker.store.verifying.rules import Narrowed
from tracker.store.verifying.sweep import MOST, Verdict, Watch


class Database:
    """A database by its URL, connected on first use. Every method may raise `DatabaseUnreachable`."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._engine: Engine = open_engine(url, create=create)
        self._file: tuple[int, int] | None = None
        self.history = History(self._engine)
        self.intents = Intents(self._engine)

    @property
    def shown(self) -> str:
        """Its URL without the password."""
        return shown(self._engine.url)

    def schema(self) -> Schema:
        """Return where its schema stands. Raises `DatabaseUnfit` for a database that is not ours."""
        return migrate.inspect_schema(self._engine)

    def upgrade(self) -> Schema:
        """Bring its schema to the newest version; return where it stood. Raises `DatabaseUnfit`."""
        return migrate.upgrade(self._engine)

    def require(self) -> None:
        """Raise `DatabaseUnfit` with the remedy unless its schema fits."""
        migrate.require(self._engine)

    def acquire(self, panel: str, holder: str, seconds: float) -> Lease | Held:
        """Take the lease of `panel`, or return who holds it."""
        return leases.acquire(self._engine, panel, holder, seconds)

    def renew(self, lease: Lease, seconds: float) -> bool:
        """Prolong `lease`; False where it is not ours any more. Raises `DatabaseUnfit` where the file has gone."""
        self._same_file()
        return leases.renew(self._engine, lease, seconds)

    def _same_file(self) -> None:
        """Notice a SQLite file that was moved away or replaced: writes would go on into nothing, in silence."""
        if self._engine.dialect.name != "sqlite":
            return
        try:
            found = Path(str(self._engine.url.database)).stat()
        except FileNotFoundError:
            raise DatabaseUnfit(
                f"{self.shown} was removed while it was open. Put it back, then start again."
            ) from None
        file = (found.st_dev, found.st_ino)
        self._file = self._file or file
        if file != self._file:
            raise DatabaseUnfit(f"{self.shown} was replaced while it was open. Start again to use the new one.")

    def release(self, lease: Lease) -> None:
        """End `lease` now."""
        leases.release(self._engine, lease)

    def holder_of(self, panel: str) -> Held | None:
        """Return who holds the lease of `panel`, or held it last."""
        return leases.holder_of(self._engine, panel)

    def holders(self) -> dict[str, Held]:
        """Return who holds the lease of each panel, or held it last. Raises `DatabaseUnfit` as `renew` does."""
        self._same_file()
        return leases.holders(self._engine)

    def memory(self, lease: Lease) -> Memory:
        """Return the books of the lease's panel, to be written under it."""
        return Memory(self._engine, lease)

    def track(self, panel: str, new: Sequence[NewOrder]) -> list[Followed]:
        """Follow orders, closed ones again; return what became of each."""
        return tracking.track(self._engine, panel, new)

    def untrack(self, panel: str, order_id: str) -> Untracked:
        """Stop following an order and its refills; their history stays."""
        return tracking.untrack(self._engine, panel, order_id)

    def take_in(self, panel: str, new: Sequence[NewOrder], *, write: bool = True) -> Intake:
        """Take in some thousands of orders, each id once; `write=False` only says what would become of them."""
        return intake.take_in_patiently(self._engine, panel, new, write=write)

    def track_refill(self, panel: str, order_id: str, refill_id: str) -> bool:
        """Follow a refill; False where it is followed already."""
        return tracking.track_refill(self._engine, panel, order_id, refill_id)

    def make_due(self, panel: str, order_ids: Sequence[str] | None = None) -> int:
        """Make open orders due now; return how many."""
        return tracking.make_due(self._engine, panel, order_ids)

    def export(
        self,
        name: str,
        columns: Sequence[str] = (),
        panel: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Export:
        """Return what reads a table or view, narrowed, for a file. Raises `UsageFault` for what is not there."""
        return Export(self._engine, name, columns, panel, Span(since, until))

    def sizes(self, now: datetime, *, exact: bool = False) -> Sizes:
        """Return how large its tables are and how fast they grow; see `tracker.store.upkeep.sizes`."""
        return sizes.look(self._engine, now, exact=exact)

    def back_up(self, target: Path, progress: Progress = lambda _done, _all: None, *, force: bool = False) -> int:
        """Write a backup of this moment to `target`; return its bytes; see `tracker.store.upkeep.backup`."""
        return backup.back_up(self._engine, target, progress, force=force)

    def restoring(self, target: Path) -> str:
        """Return the line to type to go back to the backup in `target`."""
        return backup.restoring(self._engine, target)

    def verify(
        self,
        panel: str | None = None,
        since: datetime | None = None,
        *,
        watch: Watch = lambda _table, _share: None,
        most: int = MOST,
    ) -> Verdict:
        """Check the whole history, or that of a panel, or what has changed since; see `tracker.store.verifying`.

        Runs beside polling. Of each rule that is broken at most `most` rows are told, and how many there are.
        """
        return sweep.verify(self._engine, Narrowed(panel, since), watch, most)

    def retention(self) -> Retention:
        """Return what forgets, step by step, what is older than it is kept."""
        return Retention(self._engine)

    def glance(self, stuck: timedelta) -> Glance:
        """Return what looks at it for one live screen; see there."""
        return Glance(self._engine, stuck)

    def fitness(self) -> Fitness:
        """Return what tries the database out, for `tracker check`."""
        return Fitness(self._engine)

    def vitals(self, now: datetime, patience: Patience) -> list[PanelVitals]:
        """Return how the work at each panel stands; see there. Raises `DatabaseUnfit` as `renew` does."""
        self._same_file()
        return look_at_vitals(self._engine, now, patience)

    def tally(self) -> Tally:
        """Count all there ever was. Raises `DatabaseUnfit` as `renew` does."""
        self._same_file()
        return tally(self._engine)

    def size(self) -> Size:
        """Return how many bytes it takes, and how many are left."""
        return measure(self._engine)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


@contextlib.contextmanager
def opened(url: str, *, create: bool = False) -> Iterator[Database]:
    """Open a database for the time of a `with` block."""
    database = Database(url, create=create)
    try:
        yield database
    finally:
        database.close()

"""One database: the front door of this package for everything above it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine

from tracker.errors import DatabaseUnfit
from tracker.store import leases, migrate, tracking
from tracker.store.engine import open_engine
from tracker.store.history import History
from tracker.store.leases import Held, Lease
from tracker.store.memory import Memory
from tracker.store.migrate import Schema
from tracker.store.tracking import NewOrder


class Database:
    """A database by its URL, connected on first use. Every method may raise `DatabaseUnreachable`."""

    def __init__(self, url: str, *, create: bool = False) -> None:
        self._engine: Engine = open_engine(url, create=create)
        self._file: tuple[int, int] | None = None
        self.history = History(self._engine)

    @property
    def shown(self) -> str:
        """Its URL without the password."""
        return self._engine.url.render_as_string(hide_password=True)

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

    def memory(self, lease: Lease) -> Memory:
        """Return the books of the lease's panel, to be written under it."""
        return Memory(self._engine, lease)

    def track(self, panel: str, new: Sequence[NewOrder]) -> list[str]:
        """Follow orders; return the ids that were not tracked before."""
        return tracking.track(self._engine, panel, new)

    def track_refill(self, panel: str, order_id: str, refill_id: str) -> bool:
        """Follow a refill; False where it is followed already."""
        return tracking.track_refill(self._engine, panel, order_id, refill_id)

    def make_due(self, panel: str, order_ids: Sequence[str] | None = None) -> int:
        """Make open orders due now; return how many."""
        return tracking.make_due(self._engine, panel, order_ids)

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

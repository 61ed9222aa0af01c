"""What proofs with real processes share: panels whose time can be stopped, orders to follow, and waiting."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime

from cli_setting import plain, sql
from simulation import until

from tracker.daemon.post import utc_now
from tracker.errors import Refused
from tracker.simulator import Simulator
from tracker.store.database import Database
from tracker.store.schema import metadata


class PanelTime:
    """Passes, until it is stopped for good."""

    def __init__(self) -> None:
        self._stopped_at: float | None = None

    def __call__(self) -> float:
        return time.monotonic() if self._stopped_at is None else self._stopped_at

    def stop(self) -> None:
        """Let nothing change any more."""
        self._stopped_at = time.monotonic()


def ask_for_refills(database: Database, url: str, name: str, panel: Simulator, most: int) -> None:
    """Ask for refills of up to so many orders that are followed, and follow these as well."""
    for (order_id,) in sql(url, "SELECT order_id FROM orders WHERE panel = :name", name=name):
        if most:
            with suppress(Refused):
                database.track_refill(name, order_id, panel.world.refill(order_id))
                most -= 1


def follow(url: str, name: str, panel: Simulator, count: int, oldest: float = 3600.0) -> None:
    """Have new orders followed by plain SQL; the oldest was placed so many virtual seconds ago."""
    for one in panel.world.spawn(count, oldest=oldest):
        sql(url, "INSERT INTO orders (panel, order_id) VALUES (:panel, :id)", panel=name, id=one.order_id)


def make_due(database: Database, url: str, name: str) -> None:
    """Have every order and every refill of a panel asked about at the next tick."""
    database.make_due(name)
    sql(url, "UPDATE refills SET next_poll_at = '2001-01-01 00:00:00' WHERE closed_at IS NULL")


def spelled(moment: datetime) -> str:
    """Return a moment of UTC as SQL compares it with those of either database."""
    return moment.isoformat(" ", "microseconds")


def now() -> str:
    """Return this moment, spelled."""
    return spelled(utc_now())


def all_answered(url: str, moment: str) -> bool:
    """Return whether every order was answered since `moment`."""
    behind = "SELECT count(*) FROM orders WHERE checked_at IS NULL OR checked_at < :moment"
    return bool(sql(url, behind, moment=moment)[0][0] == 0)


def silence(panels: Mapping[str, Simulator]) -> None:
    """Wait until the panels have noticed the end of every connection, and so know which replies arrived."""
    until(lambda: not any(panel._listener.connections for panel in panels.values()), "the panels to notice")


def empty(url: str) -> None:
    """Remove every row."""
    with plain(url) as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Name the seed in what a failure of the block tells."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


def kind_of(url: str) -> str:
    """Return what kind of database it is, as people call it."""
    return "SQLite" if url.startswith("sqlite") else "Postgres"

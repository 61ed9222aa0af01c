"""The catalog as last seen, and how it changed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.catalog import FIELDS, Difference, Doubt, Known
from tracker.model import Anomaly, Service
from tracker.store.bulk import RowSet
from tracker.store.engine import reading
from tracker.store.leases import Lease, fenced
from tracker.store.polling.anomalies import Anomalies
from tracker.store.schema import panels, service_changes, services
from tracker.store.types import Text

COLUMNS: Final = ("service_id", *FIELDS)


class Services:
    """The catalog of one panel, written under its lease."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._anomalies = Anomalies(engine.dialect.name, lease.panel)
        self._lost = RowSet(engine.dialect.name, "lost", id=Text)

    def known(self) -> dict[str, Known]:
        """Return the catalog as last seen, by service id, those that are gone included."""
        statement = select(*(services.c[name] for name in COLUMNS), services.c.gone_at).where(
            services.c.panel == self._lease.panel
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return {row.service_id: Known(Service._make(row[:-1]), gone=row.gone_at is not None) for row in rows}

    def doubt(self) -> Doubt | None:
        """Return the shrunken catalog that was told last and is not believed yet."""
        statement = select(panels.c.catalog_doubt, panels.c.catalog_doubts).where(
            panels.c.name == self._lease.panel
        )
        with reading(self._engine) as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None or row.catalog_doubt is None else Doubt(row.catalog_doubt, row.catalog_doubts)

    def write(self, difference: Difference, now: datetime) -> None:
        """Write what changed, one row a change, and that every service that is not gone was seen at `now`."""
        here = services.c.panel == self._lease.panel
        with fenced(self._engine, self._lease) as connection:
            self._upsert(connection, difference.seen, now)
            if difference.gone:
                lost = self._lost.parameters([(one,) for one in difference.gone])
                connection.execute(
                    update(services)
                    .where(here, services.c.service_id.in_(select(self._lost.c.id)))
                    .values(gone_at=now),
                    lost,
                )
            connection.execute(update(services).where(here, services.c.gone_at.is_(None)).values(last_seen_at=now))
            if difference.changes:
                rows = [
                    {"panel": self._lease.panel, "at": now, **change._asdict()} for change in difference.changes
                ]
                connection.execute(insert(service_changes), rows)
            self._doubt(connection, None)

    def write_doubt(self, doubt: Doubt, detail: str, now: datetime) -> None:
        """Remember a catalog that is too small to be believed yet, as an anomaly."""
        with fenced(self._engine, self._lease) as connection:
            self._doubt(connection, doubt)
            self._anomalies.add(connection, [(Anomaly("", "shrunken_catalog", detail), now)])

    def _upsert(self, connection: Connection, seen: Sequence[Service], now: datetime) -> None:
        if not seen:
            return
        new = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(services)
        set_: dict[str, Any] = {name: new.excluded[name] for name in (*FIELDS, "last_seen_at")}
        statement = new.on_conflict_do_update(
            index_elements=[services.c.panel, services.c.service_id], set_={**set_, "gone_at": None}
        )
        times = {"first_seen_at": now, "last_seen_at": now}
        rows = [{"panel": self._lease.panel, **service._asdict(), **times} for service in seen]
        connection.execute(statement, rows)

    def _doubt(self, connection: Connection, doubt: Doubt | None) -> None:
        connection.execute(
            update(panels)
            .where(panels.c.name == self._lease.panel)
            .values(catalog_doubt=doubt and doubt.digest, catalog_doubts=doubt.times if doubt else 0)
        )

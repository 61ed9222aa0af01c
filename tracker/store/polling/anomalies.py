"""Replies that were not believed: one row per panel, order and kind, counting."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from tracker.model import Anomaly
from tracker.store.schema import anomalies


class Anomalies:
    """The anomalies of one panel."""

    def __init__(self, dialect: str, panel: str) -> None:
        self._panel = panel
        new = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(anomalies)
        self._count = new.on_conflict_do_update(
            index_elements=[anomalies.c.panel, anomalies.c.order_id, anomalies.c.kind],
            set_={
                "count": anomalies.c.count + 1,
                "last_at": new.excluded.last_at,
                "detail": new.excluded.detail,
            },
        )

    def add(self, connection: Connection, told: Iterable[tuple[Anomaly, datetime]]) -> None:
        """Count `told`, each with when it was seen, inside the transaction of `connection`."""
        rows = [
            {
                "panel": self._panel,
                "order_id": one.order_id,
                "kind": one.kind,
                "count": 1,
                "first_at": at,
                "last_at": at,
                "detail": one.detail,
            }
            for one, at in told
        ]
        if rows:
            connection.execute(self._count, rows)

"""What else is remembered of a panel: its balance, its rounds, its faults, and what it understands."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.model import NO_CURRENCY, Anomaly, Balance, Learned, RoundRow
from tracker.store.leases import Lease, fenced
from tracker.store.polling.anomalies import Anomalies
from tracker.store.schema import balance_snapshots, panels, rounds


class Ledger:
    """The books of one panel, written under its lease."""

    def __init__(self, engine: Engine, lease: Lease) -> None:
        self._engine = engine
        self._lease = lease
        self._here = panels.c.name == lease.panel
        self._anomalies = Anomalies(engine.dialect.name, lease.panel)

    def open(self, url: str) -> Learned:
        """Make the row of the panel, or note its present URL, and return what is known of it."""
        new = (postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert)(panels)
        statement = new.values(name=self._lease.panel, url=url)
        statement = statement.on_conflict_do_update(index_elements=[panels.c.name], set_={"url": url})
        columns = (panels.c.bulk_status, panels.c.bulk_refill, panels.c.learned_at)
        with fenced(self._engine, self._lease) as connection:
            connection.execute(statement)
            return Learned._make(connection.execute(select(*columns).where(self._here)).one())

    def learn(self, learned: Learned) -> None:
        """Remember what the panel understands."""
        with fenced(self._engine, self._lease) as connection:
            connection.execute(update(panels).where(self._here).values(**learned._asdict()))

    def snapshot(self, balance: Balance, now: datetime) -> None:
        """Write one balance; a currency that the panel told also becomes the panel's."""
        with fenced(self._engine, self._lease) as connection:
            row = {"panel": self._lease.panel, "at": now, **balance._asdict()}
            connection.execute(insert(balance_snapshots), row)
            if balance.currency != NO_CURRENCY:
                statement = update(panels).where(self._here, panels.c.currency.is_distinct_from(balance.currency))
                connection.execute(statement.values(currency=balance.currency))

    def finish_round(self, row: RoundRow, anomalies: Sequence[Anomaly]) -> None:
        """Write the row of a round, its panel-wide anomalies, and the fault that ended it."""
        with fenced(self._engine, self._lease) as connection:
            connection.execute(
                insert(rounds),
                {
                    "round": row.round_id,
                    "panel": self._lease.panel,
                    "kind": row.kind,
                    "started_at": row.started_at,
                    "finished_at": row.finished_at,
                    **row.counts._asdict(),
                    "outcome": row.outcome,
                    "error": row.error,
                },
            )
            self._anomalies.add(connection, [(one, row.finished_at) for one in anomalies])
            if row.error is not None:
                values = {"fault": row.error, "fault_kind": row.outcome, "fault_at": row.finished_at}
                connection.execute(update(panels).where(self._here).values(**values))

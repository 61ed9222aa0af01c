"""What the tests of exports share: rows to export, and files of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from books import NOW, execute
from sqlalchemy import insert

from tracker.cli.asking.export_run import run
from tracker.store.database import Database
from tracker.store.schema import anomalies, orders, rounds, services, transitions


def exported(database: Database, name: str, form: str, file: Path, **narrowed: Any) -> bytes:  # noqa: ANN401  # whatever an export takes
    """Export into a file, and return what it holds."""
    done = run(database.export(name, **narrowed), name, str(file), form, after=None, append=False)
    assert (done.fault, done.signal, done.kept) == (None, None, None)
    return file.read_bytes()


def add_orders(database: Database, *order_ids: str, **columns: object) -> None:
    times = {"tracked_at": NOW, "state_at": NOW, "next_poll_at": NOW}
    execute(
        database, insert(orders), [{"panel": "acme", "order_id": one, **times, **columns} for one in order_ids]
    )


def add_history(database: Database, number: int) -> None:
    """Insert an order with a row or two in each of some tables."""
    add_orders(database, str(number), id=number + 1)
    history = {"order_key": number + 1, "at": NOW, "from_state": "new", "to_state": "pending", "round": "r"}
    execute(database, insert(transitions), [{**history, "seq": seq} for seq in (1, 2)])
    times = {"first_seen_at": NOW, "last_seen_at": NOW}
    execute(database, insert(services), [{"panel": "a,b%", "service_id": str(number), "name": "x", **times}])
    at = {"started_at": NOW - timedelta(hours=number % 3), "finished_at": NOW}
    row = {"round": f"r {number}", "panel": "acme", "kind": "balance", "outcome": "ok", **at}
    execute(database, insert(rounds), [row])
    seen = {"kind": "absent", "first_at": NOW, "last_at": NOW}
    execute(database, insert(anomalies), [{"panel": "acme", "order_id": f"ü/{number}", **seen}])

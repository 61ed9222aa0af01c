"""Pruning beside everything else: a kill, the polling daemon, a locked database, a clock that jumps."""

import io
import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from books import NOW, ago, everything, execute, follow, table
from cli_setting import KEY, Running, configure, daemon_in_a_thread, settings_of, sql
from promises import broken
from simulation import PATIENCE, until
from sqlalchemy import insert
from warm import Warm

from tracker import logs
from tracker.daemon import pruning
from tracker.errors import DatabaseUnreachable
from tracker.model import Keep
from tracker.simulator import Simulator
from tracker.store import engine
from tracker.store.database import Database
from tracker.store.schema import orders, rounds

DAY = 86400.0
LONG_AGO = ago(days=40)


def a_round(at: datetime) -> dict[str, Any]:
    times = {"started_at": at, "finished_at": at}
    return {"round": "r", "panel": "acme", "kind": "statuses", "outcome": "ok", **times}


PIECES = (
    """SELECT 'refill', refill_id FROM refills WHERE NOT EXISTS
       (SELECT 1 FROM orders o WHERE o.panel = refills.panel AND o.order_id = refills.order_id)""",
    "SELECT 'child', order_id FROM orders WHERE order_id LIKE 'child%' AND parent IS NULL",
    """SELECT 'parent', order_id FROM orders p WHERE order_id LIKE 'p%'
       AND (SELECT count(*) FROM orders c WHERE c.parent = p.id) <> 2""",
    """SELECT 'refills', order_id FROM orders o
       WHERE (SELECT count(*) FROM refills r WHERE r.order_id = o.order_id) <> 1""",
    "SELECT 'history', order_key FROM transitions WHERE order_key NOT IN (SELECT id FROM orders)",
    "SELECT 'history', id FROM orders WHERE seq <> (SELECT count(*) FROM transitions WHERE order_key = id)",
)
"""What must not be found of families of a parent, two children, and a refill and a transition each."""


def orphans(url: str) -> list[Any]:
    """Return what is left of orders that are gone, and orders of which something is gone."""
    return [row for piece in PIECES for row in sql(url, piece)]


def test_killed_in_the_middle_it_leaves_nothing_half(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    families_of = [f"p{number}" for number in range(300)]
    rows = {"seq": 1, "state": "completed", "closed_at": LONG_AGO}
    keys = follow(database, *families_of, panel="acme", **rows)
    for number in (1, 2):
        names = [f"child{number}-{name}" for name in families_of]
        execute(
            database,
            insert(orders),
            [
                {"panel": "acme", "order_id": name, "parent": key, **rows, "tracked_at": NOW, "state_at": NOW}
                for name, key in zip(names, keys, strict=True)
            ],
        )
    sql(
        database_url,
        "INSERT INTO transitions (order_key, seq, at, from_state, to_state, round)"
        " SELECT id, 1, tracked_at, 'new', 'completed', 'r' FROM orders",
    )
    sql(
        database_url,
        "INSERT INTO refills (panel, order_id, refill_id, state, closed_at)"
        " SELECT panel, order_id, order_id, 'completed', closed_at FROM orders",
    )
    config = configure(tmp_path, {}, database_url, more='[keep]\nclosed_orders = "1d"')

    def left() -> int:
        return int(sql(database_url, "SELECT count(*) FROM orders")[0][0])

    with Warm(["db", "prune", "--config", str(config)]) as process:
        until(lambda: left() < 900, "it to have deleted something")
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 0 < left() < 900
    assert orphans(database_url) == []
    for _ in database.retention().walk(lambda: datetime.now(UTC), Keep(None, None, None, DAY)):
        assert orphans(database_url) == []
    assert [row for name, found in everything(database).items() if name != "leases" for row in found] == []


THEIRS = "SELECT count(*) FROM orders WHERE panel = 'other'"


def test_beside_polling_it_holds_nothing_up_and_every_promise_holds(database: Database, database_url: str) -> None:
    """A daemon polls 200 orders as fast as it can, while all progress and all old orders go at once."""
    pruner = pruning.Pruner(database, Keep(0.2, 0.2, 0.2, DAY), rest=0.0)  # all of the history is old at once
    stop = threading.Event()

    def forget() -> None:
        while not stop.wait(0.005):
            pruner.step()

    with Simulator(key=KEY, seed=3) as panel:
        spawned = [order.order_id for order in panel.world.spawn(200)]
        follow(database, *spawned, tracked_at=datetime.now(UTC), state_at=datetime.now(UTC))
        follow(database, *(f"old{number}" for number in range(300)), panel="other", closed_at=LONG_AGO)
        forgetting = threading.Thread(target=forget)
        with daemon_in_a_thread(database, [settings_of(panel, "acme")]) as (_, ended):
            forgetting.start()
            until(lambda: sql(database_url, THEIRS)[0][0] == 0, "old orders to go")
            before = panel.counts["balance"]
            until(lambda: panel.counts["balance"] > before + 1, "polling to go on")
            assert broken(database_url) == {}
        stop.set()
        forgetting.join(PATIENCE)
        assert not forgetting.is_alive()
        assert ended.error is None
    assert broken(database_url) == {}
    assert {row[0] for row in sql(database_url, "SELECT order_id FROM orders")} >= set(spawned)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure(stream, secrets=(), json=True)
    yield stream
    structlog.reset_defaults()


def pruned(logged: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    return [line for line in lines if line["event"] == "retention.pruned"]


def test_what_was_pruned_is_told_once_and_then_it_rests(sqlite_database: Database, logged: io.StringIO) -> None:
    execute(sqlite_database, insert(rounds), [a_round(LONG_AGO)])
    pruner = pruning.Pruner(sqlite_database, Keep(rounds=DAY))
    for _ in range(3):
        pruner.step()
    [line] = pruned(logged)
    assert (line["rounds"], line["rows"]) == (1, 1)
    execute(sqlite_database, insert(rounds), [a_round(LONG_AGO)])
    pruner.step()
    assert len(table(sqlite_database, rounds)) == 1


def test_a_step_that_the_database_refuses_is_done_again(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engine.PRAGMAS, "busy_timeout", 20)
    execute(sqlite_database, insert(rounds), [a_round(LONG_AGO)])
    sqlite_database.close()  # its connections wait longer
    pruner = pruning.Pruner(sqlite_database, Keep(rounds=DAY))
    with closing(sqlite3.connect(tmp_path / "tracker.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnreachable):
            pruner.step()
        other.rollback()
    pruner.step()
    assert table(sqlite_database, rounds) == []


def test_what_is_kept_may_change_while_it_runs(sqlite_database: Database) -> None:
    execute(sqlite_database, insert(rounds), [a_round(LONG_AGO)])
    pruner = pruning.Pruner(sqlite_database, Keep(rounds=None), rest=0.0)
    pruner.step()
    assert len(table(sqlite_database, rounds)) == 1
    pruner.keep = Keep(rounds=DAY)
    pruner.step()
    assert table(sqlite_database, rounds) == []


@pytest.mark.parametrize("seconds", [1e9, -1e9])
def test_after_the_clock_was_set_nothing_is_deleted_until_it_has_rested(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, logged: io.StringIO, seconds: float
) -> None:
    execute(sqlite_database, insert(rounds), [a_round(LONG_AGO)])
    pruner = pruning.Pruner(sqlite_database, Keep(rounds=DAY))
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + seconds)
    for _ in range(3):
        pruner.step()
    assert logged.getvalue().count("the clock was set") == 1
    assert len(table(sqlite_database, rounds)) == 1


def test_the_daemon_prunes(database: Database, database_url: str, tmp_path: Path) -> None:
    execute(database, insert(rounds), [a_round(LONG_AGO)])
    with Simulator(key=KEY) as panel:
        config = configure(tmp_path, {"acme": panel.url}, database_url, more='[keep]\nrounds = "1d"')
        with Running(config) as running:
            assert running.until("retention.pruned")["rounds"] == 1
            running.signal()
            assert running.ended() == 0
    assert "r" not in {row["round"] for row in table(database, rounds)}

"""Forgetting: only what is too old goes, whole, in small steps, and what stays keeps every promise."""

import json
import random
import shlex
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from books import NOW, PENDING, ago, check_history, everything, execute, follow, order_row, poll, table
from cli_setting import configure, plain, sql, typist
from promises import broken
from simulation import PATIENCE
from sqlalchemy import insert, text, update

from tracker.model import Keep, Status
from tracker.store.database import Database
from tracker.store.polling.memory import Memory
from tracker.store.schema import (
    anomalies,
    intents,
    orders,
    progress,
    refill_transitions,
    refills,
    rounds,
    transitions,
)
from tracker.store.upkeep import families, retention
from tracker.store.upkeep.retention import Pruned

DAY = 86400.0
NEVER = Keep(None, None, None, None)
CLOSED = Keep(None, None, None, 30 * DAY)
LONG_AGO = ago(days=40)
LATELY = ago(days=20)


def walked(database: Database, keep: Keep, now: datetime = NOW, *, write: bool = True) -> Pruned:
    """Do one whole walk; return all that it did."""
    total = Pruned()
    for done in database.retention().walk(lambda: now, keep, write=write):
        total = total.plus(done)
    return total


def known(database: Database) -> set[str]:
    return {row["order_id"] for row in table(database, orders)}


def old_order(
    database: Database, memory: Memory, order_id: str, closed_at: datetime = LONG_AGO, **columns: object
) -> int:
    """Have an order with a history, closed some time ago; return its key."""
    [key] = follow(database, order_id, panel="acme", **columns)
    poll(memory, {order_id: PENDING}, ago(days=99))
    poll(memory, {order_id: PENDING._replace(remains=7)}, ago(days=98))
    poll(memory, {order_id: Status("completed", "Completed", Decimal("0.5"), "USD", 1, 0)}, ago(days=97))
    execute(database, update(orders).where(orders.c.id == key).values(closed_at=closed_at))
    return key


def intent(state: str, order_key: int, uuid: str = "u") -> dict[str, Any]:
    row = {"uuid": uuid, "panel": "acme", "action": "add", "state": state, "payload": "{}"}
    return row | {"order_key": order_key, "sent_at": LONG_AGO, "deadline_at": LONG_AGO}


def a_round(name: str, at: datetime) -> dict[str, Any]:
    times = {"started_at": at, "finished_at": at}
    return {"round": name, "panel": "acme", "kind": "statuses", "outcome": "ok", **times}


def test_rounds_and_anomalies_go_once_they_are_older_than_they_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 3)
    execute(database, insert(rounds), [a_round(str(days), ago(days=days)) for days in range(20)])
    last = [{"kind": f"k{days}", "first_at": ago(days=30), "last_at": ago(days=days)} for days in range(20)]
    execute(
        database,
        insert(anomalies),
        [{"panel": "acme", "order_id": str(i % 3), **row} for i, row in enumerate(last)],
    )
    keep = Keep(rounds=9.5 * DAY, anomalies=14.5 * DAY)
    told = walked(database, keep, write=False)
    assert (told.rounds, told.anomalies, told.rows) == (10, 5, 15)
    steps = list(database.retention().walk(lambda: NOW, keep))
    assert max(step.rows for step in steps) == 3
    assert sum(step.rows for step in steps) == 15
    assert sorted(int(row["round"]) for row in table(database, rounds)) == list(range(10))
    assert sorted(int(row["kind"][1:]) for row in table(database, anomalies)) == list(range(15))
    assert walked(database, keep).rows == 0


def test_what_is_kept_forever_stays_and_a_dry_run_deletes_nothing(database: Database, memory: Memory) -> None:
    for order_id in "123":
        old_order(database, memory, order_id)
    execute(database, insert(rounds), [a_round("r", ago(days=9999))])
    before = everything(database)
    assert walked(database, NEVER) == Pruned()
    assert walked(database, Keep(DAY, DAY, DAY, DAY), write=False).closed_orders == 3
    assert everything(database) == before


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("page", [3, 7])
def test_progress_goes_but_for_the_last_of_each_state_and_every_promise_holds_after_each_step(
    database: Database, memory: Memory, database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int, page: int
) -> None:
    monkeypatch.setattr(retention, "PAGE", page)
    chance = random.Random(seed)
    names = [str(number) for number in range(5)]
    follow(database, *names)
    for step in range(60):
        told = {
            name: Status(
                "pending" if chance.random() < 0.05 else "in_progress", "P", None, None, 1, chance.randrange(3)
            )
            for name in chance.sample(names, 2)
        }
        poll(memory, told, ago(days=60) + timedelta(days=step))
    heads, moved = table(database, orders), table(database, transitions)
    cutoff = ago(days=15)
    for _ in database.retention().walk(lambda: NOW, Keep(None, None, 15 * DAY, None)):
        check_history(database)
    assert broken(database_url) == {}
    assert (table(database, orders), table(database, transitions)) == (heads, moved)
    old = [(row["order_key"], row["seq"]) for row in table(database, progress) if row["at"] < cutoff]
    assert database.verify().violations == [], "what an order was last told stays, with its moment"
    kept = list(Counter(old).values())
    assert max(kept) <= 2, "of each state the last old row, and the one before it where it repeats the transition"
    assert kept.count(1) > kept.count(2)
    assert old
    assert walked(database, Keep(None, None, 15 * DAY, None)).rows == 0


def test_progress_of_a_clock_that_was_set_back_is_never_pruned_from_between(
    database: Database, memory: Memory, database_url: str
) -> None:
    follow(database, "1")
    for day, remains in ((50, 1), (1, 2), (49, 3), (48, 1), (47, 2)):
        poll(memory, {"1": Status("in_progress", "P", None, None, 1, remains)}, ago(days=day))
    assert walked(database, Keep(None, None, 30 * DAY, None)).progress == 0
    assert broken(database_url) == {}


def test_a_closed_order_goes_with_everything_that_belongs_to_it(database: Database, memory: Memory) -> None:
    old_order(database, memory, "stays", LATELY)
    before = {name: rows for name, rows in everything(database).items() if name != "leases"}
    key = old_order(database, memory, "goes")
    child = old_order(database, memory, "child", parent=key)
    old_order(database, memory, "grandchild", parent=child)
    row = {"panel": "acme", "order_id": "child", "refill_id": "r", "closed_at": LONG_AGO, "state": "completed"}
    execute(database, insert(refills), [row])
    [refill] = table(database, refills)
    moved = {
        "refill_key": refill["id"],
        "seq": 1,
        "at": LONG_AGO,
        "from_state": "requested",
        "to_state": "completed",
    }
    execute(database, insert(refill_transitions), [{**moved, "round": "r"}])
    execute(database, insert(intents), [intent("confirmed", key)])
    odd = {
        "panel": "acme",
        "order_id": "grandchild",
        "kind": "bad_item",
        "first_at": LONG_AGO,
        "last_at": LONG_AGO,
    }
    execute(database, insert(anomalies), [odd])
    told = walked(database, CLOSED, write=False)
    done = walked(database, CLOSED)
    assert done.closed_orders == told.closed_orders == 3
    assert done.rows == 3 * (1 + 2 + 1) + 4
    assert {name: rows for name, rows in everything(database).items() if name != "leases"} == before


HELD: dict[str, str] = {
    "closed lately": "UPDATE orders SET closed_at = '2026-02-20 00:00:00' WHERE order_id = '1'",
    "open": "UPDATE orders SET closed_at = NULL WHERE order_id = '1'",
    "child open": "UPDATE orders SET closed_at = NULL WHERE order_id = '2'",
    "child closed lately": "UPDATE orders SET closed_at = '2026-02-20 00:00:00' WHERE order_id = '2'",
    "followed refill": "INSERT INTO refills (panel, order_id, refill_id) VALUES ('acme', '2', '9')",
    "unknown intent": """
        INSERT INTO intents (uuid, panel, action, state, payload, order_key, deadline_at)
        SELECT 'u', 'acme', 'cancel', 'unknown', '{}', id, '2026-01-01 00:00:00' FROM orders WHERE order_id = '2'
    """,
}


@pytest.mark.parametrize("change", HELD.values(), ids=HELD.keys())
def test_a_family_that_is_not_over_stays_whole(
    database: Database, memory: Memory, database_url: str, change: str
) -> None:
    key = old_order(database, memory, "1")
    old_order(database, memory, "2", parent=key)
    old_order(database, memory, "3")
    sql(database_url, change)
    assert walked(database, CLOSED).closed_orders == 1
    assert known(database) == {"1", "2"}
    check_history(database)


def test_an_order_that_is_followed_again_between_the_look_and_the_deleting_stays(
    database: Database, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tracker.store.following.tracking import NewOrder

    for order_id in "123":
        old_order(database, memory, order_id)
    look = families.refills_of

    def meanwhile(connection: Any, chosen: Any) -> list[int]:  # noqa: ANN401 - passed on
        database.track("acme", [NewOrder("2")])
        return look(connection, chosen)

    monkeypatch.setattr(families, "refills_of", meanwhile)
    assert walked(database, CLOSED).closed_orders == 2
    assert order_row(database, "2")["closed_at"] is None
    check_history(database)


def test_steps_are_bounded_by_rows_and_a_large_family_goes_alone(
    database: Database, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 10)
    monkeypatch.setattr(families, "SOME", 3)
    key = old_order(database, memory, "1")
    for number in range(5):
        old_order(database, memory, f"child{number}", parent=key)
    for number in range(5):
        old_order(database, memory, f"single{number}")
    steps = [step for step in database.retention().walk(lambda: NOW, CLOSED) if step.rows]
    assert [(step.closed_orders, step.rows) for step in steps] == [(6, 24), (2, 8), (2, 8), (1, 4)]
    assert known(database) == set()


def test_on_postgres_a_second_one_leaves_it_to_the_first(database: Database, database_url: str) -> None:
    execute(database, insert(rounds), [a_round("r", LONG_AGO)])
    if database_url.startswith("sqlite"):
        assert walked(database, Keep()).rounds == 0, "90 days are not over"
        return
    with plain(database_url) as first:
        first.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": retention.ADVISORY_LOCK})
        assert walked(database, Keep(rounds=DAY)) == Pruned()
    assert walked(database, Keep(rounds=DAY)).rounds == 1


def test_two_at_once_leave_nothing_and_nothing_half(
    database: Database, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 20)
    for number in range(15):
        old_order(database, memory, str(number))
    execute(database, insert(rounds), [a_round(str(number), LONG_AGO) for number in range(300)])
    keep, errors = Keep(DAY, DAY, DAY, 30 * DAY), []

    def one() -> None:
        try:
            while known(database):
                walked(database, keep)
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert errors == []
    assert [name for name, rows in everything(database).items() if rows and name not in {"leases", "panels"}] == []


def test_the_command_says_what_it_deletes_and_what_it_would(
    database: Database, database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = shlex.quote(str(configure(tmp_path, {}, database_url, more='[keep]\nrounds = "30d"')))
    execute(
        database,
        insert(rounds),
        [a_round(str(days), datetime.now(UTC) - timedelta(days=days)) for days in (9, 99)],
    )
    type_one = typist(capsys)
    code, out, err = type_one(f"db prune --dry-run --config {config}")
    assert (code, err) == (0, "")
    assert "1 rows would be deleted" in out
    assert len(table(database, rounds)) == 2
    code, out, _ = type_one(f"db prune --json --config {config}")
    assert code == 0
    assert [row for row in json.loads(out) if row["count"]] == [{"what": "rounds", "kept": "30d", "count": 1}]
    assert [row["round"] for row in table(database, rounds)] == ["9"]

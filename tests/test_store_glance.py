"""What a live screen reads: right, cheap, and never in a writer's way."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from books import NOW, PENDING, ago, execute, follow, poll
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError

from tracker.errors import DatabaseUnfit, DatabaseUnreachable
from tracker.model import Anomaly, Balance, Counts, RoundRow, Status
from tracker.store.database import Database
from tracker.store.engine import reading, writing
from tracker.store.polling.memory import Memory
from tracker.store.reading import glance as module
from tracker.store.reading.glance import Glance, Scope, Tally
from tracker.store.reading.panel_glance import Freshness
from tracker.store.schema import orders

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
HALF = Status("in_progress", "In progress", Decimal("0.5"), "USD", 10, 500)


def ids(glance: Glance, scope: Scope = Scope(), name: module.ListName = "changes") -> list[str]:  # noqa: B008 - immutable
    return [row["order_id"] for row in glance.look(NOW, name, scope).rows]


def end_round(memory: Memory, number: int, at: datetime, kind: str = "statuses", outcome: str = "ok") -> None:
    error = None if outcome in {"ok", "stopped"} else "It broke."
    row = RoundRow(f"round-{number}", kind, at, at, Counts(requests=3), outcome, error)  # type: ignore[arg-type]
    memory.ledger.finish_round(row, [Anomaly("", "foreign_ids", "9")])


def test_orders_are_counted_by_panel_and_state_with_those_that_are_due_and_stuck(database: Database) -> None:
    real, later = datetime.now(UTC), NOW + MINUTE
    follow(database, "due", state="pending", next_poll_at=ago(hours=1), tracked_at=real)
    follow(database, "longer", state="pending", next_poll_at=ago(hours=2), tracked_at=real)
    follow(database, "silent", state="pending", tracked_at=real - 2 * DAY, next_poll_at=later)
    follow(database, "settled", state="completed", tracked_at=real - 2 * DAY, next_poll_at=later)
    follow(database, "closed", state="completed", closed_at=NOW, next_poll_at=ago(hours=9))
    follow(database, "theirs", panel="other", tracked_at=real, next_poll_at=later)
    assert sorted(database.glance(DAY).look(NOW, "changes").tallies) == sorted([
        Tally("acme", "pending", 3, 2, ago(hours=2), 1),
        Tally("acme", "completed", 1),
        Tally("acme", "completed", 1),
        Tally("other", "new", 1),
    ])  # fmt: skip


def test_the_newest_changes_come_first_and_are_narrowed(database: Database, memory: Memory) -> None:
    follow(database, "1", link="https://example.com/Ab_c", service_id="412")
    follow(database, "2", ref="shop-77")
    poll(memory, {"1": PENDING})
    poll(memory, {"1": HALF, "2": PENDING}, NOW + MINUTE)
    glance = database.glance(DAY)
    assert ids(glance) == ["2", "1", "1"]
    newest = glance.look(NOW, "changes").rows[1]
    assert (newest["panel"], newest["seq"], newest["from_state"], newest["to_state"], newest["charge"]) == (
        ("acme", 2, "pending", "in_progress", Decimal("0.5"))
    )  # fmt: skip
    assert len(glance.look(NOW, "changes", limit=2).rows) == 2
    assert ids(glance, Scope(state="in_progress")) == ["1"]
    assert ids(glance, Scope(text="B_C")) == ["1", "1"]
    assert ids(glance, Scope(text="b%c")) == []
    assert ids(glance, Scope(text="p-7")) == ["2"]
    assert ids(glance, Scope(text="412", state="pending")) == ["1"]
    assert ids(glance, Scope(panel="other")) == []


def test_a_filter_looks_through_the_newest_changes_only(
    database: Database, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 2)
    follow(database, "1", "2", "3")
    for minute, order_id in enumerate("123"):
        poll(memory, {order_id: PENDING}, NOW + minute * MINUTE)
    assert ids(database.glance(DAY), Scope(state="pending")) == ["3", "2"]


def test_stuck_orders_come_with_the_longest_silence_first(database: Database) -> None:
    real = datetime.now(UTC)
    follow(database, "2d", state="pending", tracked_at=real - 9 * DAY, changed_at=real - 2 * DAY)
    follow(database, "3d", state="paused", tracked_at=real - 3 * DAY)
    follow(database, "fresh", state="pending", tracked_at=real)
    follow(database, "done", state="completed", tracked_at=real - 5 * DAY)
    glance = database.glance(DAY)
    assert ids(glance, name="stuck") == ["3d", "2d"]
    assert ids(glance, Scope(state="pending"), "stuck") == ["2d"]
    assert ids(glance, Scope(text="3D"), "stuck") == ["3d"]
    assert ids(glance, Scope(panel="other"), "stuck") == []


def test_a_panel_tells_who_polls_it_what_it_holds_and_how_fresh_it_is(database: Database, memory: Memory) -> None:
    memory.ledger.snapshot(Balance(Decimal(5), "USD"), ago(minutes=9))
    memory.ledger.snapshot(Balance(Decimal("4.25"), "USD"), ago(minutes=1))
    end_round(memory, 1, ago(hours=2))
    end_round(memory, 2, ago(seconds=40), outcome="timeout")
    end_round(memory, 3, ago(seconds=30), "balance")
    end_round(memory, 4, ago(seconds=20), "balance", outcome="stopped")
    glance = database.glance(DAY)
    [acme] = glance.look(NOW, "changes").panels
    assert (acme.name, acme.url, acme.holder, acme.polled) == ("acme", "https://acme.example/api/v2", "test", True)
    assert (acme.balance, acme.currency, acme.balance_at) == (Decimal("4.25"), "USD", ago(minutes=1))
    assert acme.rounds == {
        "statuses": Freshness(ago(seconds=40), ago(hours=2)),
        "balance": Freshness(ago(seconds=30), ago(seconds=30)),
    }
    assert (acme.failing, acme.fault, acme.fault_kind) == (True, "It broke.", "timeout")
    assert (acme.requests, acme.anomalies) == (9, 4)
    end_round(memory, 5, NOW)
    [acme] = glance.look(NOW, "changes").panels
    assert not acme.failing
    assert acme.rounds["statuses"] == Freshness(NOW, NOW)


def test_what_a_clock_that_stood_ahead_has_written_is_not_the_newest(database: Database, memory: Memory) -> None:
    ahead = NOW + 365 * DAY
    memory.ledger.snapshot(Balance(Decimal(9), "USD"), ahead)
    memory.ledger.snapshot(Balance(Decimal(5), "USD"), ago(minutes=2))
    end_round(memory, 1, ago(minutes=5))
    end_round(memory, 2, ahead)
    glance = database.glance(DAY)
    [during] = glance.look(ahead, "changes").panels
    assert (during.balance, during.requests) == (Decimal(9), 3)
    assert during.rounds == {"statuses": Freshness(ahead, ahead)}
    for looks in (glance, database.glance(DAY)):
        [acme] = looks.look(NOW, "changes").panels
        assert (acme.balance, acme.balance_at, acme.requests) == (Decimal(5), ago(minutes=2), 0)
        assert acme.rounds == {"statuses": Freshness(ago(minutes=5), ago(minutes=5))}
    end_round(memory, 3, NOW, outcome="timeout")
    assert glance.look(NOW, "changes").panels[0].failing


def test_a_panel_whose_lease_has_ended_or_that_nobody_ever_polled_is_not_polled(
    database: Database, memory: Memory
) -> None:
    assert memory.ledger.open("https://acme.example/api/v2") is not None
    follow(database, "1", panel="waiting")
    lease = database.acquire("acme", "test", 3600)
    database.release(lease)  # type: ignore[arg-type]
    acme, waiting = database.glance(DAY).look(NOW, "changes").panels
    assert not acme.polled
    assert acme.unpolled_for is not None
    assert timedelta(0) <= acme.unpolled_for < MINUTE
    assert (waiting.name, waiting.holder, waiting.polled) == ("waiting", None, False)


def test_a_question_that_took_long_rests_and_another_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = [0.0], []
    monkeypatch.setattr("tracker.store.reading.glance.time.monotonic", lambda: clock[0])

    def ask() -> int:
        clock[0] += 0.5
        asked.append(clock[0])
        return len(asked)

    question: module._Question[int] = module._Question()
    assert [question.answer("a", ask), question.answer("a", ask)] == [1, 1]
    clock[0] += 9.9
    assert question.answer("a", ask) == 1
    clock[0] += 0.2
    assert question.answer("a", ask) == 2
    assert question.answer("b", ask) == 3


def test_looking_can_neither_write_nor_wait_for_a_writer(database: Database) -> None:
    follow(database, "1")
    glance = database.glance(DAY)
    with writing(database._engine) as busy:
        busy.execute(insert(orders), {"panel": "acme", "order_id": "2"})
        assert [one.orders for one in glance.look(NOW, "changes").tallies] == [1]
    with pytest.raises((DBAPIError, DatabaseUnfit, DatabaseUnreachable), match=r"(?i)read.?only"):  # noqa: SIM117
        with reading(database._engine) as connection:
            connection.execute(text("DELETE FROM orders"))
    execute(database, insert(orders), [{"panel": "acme", "order_id": "3"}])
    assert [one.orders for one in database.glance(DAY).look(NOW, "changes").tallies] == [3]


def test_a_file_that_is_gone_is_missed_not_made_again_and_another_in_its_place_is_read(
    sqlite_database: Database, migrated_file: Path, tmp_path: Path
) -> None:
    follow(sqlite_database, "1")
    glance = sqlite_database.glance(DAY)
    assert len(glance.look(NOW, "changes").tallies) == 1
    path = tmp_path / "tracker.db"
    path.rename(tmp_path / "away")
    with pytest.raises(DatabaseUnreachable, match=r"tracker\.db cannot be read: No such file"):
        glance.look(NOW, "changes")
    assert not path.exists()
    path.write_bytes(migrated_file.read_bytes())
    for more in ("-wal", "-shm"):
        (tmp_path / f"tracker.db{more}").unlink(missing_ok=True)
    assert glance.look(NOW, "changes").tallies == []

"""Taking many orders in: set-based, repeatable, never in the way of polling."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from books import NOW, PENDING, everything, follow, order_row, poll, table
from simulation import PATIENCE
from sqlalchemy import event, func, select, update

from tracker.errors import DatabaseUnreachable, TrackerError
from tracker.store.database import Database, opened
from tracker.store.engine import reading, writing
from tracker.store.following import intake
from tracker.store.following.intake import Difference, NewOrder
from tracker.store.following.seen import Repeat, Seen
from tracker.store.polling.memory import Memory
from tracker.store.schema import orders

FULL = NewOrder("1", "17", "https://example.com/ü'\\\"{},\n", 1000, 10, 60, "shop-1", NOW)


def test_an_order_goes_in_with_all_that_is_given_and_due_at_once(database: Database, memory: Memory) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    told = database.take_in("acme", [FULL, NewOrder("2")])
    assert (told.added, told.known, told.filled, told.differing, told.closed) == (["1", "2"], [], [], [], [])
    row = order_row(database, "1")
    assert NewOrder(*(row[name] for name in NewOrder._fields)) == FULL
    assert (row["state"], row["seq"], row["closed_at"], row["checked_at"]) == ("new", 0, None, None)
    # Postgres looks at its clock for each of them.
    assert began < row["tracked_at"] <= row["state_at"] <= row["next_poll_at"] <= datetime.now(UTC)
    assert len(memory.orders.plan(datetime.now(UTC), 1, 100).keys) == 2


def test_taking_in_again_changes_nothing(database: Database, memory: Memory) -> None:
    some = [FULL, NewOrder("2"), NewOrder("3", ref="three")]
    database.take_in("acme", some)
    poll(memory, {"1": PENDING})
    before = everything(database)
    told = database.take_in("acme", some)
    assert (told.added, sorted(told.known), told.filled, told.differing) == ([], ["1", "2", "3"], [], [])
    assert everything(database) == before


def test_what_was_unknown_is_filled_in_and_what_is_known_otherwise_is_told_and_stays(database: Database) -> None:
    database.take_in("acme", [NewOrder("1", link="https://example.com/1"), FULL._replace(order_id="2")])
    told = database.take_in("acme", [FULL, FULL._replace(order_id="2", quantity=999, ref=None)])
    assert (told.added, told.filled, told.known) == ([], ["1"], ["2"])
    assert sorted(told.differing) == [
        Difference("1", "link", "https://example.com/1", FULL.link),
        Difference("2", "quantity", 1000, 999),
    ]
    row = order_row(database, "1")
    assert (row["link"], row["service_id"], row["ordered_at"]) == ("https://example.com/1", "17", NOW)
    assert (row["quantity"], row["runs"], row["interval"], row["ref"]) == (1000, 10, 60, "shop-1")
    assert order_row(database, "2")["quantity"] == 1000


def test_a_look_says_the_same_and_writes_nothing(database: Database) -> None:
    database.take_in("acme", [NewOrder("1", link="https://example.com/1"), NewOrder("2")])
    before = everything(database)
    given = [FULL, NewOrder("2"), NewOrder("3")]
    foreseen = database.take_in("acme", given, write=False)
    assert everything(database) == before
    assert database.take_in("acme", given) == foreseen
    assert (foreseen.added, foreseen.filled, foreseen.known) == (["3"], ["1"], ["2"])


def test_a_closed_order_stays_closed(database: Database) -> None:
    follow(database, "1", state="completed", settled_at=NOW, closed_at=NOW)
    told = database.take_in("acme", [FULL])
    assert (told.filled, told.closed) == (["1"], ["1"])
    row = order_row(database, "1")
    assert (row["closed_at"], row["settled_at"], row["quantity"]) == (NOW, NOW, 1000)


def test_thousands_take_a_few_statements(database: Database) -> None:
    count, statements = 3000, []
    some = [NewOrder(str(number), ref=f"shop-{number}") for number in range(count)]
    event.listen(database._engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    assert len(database.take_in("acme", some).added) == count
    assert len(database.take_in("acme", [one._replace(quantity=5) for one in some]).filled) == count
    assert len(statements) < 12
    assert len(table(database, orders)) == count


@pytest.mark.usefixtures("database")
def test_of_some_that_take_the_same_in_at_once_each_is_told_the_truth(database_url: str) -> None:
    forwards = [NewOrder(str(number)) for number in range(500)]

    def race(given: list[NewOrder]) -> list[str]:
        with opened(database_url) as mine:
            return [one for _ in range(5) for one in mine.take_in("acme", given).added]

    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(race, (forwards, forwards[::-1], forwards)))
    assert sorted(one for added in told for one in added) == sorted(one.order_id for one in forwards)


def test_where_another_adds_an_order_between_the_look_and_the_insert_it_counts_as_known(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time: nobody comes between")
    look = intake._Statements.find

    def find_then_lose(self, connection, panel, given):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  # as there
        found = look(self, connection, panel, given)
        monkeypatch.setattr(intake._Statements, "find", look)
        with opened(database_url) as other:
            other.track("acme", [NewOrder("1", link="theirs")])
        return found

    monkeypatch.setattr(intake._Statements, "find", find_then_lose)
    told = database.take_in("acme", [FULL, NewOrder("2")])
    assert (told.added, told.filled) == (["2"], ["1"])
    assert [(one.field, one.known) for one in told.differing] == [("link", "theirs")]
    assert order_row(database, "1")["quantity"] == 1000


def test_an_intake_gives_way_to_whoever_holds_a_row_and_begins_anew(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time: nobody waits for a row")
    monkeypatch.setattr(intake, "_GIVE_WAY", select(func.set_config("lock_timeout", "20ms", True)))
    [first, second] = follow(database, "1", "2")
    begun, tries = Event(), []

    def count(connection, *given, **more):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN002, ANN003, ANN202  # as there
        tries.append(1)
        if len(tries) == 3:
            begun.set()
        return take_in(connection, *given, **more)

    take_in = intake.take_in
    monkeypatch.setattr(intake, "take_in", count)
    with ThreadPoolExecutor(1) as pool:
        with writing(database._engine) as polling:
            polling.execute(update(orders).where(orders.c.id == second).values(misses=1))
            taking = pool.submit(database.take_in, "acme", [FULL, FULL._replace(order_id="2")])
            assert begun.wait(PATIENCE)
            # The intake has let the first row go each time: whoever polls gets it at once.
            polling.execute(update(orders).where(orders.c.id == first).values(misses=1))
        assert taking.result(timeout=PATIENCE).filled == ["1", "2"]
    assert [(row["misses"], row["quantity"]) for row in table(database, orders)] == [(1, 1000), (1, 1000)]


def test_a_row_that_is_held_for_too_long_ends_the_intake_with_a_sentence(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time: nobody waits for a row")
    monkeypatch.setattr(intake, "_GIVE_WAY", select(func.set_config("lock_timeout", "5ms", True)))
    monkeypatch.setattr(intake, "PATIENCE", 3)
    [key] = follow(database, "1")
    with writing(database._engine) as other:
        other.execute(update(orders).where(orders.c.id == key).values(misses=1))
        with pytest.raises(DatabaseUnreachable, match="lock timeout"):
            database.take_in("acme", [FULL])


def test_a_lookup_reads_the_orders_that_are_given_and_not_all_of_the_panel(database: Database) -> None:
    """A plan that reads the whole panel for each chunk would make a large import quadratic."""
    follow(database, *(str(number) for number in range(3000)))
    looks: list[tuple[str, Any]] = []
    event.listen(database._engine, "before_cursor_execute", lambda *given: looks.append(given[2:4]))
    database.take_in("acme", [NewOrder("7"), NewOrder("8"), NewOrder("none")], write=False)
    on_sqlite = database._engine.dialect.name == "sqlite"
    statement, given = looks[-1]
    explain = "EXPLAIN QUERY PLAN" if on_sqlite else "EXPLAIN (ANALYZE, COSTS OFF)"
    with reading(database._engine) as connection:
        plan = connection.exec_driver_sql(f"{explain} {statement}", given).all()
    # By which of its indexes Postgres finds them hangs on how much it has counted by now.
    wanted = r"\(panel=\? AND order_id=\?\)" if on_sqlite else r"Index Cond: .*\(order_id\)::text = ANY"
    assert any(re.search(wanted, str(step[-1])) for step in plan), plan
    assert "rows=3000" not in plan


def test_a_repeat_is_known_by_its_first_line_and_by_what_it_says() -> None:
    with Seen() as seen:
        assert seen.add([(2, "acme", FULL), (3, "acme", NewOrder("2")), (4, "other", FULL)]) == {}
        repeats = seen.add([(5, "acme", FULL), (6, "acme", NewOrder("3")), (7, "acme", NewOrder("2", "17"))])
        assert repeats == {5: Repeat(2, same=True), 7: Repeat(3, same=False)}
        assert seen.add([(8, "acme", NewOrder("9")), (9, "acme", NewOrder("9"))]) == {9: Repeat(8, same=True)}


def test_where_nothing_can_be_noted_a_sentence_says_where() -> None:
    with Seen() as seen:
        seen._connection.execute("PRAGMA max_page_count = 3")
        with pytest.raises(TrackerError, match=r"Cannot note in .*full.*TMPDIR=FOLDER"):
            seen.add([(line, "acme", NewOrder(str(line))) for line in range(10_000)])

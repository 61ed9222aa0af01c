"""What is stored comes back exactly: money, texts, whole numbers, moments."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count

import pytest
from books import NOW, follow, loaded, order_row, poll
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from tracker.catalog import Difference
from tracker.model import Service, Status
from tracker.store.database import Database
from tracker.store.engine import reading, writing
from tracker.store.polling.memory import Memory
from tracker.store.schema import balance_snapshots, orders

# The database is the same for all examples: each brings rows of its own.
MANY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
ids = count(1)


def amount(digits: int, places: int) -> Decimal:
    return Decimal(digits).scaleb(-places)


amounts = st.builds(amount, st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 8))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@MANY
@given(st.lists(amounts, min_size=1, max_size=50))
def test_every_amount_of_15_digits_and_8_decimals_comes_back_exactly(
    database: Database, amounts: list[Decimal]
) -> None:
    panel = f"panel {next(ids)}"
    rows = [{"panel": panel, "at": NOW, "balance": one, "currency": "USD"} for one in amounts]
    with writing(database._engine) as connection:
        connection.execute(insert(balance_snapshots), rows)
    table = balance_snapshots.c
    with reading(database._engine) as connection:
        got = list(
            connection.execute(select(table.balance).where(table.panel == panel).order_by(table.id)).scalars()
        )
    assert got == amounts


@MANY
@given(amounts, amounts, st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1), texts)
def test_what_a_poll_writes_is_what_the_next_one_reads_so_the_same_answer_is_no_change(
    database: Database, memory: Memory, first: Decimal, second: Decimal, start_count: int, remains: int, word: str
) -> None:
    """The amounts travel through the head, and by copying through the history."""
    name = str(next(ids))
    [key] = follow(database, name)
    told = Status("in_progress", word, first, "USD", start_count, remains)
    poll(memory, {name: told})
    [order] = loaded(memory, name)
    assert (order.panel_status, order.charge) == (word, first)
    assert (order.start_count, order.remains) == (start_count, remains)
    [again] = poll(memory, {name: told})
    assert not again.changed
    poll(memory, {name: told._replace(charge=second)})
    charges = [row["charge"] for row in database.history.timeline(key)]
    assert charges == ([first] if first == second else [first, second])


@MANY
@given(texts.filter(bool), texts, texts)
def test_texts_of_any_script_come_back(
    database: Database, memory: Memory, name: str, type_: str, ref: str
) -> None:
    service_id = str(next(ids))
    memory.services.write(Difference([Service(service_id, name, type_)], [], []), NOW)
    assert memory.services.known()[service_id].service == Service(service_id, name, type_)
    follow(database, service_id, ref=ref)
    assert order_row(database, service_id)["ref"] == ref


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 0, 0, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_moments_keep_their_microseconds_and_come_back_in_utc(database: Database, moment: datetime) -> None:
    follow(database, "1", ordered_at=moment)
    got = order_row(database, "1")["ordered_at"]
    assert got == moment
    assert got.utcoffset() == timedelta(0)


def test_moments_are_compared_as_times_whatever_their_fraction(database: Database) -> None:
    for name, microsecond in (("a", 0), ("b", 5), ("c", 10), ("d", 500_000)):
        follow(database, name, next_poll_at=NOW.replace(microsecond=microsecond))
    with reading(database._engine) as connection:
        until = select(orders.c.order_id).where(orders.c.next_poll_at <= NOW.replace(microsecond=9))
        assert sorted(connection.execute(until).scalars()) == ["a", "b"]

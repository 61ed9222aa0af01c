"""The catalog in the database: as last seen, how it changed, and what is not believed yet."""

from datetime import timedelta
from decimal import Decimal

from books import NOW, table

from tracker.catalog import Difference, Doubt, Known, ServiceChange, compare
from tracker.model import Service
from tracker.store.database import Database
from tracker.store.leases import Lease
from tracker.store.polling.memory import Memory
from tracker.store.schema import anomalies, panels, service_changes, services

HOUR = timedelta(hours=1)
FOLLOWERS = Service("1", "Followers ✓", "Default", "First", Decimal("0.90"), 50, 2**40, refill=True, cancel=False)
BARE = Service("ord_01HG9X7K", "Likes")


def write(memory: Memory, *told: Service, hour: int = 0) -> None:
    outcome = compare(memory.services.known(), told, None)
    assert isinstance(outcome, Difference)
    memory.services.write(outcome, NOW + hour * HOUR)


def test_a_catalog_comes_back_as_it_was_told(memory: Memory) -> None:
    write(memory, FOLLOWERS, BARE)
    assert memory.services.known() == {"1": Known(FOLLOWERS), "ord_01HG9X7K": Known(BARE)}


def test_a_first_catalog_leaves_no_changes(database: Database, memory: Memory) -> None:
    write(memory, FOLLOWERS, BARE)
    assert table(database, service_changes) == []
    assert {row["first_seen_at"] for row in table(database, services)} == {NOW}


def test_each_change_is_one_row_and_the_row_of_the_service_is_as_last_seen(
    database: Database, memory: Memory
) -> None:
    write(memory, FOLLOWERS, BARE)
    dearer = FOLLOWERS._replace(rate=Decimal("1.10"), name="Real followers")
    write(memory, dearer, BARE, hour=1)
    assert [(row["at"], row["service_id"], row["field"], row["old"], row["new"]) for row in
            table(database, service_changes)] == [
        (NOW + HOUR, "1", "name", "Followers ✓", "Real followers"),
        (NOW + HOUR, "1", "rate", "0.9", "1.1"),
    ]  # fmt: skip
    assert memory.services.known()["1"] == Known(dearer)
    seen = {row["service_id"]: (row["first_seen_at"], row["last_seen_at"]) for row in table(database, services)}
    assert seen == {"1": (NOW, NOW + HOUR), "ord_01HG9X7K": (NOW, NOW + HOUR)}


def test_a_service_goes_and_returns(database: Database, memory: Memory) -> None:
    write(memory, FOLLOWERS, BARE)
    write(memory, FOLLOWERS, hour=1)
    gone = {row["service_id"]: (row["gone_at"], row["last_seen_at"]) for row in table(database, services)}
    assert gone == {"1": (None, NOW + HOUR), "ord_01HG9X7K": (NOW + HOUR, NOW)}
    assert memory.services.known()[BARE.service_id].gone
    write(memory, FOLLOWERS, hour=2)
    write(memory, FOLLOWERS, BARE, hour=3)
    assert [(row["at"], row["field"]) for row in table(database, service_changes)] == [
        (NOW + HOUR, "gone"),
        (NOW + 3 * HOUR, "returned"),
    ]
    assert memory.services.known()[BARE.service_id] == Known(BARE)


def test_catalogs_of_two_panels_do_not_touch(database: Database, memory: Memory) -> None:
    lease = database.acquire("other", "test", 60)
    assert isinstance(lease, Lease)
    other = database.memory(lease)
    write(memory, FOLLOWERS, BARE)
    write(other, FOLLOWERS._replace(name="Theirs"), BARE)
    write(other, BARE, hour=1)
    assert memory.services.known() == {"1": Known(FOLLOWERS), BARE.service_id: Known(BARE)}
    assert {row["panel"] for row in table(database, service_changes)} == {"other"}


def test_a_doubt_is_remembered_as_an_anomaly_until_a_catalog_is_believed(
    database: Database, memory: Memory
) -> None:
    write(memory, FOLLOWERS, BARE)
    assert memory.services.doubt() is None
    memory.services.write_doubt(Doubt("digest", 2), "0 services where 2 were known", NOW + HOUR)
    assert memory.services.doubt() == Doubt("digest", 2)
    [row] = table(database, anomalies)
    assert (row["order_id"], row["kind"], row["detail"]) == (
        "",
        "shrunken_catalog",
        "0 services where 2 were known",
    )
    assert memory.services.known()["1"] == Known(FOLLOWERS)
    write(memory, FOLLOWERS, BARE, hour=2)
    assert memory.services.doubt() is None
    assert table(database, panels)[0]["catalog_doubts"] == 0


def test_a_large_catalog_is_written_and_lost_at_once(memory: Memory) -> None:
    many = [FOLLOWERS._replace(service_id=str(number)) for number in range(8000)]
    write(memory, *many)
    memory.services.write(Difference([], [one.service_id for one in many], []), NOW)
    assert all(one.gone for one in memory.services.known().values())


def test_a_change_without_values_is_kept_without_values(database: Database, memory: Memory) -> None:
    memory.services.write(Difference([BARE], [], [ServiceChange(BARE.service_id, "appeared")]), NOW)
    [row] = table(database, service_changes)
    assert (row["field"], row["old"], row["new"]) == ("appeared", None, None)

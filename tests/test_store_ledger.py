"""The other books of a panel: its balance, its rounds, its faults, what it understands."""

from datetime import timedelta
from decimal import Decimal

from books import NOW, table

from tracker.model import NO_CURRENCY, Anomaly, Balance, Counts, Learned, RoundRow
from tracker.store.database import Database
from tracker.store.polling.memory import Memory
from tracker.store.schema import anomalies, balance_snapshots, panels, rounds

HOUR = timedelta(hours=1)
URL = "https://acme.example/api/v2"


def test_opening_the_books_again_notes_the_new_url_and_keeps_what_was_learned(
    database: Database, memory: Memory
) -> None:
    learned = Learned(bulk_status=True, bulk_refill=False, learned_at=NOW)
    assert memory.ledger.open(URL) == Learned()
    memory.ledger.learn(learned)
    assert memory.ledger.open("https://moved.example/api/v2") == learned
    [row] = table(database, panels)
    assert (row["name"], row["url"]) == ("acme", "https://moved.example/api/v2")


def test_what_was_learned_can_be_unlearned(memory: Memory) -> None:
    memory.ledger.learn(Learned(bulk_status=True, bulk_refill=True, learned_at=NOW))
    memory.ledger.learn(Learned(bulk_status=False, bulk_refill=None, learned_at=NOW + HOUR))
    assert memory.ledger.open(URL) == Learned(bulk_status=False, bulk_refill=None, learned_at=NOW + HOUR)


def test_every_balance_is_a_row_with_its_currency(database: Database, memory: Memory) -> None:
    memory.ledger.snapshot(Balance(Decimal("100.84292"), "USD"), NOW)
    memory.ledger.snapshot(Balance(Decimal("-0.00000001")), NOW + HOUR)
    assert [(row["at"], row["balance"], row["currency"]) for row in table(database, balance_snapshots)] == [
        (NOW, Decimal("100.84292"), "USD"),
        (NOW + HOUR, Decimal("-0.00000001"), NO_CURRENCY),
    ]
    assert table(database, panels)[0]["currency"] == "USD"  # a panel that tells none this time still has one


def test_a_panel_that_changes_its_currency_is_believed(database: Database, memory: Memory) -> None:
    for currency in ("USD", "EUR"):
        memory.ledger.snapshot(Balance(Decimal(1), currency), NOW)
    assert table(database, panels)[0]["currency"] == "EUR"


def test_a_round_is_one_row_and_a_good_one_leaves_the_last_fault(database: Database, memory: Memory) -> None:
    counts = Counts(requests=5, asked=250, answered=240, changed=3, anomalies=10)
    bad = RoundRow("r1", "statuses", NOW, NOW + HOUR, counts, "timeout", "no answer within 15 s")
    memory.ledger.finish_round(bad, [Anomaly("", "foreign_ids", "9"), Anomaly("", "foreign_ids", "10")])
    memory.ledger.finish_round(RoundRow("r2", "balance", NOW + HOUR, NOW + HOUR, Counts(), "ok"), [])
    first, second = table(database, rounds)
    assert first == {
        "round": "r1", "panel": "acme", "kind": "statuses", "started_at": NOW, "finished_at": NOW + HOUR,
        **counts._asdict(), "outcome": "timeout", "error": "no answer within 15 s",
    }  # fmt: skip
    assert (second["outcome"], second["error"]) == ("ok", None)
    [panel] = table(database, panels)
    assert (panel["fault"], panel["fault_kind"], panel["fault_at"]) == (
        "no answer within 15 s", "timeout", NOW + HOUR,
    )  # fmt: skip
    [anomaly] = table(database, anomalies)
    assert (anomaly["count"], anomaly["detail"], anomaly["last_at"]) == (2, "10", NOW + HOUR)


def test_a_stopped_round_is_no_fault_of_the_panel(database: Database, memory: Memory) -> None:
    memory.ledger.finish_round(RoundRow("r", "statuses", NOW, NOW, Counts(), "stopped"), [])
    assert table(database, panels)[0]["fault_at"] is None

"""The rounds of one request: the catalog and the balance."""

from decimal import Decimal

import pytest
from fakes import NOW, Catalog, FakePanel, Setting

from tracker.catalog import Known
from tracker.errors import BadReply, KeyRefused, PanelFault, Stopped, TimedOut
from tracker.model import Anomaly, Balance, Odd, Service
from tracker.rounds.balance import balance
from tracker.rounds.catalog import catalog

FAULTS = [TimedOut("15 s"), KeyRefused("Invalid API key"), Stopped("stopping")]


def services(*ids: str) -> list[Service]:
    return [Service(one, f"Service {one}") for one in ids]


def test_a_first_catalog_is_written_and_no_change() -> None:
    made = Setting(FakePanel(told=Catalog(services("1", "2"))))
    report = catalog(made.desk)
    assert (report.requests, report.asked, report.answered, report.changed) == (1, 1, 1, 0)
    assert made.store.services.known_now.keys() == {"1", "2"}
    assert made.store.services.at == NOW
    assert [(row.kind, row.outcome) for row in made.store.ledger.rounds] == [("catalog", "ok")]


def test_the_changes_of_a_catalog_are_counted() -> None:
    made = Setting(FakePanel(told=Catalog(services("1", "2", "3"))))
    catalog(made.desk)
    made.panel.told = Catalog([Service("1", "Renamed"), *services("2", "4")])
    assert catalog(made.desk).changed == 3
    [_, found] = made.store.services.written
    assert [(one.service_id, one.field) for one in found.changes] == [
        ("3", "gone"),
        ("1", "name"),
        ("4", "appeared"),
    ]


def test_an_emptied_catalog_is_an_anomaly_twice_and_a_difference_the_third_time() -> None:
    made = Setting(FakePanel(told=Catalog(services("1", "2", "3"))))
    catalog(made.desk)
    made.panel.told = Catalog()
    for times in (1, 2):
        report = catalog(made.desk)
        assert (report.changed, report.anomalies, report.fault) == (0, 1, None)
        assert made.store.services.details[-1] == f"0 services where 3 were known (seen {times} times in a row)"
        assert not any(one.gone for one in made.store.services.known_now.values())
    assert catalog(made.desk).changed == 3
    assert made.store.services.known_now == {
        one.service_id: Known(one, gone=True) for one in services("1", "2", "3")
    }
    assert [row.counts.anomalies for row in made.store.ledger.rounds] == [0, 1, 1, 0]


def test_a_fault_between_two_doubts_neither_counts_nor_resets_them() -> None:
    made = Setting(FakePanel(told=Catalog(services("1", "2", "3"))))
    catalog(made.desk)
    for told in (Catalog(), Catalog(), TimedOut("15 s"), Catalog()):
        made.panel.told = told
        report = catalog(made.desk)
    assert report.changed == 3


def test_rows_of_a_catalog_that_were_not_believed_are_anomalies_of_the_panel() -> None:
    made = Setting(FakePanel(told=Catalog(services("1"), odd=[Odd("bad_item", "a row without an id")])))
    report = catalog(made.desk)
    assert made.store.ledger.anomalies == [Anomaly("", "catalog_item", "a row without an id")]
    assert (report.anomalies, len(made.store.services.written)) == (1, 1)


def test_a_balance_is_a_snapshot() -> None:
    made = Setting(FakePanel(account=Balance(Decimal("100.84292"), "USD")))
    report = balance(made.desk)
    assert made.store.ledger.balances == [Balance(Decimal("100.84292"), "USD")]
    assert made.store.ledger.at == NOW
    assert (report.requests, report.answered, report.fault) == (1, 1, None)
    assert [(row.kind, row.outcome) for row in made.store.ledger.rounds] == [("balance", "ok")]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_the_outcome_of_the_round_and_changes_nothing(fault: PanelFault) -> None:
    made = Setting(FakePanel(told=fault, account=fault))
    for kind, run in (("catalog", catalog), ("balance", balance)):
        report = run(made.desk)
        assert report.fault is fault
        row = made.store.ledger.rounds[-1]
        assert (row.kind, row.outcome, row.counts.requests, row.counts.answered) == (kind, fault.kind, 1, 0)
        assert row.error == (None if isinstance(fault, Stopped) else str(fault))
    assert (made.store.services.written, made.store.ledger.balances) == ([], [])


def test_a_reply_that_is_no_answer_is_an_anomaly_as_well() -> None:
    made = Setting(FakePanel(account=BadReply("no JSON: <html>")))
    report = balance(made.desk)
    assert made.store.ledger.anomalies == [Anomaly("", "balance_bad_reply", "no JSON: <html>")]
    assert report.anomalies == 1

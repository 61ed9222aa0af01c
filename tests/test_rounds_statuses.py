"""A round of statuses: what is asked, what is asked again, when it ends, and what it leaves behind."""

from collections.abc import Sequence

import pytest
from fakes import NOW, PENDING, Abilities, Setting, Told, all_pending
from rounds_setting import answered, ids, poisoned, run, setting, sizes

from tracker.errors import (
    LeaseLost,
    PanelFault,
    Refused,
)
from tracker.model import Anomaly, Answer, Learned, NotFound, Odd
from tracker.rounds.statuses import statuses_of


def test_everything_due_is_asked_in_batches_of_a_hundred_and_written() -> None:
    made = setting(orders=250)
    report = run(made)
    assert sizes(made) == [100, 100, 50]
    assert answered(made) == set(ids(250))
    assert (report.requests, report.asked, report.answered, report.changed) == (3, 250, 250, 250)
    [row] = made.store.ledger.rounds
    assert (row.kind, row.outcome, row.error, row.counts.answered) == ("statuses", "ok", None, 250)


def test_a_round_ends_when_its_requests_are_spent_and_the_rest_is_next() -> None:
    made = setting(orders=250)
    run(made, requests=2)
    assert sizes(made) == [100, 100]
    made.clock.pass_(seconds=1)
    run(made, requests=2)
    assert answered(made) == set(ids(250))


@pytest.mark.parametrize("in_flight", [1, 2, 8])
def test_requests_in_flight_never_exceed_what_a_round_may_send(in_flight: int) -> None:
    made = setting(poisoned(Refused("no")), orders=1000, in_flight=in_flight)
    run(made, requests=7)
    assert made.panel.requests <= 7


def test_no_request_begins_once_the_round_may_not_go_on() -> None:
    made = setting(orders=250)
    run(made, may_go_on=lambda: made.panel.requests < 1)
    assert sizes(made) == [100]
    assert len(answered(made)) == 100


def test_a_round_with_nothing_to_do_asks_nothing_and_leaves_no_row() -> None:
    made = setting()
    report = run(made)
    assert report.idle
    assert (made.panel.asked, made.store.ledger.rounds) == ([], [])


def test_ids_that_nobody_asked_about_are_an_anomaly_of_the_panel() -> None:
    made = setting(lambda asked: Told(dict.fromkeys(asked, PENDING), foreign=["777", "778"]), orders=3)
    report = run(made)
    assert made.store.ledger.anomalies == [Anomaly("", "foreign_ids", "not asked for: 777, 778")]
    assert (report.answered, report.anomalies) == (3, 1)
    assert "777" not in {one.after.order_id for one in made.store.orders.written}


def test_an_unbelievable_answer_of_one_order_spoils_no_other() -> None:
    odd = Odd("bad_item", "17")
    made = setting(lambda asked: Told({one: odd if one == "2" else PENDING for one in asked}), orders=3)
    report = run(made)
    assert answered(made) == {"1", "3"}
    assert made.store.orders.named("2").state == "new"
    assert (report.answered, report.anomalies) == (2, 1)


def test_a_suspected_order_is_asked_alone_which_alone_confirms() -> None:
    made = setting(lambda asked: Told(dict.fromkeys(asked, NotFound("Incorrect order ID"))), orders=3)
    made.store.orders.add("suspect", misses=1)
    run(made)
    assert made.panel.asked == [ids(3), ["suspect"]]
    assert made.store.orders.named("suspect").misses == 2
    assert made.store.orders.named("1").misses == 1


def test_an_order_that_a_batch_denies_is_confirmed_missing_singly_within_half_an_hour() -> None:
    made = setting(orders=5)
    made.panel.answer = lambda asked: Told(
        {one: NotFound("Incorrect order ID") if one == "3" else PENDING for one in asked}
    )
    for _ in range(35):
        run(made)
        made.clock.pass_(minutes=1)
    assert made.store.orders.named("3").state == "missing"
    assert [asked for asked in made.panel.asked if "3" in asked] == [ids(5), ["3"], ["3"], ["3"]]


def test_a_panel_that_knows_no_bulk_is_asked_one_by_one_within_the_same_budget() -> None:
    made = Setting(abilities=Abilities(bulk_status=False))
    made.store.orders.add(*ids(10))
    run(made, requests=4)
    assert sizes(made) == [1, 1, 1, 1]


def test_what_was_learned_in_a_round_is_remembered_once() -> None:
    made = setting(orders=3)

    def answer(asked: Sequence[str]) -> Told[Answer] | PanelFault:
        made.abilities.bulk_status = True
        return all_pending(asked)

    made.panel.answer = answer
    run(made)
    made.clock.pass_(hours=1)
    run(made)
    assert made.store.ledger.learned == [Learned(bulk_status=True, bulk_refill=None, learned_at=NOW)]
    assert len(made.store.ledger.rounds) == 2


def test_orders_that_moved_on_meanwhile_are_not_counted() -> None:
    made = setting(orders=3)
    made.store.orders.moved_on = {"2"}
    report = run(made)
    assert (report.asked, report.answered) == (3, 2)


def test_a_lost_lease_goes_up_and_the_round_leaves_no_row() -> None:
    made = setting(orders=300)
    made.store.orders.fault = LeaseLost("taken over")
    with pytest.raises(LeaseLost):
        run(made)
    assert made.store.ledger.rounds == []
    assert made.panel.requests == 1


def test_named_orders_are_asked_about_whether_due_or_not() -> None:
    made = setting(orders=5)
    run(made)
    asked = statuses_of(made.desk, [4, 2], may_go_on=lambda: True)
    assert made.panel.asked[-1] == ["2", "4"]
    assert asked.answered == 2
    assert statuses_of(made.desk, [], may_go_on=lambda: True).idle
    assert statuses_of(made.desk, [99], may_go_on=lambda: True).answered == 0

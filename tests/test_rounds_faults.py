"""A round of statuses in trouble: what is halved, what is asked again, and when it ends."""

from collections.abc import Sequence

import pytest
from fakes import NOW, PENDING, Told, all_pending
from rounds_setting import POISON, answered, ids, poisoned, run, setting, sizes

from tracker.errors import (
    BadReply,
    Interrupted,
    KeyRefused,
    PanelFault,
    RateLimited,
    Refused,
    ServerFault,
    Stopped,
    TimedOut,
    Unavailable,
    Unreachable,
)
from tracker.model import Anomaly, Answer

TRANSPORT = [
    TimedOut("15 s"),
    Interrupted("reset"),
    Unreachable("no route"),
    ServerFault("502"),
    Unavailable("soon"),
]


@pytest.mark.parametrize("fault", [Refused("Bad orders"), BadReply("no JSON")])
@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_batch_that_is_refused_is_halved_until_the_poison_stands_alone(
    fault: PanelFault, in_flight: int
) -> None:
    made = setting(poisoned(fault), orders=250, in_flight=in_flight)
    report = run(made)
    assert answered(made) == set(ids(250)) - {POISON}
    assert [POISON] in made.panel.asked
    assert made.panel.requests <= 3 + 2 * 7  # two halves for each bit of a hundred
    [alone] = [one for one in made.store.orders.written if not one.answered]
    assert alone.anomaly == Anomaly(POISON, f"alone_{fault.kind}", str(fault))
    assert alone.next_poll_at > NOW  # it backs off and starves nobody
    refused = sum(POISON in asked for asked in made.panel.asked)
    assert (report.fault, report.answered, report.anomalies) == (None, 249, refused + 1)


def test_the_halves_of_a_refused_batch_go_first() -> None:
    made = setting(poisoned(Refused("no")), orders=300)
    run(made)
    assert sizes(made)[:3] == [100, 50, 25]


def test_a_panel_that_refuses_everything_ends_the_round_after_three_orders_stood_alone() -> None:
    made = setting(lambda _: Refused("Something is wrong"), orders=250)
    report = run(made)
    assert isinstance(report.fault, Refused)
    assert sizes(made).count(1) == 3
    assert made.panel.requests <= 12
    assert answered(made) == set()


@pytest.mark.parametrize("fault", TRANSPORT)
def test_after_three_faults_in_a_row_the_round_ends_with_nothing_halved(fault: PanelFault) -> None:
    made = setting(lambda _: fault, orders=1000)
    report = run(made)
    assert sizes(made) == [100, 100, 100]
    assert report.fault is fault
    [row] = made.store.ledger.rounds
    assert (row.outcome, row.error) == (fault.kind, str(fault))
    assert made.store.orders.written == []


@pytest.mark.parametrize("fault", TRANSPORT)
def test_a_batch_that_failed_is_halved_last_and_only_because_others_were_answered(fault: PanelFault) -> None:
    made = setting(poisoned(fault), orders=300)
    report = run(made)
    assert sizes(made)[:5] == [100, 100, 100, 50, 50]
    assert answered(made) == set(ids(300)) - {POISON}
    [alone] = [one for one in made.store.orders.written if not one.answered]
    assert alone.anomaly == Anomaly(POISON, f"alone_{fault.kind}", str(fault))
    assert report.fault is None


def test_a_single_batch_that_failed_is_not_halved_in_the_same_round() -> None:
    made = setting(lambda _: TimedOut("15 s"), orders=80)
    run(made)
    assert sizes(made) == [80]


def test_answers_between_faults_keep_a_round_going() -> None:
    made = setting(orders=1200)
    replies = iter([TimedOut("15 s"), TimedOut("15 s"), None] * 4)
    made.panel.answer = lambda asked: next(replies, None) or all_pending(asked)
    report = run(made, requests=12)
    assert made.panel.requests == 12
    assert report.fault is None


@pytest.mark.parametrize(
    "fault", [KeyRefused("Invalid API key"), RateLimited("slow down", 60), Stopped("stopping")]
)
def test_a_refused_key_a_rate_limit_and_a_stop_end_the_round_at_once(fault: PanelFault) -> None:
    made = setting(orders=300)
    replies = iter([None, fault])
    made.panel.answer = lambda asked: next(replies) or all_pending(asked)
    report = run(made)
    assert made.panel.requests == 2
    assert report.fault is fault
    assert len(answered(made)) == 100
    [row] = made.store.ledger.rounds
    assert row.outcome == fault.kind
    assert (row.error is None) is isinstance(fault, Stopped)


def test_a_panel_that_chokes_on_one_order_is_asked_for_fewer_at_a_time_until_that_one_is_found() -> None:
    made = setting(poisoned(TimedOut("15 s")), orders=80)
    rounds = 0
    while answered(made) != set(ids(80)) - {POISON}:
        run(made)
        made.clock.pass_(minutes=1)
        rounds += 1
        assert rounds < 10
    assert made.desk.status_limit == 100  # it answers again, so batches are whole again


def test_the_batches_shrink_by_half_with_each_round_without_an_answer() -> None:
    made = setting(lambda _: TimedOut("15 s"), orders=400)
    for _ in range(9):
        run(made)
    assert list(dict.fromkeys(sizes(made))) == [100, 50, 25, 12, 6, 3, 1]


@pytest.mark.parametrize(
    "fault",
    [KeyRefused("Invalid API key"), RateLimited("slow down", 60), Unreachable("no route"), Stopped("stopping")],
)
def test_the_batches_do_not_shrink_after_a_fault_that_no_order_can_be_to_blame_for(fault: PanelFault) -> None:
    """After a night without a network the first round would ask for one order at a time, in vain."""
    made = setting(lambda _: fault, orders=400)
    run(made)
    assert made.desk.status_limit == 100


def test_what_was_answered_before_a_fault_is_written_and_the_rest_asked_again() -> None:
    made = setting(orders=10)

    def answer(asked: Sequence[str]) -> Told[Answer]:
        if len(asked) == 10:
            return Told(dict.fromkeys(asked[:4], PENDING), fault=TimedOut("15 s"))
        return Told(dict.fromkeys(asked, PENDING))

    made.panel.answer = answer
    report = run(made)
    assert made.panel.asked == [ids(10), ["5", "6", "7"], ["8", "9", "10"]]
    assert answered(made) == set(ids(10))
    assert report.fault is None


def test_a_reply_that_is_no_answer_is_an_anomaly_of_the_panel_too() -> None:
    made = setting(lambda _: BadReply("no JSON: <html>"), orders=1)
    for _ in range(2):
        run(made)
    assert Anomaly("", "statuses_bad_reply", "no JSON: <html>") in made.store.ledger.anomalies


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize("fault", [ServerFault("502"), TimedOut("15 s"), Refused("Order is not yours")])
def test_suspected_orders_in_trouble_keep_no_healthy_one_waiting(fault: PanelFault, in_flight: int) -> None:
    bad = {f"bad{number}" for number in range(5)}
    made = setting(
        lambda asked: fault if set(asked) <= bad else all_pending(asked), orders=100, in_flight=in_flight
    )
    for name in bad:
        made.store.orders.add(name, misses=1)
    run(made)
    assert answered(made) >= set(ids(100))


@pytest.mark.parametrize("in_flight", [1, 2])
def test_where_ids_are_asked_singly_bad_ones_at_the_head_back_off(in_flight: int) -> None:
    bad = set(ids(4))
    made = setting(
        lambda asked: ServerFault("500") if set(asked) <= bad else all_pending(asked),
        orders=20,
        in_flight=in_flight,
    )
    made.desk.abilities.bulk_status = False
    for _ in range(3):
        run(made)
    assert answered(made) == set(ids(20)) - bad


@pytest.mark.parametrize("requests", [1, 2, 3, 5])
def test_a_poison_id_is_found_however_few_requests_a_round_has(requests: int) -> None:
    made = setting(poisoned(Refused("Bad orders")), orders=250)
    for _ in range(40):
        run(made, requests=requests)
    assert answered(made) == set(ids(250)) - {POISON}


def test_suspected_orders_that_are_refused_while_others_are_answered_end_no_round() -> None:
    made = setting(lambda asked: all_pending(asked) if len(asked) > 1 else Refused("no"), orders=10)
    made.store.orders.add(*(f"s{number}" for number in range(9)), misses=1)
    report = run(made)
    assert report.fault is None
    assert sizes(made) == [10] + [1] * 9


def test_a_batch_of_suspected_orders_that_is_refused_is_not_taken_apart() -> None:
    made = setting(lambda asked: Refused("no") if "s5" in asked else all_pending(asked), orders=10)
    made.store.orders.add(*(f"s{number}" for number in range(9)), misses=1)
    made.store.orders.singles = 2
    report = run(made)
    assert (report.fault, report.taking_apart) == (None, False)
    assert sizes(made) == [10, 1, 1, 7]
    assert made.desk.status_limit == 100

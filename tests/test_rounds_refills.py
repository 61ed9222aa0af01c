"""A round of refills: batched, halved where one spoils the rest, within its few requests."""

from collections.abc import Callable, Sequence

import pytest
from fakes import NOW, Abilities, FakePanel, Setting, Told

from tracker.errors import (
    BadReply,
    KeyRefused,
    NotUnderstood,
    PanelFault,
    RateLimited,
    Refused,
    ServerFault,
    TimedOut,
)
from tracker.model import Anomaly, NotFound, Odd, RefillAnswer, RefillStatus
from tracker.rounds.desk import Report
from tracker.rounds.refills import refills

PENDING = RefillStatus("pending", "Pending")
POISON = "r42"

Reply = Callable[[Sequence[str]], Told[RefillAnswer] | PanelFault]


def ids(count: int) -> list[str]:
    return [f"r{number}" for number in range(1, count + 1)]


def all_pending(asked: Sequence[str]) -> Told[RefillAnswer]:
    return Told(dict.fromkeys(asked, PENDING))


def setting(count: int, answer: Reply = all_pending, *, bulk: bool | None = None) -> Setting:
    made = Setting(panel=FakePanel(refill_answer=answer), abilities=Abilities(bulk_refill=bulk))
    made.store.refills.add(*ids(count))
    return made


def run(made: Setting, requests: int = 100, may_go_on: Callable[[], bool] = lambda: True) -> Report:
    return refills(made.desk, requests, may_go_on=may_go_on)


def sizes(made: Setting) -> list[int]:
    return [len(asked) for asked in made.panel.asked]


def answered(made: Setting) -> list[str]:
    return [one.after.refill_id for one in made.store.refills.written if one.after.checked_at]


def test_refills_are_asked_in_batches_and_written() -> None:
    made = setting(150)
    report = run(made)
    assert sizes(made) == [100, 50]
    assert answered(made) == ids(150)
    assert (report.requests, report.asked, report.answered, report.changed) == (2, 150, 150, 150)
    assert [row.kind for row in made.store.ledger.rounds] == ["refills"]
    assert made.store.refills.at == NOW


def test_closed_orders_of_new_refills_are_reopened_in_every_round_even_an_idle_one() -> None:
    made = setting(0)
    assert run(made).idle
    assert made.store.refills.reopened == [NOW]
    assert (made.panel.asked, made.store.ledger.rounds) == ([], [])


def test_a_panel_without_bulk_is_asked_one_by_one_within_the_budget() -> None:
    made = setting(10, bulk=False)
    run(made, requests=4)
    assert sizes(made) == [1, 1, 1, 1]


def test_no_request_begins_once_the_round_may_not_go_on() -> None:
    made = setting(150)
    run(made, may_go_on=lambda: made.panel.requests < 1)
    assert sizes(made) == [100]


@pytest.mark.parametrize("fault", [Refused("Bad refills"), BadReply("no JSON"), NotUnderstood("Missing refill")])
def test_a_refused_batch_is_halved_until_the_poison_stands_alone(fault: PanelFault) -> None:
    made = setting(100, lambda asked: fault if POISON in asked else all_pending(asked))
    report = run(made)
    assert sorted(answered(made)) == sorted(set(ids(100)) - {POISON})
    [alone] = [one for one in made.store.refills.written if not one.after.checked_at]
    kind = f"refill_alone_{fault.kind}"
    assert alone.anomaly == Anomaly(f"o{POISON}", kind, f"refill {POISON}: {fault}")
    assert alone.next_poll_at > NOW
    assert report.fault is None
    assert made.panel.requests <= 1 + 2 * 7


def test_several_poisoned_refills_do_not_end_a_round_in_which_others_are_answered() -> None:
    poisons = {"r3", "r30", "r60", "r90"}
    made = setting(100, lambda asked: Refused("no") if poisons & set(asked) else all_pending(asked))
    assert run(made).fault is None
    assert set(answered(made)) == set(ids(100)) - poisons


def test_a_panel_that_refuses_every_refill_ends_the_round_after_three() -> None:
    made = setting(100, lambda _: Refused("Something is wrong"))
    report = run(made)
    assert isinstance(report.fault, Refused)
    assert sizes(made).count(1) == 3


@pytest.mark.parametrize("fault", [TimedOut("15 s"), ServerFault("502")])
def test_three_faults_in_a_row_end_the_round_with_nothing_written(fault: PanelFault) -> None:
    made = setting(250, lambda _: fault)
    report = run(made)
    assert sizes(made) == [100, 100, 50]
    assert report.fault is fault
    assert made.store.refills.written == []


@pytest.mark.parametrize("fault", [TimedOut("15 s"), ServerFault("502")])
def test_a_refill_that_the_panel_chokes_on_does_not_stop_the_others(fault: PanelFault) -> None:
    made = setting(150, lambda asked: fault if "r7" in asked else Told(dict.fromkeys(asked, PENDING)))
    assert run(made, requests=60).fault is None
    assert set(answered(made)) == set(ids(150)) - {"r7"}


@pytest.mark.parametrize("fault", [RateLimited("slow down"), KeyRefused("Invalid API key")])
def test_any_other_fault_ends_the_round_at_once_with_nothing_halved(fault: PanelFault) -> None:
    made = setting(250, lambda _: fault)
    report = run(made)
    assert sizes(made) == [100]
    assert report.fault is fault
    assert [(row.outcome, row.error) for row in made.store.ledger.rounds] == [(fault.kind, str(fault))]
    assert made.store.refills.written == []


def test_what_was_answered_before_a_fault_is_written() -> None:
    fault = TimedOut("15 s")
    made = setting(10, lambda asked: Told(dict.fromkeys(asked[:4], PENDING), fault=fault))
    report = run(made)
    assert answered(made) == ids(4)
    assert report.fault is fault


def test_a_suspected_refill_is_asked_alone_which_alone_confirms() -> None:
    made = setting(2, lambda asked: Told(dict.fromkeys(asked, NotFound("Refill not found"))))
    made.store.refills.add("suspect", misses=1)
    run(made)
    assert made.panel.asked == [["r1", "r2"], ["suspect"]]
    assert {one.after.refill_id: one.after.misses for one in made.store.refills.written} == {
        "suspect": 2,
        "r1": 1,
        "r2": 1,
    }


def test_an_odd_answer_of_one_refill_spoils_no_other() -> None:
    made = setting(
        3, lambda asked: Told({one: Odd("bad_item", "17") if one == "r2" else PENDING for one in asked})
    )
    report = run(made)
    assert answered(made) == ["r1", "r3"]
    assert (report.asked, report.answered, report.anomalies) == (3, 2, 1)


@pytest.mark.parametrize("fault", [RateLimited("slow down"), KeyRefused("Invalid API key")])
def test_a_key_that_is_refused_among_single_requests_ends_the_round(fault: PanelFault) -> None:
    made = setting(250, lambda asked: Told(dict.fromkeys(asked[:4], PENDING), fault=fault))
    report = run(made)
    assert sizes(made) == [100]
    assert (report.fault, answered(made)) == (fault, ids(4))

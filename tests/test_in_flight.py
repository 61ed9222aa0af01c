"""Requests in flight: really together, never more, and fed by the caller."""

import threading

import pytest
from client_setting import PENDING, Batch, feed, pending, setting
from raw_panel import LONG, Asked, ok, until
from simulation import Awake

from tracker.errors import (
    KeyRefused,
    Refused,
    Stopped,
)
from tracker.model import Status
from tracker.panel import Answers, Budget, NotSent


@pytest.mark.parametrize("in_flight", [2, 4])
def test_requests_are_really_together_in_flight_and_never_more(in_flight: int) -> None:
    together = threading.Barrier(in_flight, timeout=LONG)
    lock = threading.Lock()
    now = [0]
    most = [0]

    def answer(asked: Asked) -> bytes:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        together.wait()  # broken, and so no answer, if fewer than `in_flight` ever come together
        with lock:
            now[0] -= 1
        return pending(asked)

    batches = [Batch([f"{number}a", f"{number}b"]) for number in range(in_flight * 3)]
    work = list(batches)
    with setting(answer, in_flight=in_flight) as at:
        got = {batch.ids[0]: outcome for batch, outcome in at.client.statuses(feed(work))}
    assert set(got) == {batch.ids[0] for batch in batches}
    assert all(isinstance(outcome, Answers) and len(outcome) == 2 for outcome in got.values())
    assert most[0] == in_flight


@pytest.mark.parametrize("in_flight", [1, 3])
def test_work_added_after_an_outcome_is_asked_too(in_flight: int) -> None:
    work = [Batch(["1", "2", "3", "4"])]
    seen = []
    with setting(pending, in_flight=in_flight) as at:
        for batch, outcome in at.client.statuses(feed(work)):
            assert isinstance(outcome, Answers)
            seen.append(list(outcome))
            if len(batch.ids) > 1:
                half = len(batch.ids) // 2
                work += [Batch(batch.ids[:half]), Batch(batch.ids[half:])]
    assert sorted(seen, key=lambda ids: (-len(ids), ids)) == [
        ["1", "2", "3", "4"], ["1", "2"], ["3", "4"], ["1"], ["2"], ["3"], ["4"],
    ]  # fmt: skip


@pytest.mark.parametrize("in_flight", [1, 2])
def test_no_more_work_is_taken_than_can_be_in_flight(in_flight: int) -> None:
    work = [Batch([str(number)]) for number in range(10)]
    with setting(pending, in_flight=in_flight) as at:
        outcomes = at.client.statuses(feed(work))
        assert len(work) == 10
        next(outcomes)
        assert 10 - len(work) <= in_flight + 1
        assert len(list(outcomes)) == 9


@pytest.mark.parametrize("in_flight", [1, 2])
def test_faults_come_as_values_beside_answers(in_flight: int) -> None:
    def answer(asked: Asked) -> bytes:
        return ok({"error": "no"}) if asked.fields["order"] == "2" else ok(PENDING)

    with setting(answer, in_flight=in_flight) as at:
        got = {batch.ids[0]: outcome for batch, outcome in at.client.statuses(feed([Batch([i]) for i in "123"]))}
    assert [type(got[number]) for number in "123"] == [Answers, Refused, Answers]


def test_a_refused_key_is_seen_by_the_caller_before_more_is_sent() -> None:
    work = [Batch([str(number)]) for number in range(10)]
    with setting(lambda _: ok({"error": "Invalid API key"}), in_flight=2) as at:
        for _, outcome in at.client.statuses(feed(work)):
            assert isinstance(outcome, KeyRefused)
            work.clear()
    assert len(at.panel.asked) <= 2


def test_what_waits_for_its_slot_while_a_key_is_refused_is_not_sent_and_what_comes_later_is() -> None:
    refused = threading.Event()

    def answer(asked: Asked) -> bytes:
        return pending(asked) if refused.is_set() else ok({"error": "Invalid API key"})

    with setting(answer, in_flight=8, budget=Budget(600)) as at:
        outcomes = [outcome for _, outcome in at.client.statuses(feed([Batch([i]) for i in "12345678"]))]
        assert {type(outcome) for outcome in outcomes} == {KeyRefused}
        assert {str(outcome).split(": ", 2)[2] for outcome in outcomes} == {
            'the key is not accepted ("Invalid API key"): check the key, and the account at the panel'
        }
        assert at.client.requests == len(at.panel.asked) < 5
        refused.set()
        assert at.client.status("9") == Status("pending", "Pending")


def test_the_threads_are_kept_between_calls_and_end_with_the_client() -> None:
    def ours() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name.startswith("panel-acme")}

    with setting(pending, in_flight=2) as at:
        list(at.client.statuses(feed([Batch(["1"]), Batch(["2"]), Batch(["3"])])))
        first = ours()
        list(at.client.statuses(feed([Batch(["1"]), Batch(["2"]), Batch(["3"])])))
        assert ours() == first
        assert len(first) == 2
    until(lambda: not ours() & first)


def test_a_stop_ends_everything_in_flight_as_values() -> None:
    reached = threading.Semaphore(0)

    def answer(asked: Asked) -> None:
        reached.release()
        asked.over.wait(LONG)

    got: list[object] = []
    with setting(answer, in_flight=2) as at:
        work = [Batch([str(number)]) for number in range(4)]
        thread = threading.Thread(
            target=lambda: got.extend(type(outcome) for _, outcome in at.client.statuses(feed(work)))
        )
        thread.start()
        for _ in range(2):
            assert reached.acquire(timeout=LONG)
        at.stop.set()
        with Awake() as awake:
            thread.join(LONG)
        assert awake.seconds < LONG / 10, "it waited for the panel"
    assert sorted(got, key=str) == sorted([Stopped, Stopped, NotSent, NotSent], key=str)

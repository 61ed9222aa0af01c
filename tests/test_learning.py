"""What a panel understands is learned, once and from reads only."""

import pytest
from client_setting import PENDING, pending, setting, single_only
from raw_panel import Asked, ok

from tracker.errors import (
    NotUnderstood,
    Refused,
    ServerFault,
    Stopped,
)
from tracker.model import NotFound, Odd, Status
from tracker.panel import Abilities


def test_a_panel_that_answers_in_bulk_is_remembered_to() -> None:
    with setting(pending) as at:
        at.client.ask_statuses(["1", "2"])
        assert at.abilities == Abilities(bulk_status=True)


def test_a_panel_without_bulk_is_asked_singly_from_then_on() -> None:
    with setting(single_only) as at:
        assert at.client.ask_statuses(["1", "2", "3"]) == dict.fromkeys("123", Status("pending", "Pending"))
        assert at.abilities.bulk_status is False
        before = at.client.requests
        assert len(at.client.ask_statuses(["1", "2", "3"])) == 3
        assert at.client.requests == before + 3


@pytest.mark.parametrize("bulk", [{}, [], {"error": "Incorrect order ID"}, {"error": "Invalid action"}])
def test_bulk_that_brings_nothing_is_told_from_ids_that_bring_nothing(bulk: object) -> None:
    with setting(lambda asked: ok(PENDING) if "order" in asked.fields else ok(bulk)) as at:
        assert set(at.client.ask_statuses(["1", "2"]).values()) == {Status("pending", "Pending")}
        assert at.abilities.bulk_status is False


def test_an_id_that_spoils_its_batch_teaches_nothing_false() -> None:
    def answer(asked: Asked) -> bytes:
        if "poison" in asked.fields.get("orders", ""):
            return ok({"error": "Incorrect order ID"})
        return pending(asked)

    with setting(answer) as at, pytest.raises(Refused, match="Incorrect order ID"):
        at.client.ask_statuses(["1", "poison"])
    assert at.abilities.bulk_status is True


def test_a_panel_that_understands_nothing_teaches_nothing() -> None:
    with setting(lambda _: ok({"error": "Invalid action"})) as at, pytest.raises(NotUnderstood):
        at.client.ask_statuses(["1", "2"])
    assert at.abilities == Abilities()


def test_a_panel_that_is_down_teaches_nothing() -> None:
    with setting(lambda _: ok(b"", status="503 X")) as at, pytest.raises(ServerFault):
        at.client.ask_statuses(["1", "2"])
    assert at.abilities == Abilities()
    assert len(at.panel.asked) == 1


def test_changes_teach_nothing_but_use_what_reads_taught() -> None:
    with setting(lambda _: ok({"error": "Incorrect request"})) as at, pytest.raises(NotUnderstood):
        at.client.refills(["1", "2"])
    assert at.abilities == Abilities()
    assert len(at.panel.asked) == 1
    with setting(lambda _: ok({"refill": 1}), abilities=Abilities(bulk_refill=False)) as at:
        assert at.client.refills(["1", "2"]) == {"1": "1", "2": "1"}
        assert [form["order"] for form in at.forms()] == ["1", "2"]


def test_refills_are_learned_as_orders_are() -> None:
    def answer(asked: Asked) -> bytes:
        known = {"status": "Completed"} if "refill" in asked.fields else {"error": "Incorrect request"}
        return ok(known)

    with setting(answer) as at:
        assert len(at.client.refill_statuses(["1", "2", "3"])) == 3
        assert at.abilities == Abilities(bulk_refill=False)


def test_asking_singly_keeps_what_came_before_a_fault_and_a_refused_id_is_its_own_answer() -> None:
    replies = {"1": ok(PENDING), "2": ok({"error": "nope"}), "3": ok(b"", status="502 X"), "4": ok(PENDING)}
    with setting(lambda asked: replies[asked.fields["order"]], abilities=Abilities(bulk_status=False)) as at:
        answers = at.client.ask_statuses(["1", "2", "3", "4"])
        assert answers == {"1": Status("pending", "Pending"), "2": Odd("item_error", "nope")}
        assert isinstance(answers.fault, ServerFault)


def test_asking_singly_ends_with_a_stop_and_keeps_what_came() -> None:
    def answer(_: Asked) -> bytes:
        if len(at.panel.asked) == 2:
            at.stop.set()
        return ok(PENDING)

    with setting(answer, abilities=Abilities(bulk_status=False)) as at:
        answers = at.client.ask_statuses([str(number) for number in range(50)])
        assert 1 <= len(answers) <= 2
        assert isinstance(answers.fault, Stopped)


@pytest.mark.parametrize("bulk", [{"error": "Missing order parameter"}, {"error": "Incorrect order ID"}, []])
def test_an_unknown_id_in_front_does_not_hide_that_bulk_is_not_understood(bulk: object) -> None:
    def answer(asked: Asked) -> bytes:
        if "orders" in asked.fields:
            return ok(bulk)
        return ok({"error": "Incorrect order ID"} if asked.fields["order"] == "gone" else PENDING)

    with setting(answer) as at:
        answers = at.client.ask_statuses(["gone", "1", "2"])
        assert answers == {
            "gone": NotFound("Incorrect order ID"),
            "1": Status("pending", "Pending"),
            "2": Status("pending", "Pending"),
        }
        assert at.abilities.bulk_status is False

"""The simulated account over real sockets: what it says, and how it moves."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest
from simulation import KEY, LINK, ask, orders

from tracker.simulator import Clock, ManualClock, Simulator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def panel(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator(seed=5, clock=clock, key=KEY, drip=0.001) as simulator:
        yield simulator


def test_the_documented_form_is_what_is_said_without_a_dialect(panel: Simulator) -> None:
    (order_id,) = orders(panel, 1)
    status = ask(panel, "status", order=order_id)
    charge = panel.world.truth(order_id)[0].charge
    assert status.pop("remains").isdigit()
    assert status == {"charge": str(charge), "start_count": "0", "status": "Pending", "currency": "USD"}
    assert ask(panel, "balance") == {"balance": str(panel.world.balance()), "currency": "USD"}


@pytest.mark.parametrize("action", ["services", "add", "status", "refill", "refill_status", "cancel", "balance"])
def test_a_wrong_key_is_refused_by_every_action(panel: Simulator, action: str) -> None:
    before = panel.world.balance()
    assert ask(panel, action, key="wrong", service=1, link=LINK, quantity=100) == {"error": "Invalid API key"}
    assert panel.world.balance() == before


def test_what_is_no_action_is_refused(panel: Simulator) -> None:
    assert ask(panel, "steal") == {"error": "Incorrect request"}
    assert httpx.get(panel.url, trust_env=False, verify=False).json() == {"error": "Incorrect request"}
    assert ask(panel, "status") == {"error": "Missing order parameter"}
    assert ask(panel, "status", orders=" , ") == {"error": "Incorrect request"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"service": "999999"}, "error.incorrect_service_id"),
        ({"link": ""}, "neworder.error.link"),
        ({"quantity": "1"}, "neworder.error.min_quantity"),
        ({"quantity": "9999999999"}, "neworder.error.max_quantity"),
        ({"quantity": "many"}, "neworder.error.quantity"),
        ({"quantity": "²"}, "neworder.error.quantity"),
        ({"runs": "9999"}, "neworder.error.runs"),
    ],
)
def test_add_says_what_is_wrong(panel: Simulator, fields: dict[str, str], error: str) -> None:
    assert ask(panel, "add", **({"service": "1", "link": LINK, "quantity": "100"} | fields)) == {"error": error}


def test_every_type_of_service_can_be_added_and_needs_its_own_fields(panel: Simulator) -> None:
    extra = {
        "username": "u", "min": 100, "max": 100, "posts": 1, "comments": "a\nb", "hashtag": "h",
        "answer_number": 1, "groups": "g", "keywords": "k", "country": "US",
    }  # fmt: skip
    kinds = {each.type: each for each in panel.world.services()}
    for kind, each in kinds.items():
        panel.world.spawn(1, oldest=0.0)
        sizes = {"min": each.min, "max": each.min} if kind == "Subscriptions" else {}
        form = {"service": each.service_id, "link": LINK, "quantity": each.min} | extra | sizes
        assert "order" in ask(panel, "add", **form), kind
        if kind not in {"Default", "Package"}:
            form = {name: text for name, text in form.items() if name not in extra}
            assert ask(panel, "add", **form)["error"].startswith("neworder.error."), kind
    assert len(kinds) == 10


def test_money_runs_out_and_the_owner_tops_up_later(panel: Simulator, clock: ManualClock) -> None:
    dearest = max((each for each in panel.world.services() if each.type == "Default"), key=lambda s: s.rate or 0)
    form = {"service": dearest.service_id, "link": LINK, "quantity": dearest.max}
    while "order" in (answer := ask(panel, "add", **form)):
        pass
    assert answer == {"error": "neworder.error.not_enough_funds"}
    before = panel.world.balance()
    assert before >= 0
    clock.advance(2 * 3600 + 1)
    assert panel.world.balance() >= before + 1000


def test_the_balance_is_what_was_paid_in_less_what_the_orders_cost_by_now(
    panel: Simulator, clock: ManualClock
) -> None:
    ids = orders(panel, 200)
    panel.world.spawn(50)
    for _ in range(40):
        clock.advance(7200)
        charges = Decimal(0)
        for order in panel.world._orders.values():  # children that are still to come are paid for as well
            look = panel.world.look(order.order_id)
            charges += (look.step if look else order.life[0]).charge or 0
        paid_in = panel.world.balance() + charges - 500
        assert paid_in % 1000 == 0
    assert any(panel.world.truth(order_id)[-1].charge == 0 for order_id in ids)


def test_the_catalog_drifts(panel: Simulator, clock: ManualClock) -> None:
    first = {row["service"]: row for row in ask(panel, "services")}
    gone: Counter[int] = Counter()
    returned: set[int] = set()
    appeared: set[int] = set()
    risen: set[int] = set()
    for _ in range(48):
        clock.advance(3600)
        rows = {row["service"]: row for row in ask(panel, "services")}
        returned |= set(gone) & set(rows)
        gone.update(set(first) - set(rows))
        appeared |= set(rows) - set(first)
        risen |= {key for key in rows if key in first and float(rows[key]["rate"]) > float(first[key]["rate"])}
    assert set(gone.values()) == {8}  # hours: four in each of two days
    assert returned == set(gone)
    assert len(appeared) == 6
    assert len(risen) > 5


def test_a_cancel_is_asked_first_and_done_later(panel: Simulator, clock: ManualClock) -> None:
    service = next(each for each in panel.world.services() if each.type == "Default" and each.cancel)
    order_id = ask(panel, "add", service=service.service_id, link=LINK, quantity=100)["order"]
    assert ask(panel, "cancel", order=order_id) == {"status": "ok"}
    assert ask(panel, "cancel", order=order_id) == {"error": "Cancel already requested"}
    assert ask(panel, "status", order=order_id)["status"] == "Pending"
    clock.advance(3601)
    assert ask(panel, "status", order=order_id)["status"] in {"Canceled", "Partial", "Completed"}
    stubborn = next(each for each in panel.world.services() if each.type == "Default" and not each.cancel)
    order_id = ask(panel, "add", service=stubborn.service_id, link=LINK, quantity=100)["order"]
    assert ask(panel, "cancel", order=order_id) == {"error": "Order cannot be cancelled"}


def test_canceling_a_drip_feed_prevents_the_runs_to_come(panel: Simulator, clock: ManualClock) -> None:
    service = next(each for each in panel.world.services() if each.type == "Default" and each.cancel)
    before = panel.world.balance()
    form = {"service": service.service_id, "link": LINK, "quantity": 100, "runs": 10, "interval": 600}
    order_id = ask(panel, "add", **form)["order"]
    price = (service.rate or Decimal(0)) * 100 / 1000
    assert panel.world.balance() == before - 10 * price
    assert ask(panel, "status", order=order_id + 2) == {"error": "Incorrect order ID"}  # the second run is to come
    ask(panel, "cancel", order=order_id)
    clock.advance(30 * 86400)
    answer = ask(panel, "status", order=order_id)
    assert (answer["status"], len(answer["orders"])) == ("Canceled", 1)
    assert panel.world.balance() >= before - price


def test_spawned_orders_are_of_varied_ages_and_known_at_once(panel: Simulator) -> None:
    placed = panel.world.spawn(400, oldest=86400.0)
    assert len({each.order_id for each in placed}) == 400
    ages = sorted(each.age for each in placed)
    assert 0 <= ages[0] < 600
    assert 43200 < ages[-1] <= 86400
    assert panel.world.balance() >= 0
    answer = ask(panel, "status", orders=",".join(each.order_id for each in placed[:100]))
    assert set(answer) == {each.order_id for each in placed[:100]}
    assert len({item["status"] for item in answer.values()}) >= 3


def test_the_same_seed_makes_the_same_panel() -> None:
    worlds = [Simulator(seed=seed, clock=ManualClock()) for seed in (3, 3, 4)]
    try:
        first, same, other = (each.world.spawn(50) for each in worlds)
    finally:
        for each in worlds:
            with each:
                pass
    assert first == same != other


def test_a_clock_runs_as_fast_as_it_is_told() -> None:
    now = [100.0]
    clock = Clock(speed=600.0, time=lambda: now[0])
    now[0] += 1.5
    assert clock.now() == 900.0

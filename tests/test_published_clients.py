"""Three clients that nobody here wrote work against the simulator, so it is not tuned to our own."""

import time
from collections.abc import Iterator

import pytest
from safesmm import SafeSMM, SafeSMMError
from smm import SMM, SMMAPIError, SMMNetworkError, SMMResponseError
from smmpy import smm as SmmPy  # noqa: N812 - a class with a small name

from tracker.simulator import ManualClock, Simulator

LINK = "https://example.com/p/1"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """All three ask the environment for proxies; loopback needs none."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def panel() -> Iterator[Simulator]:
    with Simulator(seed=5, clock=ManualClock(), key="k3y") as simulator:
        yield simulator


@pytest.fixture
def babismm(panel: Simulator) -> Iterator[SMM]:
    with SMM(panel.url, "k3y") as client:
        yield client


def advance(panel: Simulator, seconds: float) -> None:
    assert isinstance(panel.world.clock, ManualClock)
    panel.world.clock.advance(seconds)


def service(panel: Simulator, kind: str = "Default", **flags: bool) -> str:
    """Return the id of a service of a kind that stays in the catalog."""
    return next(
        each.service_id
        for each in panel.world.services()
        if each.type == kind and all(getattr(each, name) == flag for name, flag in flags.items())
    )


def finish(panel: Simulator, order_id: str, status: str = "Completed") -> None:
    """Move the clock to the moment at which the order gets `status`."""
    step = next(step for step in panel.world.truth(order_id) if step.status == status)
    advance(panel, panel.world.born(order_id) + step.at - panel.world.clock.now() + 1)


def completed(panel: Simulator) -> str:
    """Place orders until one is bound to complete, and let it."""
    for _ in range(50):
        order_id = panel.world.place(service(panel, refill=True), LINK, 100)
        if panel.world.truth(order_id)[-1].status == "Completed":
            finish(panel, order_id)
            return order_id
    raise AssertionError("fifty orders in a row came to a bad end")


def test_safesmm_reads_the_account_and_the_catalog(panel: Simulator) -> None:
    client = SafeSMM("k3y", panel.url)
    assert client.balance() == {"balance": "500", "currency": "USD"}
    rows = client.services()
    assert len(rows) == len(panel.world.services())
    assert set(rows[0]) == {"service", "type", "name", "category", "rate", "min", "max", "refill", "cancel"}


def test_safesmm_follows_an_order_from_add_to_cancel(panel: Simulator) -> None:
    client = SafeSMM("k3y", panel.url)
    order_id = client.add_order(int(service(panel, cancel=True)), LINK, 100)["order"]
    status = client.status(order_id)
    assert (status["status"], status["remains"], status["currency"]) == ("Pending", "100", "USD")
    assert client.multi_status([order_id, 7]) == {str(order_id): status, "7": {"error": "Incorrect order ID"}}
    assert client.cancel(order_id) == [{"order": order_id, "cancel": 1}]
    assert client.cancel([7]) == [{"order": 7, "cancel": {"error": "Incorrect order ID"}}]
    advance(panel, 3601)
    assert client.status(order_id)["status"] in {"Canceled", "Partial", "Completed"}


def test_safesmm_asks_for_refills_and_drip_feeds(panel: Simulator) -> None:
    client = SafeSMM("k3y", panel.url)
    assert client.refill(int(completed(panel))) == {"refill": "1"}
    parent = client.add_order(service(panel), LINK, 100, runs=3, interval=30)["order"]
    answer = client.status(parent)
    assert answer == {"status": "In progress", "runs": "3", "orders": [parent + 1]}
    advance(panel, 31 * 60)
    assert client.status(parent)["orders"] == [parent + 1, parent + 2]


def test_safesmm_raises_what_the_panel_says(panel: Simulator) -> None:
    with pytest.raises(SafeSMMError, match=r"^Invalid API key$"):
        SafeSMM("wrong", panel.url).balance()
    with pytest.raises(SafeSMMError, match=r"^error\.incorrect_service_id$"):
        SafeSMM("k3y", panel.url).add_order(999_999, LINK, 100)
    with pytest.raises(SafeSMMError, match=r"^Incorrect order ID$"):
        SafeSMM("k3y", panel.url).status(7)


def test_safesmm_reads_the_errors_of_a_strict_panel() -> None:
    with Simulator(dialect="strict-http", key="k3y") as strict:
        with pytest.raises(SafeSMMError, match=r"^Invalid API key$"):
            SafeSMM("wrong", strict.url).balance()
        assert SafeSMM("k3y", strict.url).balance()["currency"] == "USD"


def test_smmpy_uses_every_action(panel: Simulator) -> None:
    client = SmmPy(panel.url, "k3y")
    assert client.get_balance()["currency"] == "USD"
    assert client.get_services()[0]["service"] == 1
    order_id = client.add_order(service(panel, cancel=True), LINK, 100)["order"]
    commented = client.add_order(service(panel, "Custom Comments"), LINK, None, comments="one\ntwo")["order"]
    dripped = client.add_order(service(panel), LINK, 100, runs=2, interval=5)["order"]
    assert client.get_status(commented)["remains"] == "2"
    assert client.get_status(dripped)["runs"] == "2"
    assert set(client.get_multi_status([order_id, commented])) == {str(order_id), str(commented)}
    assert client.cancel_orders([order_id])[0] == {"order": order_id, "cancel": 1}


def test_smmpy_follows_a_refill(panel: Simulator) -> None:
    client = SmmPy(panel.url, "k3y")
    order_id = completed(panel)
    assert client.create_refill(order_id) == {"refill": "1"}
    assert client.create_multi_refill([order_id]) == [
        {"order": int(order_id), "refill": {"error": "There is already an open request for this order."}}
    ]
    assert client.get_refill_status(1) == {"status": "Pending"}
    assert client.get_multi_refill_status([1, 9]) == [
        {"refill": 1, "status": "Pending"},
        {"refill": 9, "status": {"error": "Incorrect refill ID"}},
    ]
    advance(panel, 60 * 86400)
    assert client.get_refill_status(1)["status"] in {"Completed", "Rejected"}


def test_smmpy_raises_what_the_panel_says(panel: Simulator) -> None:
    with pytest.raises(Exception, match=r"^Incorrect order ID$"):
        SmmPy(panel.url, "k3y").get_status("7")


def test_babismm_uses_every_action(panel: Simulator, babismm: SMM) -> None:
    assert babismm.get_balance()["balance"] == "500"
    assert len(babismm.get_services()) == len(panel.world.services())
    order_id = babismm.add_order(service(panel, cancel=True), LINK, 100)["order"]
    assert babismm.get_status(order_id)["status"] == "Pending"
    assert babismm.get_multi_status([order_id])[str(order_id)]["remains"] == "100"
    assert babismm.cancel_orders([order_id]) == [{"order": order_id, "cancel": 1}]
    finished = completed(panel)
    assert babismm.create_refill(finished) == {"refill": "1"}
    assert babismm.create_multi_refill([finished, 7])[1]["refill"] == {"error": "Incorrect order ID"}
    assert babismm.get_refill_status("1") == {"status": "Pending"}
    assert babismm.get_multi_refill_status(["1"]) == [{"refill": 1, "status": "Pending"}]


def test_babismm_adds_packages_and_subscriptions(panel: Simulator, babismm: SMM) -> None:
    package = babismm.add_order(service(panel, "Package"), LINK)["order"]
    assert babismm.get_status(package)["remains"] == "1"
    low = next(each.min for each in panel.world.services() if each.type == "Subscriptions")
    subscribed = babismm.add_order(
        service(panel, "Subscriptions"), username="someone", min=low, max=low, posts=4, delay=0
    )["order"]
    assert babismm.get_status(subscribed) == {"status": "Active", "expiry": True, "posts": "4", "orders": []}
    advance(panel, 10 * 86400)
    assert len(babismm.get_status(subscribed)["orders"]) == 4


def test_babismm_tells_refusals_pages_and_broken_connections_apart(panel: Simulator, babismm: SMM) -> None:
    with pytest.raises(SMMAPIError, match=r"^neworder\.error\.min_quantity$"):
        babismm.add_order(service(panel), LINK, 1)
    panel.misbehave("http-502", times=1)
    with pytest.raises(SMMNetworkError, match="502"):
        babismm.get_balance()
    panel.misbehave("not-json", times=1)
    with pytest.raises(SMMResponseError):
        babismm.get_balance()
    panel.misbehave("reset-before", times=1)
    with pytest.raises(SMMNetworkError):
        babismm.get_balance()
    assert babismm.get_balance()["currency"] == "USD"


def test_a_client_that_asks_a_fast_panel_sees_orders_move() -> None:
    with Simulator(seed=2, speed=500_000, key="k3y") as panel:
        client = SafeSMM("k3y", panel.url)
        ids = [placed.order_id for placed in panel.world.spawn(20, oldest=0.0)]
        before = client.multi_status(ids)
        deadline = time.monotonic() + 10
        while client.multi_status(ids) == before:
            assert time.monotonic() < deadline, "nothing moved in ten seconds, 57 virtual days"

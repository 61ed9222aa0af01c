"""Every dialect of the simulated panel has the shapes that its name promises."""

from collections.abc import Iterator

import pytest
from simulation import KEY, LINK, ask, dialect, orders, post

from tracker.errors import UsageFault
from tracker.simulator import DIALECT_NAMES, ManualClock, Simulator


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def panel(clock: ManualClock) -> Iterator[Simulator]:
    with Simulator(seed=5, clock=clock, key=KEY, drip=0.001) as simulator:
        yield simulator


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_every_dialect_answers_every_action(
    dialect: str, clock: ManualClock, capfd: pytest.CaptureFixture[str]
) -> None:
    with Simulator(seed=5, clock=clock, key=KEY, dialect=dialect) as panel:
        ids = ",".join(placed.order_id for placed in panel.world.spawn(100))
        first = ids.split(",")[0]
        forms: list[dict[str, object]] = [
            {"action": "services"},
            {"action": "balance"},
            {"action": "steal"},
            {"action": "add", "service": 1, "link": LINK, "quantity": 100},
            {"action": "add", "service": 999},
            {"action": "status", "order": first},
            {"action": "status", "order": 7},
            {"action": "status", "orders": ids},
            {"action": "status", "orders": first},
            {"action": "status", "orders": "7"},
            {"action": "status", "orders": ids + ",7,8"},
            {"action": "refill", "order": first},
            {"action": "refill", "orders": ids + ",7"},
            {"action": "cancel", "order": first},
            {"action": "cancel", "orders": ids + ",7"},
            {"action": "refill_status", "refill": 1},
            {"action": "refill_status", "refill": first},
            {"action": "refill_status", "refills": "1,2,999"},
        ]
        for form in forms:
            assert ask(panel, **form) is not None, form  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("documented", {"error": "Incorrect request"}),
        ("limit-left-out", 100),
        ("limit-false-error", 103),
    ],
)
def test_ids_past_the_hundredth_are_the_dialects_choice(name: str, told: object) -> None:
    with dialect(name) as panel:
        ids = orders(panel, 103)
        answer = ask(panel, "status", orders=",".join(ids))
        if told == 100:
            assert list(answer) == ids[:100]
        elif told == 103:
            assert [answer[order_id] for order_id in ids[100:]] == [{"error": "Incorrect order ID"}] * 3
            assert panel.served(ids[100]) == []
            assert len(panel.served(ids[99])) == 1
        else:
            assert answer == told


def test_a_strict_panel_tells_refusals_by_http_codes() -> None:
    with dialect("strict-http") as panel:
        ids = ",".join(orders(panel, 101))
        assert post(panel, "status", orders=ids).status_code == 400
        assert post(panel, "balance", key="wrong").status_code == 401
        assert post(panel, "status", order=7).status_code == 404
        assert post(panel, "balance").status_code == 200


def test_numbers_ids_and_flags_have_the_shape_of_their_dialect() -> None:
    with dialect("numbers") as panel:
        (order_id,) = orders(panel, 1)
        item = ask(panel, "status", order=order_id)
        assert [type(item[name]) for name in ("charge", "start_count", "remains")] == [float, int, int]
        assert panel.served(order_id)[0].charge == panel.world.truth(order_id)[0].charge
        assert ask(panel, "services")[0]["refill"] in {0, 1}
    with dialect("php") as panel:
        assert ask(panel, "services")[0]["refill"] in {"0", "1"}
        assert post(panel, "balance").content.startswith(b"\xef\xbb\xbf<br />")
        assert post(panel, "balance").headers["content-type"].startswith("text/html")
    with dialect("opaque-ids") as panel:
        assert len(ask(panel, "add", service=1, link=LINK, quantity=100)["order"]) == 24


def test_the_sparse_the_late_and_the_foreign_say_it_differently() -> None:
    with dialect("sparse") as panel:
        (order_id,) = orders(panel, 1)
        assert panel.served(order_id) == []
        assert ask(panel, "status", order=order_id)["start_count"] is None
        assert panel.served(order_id)[0].currency is None
        rows = ask(panel, "services")
        assert rows[0]["service"] == rows[-1]["service"]
    with dialect("late-charge") as panel:
        (order_id,) = orders(panel, 1)
        ask(panel, "status", order=order_id)
        asked = panel.world.truth(order_id)[0].remains or 0
        assert panel.served(order_id)[0].charge == 0
        assert (panel.served(order_id)[0].remains or 0) > asked
    with dialect("foreign-words") as panel:
        (order_id,) = orders(panel, 1)
        assert ask(panel, "status", order=order_id)["status"] == "awaiting"
        assert ask(panel, "status", order=7) == {"error": "Заказ не найден"}


@pytest.mark.parametrize(
    ("name", "action", "fields", "answer"),
    [
        ("no-bulk", "status", {"orders": "1,2"}, {"error": "Missing order parameter"}),
        ("nested-error", "status", {"order": "7"}, {"7": {"error": "Incorrect order ID"}}),
        ("single-flat", "status", {"orders": "7,8"}, []),
        ("refill-echo", "refill", {"orders": "7"}, [{"order": 7, "error": "Incorrect order ID"}]),
        ("empty-catalog", "services", {}, {"status": "success", "data": "Empty Data"}),
        ("success-envelope", "status", {"order": "7"}, {"status": "error", "msg": "Incorrect order ID"}),
        ("coded-errors", "status", {"order": "7"}, {"error": "Incorrect order ID", "status": "104"}),
    ],
)
def test_a_dialect_has_its_own_shapes(name: str, action: str, fields: dict[str, str], answer: object) -> None:
    with dialect(name) as panel:
        assert ask(panel, action, **fields) == answer


@pytest.mark.parametrize(("name", "shown"), [("documented", "1"), ("mere-yes", 1), ("refill-echo", "order")])
def test_a_refill_is_known_by_what_the_dialect_calls_it(name: str, shown: object) -> None:
    with dialect(name) as panel:
        service = next(each for each in panel.world.services() if each.type == "Default" and each.refill)
        panel.world.spawn(1)
        ids = [panel.world.place(service.service_id, LINK, 100) for _ in range(20)]
        order_id = next(each for each in ids if panel.world.truth(each)[-1].status == "Completed")
        clock = panel.world.clock
        assert isinstance(clock, ManualClock)
        clock.advance(60 * 86400)
        refill_id = ask(panel, "refill", order=order_id)["refill"]
        assert refill_id == (order_id if shown == "order" else shown)
        answer = ask(panel, "refill_status", refill=refill_id)
        if name == "mere-yes":
            assert answer == {"error": "Incorrect refill ID"}
        else:
            assert answer == {"status": "Pending"}
            assert panel.served_refill(refill_id) == ["Pending"]


def test_an_unknown_dialect_or_fault_is_refused_with_the_names_there_are(panel: Simulator) -> None:
    with pytest.raises(UsageFault, match="documented"):
        Simulator(dialect="klingon")
    with pytest.raises(UsageFault, match="reset-before"):
        panel.misbehave("shyness")

"""What becomes of intents that nobody finished, and what the journal tells people about them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from books import everything, execute, follow, order_row, table
from intents_setting import ADD, CANCEL, LINK, LONG_AGO, PLACED, REFILL, begin, state
from sqlalchemy import insert, update

from tracker.errors import UsageFault
from tracker.model import STATES, Balance, Outcome, Wish
from tracker.store.database import Database
from tracker.store.journal.evidence import MOST, Snapshot
from tracker.store.journal.intents import Unfinished
from tracker.store.journal.outcomes import TOLD
from tracker.store.polling.memory import Memory
from tracker.store.schema import intents, orders, refills

UNKNOWN = Outcome("unknown", error="no answer")


def soon(**span: float) -> datetime:
    return datetime.now(UTC) + timedelta(**span)


# --- recover


@pytest.mark.parametrize("wish", [ADD, REFILL, CANCEL])
def test_what_is_still_being_sent_after_its_deadline_is_unknown(database: Database, wish: Wish) -> None:
    lost = begin(database, wish, seconds=LONG_AGO)
    alive = begin(database, wish._replace(panel="other"))
    [told] = database.intents.recover()
    assert told == database.intents.find(lost)
    assert told.state == "unknown"
    assert "did not come back with an answer" in str(told.error)
    assert told.finished_at is not None
    assert state(database, alive) == "sending"
    assert database.intents.recover() == [], "each change is told once"


def test_what_was_lost_about_an_order_is_found_with_that_order(database: Database) -> None:
    [key] = follow(database, "23501")
    uuid = begin(database, REFILL, seconds=LONG_AGO)
    assert [one.uuid for one in database.intents.of_order(key)] == [uuid]
    assert database.intents.recover() == database.intents.of_order(key)


def test_the_deadline_is_a_minute_after_the_requests(database: Database) -> None:
    begin(database, ADD, seconds=-59)
    begin(database, REFILL, seconds=-61)
    assert [one.action for one in database.intents.recover()] == ["refill"]


def test_recovery_reaches_every_panel(database: Database) -> None:
    names = ["c", "a", "b"]
    for name in names:
        begin(database, ADD._replace(panel=name), seconds=LONG_AGO)
    assert [one.panel for one in database.intents.recover()] == sorted(names)


def test_an_unknown_cancel_is_settled_by_its_order_where_that_can_tell(database: Database) -> None:
    follow(database, *STATES)
    asked = {now: begin(database, CANCEL._replace(order_id=now), UNKNOWN) for now in STATES}
    assert database.intents.recover() == []
    execute(database, update(orders).values(state=orders.c.order_id, state_at=soon(minutes=1)))
    assert {one.order_id for one in database.intents.recover()} == TOLD.keys()
    for now, uuid in asked.items():
        intent = database.intents.find(uuid)
        assert intent.error == "no answer"
        assert intent.state == ("resolved" if now in TOLD else "unknown")
        assert now in str(intent.resolution) or now not in TOLD
        assert ("nothing was canceled" in str(intent.resolution)) == (now in {"completed", "failed", "expired"})


def test_a_state_that_began_before_the_cancel_tells_nothing_about_it(database: Database) -> None:
    follow(database, "23501", state="canceled", settled_at=soon(minutes=1))
    uuid = begin(database, CANCEL, UNKNOWN)
    assert database.intents.recover() == []
    assert state(database, uuid) == "unknown"


def test_nothing_but_an_unknown_cancel_is_settled_by_the_order(database: Database) -> None:
    lost = [begin(database, ADD, UNKNOWN), begin(database, REFILL, UNKNOWN)]
    asked = begin(database, CANCEL, Outcome("confirmed"))
    follow(database, "23501", state="canceled", state_at=soon(minutes=1))
    assert database.intents.recover() == []
    assert [state(database, one) for one in (*lost, asked)] == ["unknown", "unknown", "confirmed"]


def test_a_cancel_whose_process_died_after_the_panel_did_it_is_told_about_once(database: Database) -> None:
    uuid = begin(database, CANCEL, seconds=LONG_AGO)
    follow(database, "23501", state="canceled", state_at=soon(minutes=1))
    [told] = database.intents.recover()
    assert (told.uuid, told.state, told.resolution) == (uuid, "resolved", "the order was canceled")
    for late in (Outcome("confirmed"), Outcome("rejected", error="Order cannot be cancelled")):
        assert database.intents.finish(uuid, late) == told, "the panel may say either about a canceled order"


# --- resolve


def test_a_person_says_which_order_was_placed_and_it_is_followed(database: Database) -> None:
    uuid = begin(database, ADD._replace(ref="shop-1"), UNKNOWN)
    intent = database.intents.resolve(uuid, "23501")
    row = order_row(database, "23501")
    assert (intent.state, intent.order_id, intent.order_key) == ("resolved", "23501", row["id"])
    assert intent.resolution == "a person said that it happened"
    assert (row["link"], row["ref"], row["ordered_at"]) == (LINK, "shop-1", intent.sent_at)
    assert begin(database, ADD), "it stands in nobody's way any more"


def test_a_person_says_that_nothing_was_placed(database: Database) -> None:
    uuid = begin(database, ADD, seconds=LONG_AGO)
    intent = database.intents.resolve(uuid, None)
    assert (intent.state, intent.order_id) == ("resolved", None)
    assert intent.resolution == "a person said that it did not happen"
    assert table(database, orders) == []


def test_a_person_says_that_a_refill_was_taken_and_under_which_id(database: Database) -> None:
    [key] = follow(database, "23501")
    first, second = begin(database, REFILL, UNKNOWN), begin(database, CANCEL, UNKNOWN)
    assert database.intents.resolve(first, "23501", refill_id="9").refill_id == "9"
    assert [row["refill_id"] for row in table(database, refills)] == ["9"]
    database.intents.resolve(second, "23501")
    assert [one.state for one in database.intents.of_order(key)] == ["resolved", "resolved"]


@pytest.mark.parametrize(
    ("wish", "outcome", "order_id", "said"),
    [
        (ADD, None, "23501", "is being sent right now. Wait"),
        (ADD, PLACED, "23501", r"is confirmed \(order 23501\) already"),
        (ADD, Outcome("rejected", error="No funds"), None, r"is rejected \(No funds\) already"),
        (ADD, UNKNOWN, "1,2", "is no id"),
        (ADD, UNKNOWN, "", "is no id"),
        (REFILL, UNKNOWN, "7", "is not about order 7"),
    ],
)
def test_a_word_that_cannot_be_meant_is_refused_and_changes_nothing(
    database: Database, wish: Wish, outcome: Outcome | None, order_id: str | None, said: str
) -> None:
    uuid = begin(database, wish, outcome)
    before = everything(database)
    with pytest.raises(UsageFault, match=said):
        database.intents.resolve(uuid, order_id)
    assert everything(database) == before


def test_a_word_is_taken_once(database: Database) -> None:
    uuid = begin(database, ADD, UNKNOWN)
    database.intents.resolve(uuid, None)
    with pytest.raises(UsageFault, match=r"is resolved \(a person said that it did not happen\) already"):
        database.intents.resolve(uuid, "23501")


# --- what it tells


def test_an_intent_is_found_by_how_its_uuid_begins(database: Database) -> None:
    alike = ["0a1b2c3d-1111", "0a1b2c3d-2222", "0a1b9999-3333"]
    for uuid in alike:
        execute(
            database, update(intents).where(intents.c.uuid == begin(database)).values(uuid=uuid, state="unsent")
        )
    assert database.intents.find("0A1B9").uuid == alike[2]
    assert database.intents.find(alike[0]).uuid == alike[0]
    with pytest.raises(UsageFault, match=f"begins more than one intent: {alike[0]}, {alike[1]}. Give more"):
        database.intents.find("0a1b2c")
    for nobody in ("ffff", "0a1_", "%%%%"):
        with pytest.raises(UsageFault, match=r"No intent begins with .*`tracker intents`"):
            database.intents.find(nobody)
    with pytest.raises(UsageFault, match="too short"):
        database.intents.find("0a1")


def test_intents_are_listed_newest_first_by_panel_and_state(database: Database) -> None:
    first = begin(database, ADD, PLACED)
    second = begin(database, REFILL, UNKNOWN)
    other = begin(database, ADD._replace(panel="other"), UNKNOWN)
    for minutes, uuid in enumerate((other, second, first)):
        sent_at = datetime.now(UTC) - timedelta(minutes=minutes)
        execute(database, update(intents).where(intents.c.uuid == uuid).values(sent_at=sent_at))
    journal = database.intents
    assert [one.uuid for one in journal.list()] == [other, second, first]
    assert [one.uuid for one in journal.list("acme")] == [second, first]
    assert [one.uuid for one in journal.list(states=("unknown", "sending"))] == [other, second]
    assert [one.uuid for one in journal.list("acme", ("unknown",))] == [second]
    assert [one.uuid for one in journal.list(limit=1)] == [other]
    assert len(journal.list(limit=None)) == 3


def test_intents_without_an_outcome_are_counted_lost_ones_as_unknown(database: Database) -> None:
    begin(database, ADD)
    begin(database, REFILL, UNKNOWN)
    begin(database, CANCEL, seconds=LONG_AGO)
    begin(database, ADD._replace(panel="other"), UNKNOWN)
    begin(database, ADD._replace(link="https://example.com/2"), PLACED)
    assert database.intents.unfinished() == Unfinished(sending=1, unknown=3)


def test_the_evidence_is_balances_around_it_and_orders_that_appeared_since(
    database: Database, memory: Memory
) -> None:
    follow(database, "before")
    begin(database, ADD._replace(link="https://example.com/0"), Outcome("confirmed", order_id="ours-before"))
    for hours, balance in ((-3, "101"), (-2, "100.84292")):
        memory.ledger.snapshot(Balance(Decimal(balance), "USD"), soon(hours=hours))
    uuid = begin(database, ADD._replace(balance_before=None), UNKNOWN)
    execute(database, update(intents).where(intents.c.uuid == uuid).values(sent_at=soon(minutes=-10)))
    for minutes, balance in ((-5, "70"), (5, "99.94292"), (9, "50")):
        memory.ledger.snapshot(Balance(Decimal(balance), "USD"), soon(minutes=minutes))
    begin(database, ADD._replace(link="https://example.com/1"), Outcome("confirmed", order_id="ours"))
    [parent] = follow(database, "theirs", tracked_at=soon(minutes=1))
    follow(database, "child", tracked_at=soon(minutes=1), parent=parent)
    follow(database, "elsewhere", panel="other", tracked_at=soon(minutes=1))
    found = database.intents.evidence(database.intents.find(uuid))
    assert found.before is not None
    assert found.after is not None
    assert (found.before.balance, found.after.balance) == (Decimal("100.84292"), Decimal("99.94292"))
    assert found.after == Snapshot(found.after.at, Decimal("99.94292"), "USD")
    assert found.others == 2, "both may have moved the balance"
    mine = database.intents.find(uuid)._replace(balance_before=Decimal("100.84292"), sent_at=soon(seconds=10))
    assert database.intents.evidence(mine).others == 0, "none was sent after its own balance"
    assert [row["order_id"] for row in found.orders] == ["theirs"]


def test_evidence_is_bounded_and_may_be_none(database: Database) -> None:
    unknown, cancel = begin(database, ADD, UNKNOWN), begin(database, CANCEL, UNKNOWN)
    assert database.intents.evidence(database.intents.find(unknown)) == (None, None, 0, [])
    execute(
        database,
        insert(orders),
        [{"panel": "acme", "order_id": f"{n}", "tracked_at": soon(minutes=1)} for n in range(MOST + 5)],
    )
    assert len(database.intents.evidence(database.intents.find(unknown)).orders) == MOST
    assert database.intents.evidence(database.intents.find(cancel)).orders == []

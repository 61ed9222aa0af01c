"""The journal of intents: what stands in a wish's way, what an outcome writes, and what is never overwritten."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from books import everything, execute, follow, order_row, table
from intents_setting import ADD, CANCEL, LINK, LONG_AGO, PLACED, REFILL, begin, state
from sqlalchemy import Connection, event, update

from tracker.errors import ActionFault, Blocked, UsageFault
from tracker.model import Outcome, Wish
from tracker.store.database import Database
from tracker.store.engine import PRAGMAS, reading, writing
from tracker.store.following.tracking import NewOrder
from tracker.store.schema import intents, orders, refills


def blocked(database: Database, wish: Wish = ADD, *, despite_unknown: bool = False) -> Blocked:
    """Begin what must be refused and leave no trace; return the refusal."""
    before = table(database, intents)
    with pytest.raises(Blocked) as told:
        database.intents.begin(wish, seconds=30, despite_unknown=despite_unknown)
    assert table(database, intents) == before
    return told.value


# --- begin


def test_a_wish_is_in_the_journal_as_it_was_wished_before_anything_is_sent(database: Database) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    wish = ADD._replace(ref="shop-1")
    uuid = begin(database, wish, seconds=30)
    intent = database.intents.find(uuid)
    assert intent == intent._replace(**wish._asdict(), state="sending", uuid=uuid)
    assert list(intent.payload) == sorted(ADD.payload), "the same fields are the same text"
    assert began < intent.sent_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert intent.deadline_at - intent.sent_at == pytest.approx(timedelta(seconds=90), abs=timedelta(seconds=1))
    assert (intent.finished_at, intent.error, intent.order_key) == (None, None, None)


@pytest.mark.parametrize("wish", [REFILL, CANCEL], ids=lambda wish: wish.action)
def test_what_is_no_order_can_be_neither_refilled_nor_canceled(database: Database, wish: Wish) -> None:
    for bad in (None, "", "1,2", "a b"):
        with pytest.raises(UsageFault, match=f"acme: a {wish.action} of .*, which is no order id"):
            database.intents.begin(wish._replace(order_id=bad), seconds=30)
    assert table(database, intents) == []


@contextmanager
def commits(database: Database) -> Iterator[list[str]]:
    """What the database says, at each commit, about how it is done."""
    said: list[str] = []
    ask = "PRAGMA synchronous" if database._engine.dialect.name == "sqlite" else "SHOW synchronous_commit"

    def note(connection: Connection) -> None:
        said.append(str(connection.exec_driver_sql(ask).scalar_one()))

    event.listen(database._engine, "commit", note)
    yield said
    event.remove(database._engine, "commit", note)


def test_what_is_written_about_an_intent_is_on_the_disk_when_it_is_said_and_nothing_else_waits_for_it(
    database: Database,
) -> None:
    """The test's server commits to memory only, and SQLite's NORMAL may lose the newest commits."""
    full, less = ("2", "1") if database._engine.dialect.name == "sqlite" else ("on", "off")
    with commits(database) as said:
        uuid = begin(database)
        database.track("acme", [])
        database.intents.finish(uuid, Outcome("unknown"))
        database.make_due("acme")
        database.intents.resolve(uuid, "23501")
        with pytest.raises(ZeroDivisionError), writing(database._engine, durable=True):
            raise ZeroDivisionError
        database.make_due("acme")
    assert said == [full, less, less, full, less, less, full, less]


def test_a_connection_that_cannot_be_set_back_is_not_used_again(sqlite_database: Database) -> None:
    with pytest.MonkeyPatch.context() as patch, writing(sqlite_database._engine, durable=True):
        patch.setitem(PRAGMAS, "synchronous", 7)  # which SQLite does not know
    with reading(sqlite_database._engine) as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == PRAGMAS["synchronous"]


# --- what stands in the way


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ADD, ADD),
        (ADD, ADD._replace(quantity=50, payload={"service": "17", "link": LINK, "quantity": "50"})),
        (ADD, ADD._replace(ref="shop-2")),
        (ADD._replace(link=None), ADD._replace(link=None, payload=dict(reversed(list(ADD.payload.items()))))),
        (REFILL, REFILL),
        (CANCEL, CANCEL),
    ],
    ids=["same", "another quantity", "another reference", "no link, same payload", "refill", "cancel"],
)
def test_an_identical_intent_without_an_outcome_stands_in_the_way(
    database: Database, first: Wish, second: Wish
) -> None:
    uuid = begin(database, first)
    told = blocked(database, second)
    assert told.intent == uuid
    assert uuid in str(told)
    assert "Wait until `tracker intents` tells its end" in str(told)
    assert blocked(database, second, despite_unknown=True).intent == uuid, "that is another terminal right now"
    database.intents.finish(uuid, Outcome("unknown", error="no answer"))
    told = blocked(database, second)
    assert told.intent == uuid
    assert f"`tracker resolve {uuid}`" in str(told)
    twin = database.intents.begin(second, seconds=30, despite_unknown=True)
    assert (state(database, uuid), state(database, twin)) == ("unknown", "sending")
    assert blocked(database, second, despite_unknown=True).intent == twin


@pytest.mark.parametrize(
    "second",
    [
        ADD._replace(panel="other"),
        ADD._replace(service_id="18"),
        ADD._replace(link=f"{LINK}?"),
        REFILL,
        CANCEL,
    ],
)
def test_what_is_not_identical_stands_in_nobodys_way(database: Database, second: Wish) -> None:
    begin(database, ADD, Outcome("unknown"))
    assert begin(database, second)


def test_orders_without_a_link_are_identical_only_with_the_same_payload(database: Database) -> None:
    begin(database, ADD._replace(link=None), Outcome("unknown"))
    assert begin(database, ADD._replace(link=None, payload={"username": "other"}))


@pytest.mark.parametrize("outcome", [PLACED, Outcome("rejected"), Outcome("unsent")])
def test_what_has_its_outcome_stands_in_nobodys_way(database: Database, outcome: Outcome) -> None:
    begin(database, ADD, outcome)
    assert begin(database, ADD)


def test_the_refusal_says_what_was_sent_when_and_what_to_do(database: Database) -> None:
    uuid = begin(database, ADD, Outcome("unknown"))
    assert "was sent 0 seconds ago" in str(blocked(database)) or "was sent 1 second ago" in str(blocked(database))
    execute(database, update(intents).values(sent_at=datetime.now(UTC) - timedelta(hours=2, seconds=5)))
    assert str(blocked(database)) == (
        f"Panel acme: an add of service 17 for {LINK} was sent 2 hours ago and its outcome is unknown: it may "
        f"have been bought (intent {uuid}). Nothing was sent now. Find out, and tell `tracker resolve {uuid}`; "
        "--despite-unknown sends it all the same, perhaps for the second time."
    )


def test_a_process_that_died_stands_in_the_way_as_unknown_once_its_deadline_has_passed(database: Database) -> None:
    uuid = begin(database, ADD, seconds=LONG_AGO)
    with pytest.raises(Blocked, match="its outcome is unknown"):
        database.intents.begin(ADD, seconds=30)
    assert state(database, uuid) == "unknown", "recovered, though the wish was refused"
    assert database.intents.begin(ADD, seconds=30, despite_unknown=True)


# --- references


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (None, "has no answer yet"),
        (Outcome("unknown"), "its outcome is unknown: it may have been bought"),
        (PLACED, "(order acme/23501), "),
    ],
)
def test_a_reference_buys_once(database: Database, outcome: Outcome | None, words: str) -> None:
    uuid = begin(database, ADD._replace(ref="shop-1"), outcome)
    again = ADD._replace(ref="shop-1", service_id="99", link="https://example.com/another")
    told = blocked(database, again, despite_unknown=True)
    assert told.intent == uuid
    assert "the reference shop-1 is taken" in str(told)
    assert words in str(told)
    assert begin(database, again._replace(panel="other")), "each panel has references of its own"


def test_a_reference_is_free_again_when_nothing_was_bought_under_it(database: Database) -> None:
    wish = ADD._replace(ref="shop-1")
    begin(database, wish, Outcome("rejected", error="Not enough funds on balance"))
    begin(database, wish, Outcome("unsent"))
    database.intents.resolve(begin(database, wish, Outcome("unknown")), None)
    database.intents.resolve(begin(database, wish, Outcome("unknown")), "23501")
    assert "acme/23501" in str(blocked(database, wish))


def test_a_reference_of_an_order_that_was_followed_by_hand_is_taken(database: Database) -> None:
    follow(database, "7", ref="shop-1")
    told = blocked(database, ADD._replace(ref="shop-1"))
    assert "the reference shop-1 is taken by order acme/7" in str(told)
    assert told.intent is None


# --- finish


def test_a_confirmed_add_is_followed_at_once_with_all_that_was_wished(database: Database) -> None:
    uuid = begin(database, ADD._replace(ref="shop-1"))
    intent = database.intents.finish(uuid, PLACED._replace(balance_after=Decimal("99.94292")))
    row = order_row(database, "23501")
    assert row == row | {
        "service_id": "17", "link": LINK, "quantity": 1000, "runs": 3, "interval": 60, "ref": "shop-1",
        "ordered_at": intent.sent_at, "state": "new", "seq": 0, "charge": None, "closed_at": None,
    }  # fmt: skip
    assert row["next_poll_at"] <= datetime.now(UTC) + timedelta(seconds=1)
    assert (intent.state, intent.order_id, intent.order_key) == ("confirmed", "23501", row["id"])
    assert intent.balance_after == Decimal("99.94292")
    assert intent.finished_at is not None
    assert database.intents.find(uuid) == intent
    assert database.intents.of_order(row["id"]) == [intent]


def test_an_order_that_somebody_tracked_meanwhile_keeps_what_is_known_and_learns_the_rest(
    database: Database,
) -> None:
    uuid = begin(database)
    database.track("acme", [NewOrder("23501", link="https://example.com/theirs", ref="theirs")])
    intent = database.intents.finish(uuid, PLACED)
    row = order_row(database, "23501")
    assert (row["link"], row["ref"]) == ("https://example.com/theirs", "theirs")
    assert (row["service_id"], row["quantity"], row["ordered_at"]) == ("17", 1000, intent.sent_at)
    assert intent.order_key == row["id"]


@pytest.mark.parametrize("runs", ["", "x", "3.5", "-1", "9" * 30, "²"])
def test_a_field_that_is_no_number_does_not_keep_an_order_from_being_followed(
    database: Database, runs: str
) -> None:
    begin(database, ADD._replace(payload={"runs": runs}), PLACED)
    assert order_row(database, "23501")["runs"] is None


def test_the_id_of_an_order_that_another_intent_placed_is_not_believed(database: Database) -> None:
    first = begin(database, ADD, PLACED)
    second = begin(database, ADD._replace(link="https://example.com/2"), PLACED)
    intent = database.intents.find(second)
    assert (intent.state, intent.order_id, intent.order_key) == ("unknown", None, None)
    assert intent.error == f"the panel answered with the id of order 23501, which intent {first} placed"
    assert order_row(database, "23501")["link"] == LINK
    with pytest.raises(UsageFault, match=f"did not place order 23501: intent {first} did"):
        database.intents.resolve(second, "23501")
    assert database.intents.resolve(second, "23502").order_id == "23502"


def test_the_id_of_an_order_that_was_followed_before_is_not_believed_but_a_person_is(database: Database) -> None:
    follow(database, "23501")
    uuid = begin(database, ADD, PLACED)
    intent = database.intents.find(uuid)
    assert intent.state == "unknown"
    assert "was followed before (2026-03-01 12:00:00 UTC)" in str(intent.error)
    assert database.intents.resolve(uuid, "23501").order_id == "23501"


def test_an_order_that_was_untracked_is_followed_again_when_a_person_says_that_it_was_bought(
    database: Database,
) -> None:
    uuid = begin(database, ADD, Outcome("unknown", error="the reply was lost"))
    follow(database, "23501")
    assert database.untrack("acme", "23501").was_followed
    database.intents.resolve(uuid, "23501")
    [row] = table(database, orders)
    assert (row["order_id"], row["closed_at"], row["service_id"]) == ("23501", None, "17")


@pytest.mark.parametrize("wish", [ADD, REFILL], ids=lambda wish: wish.action)
def test_a_confirmation_without_a_usable_id_is_kept_as_unknown(database: Database, wish: Wish) -> None:
    for bad in (None, "", "1,2", "1 2"):
        uuid = begin(database, wish, Outcome("confirmed", order_id=bad, refill_id=bad), despite_unknown=True)
        intent = database.intents.find(uuid)
        assert intent.state == "unknown"
        assert repr(bad) in str(intent.error)
    assert table(database, orders) == table(database, refills) == []


def test_a_confirmed_refill_is_followed_and_belongs_to_its_order(database: Database) -> None:
    [key] = follow(database, "23501")
    intent = database.intents.finish(begin(database, REFILL), Outcome("confirmed", refill_id="9"))
    assert (intent.state, intent.refill_id, intent.order_key) == ("confirmed", "9", key)
    again = database.intents.finish(begin(database, REFILL), Outcome("confirmed", refill_id="9"))
    assert again.state == "confirmed"
    [row] = table(database, refills)
    assert (row["order_id"], row["refill_id"], row["state"]) == ("23501", "9", "requested")
    assert database.intents.of_order(key) == [intent, again]


@pytest.mark.parametrize("wish", [ADD, REFILL, CANCEL], ids=lambda wish: wish.action)
def test_what_was_not_confirmed_makes_nothing_and_keeps_the_panels_words(database: Database, wish: Wish) -> None:
    for outcome in (
        Outcome("rejected", error="No"),
        Outcome("unsent", error="No"),
        Outcome("unknown", error="No"),
    ):
        intent = database.intents.finish(begin(database, wish), outcome)
        assert (intent.state, intent.error) == (outcome.state, "No")
        assert intent.finished_at is not None
    assert table(database, orders) == table(database, refills) == []


def test_saying_an_outcome_twice_is_no_error_and_may_add_the_balance(database: Database) -> None:
    """A lost connection during COMMIT leaves it open whether it was written; a balance comes later than an id."""
    uuid = begin(database)
    first = database.intents.finish(uuid, PLACED)
    assert database.intents.finish(uuid, PLACED) == first
    after = database.intents.finish(uuid, PLACED._replace(balance_after=Decimal("99.9")))
    assert after == first._replace(balance_after=Decimal("99.9"))
    assert database.intents.finish(uuid, Outcome("unknown", error="no answer")) == after
    assert len(table(database, orders)) == 1


@pytest.mark.parametrize("late", [PLACED, Outcome("rejected", error="No"), Outcome("unsent", error="No")])
def test_an_answer_that_comes_after_the_intent_was_given_up_is_taken(database: Database, late: Outcome) -> None:
    uuid = begin(database, ADD, seconds=LONG_AGO)
    assert [one.state for one in database.intents.recover()] == ["unknown"]
    intent = database.intents.finish(uuid, late)
    assert (intent.state, intent.order_id, intent.error) == (late.state, late.order_id, late.error)


CONTRADICTIONS: Mapping[str, tuple[Wish, Outcome | None, str | None, Outcome]] = {
    "not placed": (ADD, None, None, PLACED),
    "placed as another": (ADD, None, "1", PLACED),
    "placed, and it was refused": (ADD, None, "1", Outcome("rejected", error="No")),
    "confirmed as another": (ADD, Outcome("confirmed", order_id="1"), None, PLACED),
    "confirmed, and it was never sent": (ADD, PLACED, None, Outcome("unsent")),
    "rejected": (ADD, Outcome("rejected"), None, PLACED),
    "refill not done": (REFILL, None, None, Outcome("confirmed", refill_id="9")),
    "cancel not done": (CANCEL, None, None, Outcome("confirmed")),
}


@pytest.mark.parametrize(("wish", "known", "word", "late"), CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_an_answer_that_contradicts_what_is_settled_is_told_loudly_and_overwrites_nothing(
    database: Database, wish: Wish, known: Outcome | None, word: str | None, late: Outcome
) -> None:
    uuid = begin(database, wish, known or Outcome("unknown"))
    if known is None:
        database.intents.resolve(uuid, word)
    before = everything(database)
    with pytest.raises(ActionFault, match=f"Panel acme: the answer to intent {uuid} came late") as told:
        database.intents.finish(uuid, late)
    assert told.value.intent == uuid
    assert late.state in str(told.value)
    assert str(late.order_id or late.refill_id or late.error or "") in str(told.value)
    assert everything(database) == before


def test_an_answer_that_agrees_with_a_persons_word_is_no_contradiction(database: Database) -> None:
    placed, refused = begin(database, ADD, Outcome("unknown")), begin(database, CANCEL, Outcome("unknown"))
    refill = begin(database, REFILL, Outcome("unknown"))
    resolved = database.intents.resolve(placed, "23501")
    database.intents.resolve(refused, None)
    database.intents.resolve(refill, "23501")
    assert database.intents.finish(placed, PLACED) == resolved
    assert database.intents.finish(refused, Outcome("rejected")).state == "resolved"
    assert database.intents.finish(refill, Outcome("confirmed", refill_id="9")).refill_id == "9"
    assert [row["refill_id"] for row in table(database, refills)] == ["9"]


def test_an_answer_to_an_intent_that_is_not_in_this_database_is_not_lost(database: Database) -> None:
    with pytest.raises(ActionFault, match=r"no intent nobody.*confirmed \(order 23501\)"):
        database.intents.finish("nobody", PLACED)

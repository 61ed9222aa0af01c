"""Many at the journal at once, and any sequence of what may happen to it: nothing is bought twice unknowingly."""

import threading
import uuid as uuids
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import pytest
from books import execute, table
from cli_setting import plain, sql
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intents_setting import ADD, CANCEL, LONG_AGO, REFILL, begin
from simulation import PATIENCE, until
from sqlalchemy import insert, text, update

from tracker.errors import ActionFault, Blocked, DatabaseUnreachable, UsageFault
from tracker.model import Intent, Outcome, Wish
from tracker.store.database import Database, opened
from tracker.store.journal.rows import turn
from tracker.store.schema import intents, orders

RACERS: Final = 5


def race(database_url: str, each: Callable[[Database, int], object]) -> list[object]:
    """Do it in several terminals at once; return what each got, a refusal as a value."""
    line = threading.Barrier(RACERS)

    def one(number: int) -> object:
        with opened(database_url) as mine:
            mine.holder_of("acme")  # connected before the start
            line.wait(timeout=PATIENCE)
            try:
                return each(mine, number)
            except Blocked as refusal:
                return refusal

    with ThreadPoolExecutor(RACERS) as pool:
        return list(pool.map(one, range(RACERS)))


@pytest.mark.parametrize("wish", [ADD, REFILL, CANCEL], ids=lambda wish: wish.action)
def test_of_many_terminals_with_the_same_wish_exactly_one_may_send_it(
    database: Database, database_url: str, wish: Wish
) -> None:
    results = race(database_url, lambda mine, _: mine.intents.begin(wish, seconds=30, despite_unknown=True))
    [winner] = [one for one in results if isinstance(one, str)]
    assert [row["uuid"] for row in table(database, intents)] == [winner]
    assert {one.intent for one in results if isinstance(one, Blocked)} == {winner}


def test_of_many_terminals_with_the_same_reference_exactly_one_may_send(
    database: Database, database_url: str
) -> None:
    def buy(mine: Database, number: int) -> str:
        return mine.intents.begin(ADD._replace(ref="shop-1", link=f"https://example.com/{number}"), seconds=30)

    results = race(database_url, buy)
    assert len([one for one in results if isinstance(one, str)]) == 1
    assert len(table(database, intents)) == 1


def test_of_many_answers_with_the_same_order_exactly_one_is_believed(
    database: Database, database_url: str
) -> None:
    begun = [begin(database, ADD._replace(link=f"https://example.com/{number}")) for number in range(RACERS)]
    results = race(
        database_url, lambda mine, number: mine.intents.finish(begun[number], Outcome("confirmed", order_id="1"))
    )
    assert sorted(one.state for one in results if isinstance(one, Intent)) == ["confirmed"] + ["unknown"] * 4
    assert len(table(database, orders)) == 1


def test_of_many_that_recover_each_change_is_told_to_one(database: Database, database_url: str) -> None:
    lost = {
        begin(database, ADD._replace(panel=panel, link=f"https://example.com/{number}"), seconds=LONG_AGO)
        for panel in ("acme", "other")
        for number in range(4)
    }
    # Beginning one at a panel gives up the lost ones before it.
    execute(database, update(intents).values(state="sending", error=None, finished_at=None))

    def recover(mine: Database, _: int) -> list[Intent]:
        return mine.intents.recover()

    told = [intent.uuid for found in race(database_url, recover) if isinstance(found, list) for intent in found]
    assert sorted(told) == sorted(lost)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_reference_that_another_program_writes_at_the_same_moment_is_refused_by_the_index(
    database: Database, database_url: str
) -> None:
    wish = ADD._replace(ref="shop-1")
    deadline_at = datetime(2100, 1, 1, tzinfo=UTC)
    row = {
        "uuid": "theirs",
        "panel": "acme",
        "action": "add",
        "state": "sending",
        "payload": "{}",
        "ref": "shop-1",
    }
    # Each look is a transaction of its own: within one, Postgres shows the same activity again and again.
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with plain(database_url) as theirs:
            theirs.execute(insert(intents), row | {"ref": "shop-1", "deadline_at": deadline_at})
            mine = pool.submit(database.intents.begin, wish, seconds=30)
            until(lambda: sql(database_url, waiting)[0][0] > 0, "it to wait for the other one's commit")
        with pytest.raises(Blocked, match="the reference shop-1 is taken") as told:
            mine.result(timeout=PATIENCE)
    assert told.value.intent == "theirs"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_process_paused_in_its_turn_does_not_keep_the_others_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.store.journal.rows.PAUSE_LIMIT", "100ms")

    def pause() -> None:
        with turn(database._engine, "acme") as paused:
            assert begin(database), "the server has ended the turn of the paused one"
            paused.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnreachable):
        pause()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_the_turn_of_a_panel_keeps_no_other_panel_waiting(database: Database) -> None:
    with turn(database._engine, "acme"):
        assert begin(database, ADD._replace(panel="other"))


# --- any sequence

ARROWS: Final = {
    "sending": {"sending", "confirmed", "rejected", "unsent", "unknown", "resolved"},
    "unknown": {"unknown", "confirmed", "rejected", "unsent", "resolved"},
}
"""State -> where one step may lead. Of `sending` to `resolved`: `resolve` gives it up on the way."""

ids = st.sampled_from(["1", "2", "3", "a b"])
which = st.integers(0, 30)
outcomes = st.builds(
    lambda state, order_id, refill_id: Outcome(state, order_id=order_id, refill_id=refill_id),
    st.sampled_from(["confirmed", "rejected", "unsent", "unknown"]),
    ids,
    ids,
)
wishes = st.builds(
    lambda kind, link, order_id, ref: (
        ADD._replace(link=link, ref=ref) if kind == "add" else Wish("", kind, {}, order_id=order_id)
    ),
    st.sampled_from(["add", "add", "refill", "cancel"]),
    st.sampled_from(["https://example.com/1", "https://example.com/2"]),
    ids,
    st.none() | st.sampled_from(["r1", "r2"]),
)
steps = st.one_of(
    st.tuples(st.just("begin"), wishes, st.booleans(), st.booleans()),
    st.tuples(st.just("finish"), which, outcomes),
    st.tuples(st.just("resolve"), which, st.none() | ids),
    st.tuples(st.just("recover")),
    st.tuples(st.just("poll"), ids, st.sampled_from(["canceled", "completed", "pending"])),
)


def identity(intent: Intent) -> tuple[object, ...]:
    return (
        (intent.action, intent.service_id, intent.link)
        if intent.action == "add"
        else (intent.action, intent.order_id)
    )


class Journal:
    """The journal of one panel, looked at after each step."""

    def __init__(self, database: Database, panel: str) -> None:
        self._database = database
        self._panel = panel
        self._seen: dict[str, Intent] = {}

    def step(self, kind: str, *arguments: object) -> None:
        """Do one thing that people, shops, pollers and daemons do; what may be refused may be refused."""
        with suppress(Blocked, ActionFault, UsageFault):
            getattr(self, f"_{kind}")(*arguments)
        self._look()

    def _begin(self, wish: Wish, despite_unknown: bool, late: bool) -> None:  # noqa: FBT001  # drawn
        seconds = LONG_AGO if late else 30.0
        self._database.intents.recover()
        before = self._database.intents.list(self._panel, ("sending", "unknown"), limit=None)
        wish = wish._replace(panel=self._panel)
        uuid = self._database.intents.begin(wish, seconds=seconds, despite_unknown=despite_unknown)
        this = identity(self._database.intents.find(uuid))
        assert [one.state for one in before if identity(one) == this and not despite_unknown] == []
        assert [one.uuid for one in before if identity(one) == this and one.state == "sending"] == []

    def _finish(self, which: int, outcome: Outcome) -> None:
        self._database.intents.finish(self._one(which), outcome)

    def _resolve(self, which: int, order_id: str | None) -> None:
        self._database.intents.resolve(self._one(which), order_id)

    def _recover(self) -> None:
        self._database.intents.recover()

    def _poll(self, order_id: str, state: str) -> None:
        here = (orders.c.panel == self._panel) & (orders.c.order_id == order_id)
        execute(self._database, update(orders).where(here).values(state=state, state_at=datetime.now(UTC)))

    def _one(self, which: int) -> str:
        return list(self._seen)[which % len(self._seen)] if self._seen else "nobody"

    def _look(self) -> None:
        now = {one.uuid: one for one in reversed(self._database.intents.list(self._panel, limit=None))}
        for uuid, intent in now.items():
            before = self._seen[uuid].state if uuid in self._seen else "sending"
            assert intent.state in ARROWS.get(before, {before}), f"{before} -> {intent.state}"
            if intent.action == "add" and intent.state == "confirmed":
                assert intent.order_key is not None
        assert self._seen.keys() <= now.keys(), "an intent is gone"
        adds = [one for one in now.values() if one.action == "add"]
        for none_twice in (
            [one.order_key for one in adds if one.order_key is not None],
            [identity(one) for one in now.values() if one.state == "sending"],
            [one.ref for one in adds if one.ref and (one.order_key or one.state in {"sending", "unknown"})],
        ):
            assert len(none_twice) == len(set(none_twice)), none_twice
        self._seen = now


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=5, max_size=20))
def test_whatever_happens_in_whatever_order_nothing_is_bought_twice_unknowingly(
    database: Database, happened: list[tuple[object, ...]]
) -> None:
    journal = Journal(database, f"panel {uuids.uuid4()}")
    for kind, *arguments in happened:
        journal.step(str(kind), *arguments)

"""Acting at a panel: what is sent, what the journal holds before and after, and what the caller is told."""

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from books import NOW, PENDING, poll
from cli_setting import KEY, configure, sql
from raw_panel import LONG, Asked, RawPanel, ok, until
from structlog.testing import capture_logs

from tracker import actions
from tracker.actions import Actions, KeyRejected, Unrecorded
from tracker.catalog import Difference
from tracker.errors import (
    EXIT_FAILED,
    EXIT_KEY_REFUSED,
    EXIT_UNKNOWN_OUTCOME,
    EXIT_UNREACHABLE,
    ActionFault,
    Blocked,
    ConfigurationFault,
    DatabaseUnreachable,
    KeyRefused,
    OutcomeUnknown,
    Rejected,
    Unsent,
    UsageFault,
)
from tracker.model import Intent, Service, Status
from tracker.panel import NotSent, uptime
from tracker.settings import PanelSettings, Secret, load
from tracker.store import engine as engine_module
from tracker.store.database import Database
from tracker.store.polling.memory import Memory

LINK = "https://example.com/p/1"
PLAIN = Service("7", "Likes", "Default", rate=Decimal("0.90"), min=10, max=1000, refill=True, cancel=True)
FIXED = Service("8", "Package", "Package", rate=Decimal("3.5"), min=1, max=1, refill=False, cancel=False)


@pytest.fixture
def books(database: Database, memory: Memory) -> Database:
    """A database in which the catalog of acme is known."""
    memory.services.write(Difference([PLAIN, FIXED], [], []), NOW)
    return database


@contextmanager
def at(
    answer: Callable[[Asked], bytes | None], database: Database, *, seconds: float = LONG, patience: float = LONG
) -> Iterator[tuple[RawPanel, Actions]]:
    """A panel that answers so, and actions there."""
    with RawPanel(answer) as panel:
        acme = PanelSettings("acme", panel.url, Secret(KEY), None, 0)
        with actions.connected(acme, database, balances=False, seconds=seconds, patience=patience) as acting:
            yield panel, acting


def only(database: Database) -> Intent:
    (intent,) = database.intents.list()
    return intent


# What is sent, and what is written


def test_an_order_is_in_the_journal_before_it_is_sent_and_followed_after(books: Database, memory: Memory) -> None:
    seen: list[Intent] = []

    def answer(_: Asked) -> bytes:
        seen.append(only(books))
        return ok({"order": 23501})

    with at(answer, books) as (panel, acting):
        placed = acting.add(7, link=LINK, quantity=100, runs=2, interval=30, ref="shop-77")
    form = {"service": "7", "link": LINK, "quantity": "100", "runs": "2", "interval": "30"}
    assert [asked.fields for asked in panel.asked] == [{"key": KEY, "action": "add", **form}]
    assert (seen[0].state, seen[0].payload, seen[0].finished_at) == ("sending", form, None)
    assert placed == only(books)
    assert (placed.state, placed.order_id, placed.price, placed.ref) == (
        "confirmed", "23501", Decimal("0.18"), "shop-77",
    )  # fmt: skip
    (row,) = books.history.find("23501", "acme")
    followed = {"service_id": "7", "link": LINK, "quantity": 100, "runs": 2, "interval": 30, "ref": "shop-77"}
    assert {name: row[name] for name in followed} == followed
    assert row["ordered_at"] == placed.sent_at
    assert len(poll(memory, {"23501": PENDING})) == 1


def test_the_price_and_the_balance_before_and_after_are_kept(books: Database) -> None:
    balances = iter(["5", "4.91"])

    def answer(asked: Asked) -> bytes:
        if asked.fields["action"] == "balance":
            return ok({"balance": next(balances), "currency": "EUR"})
        return ok({"order": 1})

    with (
        RawPanel(answer) as panel,
        actions.connected(PanelSettings("acme", panel.url, Secret(KEY), None, 0), books) as acting,
    ):
        placed = acting.add("7", link=LINK, quantity=100)
    assert [asked.fields["action"] for asked in panel.asked] == ["balance", "add", "balance"]
    assert (placed.price, placed.currency) == (Decimal("0.09"), "EUR")
    assert (placed.balance_before, placed.balance_after) == (Decimal(5), Decimal("4.91"))
    assert placed == only(books)


def test_a_balance_that_cannot_be_read_stops_no_order(books: Database) -> None:
    def answer(asked: Asked) -> bytes:
        return ok({"order": 1}) if asked.fields["action"] == "add" else ok(b"", status="502 Bad Gateway")

    with (
        RawPanel(answer) as panel,
        actions.connected(PanelSettings("acme", panel.url, Secret(KEY), None, 0), books) as acting,
    ):
        prepared = acting.prepare("8", {"link": LINK})
        placed = acting.send(prepared)
    assert prepared.notes[0].startswith("The balance could not be read: acme: balance: HTTP 502")
    assert (placed.state, placed.price, placed.balance_before, placed.balance_after) == (
        "confirmed", Decimal("3.5"), None, None,
    )  # fmt: skip


def test_preparing_sends_and_writes_nothing_and_says_what_is_to_be_known(books: Database) -> None:
    with (
        RawPanel(lambda _: ok({"balance": "3.4", "currency": "USD"})) as panel,
        actions.connected(PanelSettings("acme", panel.url, Secret(KEY), None, 0), books) as acting,
    ):
        prepared = acting.prepare("8", {"link": f" {LINK} "})
    assert prepared.service == FIXED
    assert prepared.wish.payload == {"service": "8", "link": LINK}
    assert (prepared.wish.price, prepared.wish.balance_before) == (Decimal("3.5"), Decimal("3.4"))
    assert prepared.notes == ("The account holds 3.4 USD, which is less than the price.",)
    assert [asked.fields["action"] for asked in panel.asked] == ["balance"]
    assert books.intents.list() == []


def test_a_refill_is_followed_and_a_cancel_is_asked(books: Database) -> None:
    replies = {"add": {"order": 5}, "refill": {"refill": "9"}, "cancel": {"cancel": 1}}
    with at(lambda asked: ok(replies[asked.fields["action"]]), books) as (panel, acting):
        acting.add("7", link=LINK, quantity=100)
        refilled, canceled = acting.refill("5"), acting.cancel(5)
    assert [asked.fields for asked in panel.asked[1:]] == [
        {"key": KEY, "action": "refill", "order": "5"},
        {"key": KEY, "action": "cancel", "order": "5"},
    ]
    assert [asked.connection for asked in panel.asked] == [1, 2, 3]
    assert (refilled.state, refilled.refill_id, refilled.order_id) == ("confirmed", "9", "5")
    assert (canceled.state, canceled.link, canceled.service_id) == ("confirmed", LINK, "7")
    assert [row["refill_id"] for row in books.history.refills("acme")] == ["9"]
    assert books.history.find("5")[0]["state"] == "new"


# What a panel answers, and what it means

OUTCOMES = [
    (ok({"order": 1}), "confirmed", None, 0),
    (ok({"status": "success", "order": "1"}), "confirmed", None, 0),
    (ok({"error": "Not enough funds on balance"}), "rejected", Rejected, EXIT_FAILED),
    (ok({"error": "¿Qué?"}, status="400 Bad"), "rejected", Rejected, EXIT_FAILED),
    (ok({"error": "Invalid API key"}), "rejected", KeyRejected, EXIT_KEY_REFUSED),
    (ok({"error": "Invalid API key"}, status="401 No"), "rejected", KeyRejected, EXIT_KEY_REFUSED),
    (ok(b"Invalid API key"), "rejected", KeyRejected, EXIT_KEY_REFUSED),
    (ok({"error": "x"}, status="429 Slow"), "rejected", Rejected, EXIT_FAILED),
    (ok({"error": "Too many requests"}), "rejected", Rejected, EXIT_FAILED),
    (ok({"error": "This panel is temporarily unavailable"}), "rejected", Rejected, EXIT_FAILED),
    (ok(b"Service unavailable"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"error": "Invalid API key"}, status="500 Oops"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"error": "Rate limit exceeded"}, status="503 X"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"error": "Maintenance"}, status="503 X"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok(b"<h1>Origin time-out</h1>", status="524 X"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok(b"<h1>Forbidden</h1>", status="403 X"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok(b"", "location: /elsewhere\r\n", "307 X"), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok(b""), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"status": "success"}), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"order": 1, "error": "but"}), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (ok({"order": None}), "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
    (None, "unknown", OutcomeUnknown, EXIT_UNKNOWN_OUTCOME),
]


@pytest.mark.parametrize(("reply", "state", "kind", "code"), OUTCOMES)
def test_a_reply_means_done_not_done_or_unknown(
    reply: bytes | None, state: str, kind: type[ActionFault] | None, code: int, sqlite_database: Database
) -> None:
    with at(lambda _: reply, sqlite_database) as (panel, acting):
        caught: ActionFault | None = None
        try:
            acting.add("7", link=LINK, quantity=100, check=False)
        except ActionFault as fault:
            caught = fault
    intent = only(sqlite_database)
    assert intent.state == state
    if caught is None:
        assert kind is None
    else:
        assert (type(caught), caught.exit_code, caught.intent) == (kind, code, intent.uuid)
    assert len(panel.asked) == 1
    assert len(sqlite_database.history.orders()) == (state == "confirmed")


def test_a_refusal_is_a_sentence_with_the_panels_words_beside_it(books: Database) -> None:
    refusal = ok({"error": "neworder.error.not_enough_funds."})
    with at(lambda _: refusal, books) as (_, acting), pytest.raises(Rejected) as caught:
        acting.add("7", link=LINK, quantity=100)
    assert str(caught.value) == (
        "acme: add of service 7: the account does not hold enough for this order: top it up at the panel, then "
        'order again (the panel\'s words: "neworder.error.not_enough_funds.")'
    )
    assert only(books).error == "neworder.error.not_enough_funds."


def test_an_unknown_outcome_says_what_broke_and_what_to_type(books: Database) -> None:
    with at(lambda _: None, books) as (_, acting), pytest.raises(OutcomeUnknown) as caught:
        acting.add("7", link=LINK, quantity=100)
    intent = only(books)
    assert str(caught.value).startswith(
        "acme: add of service 7: the connection to 127.0.0.1 broke before the reply"
    )
    assert str(caught.value).endswith(
        f"it is not sent again. Look there, then tell `tracker resolve {intent.uuid}`."
    )
    assert (intent.error or "").startswith("the connection to 127.0.0.1 broke")


def test_what_never_reached_the_panel_is_unsent_and_may_be_sent_again(books: Database) -> None:
    with RawPanel(lambda _: ok({"order": 1})) as panel:
        port = panel.port
    gone = PanelSettings("acme", f"http://127.0.0.1:{port}/api/v2", Secret(KEY), None, 0)
    with actions.connected(gone, books, balances=False) as acting:
        for _ in range(2):
            with pytest.raises(Unsent, match="Nothing was sent: the same may be asked again") as caught:
                acting.add("7", link=LINK, quantity=100, ref="r")
    assert caught.value.exit_code == EXIT_UNREACHABLE
    assert [intent.state for intent in books.intents.list()] == ["unsent", "unsent"]


def test_an_unknown_outcome_stands_in_the_way_until_it_is_overridden_or_resolved(books: Database) -> None:
    replies = iter([None, ok({"order": 2}), ok({"order": 3})])
    with at(lambda _: next(replies), books) as (panel, acting):
        with pytest.raises(OutcomeUnknown) as lost:
            acting.add("7", link=LINK, quantity=100)
        with pytest.raises(Blocked) as blocked:
            acting.add("7", link=LINK, quantity=200)
        assert blocked.value.intent == lost.value.intent
        assert len(panel.asked) == 1
        assert acting.add("7", link=LINK, quantity=100, despite_unknown=True).order_id == "2"
        books.intents.resolve(lost.value.intent, None)
        assert acting.add("7", link=LINK, quantity=100).order_id == "3"


def test_a_reference_buys_once(books: Database) -> None:
    ids = iter(range(1, 9))
    with at(lambda _: ok({"order": next(ids)}), books) as (panel, acting):
        acting.add("7", link=LINK, quantity=100, ref="shop-77")
        with pytest.raises(Blocked, match=r"shop-77.*order acme/1"):
            acting.add("8", link=f"{LINK}0", ref=" shop-77 ")
    assert len(panel.asked) == 1


def test_an_answer_that_cannot_be_true_is_unknown(books: Database) -> None:
    with at(lambda _: ok({"order": 1}), books) as (_, acting):
        acting.add("7", link=LINK, quantity=100)
        with pytest.raises(OutcomeUnknown, match="order"):
            acting.add("7", link=f"{LINK}0", quantity=100)
    assert sorted(intent.state for intent in books.intents.list()) == ["confirmed", "unknown"]


# What is refused before anything is sent


def nothing(_: Asked) -> bytes:
    return ok({"order": 1})


def test_a_service_must_be_in_the_catalog_and_not_gone(books: Database, memory: Memory) -> None:
    memory.services.write(Difference([], [FIXED.service_id], []), NOW)
    with at(nothing, books) as (panel, acting):
        with pytest.raises(UsageFault, match=r"acme: service 8 \(Package\) left the catalog at 20"):
            acting.add("8", link=LINK)
        with pytest.raises(UsageFault, match="acme: there is no service 9 in the catalog"):
            acting.add("9", link=LINK)
        for odd in ("", "7,8", "7 8"):
            with pytest.raises(UsageFault, match="is no id of one service"):
                acting.add(odd, link=LINK)
        with pytest.raises(UsageFault, match=r"acme: an order of service 7 \(Default\) cannot be sent like this"):
            acting.add("7", link=LINK, quantity=5)
        assert panel.asked == []
        assert books.intents.list() == []
        unlisted = acting.prepare("9", {"link": LINK, "quantity": "5"}, check=False)
        assert (unlisted.service, unlisted.wish.price, unlisted.wish.quantity) == (None, None, 5)
        assert acting.send(unlisted).order_id == "1"


def test_a_catalog_that_was_never_read_is_read_once_and_not_kept(database: Database) -> None:
    rows = [{"service": 7, "name": "Likes", "type": "Default", "rate": "0.90", "min": "10", "max": "1000"}]
    replies = {"services": rows, "add": {"order": 1}}
    with at(lambda asked: ok(replies[asked.fields["action"]]), database) as (panel, acting):
        prepared = acting.prepare("7", {"link": LINK, "quantity": 100})
        assert prepared.notes == ("No catalog of acme is stored yet: it was read just now, and is not kept.",)
        assert prepared.wish.price == Decimal("0.09")
        with pytest.raises(UsageFault, match="the panel has no service 9 in the catalog read just now"):
            acting.add("9", link=LINK)
        acting.send(prepared)
    assert [asked.fields["action"] for asked in panel.asked] == ["services", "add"]
    assert database.history.services() == []


def test_a_catalog_that_does_not_come_is_the_panels_fault_and_nothing_is_written(database: Database) -> None:
    with at(lambda _: ok({"error": "Invalid API key"}), database) as (_, acting), pytest.raises(KeyRefused):
        acting.add("7", link=LINK, quantity=100)
    assert database.intents.list() == []


def test_half_a_character_or_an_odd_reference_is_refused_even_unchecked(books: Database) -> None:
    with at(nothing, books) as (panel, acting):
        for fields, ref in [
            ({"link": "\ud800"}, None),
            ({"link": "a\x00"}, None),
            ({"key": "x"}, None),
            ({}, "a\nb"),
        ]:
            with pytest.raises(UsageFault, match=r"^acme: "):
                acting.prepare("7", fields, ref, check=False)
    assert panel.asked == []


def test_a_refill_and_a_cancel_are_refused_where_the_catalog_has_none(books: Database) -> None:
    replies = {"add": {"order": 5}, "refill": {"refill": 9}, "cancel": {"cancel": 1}}
    with at(lambda asked: ok(replies[asked.fields["action"]]), books) as (panel, acting):
        acting.add("8", link=LINK)
        with pytest.raises(UsageFault, match=r"acme: order 5: its service 8 \(Package\) has no refill"):
            acting.refill("5")
        with pytest.raises(UsageFault, match=r"acme: order 5: its service 8 \(Package\) has no cancel"):
            acting.cancel("5")
        for ask in (acting.refill, acting.cancel):
            with pytest.raises(UsageFault, match=r"order 6 is not known here\. `tracker track --panel acme 6`"):
                ask("6")
            with pytest.raises(UsageFault, match="'5,6' is no id of one order"):
                ask("5,6", check=False)
        assert len(panel.asked) == 1
        assert [ask("5", check=False).state for ask in (acting.refill, acting.cancel)] == ["confirmed"] * 2
        assert acting.cancel("6", check=False).order_id == "6"


def test_an_order_that_has_ended_is_not_canceled(books: Database, memory: Memory) -> None:
    replies = {"add": {"order": 5}, "refill": {"refill": 9}}
    with at(lambda asked: ok(replies[asked.fields["action"]]), books) as (panel, acting):
        acting.add("7", link=LINK, quantity=100)
        poll(memory, {"5": Status("completed", "Completed")})
        with pytest.raises(UsageFault, match="acme: order 5 is completed: there is nothing to cancel"):
            acting.cancel("5")
        assert acting.refill("5").state == "confirmed"
    assert [asked.fields["action"] for asked in panel.asked] == ["add", "refill"]


# Time, signals, and a database that goes away


def test_a_request_is_let_go_when_we_stop_and_its_outcome_is_unknown(books: Database) -> None:
    stop = threading.Event()

    def answer(asked: Asked) -> None:
        stop.set()
        asked.over.wait(LONG)

    with RawPanel(answer) as panel:
        acme = PanelSettings("acme", panel.url, Secret(KEY), None, 0)
        with actions.connected(acme, books, stop=stop, balances=False) as acting:
            with pytest.raises(OutcomeUnknown, match=r"stopped while 127\.0\.0\.1 was answering"):
                acting.add("7", link=LINK, quantity=100)
            with pytest.raises(NotSent):
                acting.add("7", link=f"{LINK}0", quantity=100)
    assert [intent.state for intent in books.intents.list()] == ["unknown"]


def test_ctrl_c_during_the_request_is_written_down_before_it_goes_on(books: Database) -> None:
    def answer(asked: Asked) -> None:
        signal.raise_signal(signal.SIGINT)
        asked.over.wait(LONG)

    with at(answer, books) as (_, acting), pytest.raises(KeyboardInterrupt):
        acting.add("7", link=LINK, quantity=100)
    assert (only(books).state, only(books).error) == ("unknown", "the request was left by KeyboardInterrupt")


def test_a_reply_that_comes_too_late_leaves_the_outcome_unknown(sqlite_database: Database) -> None:
    def answer(asked: Asked) -> None:
        asked.over.wait(LONG)

    for seconds in LONGER:
        late = pytest.raises((OutcomeUnknown, Unsent))
        with at(answer, sqlite_database, seconds=seconds) as (_, acting), late as caught:
            acting.add("7", link=f"{LINK}-{seconds}", check=False)
        if caught.type is OutcomeUnknown:
            break
    assert "did not answer completely in time" in str(caught.value)
    assert sqlite_database.intents.list()[0].state == "unknown"


LONGER = (1.0, 5.0, LONG)
"""Seconds for a request that gets no answer; a busy machine may use up the first ones before it is sent."""

PAUSED = f"""
import os, signal, sys
from tracker import actions
from tracker.settings import PanelSettings, Secret
from tracker.store.database import opened

def pause(event, _):
    if event == "socket.connect" and armed:
        armed.clear()
        os.kill(os.getpid(), signal.SIGSTOP)

url, database_url, seconds = sys.argv[1:]
with opened(database_url) as database:
    panel = PanelSettings("acme", url, Secret("{KEY}"), None, 0)
    with actions.connected(panel, database, balances=False, seconds=float(seconds)) as acting:
        prepared = acting.prepare("7", dict(link="{LINK}"), check=False)
        armed = [True]
        sys.addaudithook(pause)
        try:
            acting.send(prepared)
        except Exception as fault:
            print(type(fault).__name__, fault)
"""


def test_a_process_that_was_paused_after_the_commit_sends_nothing_once_its_time_is_over(
    sqlite_database: Database,
) -> None:
    with RawPanel(nothing) as panel:
        for seconds in LONGER:
            command = [sys.executable, "-c", PAUSED, panel.url, str(sqlite_database._engine.url), str(seconds)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            status = psutil.Process(process.pid).status
            until(lambda: status() in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE})  # noqa: B023 - used at once
            if status() == psutil.STATUS_STOPPED:
                break
            process.communicate()
        assert sqlite_database.intents.list()[0].state == "sending"
        ends = uptime() + seconds
        until(lambda: uptime() > ends)
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate(timeout=LONG)
    assert told.startswith("Unsent acme: add of service 7: 127.0.0.1 could not be reached in time")
    assert panel.asked == []
    assert {intent.state for intent in sqlite_database.intents.list()} == {"unsent"}


@contextmanager
def locked(database: Database) -> Iterator[sqlite3.Connection]:
    """Write to a SQLite database from elsewhere, and do not come to an end."""
    path = str(database._engine.url.database)
    with closing(sqlite3.connect(path, timeout=LONG, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite wait for another writer 20 ms instead of 30 s."""
    monkeypatch.setitem(engine_module.PRAGMAS, "busy_timeout", 20)


@pytest.mark.usefixtures("impatient")
def test_without_the_journal_nothing_is_sent(sqlite_database: Database) -> None:
    away = pytest.raises(DatabaseUnreachable)
    with at(nothing, sqlite_database) as (panel, acting), locked(sqlite_database), away:
        acting.add("7", link=LINK, check=False)
    assert panel.asked == []


@pytest.mark.usefixtures("impatient")
def test_an_outcome_waits_for_a_database_that_went_away(sqlite_database: Database) -> None:
    with ExitStack() as lock, capture_logs() as lines:

        def answer(_: Asked) -> bytes:
            other = lock.enter_context(locked(sqlite_database))
            after(lines, lambda: other.execute("ROLLBACK"))
            return ok({"order": 23501})

        with at(answer, sqlite_database) as (_, acting):
            assert acting.add("7", link=LINK, check=False).order_id == "23501"
    assert {line["event"] for line in lines} == {"intent.unwritten"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("patience", [0.0, LONG])
@pytest.mark.parametrize(
    ("action", "reply", "told"),
    [
        ("add", {"order": 23501}, "was confirmed as order 23501"),
        ("refill", {"refill": 99}, "was confirmed as refill 99"),
        ("cancel", {"status": "ok"}, "was confirmed"),
        ("add", {"error": "Invalid link"}, 'was rejected ("Invalid link")'),
        ("add", b"", "has an unknown outcome"),
    ],
)
def test_an_outcome_that_cannot_be_written_is_told_with_what_to_type(
    sqlite_database: Database, patience: float, action: str, reply: object, told: str
) -> None:
    """However long it was tried: with much patience, somebody who has less presses Ctrl-C."""
    with ExitStack() as lock, capture_logs() as lines:

        def answer(_: Asked) -> bytes:
            lock.enter_context(locked(sqlite_database))
            if patience:
                after(lines, interrupt)
            return ok(reply)

        with at(answer, sqlite_database, patience=patience) as (_, acting):
            prepared = {
                "add": lambda: acting.prepare("7", {"link": LINK}, check=False),
                "refill": lambda: acting.prepare_refill("5", check=False),
                "cancel": lambda: acting.prepare_cancel("5", check=False),
            }[action]()
            with pytest.raises(Unrecorded) as caught:
                acting.send(prepared)
    lost = caught.value
    assert told in str(lost)
    assert lost.exit_code == EXIT_UNKNOWN_OUTCOME
    typed = {
        "was confirmed as order 23501": " --order-id 23501",
        "was confirmed as refill 99": " --refill-id 99",
        "was confirmed": " --placed",
        "has an unknown outcome": "",
    }.get(told, " --not-placed")
    assert f"`tracker resolve {lost.intent}{typed}`" in str(lost)
    assert lines[-1]["event"] == "intent.unrecorded"
    sql(f"{sqlite_database._engine.url}", "UPDATE intents SET deadline_at = sent_at")
    assert [each.uuid for each in sqlite_database.intents.recover()] == [lost.intent]


def after(lines: Sequence[object], act: Callable[[], object]) -> None:
    """Act once something was logged."""

    def wait() -> None:
        until(lambda: bool(lines))
        act()

    threading.Thread(target=wait).start()


def interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def told_first(database: Database, order_id: str | None) -> Callable[[Asked], bytes]:
    """Answer late: a person has said before what became of it."""

    def answer(_: Asked) -> bytes:
        sql(database._engine.url.render_as_string(hide_password=False), "UPDATE intents SET deadline_at = sent_at")
        database.intents.resolve(only(database).uuid, order_id)
        return ok({"order": 23501})

    return answer


def test_a_persons_word_that_came_first_is_not_overwritten_and_the_caller_is_told(books: Database) -> None:
    with at(told_first(books, None), books) as (_, acting), pytest.raises(ActionFault, match="23501"):
        acting.add("7", link=LINK, quantity=100)
    assert (only(books).state, only(books).order_id) == ("resolved", None)


def test_a_persons_word_that_was_right_is_no_fault(books: Database) -> None:
    with at(told_first(books, "23501"), books) as (_, acting):
        placed = acting.add("7", link=LINK, quantity=100)
    assert (placed.state, placed.order_id) == ("resolved", "23501")


def test_a_long_pause_that_the_panel_wants_is_told_at_once(books: Database) -> None:
    slow = ok({"error": "Too many requests"}, "retry-after: 1800\r\n", "429 X")
    with RawPanel(lambda _: slow) as panel:
        acme = PanelSettings("acme", panel.url, Secret(KEY), None, 0)
        with actions.connected(acme, books) as acting:
            assert "too many requests" in acting.prepare("8", {"link": LINK}).notes[0]
            again = acting.prepare("8", {"link": LINK})
            assert "a pause that the panel wants" in again.notes[0]
            with pytest.raises(NotSent, match="a pause that the panel wants"):
                acting.send(again)
    assert len(panel.asked) == 1
    assert books.intents.list() == []


def test_the_threads_of_a_shop_share_one_panel(books: Database) -> None:
    ids = iter(range(1, 99))
    with at(lambda _: ok({"order": next(ids)}), books) as (panel, acting), ThreadPoolExecutor(4) as pool:
        placed = list(pool.map(lambda n: acting.add("7", link=f"{LINK}{n}", quantity=100), range(12)))
    assert sorted(int(each.order_id or 0) for each in placed) == list(range(1, 13))
    assert {asked.fields["link"] for asked in panel.asked} == {each.link for each in placed}


# From a configuration


def test_a_panel_is_opened_as_the_configuration_says(tmp_path: Path, books: Database) -> None:
    database_url = books._engine.url.render_as_string(hide_password=False)
    with RawPanel(nothing) as panel:
        config = configure(tmp_path, {"acme": panel.url}, database_url)
        for given in (config, str(config), load(config, {})):
            with actions.opened(given) as acting:
                assert acting.prepare_cancel("5", check=False).wish.panel == "acme"
        with actions.opened(config, panel="acme") as acting:
            assert acting.add("8", link=LINK).order_id == "1"
        configure(tmp_path, {"acme": panel.url, "other": panel.url}, database_url)
        with pytest.raises(UsageFault, match="Say which panel is meant: acme, other"), actions.opened(config):
            pass
        with (
            pytest.raises(ConfigurationFault, match=r"no panel nobody in .*Configured: acme, other"),
            actions.opened(config, panel="nobody"),
        ):
            pass
    assert panel.asked[0].fields["key"] == KEY


@pytest.mark.parametrize("words", ["Internal server error", "Timeout", "Something went wrong, try again later"])
def test_a_panel_that_only_says_that_it_failed_may_have_done_it(books: Database, words: str) -> None:
    with at(lambda _: ok({"error": words}), books) as (panel, acting):
        for add in (acting.add, acting.add):
            with pytest.raises((OutcomeUnknown, Blocked)):
                add(7, link=LINK, quantity=100)
    assert len(panel.asked) == 1
    assert only(books).state == "unknown"
    assert words in str(only(books).error)


def test_the_key_is_not_taken_as_a_part_of_an_order(books: Database) -> None:
    with at(lambda _: ok({"order": 1}), books) as (panel, acting):
        for given in (
            {"link": f"https://x/?{KEY}"},
            {"link": LINK, "ref": KEY},
            {"link": LINK, "more": {"a": KEY}},
        ):
            with pytest.raises(UsageFault) as told:
                acting.add(7, quantity=100, **given)
            assert "acme: a field of the order holds the panel's key" in str(told.value)
    assert panel.asked == []
    assert books.intents.list() == []

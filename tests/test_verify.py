"""`tracker verify`: a sound history passes, and each rule that a row breaks is named with that row."""

import json
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from books import NOW, PENDING, follow, order_row, poll
from broken_rows import KINDS
from cli_setting import Type, sql, typist
from filled import books
from proof import verifying
from proof.table import Profile
from read_setting import on_terminal
from sqlalchemy import event
from verify_setting import LIFE, MINUTE, break_all, fill, found

from tracker.model import Status
from tracker.store.database import Database, opened
from tracker.store.polling.memory import Memory
from tracker.store.verifying import sweep
from tracker.store.verifying.rules import Narrowed


def rules() -> set[str]:
    """Return every rule that there is, by its table."""
    checks = chain.from_iterable(walk.checks(Narrowed()) for walk in sweep.WALKS)
    return {f"{check.table.name}.{rule.name}" for check in checks for rule in check.rules}


def test_there_is_a_case_for_each_rule() -> None:
    assert rules() == {name for cases in KINDS.values() for case in cases.values() for name in case.breaks}


@pytest.mark.parametrize("step", [None, 7])
def test_each_rule_that_is_broken_is_named_with_the_rows_that_break_it_and_no_others(
    database: Database,
    database_url: str,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    step: int | None,
) -> None:
    if step is not None:  # a history of many steps
        monkeypatch.setattr(sweep, "STEP", step)
    keys = fill(database, memory)
    assert database.verify().violations == []
    expected = break_all(database_url, keys)
    assert found(database.verify(most=1000), keys) == expected


def test_what_is_written_between_two_statements_of_a_step_is_no_false_alarm(
    database: Database, database_url: str, memory: Memory
) -> None:
    follow(database, "a", "b")
    answers = iter(range(1000))

    def write_more(*_: object) -> None:
        """Move figures and, each time, the word: a head and its rows differ from what they were a moment ago."""
        number = next(answers)
        status = LIFE[number % len(LIFE)]._replace(panel_status=f"word {number // 2}", remains=number)
        poll(memory, {"a": status, "b": status}, NOW + number * MINUTE)

    with opened(database_url) as ours:
        event.listen(ours._engine, "before_cursor_execute", write_more)
        assert ours.verify().violations == []
    assert next(answers) > 10
    assert database.verify().violations == []


def test_what_is_counted_is_what_is_there(database: Database, database_url: str, memory: Memory) -> None:
    fill(database, memory)
    shares: list[tuple[str, float]] = []
    verdict = database.verify(watch=lambda name, share: shares.append((name, share)))
    assert verdict.checked == {
        name: sql(database_url, f"SELECT count(*) FROM {name}")[0][0] for name in verdict.checked
    }
    assert [share for share in shares if share[1] == 1.0] == shares
    assert [name for name, _ in shares] == [walk.key.table.name for walk in sweep.WALKS]


def test_an_order_that_settled_by_a_clock_ahead_is_not_closed_before_that(
    database: Database, memory: Memory
) -> None:
    follow(database, "a")
    poll(memory, {"a": Status("completed", "Completed")}, datetime.now(UTC) + timedelta(days=1))
    assert database.untrack("acme", "a").was_followed
    assert database.verify().violations == []


def test_a_refill_of_an_open_order_that_was_untracked_does_not_settle_it(
    database: Database, memory: Memory
) -> None:
    follow(database, "a")
    poll(memory, {"a": PENDING})
    database.untrack("acme", "a")
    database.track_refill("acme", "a", "r1")
    assert memory.refills.reopen_orders(datetime.now(UTC) + timedelta(seconds=1)) == 1
    row = order_row(database, "a")
    assert (row["closed_at"], row["settled_at"]) == (None, None)
    assert database.verify().violations == []


def test_only_what_is_asked_for_is_looked_at(database: Database, database_url: str, memory: Memory) -> None:
    """The broken orders of `acme` changed in March; a sound one moves a week later."""
    break_all(database_url, fill(database, memory))
    assert database.verify("other").violations == []
    assert database.verify("other").checked["orders"] == 1
    later = NOW + timedelta(days=7)
    poll(memory, {"o0": LIFE[0]}, later)
    verdict = database.verify("acme", later)
    assert [one for one in verdict.violations if one.table in {"orders", "transitions", "progress"}] == []
    assert verdict.checked["transitions"] == 4
    assert database.verify("acme").checked["orders"] > verdict.checked["orders"]


@pytest.fixture
def type_(sqlite_database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types commands about a history that is sound."""
    fill(sqlite_database, books(sqlite_database, "acme"))
    monkeypatch.setenv("TRACKER_DATABASE_URL", sqlite_database.shown)
    monkeypatch.delenv("TRACKER_CONFIG", raising=False)
    return typist(capsys)


def test_the_command_says_what_it_has_checked(type_: Type) -> None:
    code, out, err = type_("verify")
    assert (code, err) == (0, "")
    assert out.endswith(": nothing is wrong.\n")
    code, out, _ = type_("verify --json --panel acme --since 2026-01-01")
    told = json.loads(out)
    assert (code, told["sound"], told["violations"]) == (0, True, [])
    assert told["checked"]["orders"] == sum(map(len, (KINDS["orders"], KINDS["intents"])))
    assert type_("verify --panel typo") == (0, "There is nothing of panel typo to check.\n", "")
    shown = on_terminal("verify", 200)
    assert len(shown.lines) == 1
    assert "━" in shown.raw, "no bar was shown"


def test_the_command_shows_the_rows_and_counts_the_rest(sqlite_database: Database, type_: Type) -> None:
    paint = "UPDATE orders SET panel_status = 'a \x1b[31mred one' WHERE panel = 'acme' AND seq > 0"
    sql(sqlite_database.shown, paint)
    code, out, _ = type_("verify --limit 2")
    lines, count = out.splitlines(), len(KINDS["orders"])
    assert code == 1
    assert lines[0].startswith("P3 head: ")
    assert lines[0].endswith(f" {count} rows of orders:")
    assert lines[1].startswith("  order=acme/o0 id=")
    assert 'panel_status="a \\u001b[31mred one"' in lines[1]
    assert lines[3] == f"  … and {count - 2} more (--limit)"
    assert f": {count} rows break 1 rule." in lines[-2]
    code, out, _ = type_("verify --limit 2 --json")
    [violation] = json.loads(out)["violations"]
    assert (code, violation["rule"], violation["number"], len(violation["rows"])) == (1, "head", count, 2)


def test_a_generated_history_of_many_steps_is_sound(sqlite_database: Database) -> None:
    """What the long profile does with ten million transitions, on both databases."""
    [figure] = verifying.prove(Profile(), sqlite_database.shown)
    assert figure.times == 10 * verifying.ORDERS

"""The views: the same answers on both databases, made by migrations, and never in the way of one."""

import random
import re
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from books import NOW, execute, follow
from filled import DAY, HOUR, MARCH, fill, live, status, whole_second
from sqlalchemy import insert, select, text

from tracker.errors import DatabaseUnfit
from tracker.store import migrate
from tracker.store.database import Database, opened
from tracker.store.engine import reading, writing
from tracker.store.polling.memory import Memory
from tracker.store.reading import views
from tracker.store.schema import orders, transitions

Rows = list[dict[str, Any]]


def view(database: Database, name: str, order_by: str = "") -> Rows:
    """Return all rows of a view, as Python sees them."""
    statement = select(views.VIEWS[name])
    if order_by:
        statement = statement.order_by(text(order_by))
    with reading(database._engine) as connection:
        return [dict(row) for row in connection.execute(statement).mappings()]


def picked(rows: Rows, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


@pytest.fixture
def now(database: Database) -> datetime:
    """Fill the database; return the moment around which its history is."""
    moment = whole_second()
    fill(database, moment)
    return moment


def near(seconds: int, told: int) -> bool:
    """Whether a duration until now is what it was when the database was filled, or a little more."""
    return seconds <= told <= seconds + 60


def test_open_orders_are_those_followed_with_the_delivered_share_and_the_silence(
    database: Database, now: datetime
) -> None:
    rows = view(database, "open_orders", "panel, order_id")
    assert picked(rows, "order_id", "state", "delivered_share", "service_id") == [
        ("23502", "in_progress", 0.6, "412"),
        ("23505", "in_progress", 0.0, "412"),  # of the 40 that were told to remain; the quantity is not known
        ("23506", "new", None, None),
        ("23507", "active", None, "500"),
        ("23511", "pending", None, "412"),
    ]
    stuck, back = rows[0], rows[1]
    assert near(3 * 86_400, stuck["silent_seconds"])
    assert near(3 * 86_400, stuck["state_seconds"])
    assert near(4 * 86_400 + 3600, stuck["age_seconds"])
    assert (stuck["charge"], stuck["changed_at"]) == (Decimal("0.45"), now - 3 * DAY)
    assert near(3600, back["silent_seconds"])


def test_the_delivered_share_is_of_the_most_that_remained_where_no_quantity_is_known(
    database: Database, memory: Memory
) -> None:
    now = whole_second()
    told = {now - 3 * HOUR: status("pending", 800), now - HOUR: status("in_progress", 200)}
    live(database, memory, "acme", "1", told)
    live(database, memory, "acme", "2", {now: status("in_progress", -5)}, quantity=100)
    live(database, memory, "acme", "3", {now: status("in_progress", 5)}, quantity=0)
    shares = picked(view(database, "open_orders", "order_id"), "delivered_share")
    assert shares == [(0.75,), (1.05,), (None,)]


def test_settled_and_closed_orders_are_not_open(database: Database) -> None:
    follow(database, "1", state="completed")
    follow(database, "2", state="missing")
    follow(database, "3", state="pending", closed_at=NOW)
    assert view(database, "open_orders") == []


def test_stuck_orders_are_the_open_ones_that_were_silent_for_a_day(database: Database) -> None:
    now = whole_second()
    long, short = now - DAY - timedelta(minutes=1), now - DAY + timedelta(minutes=1)
    follow(database, "long", state="pending", tracked_at=long, changed_at=long)
    follow(database, "short", state="pending", tracked_at=long, changed_at=short)
    follow(database, "never", tracked_at=long)
    follow(database, "settled", state="completed", changed_at=long)
    follow(database, "closed", state="pending", changed_at=long, closed_at=now)
    assert picked(view(database, "stuck_orders", "order_id"), "order_id") == [("long",), ("never",)]
    assert [column.name for column in views.VIEWS["stuck_orders"].c] == [
        column.name for column in views.VIEWS["open_orders"].c
    ]


def test_a_timeline_tells_each_change_when_it_came_and_how_long_the_state_lasted(
    database: Database, now: datetime
) -> None:
    rows = [row for row in view(database, "order_timeline", "seq, step") if row["order_id"] == "23501"]
    ours = [row for row in rows if row["panel"] == "acme"]
    assert picked(ours, "at", "event", "from_state", "to_state", "after_seconds", "lasted_seconds", "remains") == [
        (now - 6 * HOUR, "state", "new", "pending", 3600, 3600, 1000),
        (now - 5 * HOUR, "state", "pending", "in_progress", 7200, 7200, 1000),
        (now - 4 * HOUR, "progress", None, None, 10800, None, 600),
        (now - 3 * HOUR, "state", "in_progress", "completed", 14400, None, 0),
    ]
    assert {row["charge"] for row in ours} == {Decimal("0.9")}
    assert len(rows) == 5


def test_spend_is_by_the_day_of_buying_each_currency_apart_and_counts_children_once(
    database: Database, now: datetime
) -> None:
    rows = view(database, "daily_spend")
    sums: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        key = (row["panel"], row["service_id"], row["name"], row["currency"])
        known = sums.get(key, (0, 0, Decimal(0)))
        sums[key] = tuple(
            a + b for a, b in zip(known, (row["orders"], row["unpriced"], row["charge"] or 0), strict=True)
        )
    assert sums == {
        ("acme", "412", "Likes", "USD"): (7, 0, Decimal("4.55")),
        ("acme", "500", "Likes, slowly", "USD"): (1, 0, Decimal(2)),  # its two runs are part of that
        ("acme", None, None, "USD"): (1, 1, Decimal(0)),  # the panel's own currency, as its balance tells it
        ("other", "7", None, "EUR"): (2, 0, Decimal(8)),
    }
    days = {(row["day"], row["service_id"]) for row in rows}
    assert ((now - 20 * DAY).date().isoformat(), "412") in days
    assert ((now - 2 * DAY - HOUR).date().isoformat(), "412") in days


def test_children_count_where_their_parent_has_no_charge_of_its_own(database: Database) -> None:
    [free, paid] = follow(database, "free", "paid", ordered_at=MARCH, charge=Decimal(0), currency="USD")
    follow(database, "a", "b", ordered_at=MARCH, parent=free, charge=Decimal("0.3"), currency="USD")
    execute(database, orders.update().where(orders.c.id == paid).values(charge=Decimal(5)))
    follow(database, "c", ordered_at=MARCH, parent=paid, charge=Decimal("2.5"), currency="USD")
    assert picked(view(database, "daily_spend"), "day", "orders", "charge") == [("2026-03-10", 4, Decimal("5.6"))]


def test_days_are_those_of_utc_and_sums_have_no_noise(database: Database) -> None:
    midnight = MARCH.replace(hour=0)
    second = timedelta(seconds=1)
    for number in range(10):
        at = midnight - second if number == 0 else midnight + number * HOUR
        follow(database, str(number), ordered_at=at, charge=Decimal("0.1"), currency="USD")
    follow(database, "none", ordered_at=midnight + DAY - second, charge=Decimal("0.2"))
    got = picked(view(database, "daily_spend", "day, currency"), "day", "currency", "orders", "charge")
    assert got == [
        ("2026-03-09", "USD", 1, Decimal("0.1")),
        ("2026-03-10", "USD", 9, Decimal("0.9")),
        ("2026-03-10", "XXX", 1, Decimal("0.2")),
    ]


@pytest.mark.usefixtures("now")
def test_a_day_of_the_account_has_its_ends_its_extremes_and_what_moved(database: Database) -> None:
    rows = view(database, "balance_daily", "panel, day")
    columns = (
        "panel",
        "day",
        "currency",
        "opening",
        "closing",
        "lowest",
        "highest",
        "spent",
        "added",
        "snapshots",
    )
    assert picked(rows, *columns) == [
        ("acme", "2026-03-10", "USD", *map(Decimal, ("10", "8.7", "8.7", "10", "1.3", "0")), 3),
        (
            "acme",
            "2026-03-11",
            "USD",
            *map(Decimal, ("8.7", "20.000001", "8.7", "20.000001", "0", "11.300001")),
            2,
        ),
        ("acme", "2026-03-12", "USD", *map(Decimal, ("19.5", "19.5", "19.5", "19.5", "0.500001", "0")), 1),
        ("other", "2026-03-10", "EUR", *map(Decimal, ("5", "5", "5", "5", "0", "0")), 1),
    ]


@pytest.mark.usefixtures("now")
def test_price_changes_are_numbers_with_their_share(database: Database) -> None:
    columns = ("service_id", "name", "at", "old_rate", "new_rate", "change_share", "currency")
    assert picked(view(database, "price_changes", "service_id"), *columns) == [
        ("412", "Likes", MARCH + HOUR, Decimal("0.9"), Decimal("1.2"), 0.3333, "USD"),
        ("500", "Likes, slowly", MARCH + HOUR, None, Decimal(2), None, "USD"),
    ]


@pytest.mark.usefixtures("now")
def test_a_condition_on_a_price_never_meets_a_text_that_is_no_number(database: Database) -> None:
    with reading(database._engine) as connection:
        dear = connection.execute(text("SELECT service_id FROM price_changes WHERE new_rate > 1.5")).all()
    assert [tuple(row) for row in dear] == [("500",)]


@pytest.mark.usefixtures("now")
def test_tempo_counts_orders_and_times_only_what_was_seen_to_move(database: Database) -> None:
    rows = {(row["panel"], row["service_id"]): row for row in view(database, "service_tempo")}
    assert set(rows) == {("acme", "412"), ("acme", "500"), ("acme", None), ("other", "7")}
    likes = rows["acme", "412"]
    assert picked([likes], "name", "orders", "settled", "starts", "finishes") == [("Likes", 7, 4, 3, 3)]
    # Started after 1 (23505), 2 (23501) and 25 hours (23502), finished after 1 (23505), 4 (23501) and 25 (23503).
    assert (likes["start_median_seconds"], likes["start_p90_seconds"]) == (7200, 90_000)
    assert (likes["finish_median_seconds"], likes["finish_p90_seconds"]) == (14_400, 90_000)
    shares = [likes[f"{state}_share"] for state in ("completed", "partial", "canceled")]
    assert shares == [0.5, 0.25, 0.25]
    assert likes["delivered_per_hour"] == 500.0  # 23501 alone was seen from its start to its end
    assert (likes["refills"], likes["refill_success_share"]) == (2, 0.5)
    unknown = rows["acme", None]
    assert picked([unknown], "orders", "settled", "finish_p90_seconds", "completed_share", "refills") == [
        (1, 0, None, None, 0)
    ]


def nearest_rank(values: list[int], percent: int) -> int | None:
    """Return what the definition of the percentile says, in plain Python."""
    return sorted(values)[ceil(len(values) * percent / 100) - 1] if values else None


def test_medians_and_nine_in_ten_are_nearest_ranks(database: Database) -> None:
    """Many orders of services with few and many of them, against plain Python."""
    rng = random.Random(4)
    begun = whole_second() - 5 * DAY
    heads: Rows = []
    moved: Rows = []
    expected: dict[str, tuple[list[int], list[int]]] = {}
    for key in range(1, 121):
        service = str(rng.choice((1, 1, 1, 2, 2, 3, *range(4, 14))))
        starts, finishes = expected.setdefault(service, ([], []))
        start, took = rng.randrange(1, 9000), rng.choice((1, 60, 60, 3600, rng.randrange(1, 90_000)))
        told = [("pending", 0), ("in_progress", start), ("completed", start + took)][: rng.choice((1, 2, 3, 3, 3))]
        starts += [start] * (len(told) > 1)
        finishes += [start + took] * (len(told) > 2)
        word = {"panel": "acme", "panel_status": "x", "round": "r"}
        state = told[-1][0]
        times = {"ordered_at": begun, "tracked_at": begun, "state_at": begun}
        heads.append(
            {"id": key, "panel": "acme", "order_id": str(key), "service_id": service, "state": state, **times}
        )
        for seq, (to_state, after) in enumerate(told, 1):
            at = begun + timedelta(seconds=after, microseconds=rng.randrange(1_000_000) if after else 0)
            row = {"order_key": key, "seq": seq, "at": at, "from_state": "new", "to_state": to_state, **word}
            moved.append({name: value for name, value in row.items() if name != "panel"})
    execute(database, insert(orders), heads)
    execute(database, insert(transitions), moved)
    got = {
        row["service_id"]: tuple(
            row[f"{move}_{part}_seconds"] for move in ("start", "finish") for part in ("median", "p90")
        )
        for row in view(database, "service_tempo")
    }
    assert got == {
        service: tuple(nearest_rank(times, percent) for times in both for percent in (50, 90))
        for service, both in expected.items()
    }


def test_equal_moments_in_other_forms_give_equal_seconds(sqlite_database: Database) -> None:
    """Another program may leave the fraction out, and SQLite may round one up: neither moves a second."""
    times = {"ordered_at": "2026-03-01 09:00:00", "tracked_at": "2026-03-01 09:00:00.999999"}
    columns = ", ".join(times)
    values = ", ".join(repr(one) for one in times.values())
    execute(
        sqlite_database, text(f"INSERT INTO orders (panel, order_id, {columns}) VALUES ('acme', '1', {values})")
    )
    execute(
        sqlite_database,
        text(
            "INSERT INTO transitions (order_key, seq, at, from_state, to_state, round)"
            " VALUES (1, 1, '2026-03-01 09:00:59.999999', 'new', 'pending', 'r')"
        ),
    )
    assert picked(view(sqlite_database, "order_timeline"), "after_seconds") == [(59,)]


def test_every_view_is_documented_with_its_columns() -> None:
    page = (Path(__file__).parents[1] / "docs" / "history.md").read_text()
    for name, table in views.VIEWS.items():
        section = re.search(rf"^### {name}\b.*?(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
        assert section is not None, name
        told = set(re.findall(r"`([a-z_0-9]+)`", section[0]))
        assert {column.name for column in table.c} - told == set(), name


def test_a_definition_that_changed_needs_a_new_migration() -> None:
    """Views are only made anew where the schema's version moves: a change without one would reach nobody."""
    scripts = ScriptDirectory.from_config(migrate._config())
    told = [one.module.views for one in scripts.walk_revisions() if hasattr(one.module, "views")]
    assert told[0] == views.digest(), f"Views changed: write a new migration, with views = {views.digest()!r}."


LATER = """
'A later version of the schema, with another type of a column that a view selects.'
from alembic import op
import sqlalchemy as sa
revision = "9000"
down_revision = {head!r}


def upgrade() -> None:
    with op.batch_alter_table("service_changes") as table:
        table.alter_column("old", type_=sa.String(500))
"""


@pytest.fixture
def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """What turns this tracker into a later one, whose schema has one version more."""

    def become_later() -> None:
        config = migrate._config()
        real = str(config.get_main_option("script_location"))
        folder = tmp_path / "migrations"
        shutil.copytree(real, folder, ignore=shutil.ignore_patterns("__pycache__"))
        head = ScriptDirectory(real).get_current_head()
        (folder / "versions" / "9000_later.py").write_text(LATER.format(head=head))
        config.set_main_option("script_location", str(folder))
        monkeypatch.setattr(migrate, "_config", lambda: config)

    return become_later


def test_an_upgrade_changes_a_table_below_the_views_and_makes_them_anew(
    database_url: str, later: Callable[[], None]
) -> None:
    with opened(database_url) as database:
        database.upgrade()
        execute(database, text("DROP VIEW price_changes"))
        execute(database, text("CREATE VIEW price_changes AS SELECT old AS outdated FROM service_changes"))
        later()
        database.upgrade()
        assert database.schema().current == "9000"
        assert view(database, "price_changes") == []
        assert view(database, "service_tempo") == []


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_views_of_others_that_stand_on_ours_are_named_with_the_remedy(
    database_url: str, later: Callable[[], None]
) -> None:
    with opened(database_url) as database:
        database.upgrade()
        execute(database, text("CREATE VIEW theirs AS SELECT order_id FROM open_orders"))
        execute(database, text("CREATE VIEW sums AS SELECT sum(charge) FROM daily_spend"))
        later()
        with pytest.raises(DatabaseUnfit) as refused:
            database.upgrade()
        for words in ("view theirs depends on view open_orders", "view sums depends on view daily_spend"):
            assert words in str(refused.value)
        assert "Drop those, run `tracker db upgrade`, and make them again; nothing was touched" in str(
            refused.value
        )
        assert database.schema().current == "0004"
        execute(database, text("DROP VIEW theirs, sums"))
        database.upgrade()
        assert database.schema().fits


@pytest.mark.parametrize("kind", ["TABLE daily_spend (day TEXT)", "VIEW daily_spend AS SELECT 1 AS mine"])
def test_what_others_called_as_we_call_a_view_is_never_dropped(database_url: str, kind: str) -> None:
    """Before the first version with views, whatever has such a name is not ours."""
    with opened(database_url) as database:
        database.upgrade()
        with writing(database._engine) as connection:
            views.drop(connection, "0003")
            for index in ("ix_orders_ref", "ix_intents_sent_at", "ix_refills_refill_id"):
                connection.execute(text(f"DROP INDEX {index}"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
            connection.execute(text(f"CREATE {kind}"))
        with pytest.raises(DatabaseUnfit, match=r"has daily_spend already.* Rename yours"):
            database.upgrade()
        assert database.schema().current == "0002"
        execute(database, text(f"DROP {kind.split(maxsplit=1)[0]} daily_spend"))
        database.upgrade()
        assert view(database, "daily_spend") == []

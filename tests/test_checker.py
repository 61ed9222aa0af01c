"""The checker itself: a history that was tampered with, or written by a broken build, does not pass."""

import broken_builds
import pytest
from broken_builds import Build, live
from proof.truth import explained

from tracker.simulator import Served
from tracker.store.database import Database

pytestmark = pytest.mark.once

PENDING, ACTIVE, DONE = (
    Served("Pending", remains=10),
    Served("In progress", remains=5),
    Served("Completed", remains=0),
)


@pytest.mark.parametrize(
    ("history", "served", "doubtful"),
    [
        ([], [], set()),
        ([PENDING, DONE], [PENDING, PENDING, DONE, DONE], set()),
        ([PENDING, ACTIVE], [PENDING, ACTIVE, DONE], {2}),
        ([PENDING, ACTIVE, DONE], [PENDING, ACTIVE, DONE], {2}),
        ([PENDING, DONE], [PENDING, ACTIVE, DONE], {1}),
        ([PENDING, PENDING._replace(panel_status="Partial")], [PENDING, Served("Partial")], set()),
        ([PENDING], [PENDING, ACTIVE, PENDING], {1}),
    ],
)
def test_a_history_that_the_replies_explain_passes(
    history: list[Served], served: list[Served], doubtful: set[int]
) -> None:
    assert explained(history, served, doubtful)


@pytest.mark.parametrize(
    ("history", "served", "doubtful"),
    [
        ([PENDING], [PENDING, DONE], set()),
        ([PENDING, DONE], [PENDING, ACTIVE, DONE], {2}),
        ([PENDING, PENDING], [PENDING, PENDING], set()),
        ([PENDING, DONE], [PENDING], set()),
        ([DONE, PENDING], [PENDING, DONE], {0, 1}),
        ([], [PENDING], set()),
    ],
)
def test_a_history_that_they_do_not_explain_does_not(
    history: list[Served], served: list[Served], doubtful: set[int]
) -> None:
    assert not explained(history, served, doubtful)


def test_a_sound_build_passes(database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its account lives through faults of the database and replies that come too late, as those below."""
    truth = live(database, database_url, monkeypatch)
    assert truth.wrong(database, database_url) == []
    changes = database.verify().checked
    assert changes["transitions"] > 2 * broken_builds.ORDERS, "too little happened to prove anything"
    assert changes["progress"] > broken_builds.ORDERS / 3


@pytest.mark.parametrize(
    ("build", "seen"),
    [
        pytest.param(broken_builds.unguarded, set(), id="an unguarded update"),
        pytest.param(broken_builds.swallowing, set(), id="a swallowed batch"),
        pytest.param(
            broken_builds.torn, {"orders.head", "transitions.gap"}, id="a transition outside its transaction"
        ),
        pytest.param(
            broken_builds.without("write_transition"), {"orders.head"}, id="a head without its transition"
        ),
        pytest.param(
            broken_builds.without("write_progress"), {"orders.figures"}, id="a head without its progress"
        ),
        pytest.param(broken_builds.repeating, {"transitions.repeat"}, id="an answer that is no news"),
    ],
)
def test_a_broken_build_is_caught(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, build: Build, seen: set[str]
) -> None:
    """By the truth always; by `tracker verify`, which knows no truth, where the history contradicts itself."""
    build(monkeypatch)
    url = sqlite_database.shown
    truth = live(sqlite_database, url, monkeypatch)
    assert [one for one in truth.wrong(sqlite_database, url) if one.startswith("P1: order")]
    assert seen <= {f"{one.table}.{one.rule}" for one in sqlite_database.verify().violations}

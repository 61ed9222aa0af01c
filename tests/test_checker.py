"""The checker itself: a history that was tampered with, or written by a broken build, does not pass."""

import pytest
from proof.truth import explained

from tracker.simulator import Served

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

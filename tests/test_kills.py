"""SIGKILL at any moment costs nothing but answers in flight: promises P1 to P3, on both databases.

The long version, 500 kills at random and every edge of a round: `cd tests && python -m proof --long --only kills`.
"""

import pytest
from proof import kills
from proof.kills import Polled
from proof.table import Profile

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("database")]  # for its tables

SOME = 12
"""Every so many edges of a round: they are alike in kind."""


def test_a_daemon_that_is_killed_at_random_loses_nothing_but_answers_in_flight(database_url: str) -> None:
    kills.at_random(Profile(), database_url)


@pytest.mark.parametrize("kind", ["statuses", "refills"])
def test_a_round_killed_at_any_statement_or_socket_call_is_written_whole_or_not_at_all(
    database_url: str, kind: Polled
) -> None:
    assert kills.at_edges(Profile(), database_url, kind, SOME).times >= 4

"""Curves: what was told stands where it belongs, in any width, in dots or in plain ASCII."""

import io
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.cli.asking.plot import ELSEWHERE, HEIGHT, Paper, Point, curve, paper_of, worth_drawing

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAPER = Paper(40, NOW, terminal=False, ascii_only=True)


def told(*values: int | Decimal) -> list[Point]:
    """Return what was told hour by hour."""
    return [Point(NOW + timedelta(hours=hour), value) for hour, value in enumerate(values)]


def test_a_value_holds_until_the_next_one_is_told() -> None:
    assert curve(told(0, 100, 100, 50), PAPER, str) == [
        "100+            :'''''''''''''''''''''':",
        "   |            :                      :",
        "   |            :                      :",
        "   |            :                      :",
        " 50+            :                      '",
        "   |            :",
        "   |            :",
        "   |            :",
        "  0+............:",
        "   +" + "-" * 36,
        "    2026-03-01T12:00:00Z 2026-03-01T15:00:00Z",
    ]


def test_the_axis_speaks_money_no_more_exact_than_the_ends() -> None:
    lines = curve(told(Decimal("8.70"), Decimal("20.000001")), PAPER, lambda value: f"{value} USD")
    assert [line.partition("+")[0].strip() for line in lines if "USD" in line] == [
        "20.000001 USD",
        "14.35 USD",
        "8.70 USD",
    ]


def test_dots_are_finer_than_ascii() -> None:
    lines = curve(told(0, 1, 2, 3), PAPER._replace(ascii_only=False), str)
    assert "⢸" in "".join(lines)
    assert any(line.startswith("3┤") for line in lines)
    assert lines[-2].startswith(" └─")
    assert not [line for line in lines if "\u2800" in line], "an empty cell is a space, so that a copy is clean"


@pytest.mark.parametrize(
    ("points", "worth"),
    [
        (told(), False),
        (told(1), False),
        (told(1, 1, 1), False),
        ([Point(NOW, 1), Point(NOW, 2)], False),
        (told(1, 2), True),
    ],
)
def test_what_never_moved_is_no_curve(points: list[Point], worth: bool) -> None:  # noqa: FBT001  # a parameter
    assert worth_drawing(points) is worth


values = st.integers(-(10**12), 10**12) | st.decimals(-(10**6), 10**6, places=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(values, min_size=2, max_size=60).filter(lambda drawn: len(set(drawn)) > 1), st.integers(1, 300))
def test_any_curve_fits_its_paper_and_touches_its_extremes(drawn: list[int | Decimal], width: int) -> None:
    points = [Point(NOW + timedelta(seconds=place**2), value) for place, value in enumerate(drawn)]
    *dots, axis, moments = curve(points, Paper(width, NOW), lambda _: "")
    assert len(dots) == HEIGHT
    assert len(axis) == max(width, 11)
    assert all(len(line) <= len(axis) for line in dots)
    assert dots[0].strip("┤ ")
    assert dots[-1].strip("┤ ")
    assert len(moments.split()) == 4


def test_many_points_are_thinned_to_what_can_be_seen_and_no_peak_is_lost() -> None:
    points = [Point(NOW + timedelta(seconds=place), 1) for place in range(100_000)]
    points[65_432] = Point(points[65_432].at, 1000)
    lines = curve(points, Paper(80, NOW), str)
    assert all(line.count("⡇") + line.count("⢸") for line in lines[1:8])


def test_a_picture_fits_the_terminal_and_says_only_what_its_encoding_can() -> None:
    assert paper_of(io.StringIO(), NOW) == Paper(ELSEWHERE, NOW, terminal=False)
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs, "w", encoding="ascii") as terminal:
        assert paper_of(terminal, NOW) == Paper(ELSEWHERE, NOW, terminal=True, ascii_only=True), (
            "it tells no width"
        )

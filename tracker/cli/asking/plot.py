"""Curves for the terminal: plotille sets the dots, the axes speak our figures, money and moments."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final, NamedTuple, TextIO

from plotille import Canvas

from tracker.cli.quantities import when

HEIGHT: Final = 9
"""Lines of dots; odd, so that the middle of the axis is a line: with what stands around it, it fits 24 lines."""
NARROWEST: Final = 10
"""Columns of dots that are drawn however narrow the terminal is."""
ELSEWHERE: Final = 80
"""Columns of a picture that goes into a file or a pipe."""

_BRAILLE: Final = 0x2800
_UPPER: Final = 0b00011011
"""The dots of a braille character's upper half; the others are its lower half."""
_SPACE: Final = {_BRAILLE: " "}
_ASCII: Final = {_BRAILLE + dots: " '.:"[bool(dots & _UPPER) + 2 * bool(dots & ~_UPPER)] for dots in range(256)}
_ASCII_AXES: Final = str.maketrans("┤│└─", "+|+-")


class Point(NamedTuple):
    """What was told at a moment."""

    at: datetime
    value: int | Decimal


class Paper(NamedTuple):
    """What a picture is drawn on."""

    width: int
    now: datetime
    terminal: bool = True
    ascii_only: bool = False


def paper_of(stream: TextIO, now: datetime) -> Paper:
    """Return what a picture on `stream` has to fit."""
    terminal = stream.isatty()
    try:
        width = (terminal and os.get_terminal_size(stream.fileno()).columns) or ELSEWHERE
    except OSError:
        width = ELSEWHERE
    try:
        "⣿┤".encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return Paper(width, now, terminal, ascii_only=True)
    return Paper(width, now, terminal)


def worth_drawing(points: Sequence[Point]) -> bool:
    """Return whether there is a curve: at least two points, at different moments, that are not all the same."""
    return len(points) > 1 and points[0].at < points[-1].at and len({point.value for point in points}) > 1


def curve(points: Sequence[Point], paper: Paper, spell: Callable[[int | Decimal], str]) -> list[str]:
    """Return the lines of a curve through points that are `worth_drawing`, oldest first.

    A value holds until the next one is told: nothing is drawn that was not. `spell` writes a value at the axis.
    """
    values = [point.value for point in points]
    low, high = min(values), max(values)
    labels = {0: spell(high), HEIGHT // 2: spell(_middle(low, high)), HEIGHT - 1: spell(low)}
    margin = max(map(len, labels.values()))
    columns = max(paper.width - margin - 1, NARROWEST)
    lines = [
        f"{labels.get(line, ''):>{margin}}{'┤' if line in labels else '│'}{dots}".rstrip()
        for line, dots in enumerate(_dots(points, paper, columns))
    ]
    lines.append(" " * margin + "└" + "─" * columns)
    lines.append(" " * (margin + 1) + _moments(points, paper, columns))
    return [line.translate(_ASCII_AXES) for line in lines] if paper.ascii_only else lines


def _middle(low: int | Decimal, high: int | Decimal) -> int | Decimal:
    """Return the middle, no more exact than the ends are."""
    if isinstance(low, int) and isinstance(high, int):
        return (low + high) // 2
    ends = (Decimal(low).as_tuple().exponent, Decimal(high).as_tuple().exponent)
    places = max(-int(exponent) for exponent in ends)
    return round((Decimal(low) + Decimal(high)) / 2, max(places, 0)).normalize()


def _dots(points: Sequence[Point], paper: Paper, columns: int) -> Iterator[str]:
    """Yield the lines of dots, the uppermost first."""
    known = [(point.at.timestamp(), float(point.value)) for point in points]
    (start, _), (end, _) = known[0], known[-1]
    low, high = min(value for _, value in known), max(value for _, value in known)
    # The canvas ends one dot beyond its last one, or that would be cut off.
    right = end + (end - start) / (columns * 2 - 1)
    top = high + (high - low) / (HEIGHT * 4 - 1)
    canvas = Canvas(columns, HEIGHT, start, low, right, top)
    for (x, y), (next_x, next_y) in pairwise(_thinned(known, (end - start) / (columns * 2))):
        canvas.line(x, y, next_x, y)
        canvas.line(next_x, y, next_x, next_y)
    alphabet = _ASCII if paper.ascii_only else _SPACE
    yield from canvas.plot(linesep="\n").translate(alphabet).split("\n")


def _thinned(known: list[tuple[float, float]], apart: float) -> Iterator[tuple[float, float]]:
    """Yield what can be seen of many points: within one dot's width the first, the extremes and the last."""
    for _, group in groupby(known, key=lambda point: point[0] // apart):
        same = list(group)
        extremes = {min(same, key=itemgetter(1)), max(same, key=itemgetter(1))}
        yield from sorted({same[0], same[-1]} | extremes)


def _moments(points: Sequence[Point], paper: Paper, columns: int) -> str:
    """Return the line below the axis: when it begins and when it ends."""
    start, end = (when(point.at, paper.now, terminal=paper.terminal) for point in (points[0], points[-1]))
    return f"{start}{end:>{max(columns - len(start), len(end) + 1)}}"

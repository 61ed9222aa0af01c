"""The lists of the screen: which columns they have, and how wide each is on the terminal at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from tracker.cli.columns import Column
from tracker.cli.quantities import money, when
from tracker.cli.render import STATE_STYLES
from tracker.cli.working.screen import words
from tracker.logs import visible
from tracker.model import KINDS
from tracker.store.reading.glance import Snapshot

GAP: Final = 2
LONG: Final = 24
"""Columns of a text that may be longer, unless there is room to spare."""

_WHOSE: Final = (Column("service_id", "service", rank=4), Column("ref", rank=6), Column("link", rank=5))
CHANGES: Final = (
    Column("ago", right=True),
    Column("panel", rank=3),
    Column("order_id", "order"),
    Column("from_state", "from", state=True, rank=1),
    Column("to_state", "to", state=True),
    Column("remains", right=True, rank=2),
    Column("charge", right=True, rank=2),
    *_WHOSE,
)
STUCK: Final = (
    Column("silent", right=True),
    Column("panel", rank=3),
    Column("order_id", "order"),
    Column("state", state=True),
    Column("remains", right=True, rank=1),
    Column("quantity", right=True, rank=2),
    Column("charge", right=True, rank=2),
    Column("answered", right=True, rank=1),
    *_WHOSE,
)
PANELS: Final = (
    Column("name", "panel"),
    Column("health"),
    Column("balance", right=True, rank=1),
    Column("due", right=True, rank=2),
    Column("late", right=True, rank=1),
    Column("requests", "per min", right=True, rank=3),
    *(Column(kind, right=True, rank=4) for kind in KINDS if kind != "balance"),
    Column("anomalies", right=True, rank=3),
    Column("fault", rank=5),
)
TIMELINE: Final = (
    Column("at"),
    Column("after", right=True, rank=2),
    Column("to_state", "state", state=True),
    Column("panel_status", "panel says", rank=3),
    Column("remains", right=True),
    Column("start_count", "start count", right=True, rank=4),
    Column("charge", right=True),
)


class Line(NamedTuple):
    """One row of a list: what it is about, which stays the same while other rows come and go, and its cells."""

    key: tuple[str, ...]
    cells: Mapping[str, Text]


@dataclass(frozen=True)
class Sheet:
    """A list laid out for a width."""

    heading: Text
    lines: Sequence[Text]
    widths: Mapping[str, int]
    """By column, those that were left out as well, so that the next layout can keep to them."""


def line(key: tuple[str, ...], columns: Sequence[Column], row: Mapping[str, Any], now: datetime) -> Line:
    """Spell the values of a row out, without a character that a terminal could obey."""
    cells = {}
    for column in columns:
        said = _spell(row.get(column.name), now)
        cells[column.name] = Text(said, STATE_STYLES.get(said, "") if column.state else "")
    return Line(key, cells)


def _spell(value: object, now: datetime) -> str:
    if value is None:
        return ""
    if isinstance(value, timedelta):
        return words.span(value)
    if isinstance(value, datetime):
        return when(value, now, terminal=True)
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def changes(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[Line]:
    """Return the lines of the newest transitions."""
    return [
        line(_name(row, str(row["seq"])), CHANGES, {**row, "ago": now - row["at"], "charge": _charge(row)}, now)
        for row in rows
    ]


def stuck(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[Line]:
    """Return the lines of the orders that have been silent longest."""
    told = []
    for row in rows:
        answered = f"{words.span(now - row['checked_at'])} ago" if row["checked_at"] else "never"
        more = {"silent": now - row["since"], "answered": answered, "charge": _charge(row)}
        told.append(line(_name(row), STUCK, {**row, **more}, now))
    return told


def panels(snapshot: Snapshot, now: datetime) -> list[Line]:
    """Return a line for each panel."""
    told = []
    for one in snapshot.panels:
        due, since = words.overdue(snapshot, one.name)
        row: dict[str, Any] = {**one._asdict(), "balance": words.balances([one]), "due": due}
        row |= {kind: now - seen.last_ok for kind, seen in one.rounds.items() if kind in KINDS and seen.last_ok}
        row |= {"balance": words.balances([one]), "late": None if since is None else now - since}
        row["health"] = (
            "failing" if one.failing and one.polled else "polled" if one.polled else words.polled_by(one)
        )
        told.append(line((one.name,), PANELS, row, now))
        told[-1].cells["health"].style = "green" if row["health"] == "polled" else "red"
    return told


def timeline(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[Line]:
    """Return the lines of one order's history."""
    told: list[Line] = []
    before: datetime | None = None
    for number, row in enumerate(rows):
        after = None if before is None else row["at"] - before
        told.append(line((str(number),), TIMELINE, {**row, "after": after, "charge": _charge(row)}, now))
        before = row["at"]
    return told


def sheet(columns: Sequence[Column], lines: Sequence[Line], width: int, least: Mapping[str, int]) -> Sheet:
    """Lay a list out: what does not fit is left out by rank, then cut.

    `least` are widths to keep to, so that columns stay where they are while rows come and go.
    """
    widths = {}
    for column in columns:
        longest = max((one.cells[column.name].cell_len for one in lines), default=0)
        longest = max(longest, least.get(column.name, 0))
        if longest or not column.rank:
            widths[column] = max(cell_len(column.heading), longest)
    wanted = {column.name: room for column, room in widths.items()}
    _fit(widths, width)
    heading = {column.name: Text(column.heading, "dim") for column in widths}
    return Sheet(_row(heading, widths, width), [_row(one.cells, widths, width) for one in lines], wanted)


def _fit(widths: dict[Column, int], width: int) -> None:
    """Take out what does not fit, highest rank first, and shorten long texts before that."""

    def over() -> int:
        return sum(widths.values()) + GAP * len(widths) - width

    spare = sorted(widths, key=lambda one: one.rank)
    spare.reverse()  # of one rank the last goes first
    for column in spare:
        if over() > 0 and widths[column] > LONG:
            widths[column] = max(LONG, widths[column] - over())
    for column in spare:
        if over() > 0 and column.rank:
            del widths[column]


def _row(cells: Mapping[str, Text], widths: Mapping[Column, int], width: int) -> Text:
    told = Text(" ", end="")
    for column, room in widths.items():
        cell = cells[column.name].copy()
        cell.truncate(room, overflow="ellipsis")
        blank = " " * (room - cell.cell_len)
        told.append_text(Text.assemble(blank, cell) if column.right else Text.assemble(cell, blank))
        told.append(" " * GAP)
    told.truncate(width)
    return told


def _name(row: Mapping[str, Any], *more: str) -> tuple[str, ...]:
    return (row["panel"], row["order_id"], *more)


def _charge(row: Mapping[str, Any]) -> str | None:
    charge: Decimal | None = row["charge"]
    return None if charge is None else money(charge, row["currency"])

"""A list that one moves through with the keys, and that stays put while its rows change."""

from collections.abc import Sequence
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tracker.cli.columns import Column
from tracker.cli.working.screen.lists import Line, Sheet, sheet

CURSOR = Style(reverse=True)


class Rows(Widget, can_focus=True):
    """Shows lines under a heading.

    The cursor stays on its row wherever that moves; at the end where new rows come in (the top, or with `tail` the
    bottom) it stays at that end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("pageup", "page(-1)"),
        Binding("pagedown,space", "page(1)"),
        Binding("home,g", "jump(0)"),
        Binding("end,G", "jump(-1)"),
        Binding("enter", "open"),
    ]

    class Opened(Message):
        """Enter was pressed on a row."""

        def __init__(self, key: tuple[str, ...]) -> None:
            super().__init__()
            self.key = key

    class Moved(Message):
        """The cursor is on another row."""

    def __init__(self, *, tail: bool = False) -> None:
        super().__init__()
        self._tail = tail
        self._columns: Sequence[Column] = ()
        self._lines: Sequence[Line] = ()
        self._empty = ""
        self._sheet = Sheet(Text(), (), {})
        self._widths: dict[str, int] = {}
        self._cursor = 0
        self._top = 0
        self._follows = True

    def show(self, columns: Sequence[Column], lines: Sequence[Line], empty: str) -> None:
        """Show these lines, or the sentence `empty` where there are none."""
        key = self._key()
        if columns != self._columns:
            self._widths, self._follows = {}, True
        self._columns, self._lines, self._empty = columns, lines, empty
        keys = [one.key for one in lines]
        if self._follows:
            self._cursor = len(keys) - 1 if self._tail else 0
        elif key in keys:
            moved = keys.index(key) - self._cursor
            self._cursor += moved
            self._top += moved
        self._lay_out()

    @property
    def place(self) -> str:
        """Where the cursor is, for a heading: `3/200`."""
        return f"{self._cursor + 1}/{len(self._lines)}" if self._lines else ""

    def render_line(self, y: int) -> Strip:
        """Return one line of the terminal; see `Widget.render_line`."""
        width = self.size.width
        if not self._lines:
            text = Text(f" {self._empty}", "dim", end="") if y == 0 else Text(end="")
            return self._strip(text, width)
        if y == 0:
            return self._strip(self._sheet.heading, width)
        index = self._top + y - 1
        if index >= len(self._sheet.lines):
            return Strip.blank(width)
        strip = self._strip(self._sheet.lines[index], width)
        return strip.apply_style(CURSOR) if index == self._cursor and self.has_focus else strip

    def _strip(self, text: Text, width: int) -> Strip:
        text.truncate(width, overflow="ellipsis")
        return Strip(text.render(self.app.console)).adjust_cell_length(width)

    def on_resize(self, _event: Resize) -> None:
        """Lay the columns out anew."""
        self._widths = {}
        self._lay_out()

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by so many screens."""
        self._go(self._cursor + by * max(self._room() - 1, 1))

    def action_jump(self, to: int) -> None:
        """Move the cursor to the first row (0) or the last (-1)."""
        self._go(to % max(len(self._lines), 1))

    def action_open(self) -> None:
        """Say which row is meant."""
        key = self._key()
        if key is not None:
            self.post_message(self.Opened(key))

    def _go(self, to: int) -> None:
        self._cursor = to
        self._keep_in_sight()
        end = len(self._lines) - 1 if self._tail else 0
        self._follows = self._cursor == end
        self.refresh()
        self.post_message(self.Moved())

    def _key(self) -> tuple[str, ...] | None:
        return self._lines[self._cursor].key if self._cursor < len(self._lines) else None

    def _room(self) -> int:
        """How many rows fit below the heading."""
        return max(self.size.height - 1, 1)

    def _keep_in_sight(self) -> None:
        count, room = len(self._lines), self._room()
        self._cursor = max(min(self._cursor, count - 1), 0)
        self._top = max(min(self._top, self._cursor, count - room), self._cursor - room + 1, 0)

    def _lay_out(self) -> None:
        laid = sheet(self._columns, self._lines, self.size.width, self._widths)
        self._sheet, self._widths = laid, dict(laid.widths)
        self._keep_in_sight()
        self.refresh()

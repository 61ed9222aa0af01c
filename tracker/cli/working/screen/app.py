"""The screen on a terminal: what Textual runs."""

import os
import threading
import time
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from tracker.cli.working.screen.lookout import Lookout, Sight, Subject
from tracker.cli.working.screen.order import OrderPage
from tracker.cli.working.screen.overview import Overview
from tracker.store.database import Database


class Seen(Message):
    """The lookout has looked."""

    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.sight = sight


class Watch(App[None]):
    """Shows the overview, and one order on top of it; ends at `stop`, at the subject's end, or by a key."""

    ENABLE_COMMAND_PALETTE = False
    # The terminal's own background: a screen that is looked at all day should not have another.
    CSS = """
    Screen { background: ansi_default; }
    .line { height: 1; }
    #top { height: auto; }
    #states { width: 1fr; height: auto; }
    #facts { width: 1fr; height: auto; }
    Said { text-wrap: nowrap; }
    #notice { height: auto; max-height: 3; padding: 0 1; color: ansi_red; text-wrap: wrap; }
    #head { height: auto; max-height: 60%; padding: 0 1; }
    Rows { height: 1fr; min-height: 3; }
    Input, Input:focus {
        height: 1;
        border: none;
        padding: 0 1;
        background: ansi_default;
        background-tint: ansi_default 0%;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit"),
        Binding("ctrl+c,ctrl+d", "quit", priority=True),
    ]

    def __init__(self, database: Database, subject: Subject, stop: threading.Event) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own colors, on its own background
        self.subject = subject
        self.lookout = Lookout(database, subject, lambda sight: self.post_message(Seen(sight)))
        self.overview = Overview(subject, self.lookout)
        self._stop = stop
        self._drawn = os.isatty(0)
        self._end = None if subject.seconds is None else time.monotonic() + subject.seconds

    def on_mount(self) -> None:
        """Begin to look."""
        self.push_screen(self.overview)
        self.lookout.start()
        self.set_interval(0.1, self._heed)

    def on_seen(self, seen: Seen) -> None:
        """Draw what was seen."""
        self.overview.draw(seen.sight)
        if isinstance(self.screen, OrderPage):
            self.screen.draw(seen.sight)

    def on_overview_open(self, wanted: Overview.Open) -> None:
        """Show one order on top of the overview."""
        page = OrderPage(wanted.panel, wanted.order_id)
        self._want_order((wanted.panel, wanted.order_id))
        self.push_screen(page, lambda _: self._want_order(None))

    def _want_order(self, order: tuple[str | None, str] | None) -> None:
        self.lookout.want(self.lookout.wanted._replace(order=order))

    def _heed(self) -> None:
        if self._drawn and not os.isatty(0):
            self.exit()  # the window was closed; not everything that closes one sends a signal
        left = None if self._end is None else self._end - time.monotonic()
        if self._stop.is_set() or not self.lookout.is_alive() or (left is not None and left <= 0):
            self.exit()
        self.overview.tick(left)

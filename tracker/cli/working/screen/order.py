"""The page of one order: what is known of it, and everything that happened to it, as `tracker show` tells."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen

from tracker.cli.quantities import money, when
from tracker.cli.render import STATE_STYLES
from tracker.cli.working.screen import lists, pictures, words
from tracker.cli.working.screen.lookout import Sight
from tracker.cli.working.screen.rows import Rows
from tracker.cli.working.screen.said import Said
from tracker.logs import visible

HELP: Final = "↑ ↓ move   esc back   q quit"
LONG: Final = ("link", "ref")
"""Facts that get a line of their own."""


class OrderPage(Screen[None]):
    """Draws one order of each sight that has it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,backspace,left", "dismiss")]

    def __init__(self, panel: str | None, order_id: str) -> None:
        super().__init__()
        self._shown = visible(order_id if panel is None else f"{panel}/{order_id}")
        self._about = (panel, order_id)
        self._sight: Sight | None = None

    def compose(self) -> ComposeResult:
        """Make the lines of the page."""
        yield Said(id="title", classes="line")
        yield Said(id="head")
        yield Said(id="notice")
        yield Said(id="tabs", classes="line")
        yield Rows(tail=True)
        yield Said(Text(f" {HELP}", "dim", no_wrap=True), classes="line")

    def on_mount(self) -> None:
        """Begin with the timeline."""
        self.query_one(Rows).focus()

    def on_resize(self, _event: Resize) -> None:
        """Draw for the new size."""
        if self._sight is not None:
            self.draw(self._sight)

    def draw(self, sight: Sight) -> None:
        """Show what was seen, if it is about this order."""
        if not self.is_mounted:
            return
        self.query_one("#notice", Said).say(Text(sight.outage(datetime.now(UTC))))
        if sight.order is None or sight.wanted.order != self._about:
            return
        self._sight, width = sight, self.size.width
        head = next(iter(sight.order.heads), None)
        title = Text.assemble(("order ", "dim"), (self._shown, "bold"))
        self.query_one("#title", Said).say(pictures.rule(title, "", width))
        rows = self.query_one(Rows)
        if head is None:
            rows.show((), (), f"No order {self._shown} is known. Esc goes back.")
            return
        self.query_one("#head", Said).say(_head(head, sight.now, width - 2, self._others(sight)))
        timeline = lists.timeline(sight.order.timeline, sight.now)
        rows.show(lists.TIMELINE, timeline, "It has not been answered yet.")
        self.on_rows_moved()

    def on_rows_moved(self) -> None:
        """Tell where in the timeline the cursor is."""
        place = self.query_one(Rows).place
        self.query_one("#tabs", Said).say(pictures.rule(Text("what happened"), place, self.size.width))

    def _others(self, sight: Sight) -> list[str]:
        """Return the other panels that have an order of this id."""
        return [] if sight.order is None else [one["panel"] for one in sight.order.heads[1:]]


def _head(head: Mapping[str, Any], now: datetime, width: int, others: list[str]) -> Text:
    """Return what is known, in two columns, and what is long below them."""
    known = _known(head, now)
    half = -(-len(known) // 2)
    lines = []
    for left, right in zip(known[:half], [*known[half:], ("", "")], strict=False):
        line = _fact(left, head["state"])
        line.truncate(width // 2 - 1, overflow="ellipsis", pad=True)
        lines.append(Text.assemble(line, " ", _fact(right)))
    told = [(name, visible(str(head[name]))) for name in LONG if head[name]]
    told += [("also at", visible(", ".join(others)))] if others else []
    lines += [_fact(one) for one in told]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n").join(lines)


def _fact(fact: words.Fact, state: str = "") -> Text:
    label, said = fact
    return Text.assemble(
        (f"{label:<{pictures.LABEL}} ", "dim"), (said, STATE_STYLES.get(state, "") if label == "state" else "")
    )


def _known(head: Mapping[str, Any], now: datetime) -> list[words.Fact]:
    """Return the short facts of an order that are known."""
    charge = None if head["charge"] is None else money(head["charge"], head["currency"])
    told = [
        ("panel", head["panel"]),
        ("state", head["state"]),
        ("panel says", head["panel_status"]),
        ("service", head["service_id"]),
        ("quantity", head["quantity"]),
        ("remains", head["remains"]),
        ("start count", head["start_count"]),
        ("charge", charge),
        *((label, _moment(head[name], now)) for label, name in _MOMENTS),
        ("asked next", _next(head, now)),
    ]
    return [(label, said) for label, value in told if (said := _plain(value))]


_MOMENTS: Final = (
    ("ordered", "ordered_at"),
    ("tracked", "tracked_at"),
    ("in state", "state_at"),
    ("changed", "changed_at"),
    ("answered", "checked_at"),
    ("settled", "settled_at"),
    ("closed", "closed_at"),
)


def _moment(at: datetime | None, now: datetime) -> str | None:
    if at is None:
        return None
    return f"{when(at, now, terminal=True)}, {words.span(now - at)} ago"


def _next(head: Mapping[str, Any], now: datetime) -> str | None:
    if head["closed_at"]:
        return "no more"
    at: datetime = head["next_poll_at"]
    return f"in {words.span(at - now)}" if at > now else f"due for {words.span(now - at)}"


def _plain(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else visible(str(value))

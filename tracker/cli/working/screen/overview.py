"""The first page: counters, facts and troubles, and a list that one moves through."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, Literal

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Resize
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input

from tracker.cli.columns import Column
from tracker.cli.options import split_name
from tracker.cli.working.screen import lists, pictures, words
from tracker.cli.working.screen.lookout import Lookout, Sight, Subject
from tracker.cli.working.screen.rows import Rows
from tracker.cli.working.screen.said import Said
from tracker.logs import visible
from tracker.store.reading.glance import RECENT, ListName, Scope

LISTS: Final[tuple[ListName | Literal["panels"], ...]] = ("changes", "stuck", "panels")
HELP: Final = "↵ open  / find  s state  p panel  o order by id  esc all  1 2 3 lists  q quit"
FIND: Final = "part of an order's id, service, link or reference; Enter keeps it, Esc ends it"
ORDER: Final = "ID or PANEL/ID, then Enter"
LOWER_HALF: Final = 9
"""Lines that the list and what belongs to it need at least."""


class Overview(Screen[None]):
    """Draws each sight, and asks the lookout for what the keys want to see."""

    # With priority a key is heeded before the next one is looked at: what is typed fast after `/` is not lost.
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"list('{name}')", priority=True) for number, name in enumerate(LISTS, 1)),
        Binding("tab", "next_list", priority=True),
        Binding("slash", "ask('find')", priority=True),
        Binding("o", "ask('order')", priority=True),
        Binding("s", "next_state", priority=True),
        Binding("p", "next_panel", priority=True),
        Binding("escape", "all", priority=True),
    ]

    class Open(Message):
        """An order is to be opened; `panel` is None for whichever has it."""

        def __init__(self, panel: str | None, order_id: str) -> None:
            super().__init__()
            self.panel, self.order_id = panel, order_id

    def __init__(self, subject: Subject, lookout: Lookout) -> None:
        super().__init__()
        self._subject, self._lookout = subject, lookout
        self._list: ListName | Literal["panels"] = "changes"
        self._sight = Sight(datetime.now(UTC), lookout.wanted)
        self._asked = "find"
        self._left: float | None = None

    def compose(self) -> ComposeResult:
        """Make the lines of the page."""
        yield Said(id="title", classes="line")
        with Horizontal(id="top"):
            yield Said(id="states")
            yield Said(id="facts")
        yield Said(id="notice")
        yield Said(id="tabs", classes="line")
        yield Rows()
        yield Said(Text(f" {HELP}", "dim", no_wrap=True), id="help", classes="line")
        yield Input(id="input", select_on_focus=False)

    def on_mount(self) -> None:
        """Begin with the list."""
        self.query_one(Input).display = False
        self.query_one(Rows).focus()
        self.draw(self._sight)

    def on_resize(self, _event: Resize) -> None:
        """Draw for the new size."""
        self.draw(self._sight)

    def tick(self, left: float | None) -> None:
        """Tell the time, and how much of it is left."""
        self._left = left
        if self.is_mounted:
            self.query_one("#title", Said).say(self._title())

    def draw(self, sight: Sight) -> None:
        """Show what was seen."""
        self._sight = sight
        if not self.is_mounted:
            return
        self.query_one("#title", Said).say(self._title())
        snapshot, now = sight.snapshot, sight.now
        panel = self._scope.panel
        if snapshot is not None:
            half = self.size.width // 2
            known = words.facts(snapshot, now, self._subject.allowances, self._subject.stuck, panel)
            height = self.size.height
            room = min(max(len(known), height * 2 // 5), max(height - LOWER_HALF, 3))
            self.query_one("#states", Said).say(pictures.bars(words.states(snapshot, panel), half, room))
            self.query_one("#facts", Said).say(pictures.listed(known[:room], half))
        self.query_one("#notice", Said).say(self._notice())
        self._draw_list()
        self.query_one("#tabs", Said).say(self._tabs())

    def _draw_list(self) -> None:
        rows, snapshot, now = self.query_one(Rows), self._sight.snapshot, self._sight.now
        if snapshot is None:
            rows.show((), (), "Looking…")
        elif self._list == "panels":
            rows.show(lists.PANELS, lists.panels(snapshot, now), "No panel is known yet.")
        elif self._sight.wanted.name == "changes":
            rows.show(
                self._columns(lists.CHANGES),
                lists.changes(snapshot.rows, now),
                self._empty(f"None of the newest {RECENT:,} changes"),
            )
        else:
            rows.show(self._columns(lists.STUCK), lists.stuck(snapshot.rows, now), self._empty("No stuck order"))

    def _columns(self, columns: Sequence[Column]) -> Sequence[Column]:
        """Leave out the panel where there is only one."""
        snapshot = self._sight.snapshot
        alone = self._scope.panel is not None or (snapshot is not None and len(snapshot.panels) == 1)
        return [column for column in columns if not (alone and column.name == "panel")]

    def _empty(self, what: str) -> str:
        """Return what stands in place of a list without rows."""
        told = _narrowed(self._sight.wanted.scope)
        return f"{what} is: {told}. Esc shows all." if told else "There is none."

    def _title(self) -> Text:
        title = Text.assemble((visible(self._subject.title), "bold"), (f"  {visible(self._subject.about)}", "dim"))
        told = f"{datetime.now().astimezone():%H:%M:%S}"
        if self._left is not None:
            told = f"ends in {max(self._left, 0):.0f} s"
        return pictures.rule(title, told, self.size.width)

    def _tabs(self) -> Text:
        snapshot = self._sight.snapshot
        panel = self._scope.panel
        counts = (
            {} if snapshot is None else {"stuck": words.stuck(snapshot, panel), "panels": len(snapshot.panels)}
        )
        tabs = Text()
        for number, name in enumerate(LISTS, 1):
            count = counts.get(name)
            tabs.append(f"{number} ", "dim").append(name, "bold underline" if name == self._list else "")
            tabs.append("  " if count is None else f" ({count:,})  ", "dim")
        narrowed = _narrowed(self._scope)
        tabs.append(f"only {narrowed} " if narrowed else "", "yellow")
        return pictures.rule(tabs, self.query_one(Rows).place, self.size.width)

    def _notice(self) -> Text:
        outage = self._sight.outage(datetime.now(UTC))
        if outage or self._sight.snapshot is None:
            return Text(outage)
        told = words.troubles(self._sight.snapshot, self._sight.now)
        many = f"1 of {len(told)}, press 3: " if len(told) > 1 else ""
        return Text(f"! {many}{told[0]}" if told else "")

    def on_rows_moved(self) -> None:
        """Tell where in the list the cursor is."""
        self.query_one("#tabs", Said).say(self._tabs())

    def action_list(self, name: ListName | Literal["panels"]) -> None:
        """Show another list."""
        self._list = name
        if name != "panels":
            self._lookout.want(self._lookout.wanted._replace(name=name))
        self.draw(self._sight)

    def action_next_list(self) -> None:
        """Show the list after this one."""
        self.action_list(LISTS[(LISTS.index(self._list) + 1) % len(LISTS)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's signature
        """Leave every key but Esc to the input while one types; see `DOMNode.check_action`."""
        return action == "all" or not self._input.display

    def action_next_state(self) -> None:
        """Narrow the lists to the next state that has orders; after the last one, to none."""
        self._leave_panels()
        snapshot = self._sight.snapshot
        states = {} if snapshot is None else words.states(snapshot, self._scope.panel)
        found = [state for state in states if state != "new" or self._list == "stuck"]  # nothing changes to new
        self._narrow(self._scope._replace(state=_next(found, self._scope.state)))

    def action_next_panel(self) -> None:
        """Narrow everything to the next panel; after the last one, to none."""
        snapshot = self._sight.snapshot
        found = [] if snapshot is None else [one.name for one in snapshot.panels]
        self._narrow(self._scope._replace(panel=_next(found, self._scope.panel)))

    def action_all(self) -> None:
        """Leave the input, or show everything again."""
        if self._input.display:
            self._leave_input()
            if self._asked == "find":
                self._narrow(self._scope._replace(text=""))
        else:
            self._narrow(Scope())

    def action_ask(self, what: str) -> None:
        """Ask for a text to find, or for an order's id."""
        if what == "find":
            self._leave_panels()
        self._asked = what
        field = self._input
        with self.prevent(Input.Changed):
            field.value = self._scope.text if what == "find" else ""
        field.placeholder = FIND if what == "find" else ORDER
        field.display, self.query_one("#help").display = True, False
        self.set_focus(field)  # at once: `field.focus()` would let the next keys go elsewhere

    def on_input_changed(self, typed: Input.Changed) -> None:
        """Find while one types."""
        if self._asked == "find":
            self._narrow(self._scope._replace(text=typed.value.strip()))

    def on_input_submitted(self, typed: Input.Submitted) -> None:
        """Keep what was found, or open the order."""
        self._leave_input()
        name = typed.value.strip()
        if self._asked == "order" and name:
            self._open(*split_name(name))

    def on_rows_opened(self, opened: Rows.Opened) -> None:
        """Open the order, or narrow everything to the panel."""
        panel, *order = opened.key
        if order:
            self._open(panel, order[0])
        else:
            self._narrow(self._scope._replace(panel=panel))
            self.action_list("changes")

    def _leave_panels(self) -> None:
        """Show a list that can be narrowed."""
        if self._list == "panels":
            self.action_list(self._lookout.wanted.name)

    @property
    def _scope(self) -> Scope:
        return self._lookout.wanted.scope

    @property
    def _input(self) -> Input:
        return self.query_one(Input)

    def _narrow(self, scope: Scope) -> None:
        self._lookout.want(self._lookout.wanted._replace(scope=scope))
        self.draw(self._sight)

    def _open(self, panel: str | None, order_id: str) -> None:
        self.post_message(self.Open(panel, order_id))

    def _leave_input(self) -> None:
        self._input.display, self.query_one("#help").display = False, True
        self.set_focus(self.query_one(Rows))


def _narrowed(scope: Scope) -> str:
    """Return in words what a list is narrowed to."""
    told = (scope.state, scope.panel, scope.text and f"“{scope.text}”")
    return visible(" · ".join(word for word in told if word))


def _next(found: list[str], now: str | None) -> str | None:
    """Return what comes after `now`; None comes after the last, and before the first."""
    if now not in found:
        return found[0] if found else None
    return (*found, None)[found.index(now) + 1]

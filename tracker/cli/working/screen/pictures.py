"""The upper half of the screen as lines of text: rules, bars and facts."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from tracker.cli.render import STATE_STYLES
from tracker.cli.working.screen.words import Fact

LABEL: Final = 11
"""Width of a label: the longest state, `in_progress`."""

TOTAL: Final = "all"
OTHERS: Final = "others"


def rule(left: Text, right: str, width: int) -> Text:
    """Return a line across the screen with a title at its left and a word at its right end."""
    line = Text.assemble(("── ", "dim"), left)
    line.truncate(max(width - len(right) - 5, 0), overflow="ellipsis")
    room = width - line.cell_len - len(right)
    if not right:
        return line.append(f" {'─' * (room - 1)}", "dim")
    return line.append(f" {'─' * (room - 5)} ", "dim").append(right).append(" ──", "dim")


def bars(states: dict[str, int], width: int, room: int) -> Text:
    """Return a bar for each state that has orders, and how many there are; at most `room` lines."""
    shown = dict(states)
    if len(shown) + 1 > room:
        kept = sorted(shown, key=lambda state: -shown[state])[: max(room - 2, 1)]
        others = sum(count for state, count in shown.items() if state not in kept)
        shown = {**{state: count for state, count in shown.items() if state in kept}, OTHERS: others}
    most = max(shown.values(), default=1)
    digits = max(len(f"{sum(shown.values()):,}"), 4)
    longest = max(width - LABEL - digits - 5, 1)
    lines = [
        Text.assemble(
            (f" {state:<{LABEL}} ", STATE_STYLES.get(state, "")),
            (f"{count:>{digits},} ", "bold"),
            ("█" * -(-longest * count // most), STATE_STYLES.get(state, "")),
        )
        for state, count in shown.items()
    ]
    lines.append(Text.assemble((f" {TOTAL:<{LABEL}} ", "dim"), (f"{sum(shown.values()):>{digits},}", "bold")))
    return Text("\n").join(lines)


def listed(facts: Sequence[Fact], width: int) -> Text:
    """Return facts, a line each, their labels under each other."""
    lines = []
    for label, said in facts:
        line = Text.assemble((f"{label:<{LABEL}}", "dim"), said)
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return Text("\n").join(lines)

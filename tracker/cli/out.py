"""Print on stdout. What draws tables takes long to import, so it is imported when something is printed."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tracker.cli.columns import Column, Format


def show_rows(
    rows: Iterable[Mapping[str, object]], columns: Sequence[Column], format_: Format, empty: str
) -> None:
    """Print rows in the wanted format; `empty` is the sentence where there are none."""
    from tracker.cli.render import render  # noqa: PLC0415  # see above

    render(rows, columns, format=format_, stream=sys.stdout, now=datetime.now(UTC), empty=empty)


def show_facts(known: Sequence[tuple[Column, object]]) -> None:
    """Print what is known of one thing, a line for each fact."""
    from tracker.cli.render import facts  # noqa: PLC0415  # see above

    facts(known, sys.stdout, datetime.now(UTC))


def show_text(text: str) -> None:
    """Print sentences in which a name or a currency of somebody else may stand."""
    from tracker.logs import visible  # noqa: PLC0415  # see above

    print("\n".join(map(visible, text.split("\n"))))  # noqa: T201  # this is where commands print


def show_json(value: object) -> None:
    """Print one value as JSON."""
    from tracker.cli.render import to_json  # noqa: PLC0415  # see above

    print(to_json(value))  # noqa: T201  # this is where commands print


def show_picture(lines: Sequence[str]) -> None:
    """Print the lines of a picture, in color on a terminal that wants it."""
    from tracker.cli.render import picture  # noqa: PLC0415  # see above

    picture(lines, sys.stdout)

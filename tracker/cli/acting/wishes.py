"""The options of the commands that change something: how to send, and the fields of an order.

A field has the name that it has in the panel's form, with dashes. Imports nothing heavy.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import click

from tracker.errors import UsageFault

F = TypeVar("F", bound=Callable[..., Any])

_TEXTS: Final = {
    "link": "What the order is for.",
    "quantity": "How many; of a drip-feed, how many in each run.",
    "runs": "Drip-feed: how many times.",
    "interval": "Drip-feed: minutes between two runs.",
    "username": "Whose followers, comment or posts are meant.",
    "hashtag": "Mentions: users of this hashtag.",
    "media": "Mentions: people who liked this.",
    "answer_number": "Poll: which answer.",
    "min": "Subscription: at least so many for each post.",
    "max": "Subscription: at most so many.",
    "posts": "Subscription: for so many new posts.",
    "old_posts": "Subscription: for so many posts that exist already.",
    "delay": "Subscription: minutes to wait after a post.",
    "expiry": "Subscription: the day it ends, as the panel writes it (d/m/Y).",
    "country": "Web traffic: from where.",
    "device": "Web traffic: on which device (a number, see the panel).",
    "type_of_traffic": "Web traffic: how it arrives (a number, see the panel).",
    "google_keyword": "Web traffic: searched for.",
    "referring_url": "Web traffic: coming from.",
}
LISTS: Final = {
    "comments": "A file with one comment a line; - reads stdin.",
    "usernames": "One a line, or the option once for each; - reads stdin.",
    "hashtags": "As --usernames.",
    "groups": "As --usernames.",
    "keywords": "As --usernames.",
}
FIELDS: Final = (*_TEXTS, *LISTS)
LARGEST: Final = 8 * 1024 * 1024
"""Bytes of a list: PHP, in which most panels are written, takes requests of 8 MiB unless it is told otherwise."""

_NUMBERS: Final = frozenset(
    ("quantity", "runs", "interval", "answer_number", "min", "max", "posts", "old_posts", "delay")
)
"""Fields whose help says N; whether a text is a number is told with all other slips of the order."""


class How(NamedTuple):
    """How something is to be sent."""

    yes: bool
    dry_run: bool
    despite_unknown: bool
    no_check: bool


_OPTIONS: Final = (
    click.option("--yes", "-y", is_flag=True, help="Do not ask: for scripts."),
    click.option(
        "--dry-run", is_flag=True, help="Only look: print what would be sent, and change nothing anywhere."
    ),
    click.option(
        "--despite-unknown",
        is_flag=True,
        help="Send although the outcome of the same wish is unknown. It may then be done, and paid, twice.",
    ),
    click.option("--no-check", is_flag=True, help="Hold nothing against the catalog: let the panel decide."),
)


def changing_options(command: F) -> F:
    """Add --yes, --dry-run, --despite-unknown and --no-check, and pass them to the command as one `How`."""

    @wraps(command)
    def changing(**given: Any) -> object:  # noqa: ANN401  # whatever else the command takes
        how = How(**{name: given.pop(name) for name in How._fields})
        return command(how, **given)

    decorated: Callable[..., Any] = changing
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[return-value]  # click calls it with keywords only


def field_options(command: F) -> F:
    """Add an option for every field that a documented type of service has, and --field for what panels invent."""
    more = click.option(
        "--field", "more", multiple=True, metavar="NAME=VALUE", help="A field that only this panel has."
    )
    decorated = more(command)
    for name, line in reversed(LISTS.items()):
        several = name != "comments"
        metavar = "TEXT" if several else "FILE"
        decorated = click.option(_option(name), name, multiple=several, metavar=metavar, help=line)(decorated)
    for name, line in reversed(_TEXTS.items()):
        metavar = "N" if name in _NUMBERS else "TEXT"
        decorated = click.option(_option(name), name, metavar=metavar, help=line)(decorated)
    return decorated


def fields_of(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that were typed, lists one a line. Raises `UsageFault` for a file that cannot be read.

    What a type of service takes, and whether a number is one, is not decided here.
    """
    lists = {name: [given[name]] if isinstance(given[name], str) else [*(given[name] or ())] for name in LISTS}
    readers = [_option(name) for name, values in lists.items() for value in values if value == "-"]
    if len(readers) > 1:
        raise UsageFault(f"{' and '.join(readers)} cannot both read stdin: it is there once.")
    fields = {name: given[name] for name in _TEXTS if given[name] is not None}
    if given["comments"] is not None:
        fields["comments"] = _read("--comments", given["comments"])
    return fields | {name: _listed(name, given[name]) for name in LISTS if name != "comments" and given[name]}


def invented(more: Sequence[str]) -> dict[str, str]:
    """Return the fields of --field by name. Raises `UsageFault` for one that is none, or comes twice."""
    fields: dict[str, str] = {}
    for text in more:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise UsageFault(f"--field {text!r} is not like name=value.")
        if name.strip() in fields:
            raise UsageFault(f"--field {name.strip()} was given twice.")
        fields[name.strip()] = value
    return fields


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(name: str, values: Sequence[str]) -> str:
    return "\n".join(_read(_option(name), value) if value == "-" else value for value in values)


def _read(option: str, name: str) -> str:
    """Return the text of a file, or of stdin for `-`."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
            data = stream.read(LARGEST + 1)
        if len(data) <= LARGEST:
            return data.decode("utf-8-sig")
        raise UsageFault(f"{option} {name} holds more than {LARGEST:,} bytes, which is more than panels take.")
    except OSError as error:
        raise UsageFault(f"{option} {name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageFault(f"{option} {name} is not UTF-8: save it as UTF-8, or name another file.") from None

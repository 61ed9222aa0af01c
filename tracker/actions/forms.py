"""PURE: which fields an order of each service type takes, whether they can be meant, and what it costs.

The types and their fields are those of the public documentation of API v2 panels ("Add order", one form for each
type). Panels add types of their own, so a type that nobody listed takes every field that is known.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from tracker.errors import UsageFault
from tracker.model import Service
from tracker.panel.fields import OddValue, money
from tracker.panel.words import fold

Given: TypeAlias = str | int | Decimal | Sequence[str] | None
"""A field as people give it: one that is None or empty is not there, a list is one item a line."""


class Form(NamedTuple):
    """The fields of one service type, beside `service`."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()


def _form(required: str, optional: str = "") -> Form:
    return Form(frozenset(required.split()), frozenset(optional.split()))


FORMS: Final[Mapping[str, Form]] = {
    "Default": _form("link quantity", "runs interval"),
    "Package": _form("link"),
    "SEO": _form("link quantity keywords"),
    "Custom Comments": _form("link comments"),
    "Custom Comments Package": _form("link comments"),
    "Mentions": _form("link quantity usernames"),
    "Mentions with Hashtags": _form("link quantity usernames hashtags"),
    "Mentions Custom List": _form("link usernames"),
    "Mentions Hashtag": _form("link quantity hashtag"),
    "Mentions User Followers": _form("link quantity username"),
    "Mentions Media Likers": _form("link quantity media"),
    "Comment Likes": _form("link quantity username"),
    "Comment Replies": _form("link username comments"),
    "Poll": _form("link quantity answer_number"),
    "Invites from Groups": _form("link quantity groups"),
    "Web Traffic": _form(
        "link quantity country device type_of_traffic", "runs interval google_keyword referring_url"
    ),
    # Some panels ask for posts and delay as well, others take them as unlimited and none: they say so themselves.
    "Subscriptions": _form("username min max", "posts old_posts delay expiry"),
}
FIELDS: Final[frozenset[str]] = frozenset().union(*(form.required | form.optional for form in FORMS.values()))
"""Every field that any type takes, `service` aside."""

LISTS: Final[Mapping[str, str]] = {
    "comments": "comment",
    "usernames": "user name",
    "hashtags": "hashtag",
    "keywords": "keyword",
    "groups": "group",
}
"""Fields of one item a line, and what an item is; a line break anywhere else is a slip."""

NUMBERS: Final[Mapping[str, int]] = {
    "quantity": 1, "min": 1, "max": 1, "runs": 1, "interval": 1,
    "posts": 0, "old_posts": 0, "delay": 0, "answer_number": 0,
}  # fmt: skip
"""Fields that are whole numbers, and the least that makes sense."""

COUNTED: Final[Mapping[str, str]] = {
    "customcomments": "comments",
    "commentreplies": "comments",
    "mentionscustomlist": "usernames",
}
"""Types without a quantity of their own: it is the number of lines in this field."""

PACKAGES: Final = frozenset({"package", "customcommentspackage"})
"""Types that are sold whole: the catalog's rate is the price, and min and max say nothing."""

UNLISTED: Final = Form(frozenset({"link"}), FIELDS - {"link"})
"""For a type that the panel does not tell, or that nobody listed."""

LONGEST_REFERENCE: Final = 200
"""Characters: a number, a uuid or a URL of a shop."""

_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_SUBSCRIPTIONS: Final = "subscriptions"
_FORMS: Final = {fold(name): form for name, form in FORMS.items()}
_WHOLE: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_EXPIRY: Final = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})", re.ASCII)
_REFERRED: Final = {"1": "google_keyword", "2": "referring_url"}
"""What a type_of_traffic needs beside it: 1 comes from a search, 2 from another page, 3 from nowhere."""


def form_of(type_: str | None) -> Form:
    """Return the form of a service type, however it is spelled (case, spaces, `_`, `-`)."""
    return _FORMS.get(fold(type_ or ""), UNLISTED)


def check(service: Service, fields: Mapping[str, Given], more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the form to send, `service` included, without key and action.

    `more` holds fields that this panel has invented, of which nothing is known. Texts are stripped, lists lose
    their blank lines and get plain line ends, numbers lose leading zeros. Raises `UsageFault` with every problem.
    """
    problems: list[str] = []
    cleaned = {name: _cleaned(name, given, problems) for name, given in {**fields, **(more or {})}.items()}
    sent = {name: told for name, told in cleaned.items() if told}
    form = form_of(service.type)
    named = service.type if service.type and fold(service.type) in _FORMS else "this service"
    problems += [f"{named} takes no {name}" for name in fields if name in sent and name not in _all(form)]
    problems += [told for name in more or () if (told := _misnamed(name)) is not None]
    problems += [_missing(name) for name in sorted(form.required - sent.keys(), key=_in_order)]
    fitting = {name: told for name, told in sent.items() if name in _all(form)}
    figures = {
        name: int(told)
        for name, told in fitting.items()
        if name in NUMBERS and _WHOLE.fullmatch(told) and int(told) >= NUMBERS[name]
    }
    _check_quantity(service, fitting, figures, problems)
    _check_together(fitting, figures, problems)
    if problems:
        kind = f" ({service.type})" if service.type else ""
        told = f" {problems[0]}" if len(problems) == 1 else "".join(f"\n  {problem}" for problem in problems)
        raise UsageFault(f"an order of service {service.service_id}{kind} cannot be sent like this:{told}")
    return {"service": service.service_id, **sent}


def plain(service: Service, fields: Mapping[str, Given], more: Mapping[str, str]) -> dict[str, str]:
    """Return a form as it was given, its lists joined; only what cannot be stored raises `UsageFault`."""
    told = {name: _text(given) for name, given in {**fields, **more}.items() if given is not None}
    if odd := [name for name, text in told.items() if name == "service" or _UNSTORABLE.search(name + text)]:
        raise UsageFault(f"an order cannot be sent with this: {', '.join(map(repr, odd))}")
    return {"service": service.service_id, **told}


def reference(ref: str | None) -> str | None:
    """Return a reference as it is kept; None for an empty one. Raises `UsageFault`."""
    text = (ref or "").strip()
    if len(text) > LONGEST_REFERENCE or _unsendable(text):
        raise UsageFault(f"a reference is one line of at most {LONGEST_REFERENCE} characters, not {text[:50]!r}")
    return text or None


_RESERVED: Final = frozenset({"key", "action", "service"})
_OWN: Final = FIELDS | _RESERVED


_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}(?:\[[A-Za-z0-9_-]{0,99}\])*", re.ASCII)


def _misnamed(name: str) -> str | None:
    """Say why a field cannot have this name; PHP, in which most panels are written, reads `key[]` as `key`."""
    own = name.partition("[")[0].lower()
    if own in _RESERVED:
        return f"{name} is not for you to give: it is sent anyhow"
    if own in _OWN:
        return f"{name} is a field of its own: give it as such"
    return None if _NAME.fullmatch(name) else f"{name!r} cannot be the name of a field"


def _all(form: Form) -> frozenset[str]:
    return form.required | form.optional


def _in_order(name: str) -> tuple[bool, bool, str]:
    return name != "link", name != "quantity", name


def _missing(name: str) -> str:
    return f"{name} is missing{f': one {LISTS[name]} a line' if name in LISTS else ''}"


def _cleaned(name: str, given: Given, problems: list[str]) -> str:
    """Return a field as it is sent, empty where it is not there; note what cannot be meant."""
    if given is None:
        return ""
    if isinstance(given, (bool, float)) or not isinstance(given, (str, int, Decimal, Sequence)):
        problems.append(f"{name} is no text and no whole number: {given!r}")
        return ""
    lines = [line.strip() for line in _text(given).replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > 1 and name in FIELDS and name not in LISTS:
        problems.append(f"{name} has {len(lines)} lines where one is meant")
    problems += [
        f"{name}{f', line {number}' if name in LISTS else ''} holds {why}"
        for number, line in enumerate(lines, 1)
        if (why := _unsendable(line))
    ]
    text = "\n".join(lines)
    if text and name in NUMBERS:
        return _number(name, text, problems)
    if text and name == "expiry" and not _is_date(text):
        problems.append(f"expiry is no day/month/year such as 31/12/2030: {text!r}")
    return text


def _text(given: str | int | Decimal | Sequence[str]) -> str:
    return f"{given}" if isinstance(given, (str, int, Decimal)) else "\n".join(map(str, given))


def _unsendable(line: str) -> str | None:
    """Say what in a line no panel can read: what breaks lines for some readers, and half of a character."""
    categories = {unicodedata.category(character) for character in line}
    if "Cs" in categories:
        return "half a character"
    return "a control character" if categories & {"Cc", "Zl", "Zp"} else None


def _number(name: str, text: str, problems: list[str]) -> str:
    if not _WHOLE.fullmatch(text):
        problems.append(f"{name} is no whole number: {text!r}")
    elif int(text) < NUMBERS[name]:
        problems.append(f"{name} is {int(text)}, the least is {NUMBERS[name]}")
    else:
        return str(int(text))
    return text


def _is_date(text: str) -> bool:
    found = _EXPIRY.fullmatch(text)
    try:
        return found is not None and bool(date(int(found[3]), int(found[2]), int(found[1])))
    except ValueError:
        return False


def _check_quantity(
    service: Service, sent: Mapping[str, str], figures: Mapping[str, int], problems: list[str]
) -> None:
    """Note what is outside of the service's min and max."""
    kind = fold(service.type or "")
    if kind in PACKAGES:
        return
    if kind in COUNTED and COUNTED[kind] in sent:
        pieces = [(f"the number of {COUNTED[kind]}", sent[COUNTED[kind]].count("\n") + 1)]
    else:
        pieces = [(name, figures[name]) for name in ("quantity", "min", "max") if name in figures]
    for name, number in pieces:
        if service.min is not None and number < service.min:
            problems.append(f"{name} is {number}, the service takes at least {service.min}")
        if service.max is not None and number > service.max:
            problems.append(f"{name} is {number}, the service takes at most {service.max}")


def _check_together(sent: Mapping[str, str], figures: Mapping[str, int], problems: list[str]) -> None:
    """Note fields that do not fit each other."""
    if ("runs" in sent) != ("interval" in sent):
        there, other = ("runs", "interval") if "runs" in sent else ("interval", "runs")
        problems.append(f"{there} goes together with {other} (runs, and the minutes between them)")
    if figures.get("min", 0) > figures.get("max", figures.get("min", 0)):
        problems.append(f"min is {figures['min']}, which is above max, {figures['max']}")
    needed = _REFERRED.get(sent.get("type_of_traffic", ""))
    if needed is not None and needed not in sent:
        problems.append(f"type_of_traffic {sent['type_of_traffic']} needs {needed}")


def pieces(service: Service, form: Mapping[str, str]) -> int | None:
    """Return how many pieces a checked form asks for, those of one run; None for packages and subscriptions."""
    kind = fold(service.type or "")
    counted = COUNTED.get(kind)
    if counted is not None:
        return form[counted].count("\n") + 1 if counted in form else None
    if kind in PACKAGES or not _WHOLE.fullmatch(form.get("quantity", "")):
        return None
    return int(form["quantity"])


def price(service: Service, form: Mapping[str, str]) -> Decimal | None:
    """Return what an order costs by the catalog, all runs of a drip-feed together; None where nobody can tell.

    The rate is the price of 1000 pieces, of a package that of the whole. How many posts a subscription will find,
    and so its price, cannot be foreseen.
    """
    kind = fold(service.type or "")
    if service.rate is None or kind == _SUBSCRIPTIONS:
        return None
    if kind in PACKAGES:
        return service.rate
    number, runs = pieces(service, form), form.get("runs", "1")
    if number is None or not _WHOLE.fullmatch(runs):
        return None
    try:
        return money(service.rate * number * int(runs) / 1000)
    except OddValue:  # more than any account holds
        return None

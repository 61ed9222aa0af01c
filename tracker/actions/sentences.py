"""PURE: the panels' words about a changing action, as sentences that say what they mean and what to do.

Panels word their errors as they like, so a text is matched loosely, the more special meaning first. The panel's
own words are kept beside the sentence by whoever shows it.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from tracker.model import Action

_NOT: Final = r"(?:not|n'?t|cannot|never|unable)"
_BAD: Final = r"(?:incorrect|invalid|wrong|bad|unknown|missing)"
_FIELD: Final = (
    r"(?P<field>quantity|comments|usernames?|hashtags?|media|answer number|groups|keywords|runs|interval|min|max"
    r"|posts|old posts|delay|expiry|country|device|type of traffic|google keyword|referring url)"
)

_ADD: Final[Mapping[str, tuple[str, ...]]] = {
    "the account does not hold enough for this order: top it up at the panel, then order again": (
        r"not enough (?:funds|balance|money)",
        r"(?:insufficient|low) (?:funds|balance)",
        r"недостаточно средств",
    ),
    "an order for this link is still under way at the panel: wait until it has ended, or use another link": (
        r"link duplicate|duplicate link",
        r"active order (?:with|for) this link",
        r"already .*(?:order|link)",
    ),
    "the panel does not sell this service any more: `tracker poll catalog` reads what it sells now": (
        rf"{_BAD} service|no such service",
        rf"service (?:id )?(?:is )?(?:{_BAD}|{_NOT}|inactive|disabled|unavailable)",
    ),
    "the quantity is below what the panel takes for this service now: `tracker poll catalog`, then order more": (
        r"\bmin(?:imum)? quantity|less than (?:the )?min",
        r"quantity .*(?:less|below|small|min\b|minimum|at least)",
    ),
    "the quantity is above what the panel takes for this service now: `tracker poll catalog`, then order less": (
        r"\bmax(?:imum)? quantity|more than (?:the )?max",
        r"quantity .*(?:more|above|exceed|greater|large|max\b|maximum|at most)",
    ),
    "the panel does not take this link: check its spelling, and that what it leads to is public": (
        rf"error link\b|{_BAD} (?:link|url)",
        rf"(?:link|url) (?:is )?(?:{_BAD}|{_NOT}|required)",
    ),
    "the panel does not take the field {field} as it is: check it against what the service asks for": (
        rf"error {_FIELD}\b",
        rf"{_BAD} {_FIELD}\b",
    ),
}

_REFILL: Final[Mapping[str, tuple[str, ...]]] = {
    "a refill of this order is open already: wait for its end, `tracker refills` shows it": (
        r"already .*(?:open|request|refill)|refill .*already",
        r"open (?:request|refill)",
    ),
    "the panel does not refill this order: it is not completed, too old, or its service has no refill": (
        rf"{_NOT} (?:be )?(?:refill|eligible|available|allowed|completed)|no refill",
        rf"refill .*(?:{_NOT} (?!found)|disabled|expired)",
    ),
}

_CANCEL: Final[Mapping[str, tuple[str, ...]]] = {
    "its cancellation was asked for already: polling will show what becomes of it": (
        r"already .*(?:request|cancel)|cancel\w* .*(?:already|requested)",
    ),
    "the panel does not cancel this order: it is too far, has ended, or its service has no cancel": (
        rf"{_NOT} (?:be )?(?:cancel|eligible|available|allowed)|no cancel",
        rf"cancel\w* .*(?:{_NOT} (?!found)|disabled)",
    ),
}

_ORDER: Final[Mapping[str, tuple[str, ...]]] = {
    "the panel knows no such order under this key: check the id, and that it is of this panel": (
        rf"{_BAD} (?:order|id)|no such order",
        rf"order.* (?:not (?:found|exist)|does ?n[o']t exist)|(?:order|id) (?:id )?(?:is )?{_BAD}",
        r"заказ не найден",
    ),
}

_ANY: Final[Mapping[str, tuple[str, ...]]] = {
    "the panel does not understand this request: it may not offer this action through its API": (
        rf"{_BAD} (?:request|action|method|param|order param)|not supported",
        r"неверный запрос|некорректный запрос",
    ),
}

_MEANINGS: Final[Mapping[Action, Mapping[str, tuple[str, ...]]]] = {
    "add": {**_ADD, **_ANY},
    "refill": {**_REFILL, **_ANY, **_ORDER},
    "cancel": {**_CANCEL, **_ANY, **_ORDER},
}


_BROKE: Final = re.compile(
    r"\b(?:internal|server|database|sql|php|fatal|unexpected|unhandled|uncaught|unknown) (?:server )?error\b"
    r"|\btime(?:d|[ -])? ?out\b|\bsomething went wrong|\bexception\b|\bsqlstate\b|\bdeadlock\b"
)


def broke(words: str) -> bool:
    """Tell whether a panel's refusal only says that it failed: then it may have failed after it had done it."""
    return _BROKE.search(_folded(words)) is not None


def _folded(words: str) -> str:
    return re.sub(r"[\s_.]+", " ", words[:300].lower()).strip()


@lru_cache(maxsize=256)
def sentence(action: Action, words: str) -> str | None:
    """Return what a panel's refusal of `action` means for a person; None for words that nobody listed."""
    folded = _folded(words)
    for told, patterns in _MEANINGS[action].items():
        for pattern in patterns:
            if found := re.search(pattern, folded):
                return told.format(**{name: text.replace(" ", "_") for name, text in found.groupdict().items()})
    return None

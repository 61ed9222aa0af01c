"""The panel's words as our states (docs/architecture.md, States); the spellings are those of many panels."""

import re
from functools import lru_cache
from typing import Final, cast

from tracker.model import REFILL_STATES, STATES, RefillState, State
from tracker.panel.fields import WORD_LIMIT, text

_FOLD: Final = re.compile(r"[\s_-]+")

# Our own states are spelled as panels spell them, except these, which no panel may set.
_OURS: Final = frozenset({"new", "unknown", "missing", "requested"})

_ORDER: Final[dict[str, State]] = {
    "awaiting": "pending",
    "refill": "in_progress",
    "complete": "completed",
    "success": "completed",
    "cancelled": "canceled",
    "cancel": "canceled",
    "refund": "refunded",
    "refunds": "refunded",
    "fail": "failed",
    "error": "failed",
    **{state.replace("_", ""): state for state in STATES if state not in _OURS},
}

_REFILL: Final[dict[str, RefillState]] = {
    "awaiting": "pending",
    "processing": "in_progress",
    # The panel agreed to the refill; nothing says yet that it was delivered, so it is asked again.
    "approved": "in_progress",
    "complete": "completed",
    "success": "completed",
    "finish": "completed",
    "finished": "completed",
    "declined": "rejected",
    "cancelled": "canceled",
    "cancel": "canceled",
    "fail": "failed",
    "error": "failed",
    **{state.replace("_", ""): state for state in REFILL_STATES if state not in _OURS},
}


def fold(word: str) -> str:
    """Return a word in lower case, without spaces, `_` and `-`."""
    return _FOLD.sub("", word.lower())


@lru_cache(maxsize=2048)
def order_word(word: str) -> tuple[State, str]:
    """Return the state that an order's word means, and the word as it is kept. `word` is capped by the caller."""
    kept = cast("str", text(word, WORD_LIMIT))
    return _ORDER.get(fold(kept), "unknown"), kept


@lru_cache(maxsize=2048)
def refill_word(word: str) -> tuple[RefillState, str]:
    """Return the state that a refill's word means, and the word as it is kept. `word` is capped by the caller."""
    kept = cast("str", text(word, WORD_LIMIT))
    return _REFILL.get(fold(kept), "unknown"), kept

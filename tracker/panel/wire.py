"""From the JSON value of a reply to typed answers, in every dialect.

Each reader takes the value and what was asked. It raises the fault that the whole reply is (see `faults`) and
reads the rest item by item, so that one odd item never spoils its neighbors. Whatever is not understood becomes
an `Odd`, never a `Status`. Catalogs are read in `listing`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar, cast

from tracker.errors import BadReply, PanelFault
from tracker.model import NO_CURRENCY, Answer, Balance, NotFound, Odd, RefillAnswer, RefillStatus, State, Status
from tracker.panel.faults import error_text, fault_of, has_figures, meaning
from tracker.panel.fields import WORD_LIMIT, OddValue, count, currency, ident, money
from tracker.panel.redact import redact
from tracker.panel.words import fold, order_word, refill_word

Taken: TypeAlias = str | NotFound | Odd
"""How one wish of a bulk action was taken: the text given for it (an id, a ticket, a mere "1"), or why not."""

A = TypeVar("A")


class Answers(dict[str, A]):
    """Answers by asked id, and what else is to be known about the asking."""

    foreign: tuple[str, ...] = ()
    """Ids that were answered though nobody asked; ignored."""
    fault: PanelFault | None = None
    """What ended the asking early, where it took several requests: an id that is no key here was not answered."""


_NOTHING: Final = re.compile(r"-[0-9]+|0+|no|none|null|false|failed?|error|undefined", re.ASCII | re.IGNORECASE)
"""In the place of the id of something new: there is nothing new. "-1" is how many programs say that."""
_FAILED: Final = frozenset({"error", "fail", "failed", "false"})
_AGREED: Final = frozenset({"ok", "success", "accepted"})
"""Words for a request that was heard; beside figures, or of a refill, `success` is also a word for its end."""

_ABSENT: Final = Odd("absent", "the reply leaves this id out")


def read_statuses(value: object, ids: Sequence[str]) -> Answers[Answer]:
    """Read the reply to `status` for one id or many: one answer for each of `ids`.

    Raises the fault that answers the whole request, and BadReply for a reply that is no answer, or of which half
    or more is about other ids: it belongs to another question, and may have mixed up the rest as well.
    """
    return _read(value, ids, ("order", "status"), _status)


def read_refill_statuses(value: object, ids: Sequence[str]) -> Answers[RefillAnswer]:
    """Read the reply to `refill_status` for one id or many; raises as `read_statuses` does."""
    return _read(value, ids, ("refill", "status"), _refill_status)


def read_refills(value: object, ids: Sequence[str]) -> Answers[Taken]:
    """Read the reply to `refill` with `orders`: the id of each order's refill; raises as `read_statuses` does."""
    return _read(value, ids, ("order", "refill"), lambda item: _taken(item, "refill"))


def read_cancels(value: object, ids: Sequence[str]) -> Answers[Taken]:
    """Read the reply to `cancel` with `orders`: asked, never done; raises as `read_statuses` does."""
    return _read(value, ids, ("order", "cancel"), lambda item: _taken(item, "cancel"))


def read_add(value: object) -> str:
    """Return the new order's id. Raises Refused (or its like) with the panel's words, BadReply without an id.

    An error *beside* an id is a BadReply: the order may exist, so nobody may call it refused.
    """
    told: Mapping[str, object] = value if isinstance(value, dict) else {}
    order_id = _made(told.get("order"))
    if order_id is None:
        _whole(value)
        raise _unread(value, "the id of an order")
    if error_text(value) is not None or fold(f"{told.get('status')}"[:WORD_LIMIT]) in _FAILED:
        raise _unread(value, "either an order or an error, but both")
    return order_id


def read_refill(value: object) -> str:
    """Return the refill's id, or the "1" of a panel that gives none; raises as `read_add` does."""
    return _granted(_taken(_whole(value), "refill"), value)


def read_cancel(value: object) -> str:
    """Return the panel's yes (`ok`, a ticket, a sentence): asked, never done. Raises as `read_add` does."""
    told = _whole(value)
    if "cancel" in told:
        return _granted(_taken(told, "cancel"), value)
    said = told.get("success")
    if said is True or (isinstance(said, str) and said.strip() and not _NOTHING.fullmatch(said.strip())):
        return redact(said) if isinstance(said, str) else "1"
    status = told.get("status")
    if isinstance(status, str) and fold(status[:WORD_LIMIT]) in _AGREED:
        return redact(status)
    raise _unread(value, "a yes or a no")


def read_balance(value: object) -> Balance:
    """Return the balance; raises as `read_add` does."""
    told = _whole(value)
    try:
        amount = money(told.get("balance"))
        if amount is not None:
            return Balance(amount, currency(told.get("currency")) or NO_CURRENCY)
    except OddValue as exc:
        raise BadReply(f"the reply tells no balance: {exc}") from None
    raise _unread(value, "a balance")


def _whole(value: object) -> Mapping[str, object]:
    """Return the one object that a reply is; raise the fault that it tells."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        told = error_text(value)
        if told is None:
            return value
        raise fault_of(told)
    if isinstance(value, str) and meaning(value) != "refused":
        raise fault_of(value)
    raise _unread(value, "an object")


def _made(given: object) -> str | None:
    """Return the id of what a panel says to have made; None for what says that there is nothing."""
    made = ident(given)
    return None if made is None or _NOTHING.fullmatch(made) else made


def _granted(taken: Taken, value: object) -> str:
    if isinstance(taken, str):
        return taken
    if isinstance(taken, NotFound) or taken.kind == "item_error":
        raise fault_of(taken[-1])
    raise _unread(value, "what became of it")


def _unread(value: object, wanted: str) -> BadReply:
    return BadReply(f"the reply does not tell {wanted}: {redact(repr(value)[:400])}")


def _read(
    value: object, ids: Sequence[str], keys: tuple[str, str], read: Callable[[object], A | NotFound | Odd]
) -> Answers[A]:
    """Return what `read` makes of each id's item; `keys` name an item's id and its content."""
    if len(ids) == 1 and (lone := _not_found(value)):
        return cast("Answers[A]", Answers({ids[0]: lone}))
    items = _items(value, ids, keys)
    answers: Answers[A | NotFound | Odd] = Answers()
    found = 0
    for asked in ids:
        item = items.get(asked)
        if item is None:
            answers[asked] = _ABSENT
        else:
            found += 1
            answers[asked] = read(item)
    if found != len(items):
        asked_for = set(ids)
        # A key with a plain value is a remark ("status": "success"), not an id.
        foreign = tuple(key for key in items if key not in asked_for and isinstance(items[key], dict))
        if foreign and len(foreign) >= found:
            of = f"{len(foreign)} of {len(foreign) + found}"
            raise BadReply(
                f"half of the reply or more is about other ids ({of}): {redact(', '.join(foreign[:5]))}"
            )
        answers.foreign = tuple(redact(key) for key in foreign)
    if not found and value and answers:
        raise _unread(value, "anything about what was asked")
    return cast("Answers[A]", answers)


def _not_found(value: object) -> NotFound | None:
    """Return the answer "no such id" that a whole reply may be, where one id was asked."""
    if isinstance(value, str) or (isinstance(value, dict) and ("error" in value or "status" in value)):
        told = error_text(value)
        if told is not None and meaning(told) == "not_found":
            return NotFound(redact(told))
    return None


def _items(value: object, ids: Sequence[str], keys: tuple[str, str]) -> Mapping[str, object]:
    """Return a reply's items by id: of an object by id, a list, or the flat object for a single id."""
    if isinstance(value, list) and (len(value) != 1 or len(ids) != 1 or _item_id(value[0], keys[0])):
        return _listed(value, keys[0])
    told = _whole(value)
    if len(ids) == 1 and keys[1] in told and told.get(ids[0]) is None:
        return {_item_id(told, keys[0]) or ids[0]: told}
    return told


def _listed(value: list[object], name: str) -> Mapping[str, object]:
    items: dict[str, object] = {}
    for item in value:
        item_id = _item_id(item, name)
        if item_id is None:
            continue
        # Two different answers for one id: nobody can say which is meant, so neither is believed.
        items[item_id] = item if items.get(item_id, item) == item else [items[item_id], item]
    return items


def _item_id(item: object, name: str) -> str | None:
    return ident(item.get(name)) if isinstance(item, dict) else None


# `tuple.__new__` makes a named tuple in half the time; this is done for each order of each poll.
_new: Final = tuple.__new__


def _status(item: object) -> Answer:
    """Read one order's item."""
    if type(item) is not dict:
        return _refused_item(item)
    get = item.get
    word = get("status")
    if type(word) is not str or (("error" in item or "errors" in item) and error_text(item) is not None):
        return _refused_item(item)
    state, kept = order_word(word[:WORD_LIMIT])
    if not kept or (get("charge") is None and not has_figures(item) and _is_of_request(item, kept, state)):
        return _refused_item(item)
    try:
        return _new(
            Status,
            (
                state,
                kept,
                money(get("charge")),
                currency(get("currency")),
                count(get("start_count")),
                count(get("remains")),
                _children(get("orders")) if "orders" in item else (),
            ),
        )
    except OddValue as exc:
        return Odd("bad_item", str(exc))


def _is_of_request(item: Mapping[str, object], word: str, state: State) -> bool:
    """Tell whether the word of an item without figures is about the request: `{"status": "success", …}`."""
    return state == "failed" or fold(word) in _AGREED or _wraps(item)


def _wraps(item: Mapping[str, object]) -> bool:
    return any(isinstance(value, dict) for value in item.values())


def _children(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    ids = [ident(child) for child in value] if isinstance(value, list) else [None]
    if None in ids:
        raise OddValue("`orders` is no list of ids")
    return tuple(dict.fromkeys(cast("list[str]", ids)))


def _refill_status(item: object) -> RefillAnswer:
    """Read one refill's item."""
    word = item.get("status") if isinstance(item, dict) else None
    if isinstance(item, dict) and isinstance(word, str) and error_text(item) is None:
        state, kept = refill_word(word[:WORD_LIMIT])
        says_more = not item.keys() <= {"refill", "status"}
        if kept and not _wraps(item) and not (fold(kept) in _AGREED and says_more):
            return RefillStatus(state, kept)
    return _refused_item(item)


def _taken(item: object, name: str) -> Taken:
    """Read what a panel gave for one wish: `{name: …}` with an id, a mere yes, or an error inside."""
    given = item.get(name) if isinstance(item, dict) else item
    if given is True:
        return "1"
    taken = _made(given)
    if taken is None or error_text(item if isinstance(item, dict) else None) is not None:
        return _refused_item(given if isinstance(given, dict) else item)
    return taken


def _refused_item(item: object) -> NotFound | Odd:
    """Say why an item is no answer: the panel's own words, else that it makes no sense."""
    told = error_text(item)
    if told is None:
        return Odd("bad_item", f"not understood: {redact(repr(item)[:400])}")
    if meaning(told) == "not_found":
        return NotFound(redact(told))
    return Odd("item_error", redact(told))

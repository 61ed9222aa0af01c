"""How panels differ in saying the same: a dialect is a record of choices, and rendering follows them.

Together the dialects cover every variant of API v2 that we know of. Each differs from the documented form in a
few things only, so that a failing test names what was misunderstood.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal, TypeAlias

from tracker.model import Service
from tracker.simulator.books import Look

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Virtual second 0 as a date, for panels that tell one."""

Json: TypeAlias = dict[str, object]

RUSSIAN: Final = {
    "Invalid API key": "Неверный API ключ",
    "Incorrect request": "Некорректный запрос",
    "Incorrect order ID": "Заказ не найден",
    "Incorrect refill ID": "Рефилл не найден",
    "neworder.error.not_enough_funds": "Недостаточно средств на балансе",
}
ODD_WORDS: Final = {
    "Pending": "awaiting",
    "Processing": "In der Warteschlange",
    "In progress": "in-progress",
    "Completed": "COMPLETE",
    "Canceled": "Cancelled",
    "Partial": "PARTIAL",
    "Active": "ACTIVE",
    "Rejected": "Declined",
}
OTHER_WORDS: Final = {
    "Processing": "Paused",
    "In progress": "In_Progress",
    "Completed": "Success",
    "Canceled": "Refunded",
    "Rejected": "Fail",
}
NOTICE: Final = b"<br />\n<b>Notice</b>:  Undefined index: runs in <b>api.php</b> on line <b>12</b><br />\n"
HTTP_CODES: Final = {
    "Invalid API key": 401,
    "neworder.error.not_enough_funds": 402,
    "API access disabled": 403,
    "Incorrect order ID": 404,
    "Incorrect refill ID": 404,
    "Rate limit exceeded": 429,
}
"""What a strict panel answers beside the text; 400 for every other refusal."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """The choices of one panel; the defaults are the documented form."""

    about: str
    numbers: bool = False
    """JSON numbers where the documented form has strings."""
    opaque_ids: bool = False
    bulk: bool = True
    """Knows `orders=` and `refills=`."""
    beyond: Literal["refused", "left_out", "false_error"] = "refused"
    """What becomes of ids past the 100th."""
    unknown: Literal["error", "left_out"] = "error"
    """What a bulk answer does with an id that the panel does not know."""
    flat_single: bool = False
    """Answers `orders=` with one id as it does `order=`."""
    nested_error: bool = False
    """A single status of a bad id is `{"999": {"error": …}}`."""
    error_beside: bool = False
    """Item errors stand beside the id, not inside of the value."""
    refill: Literal["own_id", "order_id", "yes"] = "own_id"
    cancel: Literal["status", "one", "ticket", "sentence"] = "status"
    add: Literal["order", "success"] = "order"
    error: Literal["error", "msg", "coded"] = "error"
    http_codes: bool = False
    """Refusals are 4xx; a rate limit is 429, elsewhere 200."""
    flags: Literal["bool", "int", "text", "absent"] = "bool"
    sparse: bool = False
    """Leaves out what it can: no currency, start_count null, no type, category null, a service id twice."""
    chatty: bool = False
    """Says more than was asked."""
    late: bool = False
    """Charge 0 until delivery starts; more ordered than asked at first, more delivered in the end."""
    empty_catalog: bool = False
    """Has nothing to sell, and says so in an object."""
    words: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    preamble: bytes = b""
    content_type: str = "application/json"


DIALECTS: Final[Mapping[str, Dialect]] = {
    "documented": Dialect("the documented form"),
    "numbers": Dialect("JSON numbers, flags 1 and 0", numbers=True, flags="int", cancel="one"),
    "opaque-ids": Dialect("ids that are no numbers", opaque_ids=True, unknown="left_out"),
    "no-bulk": Dialect("knows neither orders= nor refills=", bulk=False),
    "strict-http": Dialect("4xx codes with the JSON error as body", http_codes=True, cancel="ticket"),
    "php": Dialect(
        "a BOM and a notice before JSON that claims to be HTML",
        preamble=b"\xef\xbb\xbf" + NOTICE,
        content_type="text/html; charset=utf-8",
        flags="text",
    ),
    "bom": Dialect("a byte order mark before the JSON", preamble=b"\xef\xbb\xbf", content_type="text/html"),
    "limit-left-out": Dialect("leaves out ids past the 100th", beyond="left_out"),
    "limit-false-error": Dialect("answers ids past the 100th with a false error", beyond="false_error"),
    "mere-yes": Dialect("a refill is answered 1, whatever the order", refill="yes", cancel="one"),
    "refill-echo": Dialect("a refill is known by its order's id", refill="order_id", error_beside=True),
    "single-flat": Dialect("orders= with one id is answered as order=", flat_single=True, unknown="left_out"),
    "nested-error": Dialect("a bad single id is answered as in bulk", nested_error=True, cancel="sentence"),
    "success-envelope": Dialect(
        "status success, or error with msg", add="success", error="msg", cancel="sentence"
    ),
    "coded-errors": Dialect("errors carry a code called status", error="coded", cancel="ticket"),
    "empty-catalog": Dialect("sells nothing", empty_catalog=True),
    "foreign-words": Dialect("words in another form, errors in Russian", words=ODD_WORDS, texts=RUSSIAN),
    "other-words": Dialect("rarer words", words=OTHER_WORDS, numbers=True),
    "sparse": Dialect("tells as little as it can", sparse=True, flags="absent", unknown="left_out"),
    "chatty": Dialect("tells more than was asked", chatty=True),
    "late-charge": Dialect("charges late, delivers more than asked", late=True),
}


def wire_id(order_id: str) -> int | str:
    """Return an id as JSON: a number where it is one."""
    return int(order_id) if order_id.isascii() and order_id.isdigit() else order_id


def word(dialect: Dialect, status: str) -> str:
    """Return the panel's own word for a status."""
    return dialect.words.get(status, status)


def figure(dialect: Dialect, value: Decimal | int | str) -> object:
    """Return an amount or a count as JSON: text as documented, or a number."""
    if not dialect.numbers:
        return str(value)
    return float(value) if isinstance(value, Decimal) else value  # five decimals survive a float's shortest text


def status_item(dialect: Dialect, look: Look, currency: str) -> Json:
    """Return what the panel says of one order."""
    order, step = look.order, look.step
    if step.charge is None or step.remains is None:
        return _parent_item(dialect, look)
    charge, remains = step.charge, step.remains
    if dialect.late:
        over = max(1, order.quantity // 20)
        if step.status == "Pending":
            charge, remains = Decimal(0), remains + over
        elif step.status == "Completed":
            remains = -over
    item: Json = {
        "charge": figure(dialect, charge),
        "start_count": figure(dialect, step.start_count or 0),
        "status": word(dialect, step.status),
        "remains": figure(dialect, remains),
        "currency": currency,
    }
    if dialect.sparse:
        item["start_count"] = None
        del item["currency"]
    if dialect.chatty:
        created = f"{EPOCH + timedelta(seconds=order.born):%Y-%m-%d %H:%M:%S}"
        item |= {
            "order": wire_id(order.order_id),
            "service": wire_id(order.service_id),
            "link": order.link,
            "quantity": str(order.quantity),
            "created_at": created,
        }
    return item


def _parent_item(dialect: Dialect, look: Look) -> Json:
    children = [wire_id(child) for child in look.children]
    item: Json = {"status": word(dialect, look.step.status)}
    if look.order.runs:
        return item | {"runs": figure(dialect, look.order.runs), "orders": children}
    return item | {"expiry": True, "posts": figure(dialect, look.order.posts), "orders": children}


def catalog_rows(dialect: Dialect, services: list[Service]) -> object:
    """Return the catalog as the panel lists it."""
    if dialect.empty_catalog:
        return {"status": "success", "data": "Empty Data"}
    rows = [_row(dialect, service) for service in services]
    if dialect.sparse and rows:
        rows.append(rows[0] | {"name": "the same id once more", "rate": "99.99"})
    return rows


def _row(dialect: Dialect, service: Service) -> Json:
    row: Json = {"service": wire_id(service.service_id), "name": service.name}
    if dialect.sparse:
        row |= {"category": None}
    else:
        row |= {"type": service.type, "category": service.category}
    row |= {
        "rate": figure(dialect, service.rate or Decimal(0)),
        "min": figure(dialect, service.min or 1),
        "max": figure(dialect, service.max or 1),
    }
    if dialect.flags != "absent":
        row |= {"refill": _flag(dialect, service.refill), "cancel": _flag(dialect, service.cancel)}
    if dialect.chatty:
        row |= {
            "dripfeed": service.type == "Default",
            "desc": "Start: 0-1 h\nSpeed: 5K a day",
            "description": None,
            "average_time": "1 hour 12 minutes",
        }
    return row


def _flag(dialect: Dialect, value: object) -> object:
    if dialect.flags == "bool":
        return bool(value)
    return int(bool(value)) if dialect.flags == "int" else str(int(bool(value)))


def refusal(dialect: Dialect, text: str) -> tuple[int, Json]:
    """Return the HTTP code and the value with which a whole request is refused."""
    code = HTTP_CODES.get(text, 400) if dialect.http_codes else 200
    said = dialect.texts.get(text, text)
    if dialect.error == "msg":
        return code, {"status": "error", "msg": said}
    if dialect.error == "coded":
        return code, {"error": said, "status": str(100 + HTTP_CODES.get(text, 400) % 100)}
    return code, {"error": said}

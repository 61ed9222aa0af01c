"""A panel's catalog from the JSON value of its reply."""

from collections.abc import Callable
from typing import TypeVar

from tracker.errors import BadReply
from tracker.model import Odd, Service
from tracker.panel.faults import error_text, fault_of
from tracker.panel.fields import OddValue, count, flag, ident, money, text
from tracker.panel.redact import redact

T = TypeVar("T")


class Services(list[Service]):
    """The rows of a catalog in the panel's order, and what in it was not believed."""

    odd: tuple[Odd, ...] = ()


def read_services(value: object) -> Services:
    """Read the reply to `services`; of two rows with one id the first wins.

    A field that makes no sense is told as None, a row without an id is left out, both with an `Odd`. Raises the
    fault that the whole reply is, and BadReply where it is no list or most of its rows have no id: half a catalog
    must not look like one that lost half its services.
    """
    if isinstance(value, dict):
        if (told := error_text(value)) is not None:
            raise fault_of(told)
        value = value.get("data")
        if isinstance(value, str) and value.strip().lower() == "empty data":
            value = []
    if not isinstance(value, list):
        raise BadReply(f"the reply is no list of services: {redact(repr(value)[:400])}")
    odd: list[Odd] = []
    rows: dict[str, Service] = {}
    nameless = 0
    for row in value:
        service_id = ident(row.get("service")) if isinstance(row, dict) else None
        if service_id is None:
            nameless += 1
            odd.append(Odd("bad_item", f"a service without an id: {redact(repr(row)[:400])}"))
        elif service_id not in rows:
            rows[service_id] = _service(row, service_id, odd)
    if nameless * 2 > len(value):
        raise BadReply(f"{nameless} of {len(value)} services have no id: {odd[0].detail}")
    services = Services(rows.values())
    services.odd = tuple(odd)
    return services


def _service(row: dict[str, object], service_id: str, odd: list[Odd]) -> Service:
    def field(name: str, clean: Callable[[object], T | None]) -> T | None:
        try:
            return clean(row.get(name))
        except OddValue as exc:
            odd.append(Odd("bad_item", f"service {service_id}, {name}: {exc}"))
            return None

    return Service(
        service_id,
        text(row.get("name")) or "",
        text(row.get("type")) or None,
        text(row.get("category")) or None,
        rate=field("rate", money),
        min=field("min", count),
        max=field("max", count),
        refill=field("refill", flag),
        cancel=field("cancel", flag),
    )

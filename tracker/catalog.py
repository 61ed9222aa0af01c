"""The difference of two catalogs, with a guard against an emptied one. Pure."""

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from tracker.model import Service

AGREEING: Final = 3
"""Replies in a row that must tell the same shrunken catalog before it is believed."""

FIELDS: Final = ("name", "type", "category", "rate", "min", "max", "refill", "cancel")


class ServiceChange(NamedTuple):
    """One change of one field; `field` is also `appeared`, `gone` or `returned`, then without values."""

    service_id: str
    field: str
    old: str | None = None
    new: str | None = None


class Known(NamedTuple):
    """A service as last seen."""

    service: Service
    gone: bool = False


class Doubt(NamedTuple):
    """A catalog too small to be believed yet: what it told, and how often in a row."""

    digest: str
    times: int


class Difference(NamedTuple):
    """What to write: services that are new or changed, ids that are gone, and one row a change."""

    seen: list[Service]
    gone: list[str]
    changes: list[ServiceChange]


def compare(known: Mapping[str, Known], told: Sequence[Service], doubt: Doubt | None) -> Difference | Doubt:
    """Return the difference from `known` to `told`, or a `Doubt` where more than half of it vanished.

    `known` and the ids of `told` belong to one panel; an id told twice counts once, the first one wins. The very
    first catalog is taken as it is and changes nothing: `first_seen_at` already says when each service appeared.
    """
    new: dict[str, Service] = {}
    for service in told:
        new.setdefault(service.service_id, service)
    present = {key for key, one in known.items() if not one.gone}
    lost = present - new.keys()
    if present and len(lost) * 2 > len(present):
        digest = hashlib.sha256("\0".join(sorted(new)).encode()).hexdigest()
        times = doubt.times + 1 if doubt is not None and doubt.digest == digest else 1
        if times < AGREEING:
            return Doubt(digest, times)
    return _difference(known, new, lost)


def _difference(known: Mapping[str, Known], new: Mapping[str, Service], lost: set[str]) -> Difference:
    seen: list[Service] = []
    changes = [ServiceChange(key, "gone") for key in sorted(lost)]
    for key, service in new.items():
        before = known.get(key)
        if before is None:
            seen.append(service)
            if known:
                changes.append(ServiceChange(key, "appeared"))
            continue
        merged, fields = _merge(before.service, service)
        if before.gone:
            changes.append(ServiceChange(key, "returned"))
        changes += fields
        if before.gone or fields:
            seen.append(merged)
    return Difference(seen, sorted(lost), changes)


def _merge(old: Service, new: Service) -> tuple[Service, list[ServiceChange]]:
    """Lay what was told over what was known; a field that is not told keeps its known value."""
    changes = []
    values: dict[str, object] = {}
    for field in FIELDS:
        was, now = getattr(old, field), getattr(new, field)
        if now is None or now == was:
            continue
        values[field] = now
        changes.append(ServiceChange(old.service_id, field, _text(was), _text(now)))
    return (old._replace(**values) if values else old), changes  # type: ignore[arg-type]  # FIELDS are its fields


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        # Without the zeros at the end: SQLite does not keep them, and a new value must read like the next old one.
        return format(value.normalize(), "f")
    return str(value)

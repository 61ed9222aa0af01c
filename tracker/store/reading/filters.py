"""Which orders are meant: an `OrderFilter` as conditions in SQL."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, func

from tracker.model import SETTLED_STATES, OrderFilter
from tracker.store.reading.elements import ago
from tracker.store.schema import orders


def begun_at() -> ColumnElement[datetime]:
    """Return when an order was bought, as far as that is known: else when tracking began."""
    return func.coalesce(orders.c.ordered_at, orders.c.tracked_at)


def last_change() -> ColumnElement[datetime]:
    """Return when state or figures of an order changed last; when it was first tracked if they never did."""
    return func.coalesce(orders.c.changed_at, orders.c.tracked_at)


def is_open() -> ColumnElement[bool]:
    """Return whether an order is followed and not settled."""
    return orders.c.closed_at.is_(None) & orders.c.state.not_in(SETTLED_STATES)


def conditions(wanted: OrderFilter) -> list[ColumnElement[bool]]:
    """Return what must all be true of an order; silence is measured by the database's clock."""
    found = [make(getattr(wanted, name)) for name, make in _CONDITIONS.items() if getattr(wanted, name)]
    if wanted.open_only or wanted.silent is not None:
        found.append(is_open())
    if wanted.silent is not None:
        found.append(last_change() <= ago(round(wanted.silent.total_seconds())))
    return found


def _one_of(column: ColumnElement[str]) -> Callable[[Sequence[str]], ColumnElement[bool]]:
    return column.in_


_CONDITIONS: Final[dict[str, Callable[[Any], ColumnElement[bool]]]] = {
    "panel": lambda panel: orders.c.panel == panel,
    "states": _one_of(orders.c.state),
    "services": _one_of(orders.c.service_id),
    "refs": _one_of(orders.c.ref),
    "link": lambda text: orders.c.link.icontains(text, autoescape=True),
    "since": lambda moment: last_change() >= moment,
    "until": lambda moment: last_change() < moment,
}

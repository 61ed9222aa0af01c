"""Views of orders: those that are open, those that are stuck, and what happened to each."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Table, func, literal_column, null, select, union_all
from sqlalchemy.sql.selectable import CompoundSelect

from tracker.store.reading.elements import DAY, ago, between, quotient, rounded, since
from tracker.store.reading.filters import begun_at, is_open, last_change
from tracker.store.schema import orders, progress, transitions
from tracker.store.types import Text, Whole

STUCK_SECONDS: Final = DAY
"""How long an open order has been silent when it counts as stuck."""

WORDS: Final = ("from_state", "to_state", "panel_status")
FIGURES: Final = ("charge", "currency", "start_count", "remains")


def delivered_share() -> ColumnElement[float]:
    """Return the delivered part of an order: of its quantity, else of the most that was ever told to remain."""
    most = select(func.max(transitions.c.remains)).where(transitions.c.order_key == orders.c.id)
    wanted = func.coalesce(orders.c.quantity, most.correlate(orders).scalar_subquery())
    return rounded(1 - quotient(orders.c.remains, wanted))


def silent_seconds() -> ColumnElement[int]:
    """Return for how long state and figures have not changed."""
    return since(last_change())


def open_orders() -> Select[*tuple[Any, ...]]:
    """Select orders that are followed and not settled."""
    o = orders.c
    return select(
        o.panel,
        o.order_id,
        o.id.label("order_key"),
        o.service_id,
        o.ref,
        o.link,
        o.state,
        o.panel_status,
        o.quantity,
        o.start_count,
        o.remains,
        delivered_share().label("delivered_share"),
        o.charge,
        o.currency,
        o.ordered_at,
        o.tracked_at,
        o.state_at,
        o.changed_at,
        o.checked_at,
        since(begun_at()).label("age_seconds"),
        since(o.state_at).label("state_seconds"),
        silent_seconds().label("silent_seconds"),
    ).where(is_open())


def stuck_orders() -> Select[*tuple[Any, ...]]:
    """Select open orders without any change for a day."""
    return open_orders().where(last_change() <= ago(STUCK_SECONDS))


def order_timeline() -> CompoundSelect[*tuple[Any, ...]]:
    """Select everything that happened: changes of state, and within them changes of figures.

    Two plain joins, so that a condition on the order reaches both histories by their keys.
    """
    following = transitions.alias("following")
    next_at = select(following.c.at).where(
        following.c.order_key == transitions.c.order_key, following.c.seq == transitions.c.seq + 1
    )
    moved = _events(
        transitions,
        literal_column("0", Whole),
        literal_column("'state'", Text),
        [transitions.c[name] for name in WORDS],
        between(transitions.c.at, next_at.correlate(transitions).scalar_subquery()),
    )
    unsaid = [null().label(name) for name in WORDS]
    went_on = _events(progress, progress.c.id, literal_column("'progress'", Text), unsaid, null())
    return union_all(moved, went_on)


def _events(
    history: Table,
    step: ColumnElement[Any],
    event: ColumnElement[Any],
    words: Sequence[ColumnElement[Any]],
    lasted: ColumnElement[Any],
) -> Select[*tuple[Any, ...]]:
    return select(
        orders.c.panel,
        orders.c.order_id,
        history.c.order_key,
        history.c.seq,
        step.label("step"),
        history.c.at,
        event.label("event"),
        *words,
        between(begun_at(), history.c.at).label("after_seconds"),
        lasted.label("lasted_seconds"),
        *(history.c[name] for name in FIGURES),
    ).join_from(history, orders, orders.c.id == history.c.order_key)

"""Reads of orders: lists of them, one of them, what happened to it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, case, select

from tracker.model import OrderFilter
from tracker.store.reading.filters import conditions, is_open, last_change
from tracker.store.reading.history.rows import Order, Reader, Row, sorting
from tracker.store.reading.views import VIEWS
from tracker.store.reading.views.orders import STUCK_SECONDS, delivered_share, silent_seconds
from tracker.store.schema import orders, transitions

HIDDEN: Final = frozenset({"state_remains", "parent", "misses", "missed_at"})
"""Columns of `orders` that only polling needs."""


class OrderReads(Reader):
    """Reads of orders."""

    def orders(
        self,
        wanted: OrderFilter = OrderFilter(),  # noqa: B008  # immutable
        *,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return orders, those that changed last first.

        Beside the columns of the table: `delivered_share` (of the quantity, else of the most that was told to
        remain; None where neither is known), and `silent_seconds` of an open order (since state or figures moved).
        """
        return self._orders(wanted, [last_change().desc(), orders.c.id.desc()], sort, limit)

    def stuck(
        self,
        wanted: OrderFilter = OrderFilter(),  # noqa: B008  # immutable
        *,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> list[Row]:
        """Return open orders that were silent for `wanted.silent` (a day), the longest silent first.

        Rows as those of `orders`.
        """
        silent = timedelta(seconds=STUCK_SECONDS) if wanted.silent is None else wanted.silent
        return self._orders(wanted._replace(silent=silent), [last_change(), orders.c.id], sort, limit)

    def _orders(
        self, wanted: OrderFilter, usual: Sequence[Order], sort: str | None, limit: int | None
    ) -> list[Row]:
        statement = select(*(column for column in orders.c if column.name not in HIDDEN), *_reckoned())
        order = [*sorting(statement, sort), *usual]
        meant = conditions(wanted)
        if limit is not None:
            # SQLite computes every column of every row that it sorts, so the keys are chosen first.
            chosen = select(orders.c.id).where(*meant).order_by(*order).limit(limit)
            meant = [orders.c.id.in_(chosen)]
        return self._rows(statement.where(*meant).order_by(*order))

    def find(self, order_id: str, panel: str | None = None) -> list[Row]:
        """Return every order that a panel (any, or the one given) calls `order_id`, as its whole row.

        Beside it, as in `orders`: `delivered_share` and `silent_seconds`.
        """
        statement = select(orders, *_reckoned()).where(orders.c.order_id == order_id).order_by(orders.c.panel)
        return self._rows(statement if panel is None else statement.where(orders.c.panel == panel))

    def timeline(self, key: int) -> list[Row]:
        """Return the history of one order, oldest first: its transitions with the progress within each state.

        The columns of the view `order_timeline`: `event` is `state` or `progress`, `after_seconds` counts from
        when it was bought, `lasted_seconds` is how long a state lasted, None while it lasts.
        """
        view = VIEWS["order_timeline"].c
        statement = select(*(column for column in view if column.name not in {"panel", "order_id", "order_key"}))
        return self._rows(statement.where(view.order_key == key).order_by(view.seq, view.step))

    def newest_transitions(self, limit: int) -> list[Row]:
        """Return the newest transitions of all orders, newest first."""
        statement = (
            select(
                transitions.c.at,
                orders.c.panel,
                orders.c.order_id,
                transitions.c.from_state,
                transitions.c.to_state,
                transitions.c.panel_status,
                transitions.c.charge,
                transitions.c.currency,
                transitions.c.remains,
            )
            .join_from(transitions, orders, orders.c.id == transitions.c.order_key)
            .order_by(transitions.c.at.desc(), transitions.c.order_key.desc())
            .limit(limit)
        )
        return self._rows(statement)


def _reckoned() -> list[ColumnElement[Any]]:
    """Return what is reckoned from the row of an order when it is read."""
    return [
        delivered_share().label("delivered_share"),
        case((is_open(), silent_seconds())).label("silent_seconds"),
    ]

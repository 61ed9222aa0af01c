"""The view of tempo: how long services really take, and how their orders end."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Select, and_, case, func, literal_column, or_, select

from tracker.model import REFILL_SETTLED, SETTLED_STATES
from tracker.store.reading.elements import DAY, ago, between, quotient, rounded, seconds_of
from tracker.store.reading.filters import begun_at
from tracker.store.schema import orders, refills, services, transitions
from tracker.store.types import Whole

WINDOW_DAYS: Final = 30

STARTED: Final = ("in_progress", "active", "completed", "partial")
"""States that prove that delivery has begun."""

FINISHED: Final = ("completed", "partial")
"""States that end a delivery; what was canceled or refunded was not delivered."""

PROMPT_SECONDS: Final = 3600
"""An order tracked later than this after it was bought may have moved before we looked."""


def service_tempo(
    after: ColumnElement[datetime] | None = None, *where: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """Select tempo and ends of each service over the orders bought `after` (30 days ago) that meet `where`."""
    begin = ago(WINDOW_DAYS * DAY) if after is None else after
    tempo = _tempo(_ranked(_timed(_lives(begin, *where))))
    repairs = _repairs(begin)
    t, r = tempo.c, repairs.c
    return (
        select(
            t.panel,
            t.service_id,
            services.c.name,
            *(column for column in t if column.name not in {"panel", "service_id"}),
            func.coalesce(r.refills, 0).label("refills"),
            r.refill_success_share,
        )
        .join_from(
            tempo,
            services,
            and_(services.c.panel == t.panel, services.c.service_id == t.service_id),
            isouter=True,
        )
        .join(
            repairs,
            and_(r.panel == t.panel, r.service_id.is_not_distinct_from(t.service_id)),
            isouter=True,
        )
    )


def _lives(begin: ColumnElement[datetime], *where: ColumnElement[bool]) -> FromClause:
    """Select one row an order: its first transitions that prove a start and an end, beside what is known now.

    Moments become seconds here, once an order: further out SQLite would compute them at each mention. That no
    transition is older than its order is told to Postgres, which else reads the history of all orders.
    """
    o, t = orders.c, transitions.c
    proves = and_(t.order_key == o.id, t.at >= begin, t.to_state.in_(STARTED))  # what proves an end proves a start

    def first_end(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return func.min(case(dict.fromkeys(FINISHED, column), value=t.to_state), type_=column.type)

    return (
        select(
            o.panel,
            o.service_id,
            o.state,
            seconds_of(begun_at()).label("begun"),
            (between(o.ordered_at, o.tracked_at) <= PROMPT_SECONDS).label("prompt"),
            func.min(t.seq).label("start_seq"),
            seconds_of(func.min(t.at)).label("started"),
            first_end(t.seq).label("end_seq"),
            seconds_of(first_end(t.at)).label("ended"),
            # 1.0: panels say what they like, and the difference of two whole numbers may be none.
            (
                func.coalesce(o.quantity, func.max(t.remains)) * literal_column("1.0")
                - func.coalesce(o.remains, 0)
            ).label("delivered"),
        )
        .join_from(orders, transitions, proves, isouter=True)
        .where(begun_at() >= begin, *where)
        .group_by(o.id)
        .subquery("lives")
    )


def _timed(lives: FromClause) -> FromClause:
    """Turn moments into seconds, where the move was seen.

    What the very first answer tells had happened before we looked: it counts only where tracking began promptly.
    """
    v = lives.c
    saw_start = or_(v.start_seq > 1, v.prompt)
    saw_end = or_(v.end_seq > 1, v.prompt)
    saw_delivery = and_(saw_start, v.end_seq > v.start_seq)
    return select(
        v.panel,
        v.service_id,
        v.state,
        case((saw_start, v.started - v.begun)).label("start"),
        case((saw_end, v.ended - v.begun)).label("finish"),
        case((saw_delivery, v.ended - v.started)).label("delivery"),
        case((saw_delivery, v.delivered)).label("delivered"),
    ).subquery("timed")


def _ranked(timed: FromClause) -> FromClause:
    """Add to each known time the share of the known times of its service that it is not below."""
    v = timed.c

    def reached(time: ColumnElement[int]) -> ColumnElement[Any]:
        return func.cume_dist().over(partition_by=(v.panel, v.service_id, time.is_(None)), order_by=time)

    return select(*v, reached(v.start).label("start_reached"), reached(v.finish).label("finish_reached")).subquery(
        "ranked"
    )


def _tempo(ranked: FromClause) -> FromClause:
    v = ranked.c
    settled = func.count().filter(v.state.in_(SETTLED_STATES))

    def percentile(time: ColumnElement[int], reached: ColumnElement[Any], share: str) -> ColumnElement[int]:
        """Return the nearest rank: the smallest time that is not below such a share of the times."""
        return func.min(time, type_=Whole).filter(reached >= literal_column(share))

    def share(state: str) -> ColumnElement[float]:
        return rounded(quotient(func.count().filter(v.state == state), settled))

    measured = and_(v.delivered.is_not(None), v.delivery > 0)
    delivered, seconds = (func.sum(v[name]).filter(measured) for name in ("delivered", "delivery"))
    return (
        select(
            v.panel,
            v.service_id,
            func.count().label("orders"),
            settled.label("settled"),
            func.count(v.start).label("starts"),
            percentile(v.start, v.start_reached, "0.5").label("start_median_seconds"),
            percentile(v.start, v.start_reached, "0.9").label("start_p90_seconds"),
            func.count(v.finish).label("finishes"),
            percentile(v.finish, v.finish_reached, "0.5").label("finish_median_seconds"),
            percentile(v.finish, v.finish_reached, "0.9").label("finish_p90_seconds"),
            share("completed").label("completed_share"),
            share("partial").label("partial_share"),
            share("canceled").label("canceled_share"),
            rounded(quotient(delivered * 3600, seconds), 1).label("delivered_per_hour"),
        )
        .group_by(v.panel, v.service_id)
        .subquery("tempo")
    )


def _repairs(begin: ColumnElement[datetime]) -> FromClause:
    """Count refills asked for since then, by the service of their order."""
    settled = func.count().filter(refills.c.state.in_(sorted(REFILL_SETTLED)))
    completed = func.count().filter(refills.c.state == "completed")
    same = and_(orders.c.panel == refills.c.panel, orders.c.order_id == refills.c.order_id)
    return (
        select(
            orders.c.panel,
            orders.c.service_id,
            func.count().label("refills"),
            rounded(quotient(completed, settled)).label("refill_success_share"),
        )
        .join_from(refills, orders, same)
        .where(refills.c.tracked_at >= begin)
        .group_by(orders.c.panel, orders.c.service_id)
        .subquery("repairs")
    )

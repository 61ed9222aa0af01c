"""The checks of histories: orders with their transitions and progress, refills with theirs.

A step reads a head and all of its rows in one snapshot, so what is being written meanwhile is seen whole or not at
all. Ranges are spelled for each table that is joined, for Postgres does not carry them over from one to another.
"""

from collections.abc import Iterator

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Subquery,
    Table,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)

from tracker.model import REFILL_SETTLED, REFILL_STATES, SETTLED_STATES, STATES
from tracker.store.reading.filters import last_change
from tracker.store.schema import orders, progress, refill_transitions, refills, transitions
from tracker.store.verifying.rules import (
    FIGURES,
    Check,
    Condition,
    Narrowed,
    Rule,
    Within,
    as_kept,
    believable,
    belonging,
    differ,
    ended,
    head_is_tail,
    odd_count,
    of_panel,
    one_after_another,
    within,
)


def of_orders(narrowed: Narrowed) -> list[Check]:
    """Return the checks of orders and their rows, by `orders.id`."""
    only = [] if narrowed.panel is None else [of_panel(orders.c.panel, narrowed.panel)]
    only += [] if narrowed.since is None else [last_change() >= narrowed.since]
    chosen = belonging(orders.c.id, only)
    return [_orders(chosen), _transitions(chosen), _progress(chosen)]


def _orders(chosen: Within) -> Check:
    newest, last = transitions.alias("newest"), progress.alias("last")
    o, p = orders.c, progress.c
    latest = select(p.order_key, func.max(p.id).label("id")).where(within(p.order_key)).group_by(p.order_key)
    latest_of = latest.subquery("latest")
    source = (
        orders.outerjoin(
            newest, and_(newest.c.order_key == o.id, newest.c.seq == o.seq, within(newest.c.order_key))
        )
        .outerjoin(latest_of, latest_of.c.order_key == o.id)
        .outerjoin(last, and_(last.c.id == latest_of.c.id, within(last.c.order_key)))
    )
    times = ("state_at", "changed_at", "checked_at", "settled_at", "closed_at")
    columns = ("state", "panel_status", "seq", *FIGURES, *times)
    shown = [
        _name_of(orders),
        *as_kept(orders, "id", *columns, "misses", "parent"),
        *as_kept(newest, "to_state", "panel_status", "at", *FIGURES, before="newest_"),
        *as_kept(last, "seq", "at", *FIGURES, before="progress_"),
    ]
    return Check(orders, o.id, chosen, source, shown, tuple(_of_heads(newest, last)))


def _of_heads(newest: FromClause, last: FromClause) -> Iterator[Rule]:
    """Yield the rules for an order beside its newest transition and its last row of progress."""
    o, beyond, parent = orders.c, transitions.alias("beyond"), orders.alias("parents")
    is_beyond = or_(exists().where(beyond.c.order_key == o.id, beyond.c.seq > o.seq), last.c.seq > o.seq)
    yield from head_is_tail(orders, newest, "new", is_beyond)
    figures = or_(
        and_(last.c.seq == o.seq, differ(orders, last)),
        and_(newest.c.seq.is_not(None), last.c.seq.is_distinct_from(o.seq), differ(orders, newest)),
    )
    yield Rule("figures", "P3", "The figures of a head are not those of its newest row.", figures)
    changed_at = case((last.c.seq == o.seq, last.c.at), else_=newest.c.at)
    yield Rule(
        "changed_at",
        "P3",
        "The last change of an order is not when its newest row says.",
        or_((o.seq == 0) != o.changed_at.is_(None), o.changed_at != changed_at),
    )
    # A panel that answers nothing about an order makes it `missing`: that is the only state without an answer.
    yield Rule(
        "checked_at",
        "P3",
        "An order has a state that was told, and was never answered.",
        and_(o.state.not_in(("new", "missing")), o.checked_at.is_(None)),
    )
    yield from ended(orders, SETTLED_STATES)
    has_parent = exists().where(parent.c.id == o.parent, parent.c.panel == o.panel, parent.c.id != o.id)
    is_lost = and_(o.parent.is_not(None), ~has_parent)
    yield Rule("parent", "", "Its parent is no other order of its panel.", is_lost)
    yield from believable(o.currency, o.charge, was=newest.c.currency)
    yield odd_count(o.start_count, o.remains, o.state_remains, o.misses)


def _transitions(chosen: Within) -> Check:
    later, earlier, source = _beside_earlier(transitions, "order_key")
    owned = exists().where(orders.c.id == later.c.order_key, within(orders.c.id))
    rules = (
        *one_after_another(later, earlier, STATES, owned),
        _forgotten(*(and_(later.c[name].is_(None), earlier.c[name].is_not(None)) for name in FIGURES)),
        *believable(later.c.currency, later.c.charge, was=earlier.c.currency),
        odd_count(later.c.start_count, later.c.remains),
    )
    shown = [
        _name_by(later.c.order_key),
        *as_kept(later, "order_key", "seq", "at", "from_state", "to_state", "panel_status", *FIGURES, "round"),
        *as_kept(earlier, "to_state", "panel_status", *FIGURES, before="earlier_"),
    ]
    return Check(transitions, later.c.order_key, chosen, source, shown, rules)


def _beside_earlier(table: Table, key: str) -> tuple[FromClause, FromClause, FromClause]:
    """Return transitions, those that came one before, and both side by side."""
    later, earlier = table.alias("later"), table.alias("earlier")
    before = and_(earlier.c[key] == later.c[key], earlier.c.seq == later.c.seq - 1, within(earlier.c[key]))
    return later, earlier, later.outerjoin(earlier, before)


def _progress(chosen: Within) -> Check:
    paired, state, following = _paired(), transitions.alias("state"), transitions.alias("following")
    its_state = and_(
        state.c.order_key == paired.c.order_key, state.c.seq == paired.c.seq, within(state.c.order_key)
    )
    next_state = and_(
        following.c.order_key == paired.c.order_key,
        following.c.seq == paired.c.seq + 1,
        paired.c.next_seq.is_distinct_from(paired.c.seq),
        within(following.c.order_key),
    )
    shown = [
        _name_by(paired.c.order_key),
        *as_kept(paired, "order_key", "id", "seq", "at", *FIGURES),
        *as_kept(paired, "was_seq", *(f"was_{name}" for name in FIGURES)),
        *as_kept(state, *FIGURES, before="transition_"),
        *as_kept(following, *FIGURES, before="next_transition_"),
    ]
    source = paired.outerjoin(state, its_state).outerjoin(following, next_state)
    rules = tuple(_of_progress(paired, state, following))
    return Check(progress, paired.c.order_key, chosen, source, shown, rules)


def _of_progress(paired: FromClause, its_state: FromClause, following: FromClause) -> Iterator[Rule]:
    """Yield the rules for a row of progress beside the one before it and the transition to its state.

    `following` is the transition that ended the state, beside the last row within it; else all NULL.
    """
    row, state = paired.c, its_state.c
    follows = row.was_seq == row.seq
    before = {name: case((follows, row[f"was_{name}"]), else_=state[name]) for name in FIGURES}
    alone = state.seq.is_(None)
    repeats = and_(~alone, *(row[name].is_not_distinct_from(before[name]) for name in FIGURES))
    yield Rule("stray_progress", "P2", "Progress within a state that the order never had.", alone)
    yield Rule("progress_repeat", "P2", "Progress says what the row before it said.", repeats)
    yield Rule("progress_back", "P2", "Progress within a state that was over by then.", row.was_seq > row.seq)
    ended_by = following.c.seq.is_not(None)
    yield _forgotten(
        *(and_(row[name].is_(None), before[name].is_not(None)) for name in FIGURES),
        *(and_(ended_by, following.c[name].is_(None), row[name].is_not(None)) for name in FIGURES),
    )
    yield from believable(row.currency, row.charge, was=before["currency"])
    yield odd_count(row.start_count, row.remains)


def _paired() -> Subquery:
    """Select each row of progress beside the one before it of the same order, and the seq of the one after it."""
    p = progress.c
    after = func.lead(p.seq, type_=p.seq.type).over(partition_by=p.order_key, order_by=p.id).label("next_seq")
    before = (
        func.lag(p[name], type_=p[name].type).over(partition_by=p.order_key, order_by=p.id).label(f"was_{name}")
        for name in ("seq", *FIGURES)
    )
    return select(*p, *before, after).where(within(p.order_key)).subquery("paired")


def of_refills(narrowed: Narrowed) -> list[Check]:
    """Return the checks of refills and their rows, by `refills.id`."""
    r = refills.c
    only = [] if narrowed.panel is None else [of_panel(r.panel, narrowed.panel)]
    since = narrowed.since
    only += [] if since is None else [or_(r.tracked_at >= since, r.state_at >= since, r.checked_at >= since)]
    chosen = belonging(r.id, only)
    return [_refills(chosen), _refill_transitions(chosen)]


def _refills(chosen: Within) -> Check:
    newest, beyond = refill_transitions.alias("newest"), refill_transitions.alias("beyond")
    source = refills.outerjoin(
        newest,
        and_(newest.c.refill_key == refills.c.id, newest.c.seq == refills.c.seq, within(newest.c.refill_key)),
    )
    is_beyond = exists().where(beyond.c.refill_key == refills.c.id, beyond.c.seq > refills.c.seq)
    its_order = exists().where(orders.c.panel == refills.c.panel, orders.c.order_id == refills.c.order_id)
    rules = (
        *head_is_tail(refills, newest, "requested", is_beyond),
        *ended(refills, sorted(REFILL_SETTLED)),
        Rule(
            "refill_of_nothing",
            "",
            "A refill of an order that is not here: `tracker track` follows it.",
            ~its_order,
        ),
    )
    columns = ("refill_id", "state", "panel_status", "seq", "state_at", "settled_at", "closed_at")
    shown = [
        _name_of(refills),
        *as_kept(refills, "id", *columns),
        *as_kept(newest, "to_state", "panel_status", "at", before="newest_"),
    ]
    return Check(refills, refills.c.id, chosen, source, shown, rules)


def _refill_transitions(chosen: Within) -> Check:
    later, earlier, source = _beside_earlier(refill_transitions, "refill_key")
    owned = exists().where(refills.c.id == later.c.refill_key, within(refills.c.id))
    shown = [
        *as_kept(later, "refill_key", "seq", "at", "from_state", "to_state", "panel_status", "round"),
        *as_kept(earlier, "to_state", "panel_status", before="earlier_"),
    ]
    rules = tuple(one_after_another(later, earlier, REFILL_STATES, owned))
    return Check(refill_transitions, later.c.refill_key, chosen, source, shown, rules)


def _forgotten(*lost: Condition) -> Rule:
    # An answer that does not tell a figure leaves it as it was known.
    return Rule("forgotten", "P1", "A figure that was known is not any more.", or_(*lost))


def _name_of(rows: FromClause) -> ColumnElement[str]:
    return (rows.c.panel + "/" + rows.c.order_id).label("order")


def _name_by(key: ColumnElement[int]) -> ColumnElement[str]:
    owner = orders.alias("owner")
    return select(owner.c.panel + "/" + owner.c.order_id).where(owner.c.id == key).scalar_subquery().label("order")

"""The checks beside the histories: intents and what they made, how services changed, balances."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, or_, select

from tracker.store.schema import balance_snapshots, intents, orders, refills, service_changes, services
from tracker.store.verifying.rules import Check, Condition, Narrowed, Rule, as_kept, believable, of_panel, within

MONEY: Final = ("currency", "price", "balance_before", "balance_after")

PRESENCE: Final = ("appeared", "gone", "returned")
"""Changes of a service itself, without values (`tracker.catalog`)."""


def of_intents(narrowed: Narrowed) -> list[Check]:
    """Return the check of intents, by `sent_at`: their uuids have no order of their own."""
    i = intents.c
    only = [] if narrowed.panel is None else [of_panel(i.panel, narrowed.panel)]
    only += [] if narrowed.since is None else [or_(i.sent_at >= narrowed.since, i.finished_at >= narrowed.since)]

    def chosen(key: ColumnElement[object]) -> Condition:
        return and_(within(key), *only)

    source = intents.outerjoin(orders, orders.c.id == i.order_key)
    columns = ("uuid", "panel", "action", "state", "order_id", "refill_id", "order_key", "sent_at", "deadline_at")
    rules = (*_of_outcomes(), *_of_what_was_made(), *believable(*(i[name] for name in MONEY)))
    return [
        Check(
            intents,
            i.sent_at,
            chosen,
            source,
            as_kept(intents, *columns, "finished_at", "resolution", *MONEY),
            rules,
        )
    ]


def _of_outcomes() -> Iterator[Rule]:
    i = intents.c
    yield Rule(
        "finished",
        "P5",
        "An intent is being sent and has finished_at, or the other way round.",
        (i.state == "sending") != i.finished_at.is_(None),
    )
    yield Rule(
        "resolution",
        "P5",
        "An intent is resolved and tells no reason, or the other way round.",
        (i.state == "resolved") != i.resolution.is_not(None),
    )
    yield Rule("deadline", "P5", "The deadline of an intent lies before it was sent.", i.deadline_at < i.sent_at)


def _of_what_was_made() -> Iterator[Rule]:
    i, twin = intents.c, intents.alias("twin")
    is_add, has_order = i.action == "add", i.order_key.is_not(None)
    yield Rule(
        "intent_without_order",
        "P5",
        "An add was confirmed, and its order is not here.",
        and_(is_add, i.state == "confirmed", ~has_order),
    )
    is_other = or_(
        orders.c.id.is_(None), orders.c.panel != i.panel, orders.c.order_id.is_distinct_from(i.order_id)
    )
    yield Rule(
        "intent_of_other", "P5", "The order of an intent is not the one that it names.", and_(has_order, is_other)
    )
    nothing_bought = i.state.in_(("sending", "unknown", "rejected", "unsent"))
    yield Rule(
        "order_not_bought",
        "P5",
        "An add or a refill that is not known to have happened has brought something.",
        and_(nothing_bought, or_(and_(is_add, has_order), i.refill_id.is_not(None))),
    )
    again = exists().where(twin.c.order_key == i.order_key, twin.c.action == "add", twin.c.uuid != i.uuid)
    yield Rule("bought_twice", "P5", "Two adds have placed the same order.", and_(is_add, has_order, again))
    its_refill = exists().where(
        refills.c.panel == i.panel, refills.c.order_id == i.order_id, refills.c.refill_id == i.refill_id
    )
    yield Rule(
        "refill_lost",
        "P5",
        "A refill was confirmed, and is not here.",
        and_(i.action == "refill", i.refill_id.is_not(None), has_order, ~its_refill),
    )


def of_services(narrowed: Narrowed) -> list[Check]:
    """Return the check of how services changed, by `service_changes.id`."""
    later, earlier, before = service_changes, service_changes.alias("earlier"), service_changes.alias("before")
    only = [] if narrowed.panel is None else [of_panel(later.c.panel, narrowed.panel)]
    only += [] if narrowed.since is None else [later.c.at >= narrowed.since]

    def chosen(key: ColumnElement[object]) -> Condition:
        return and_(within(key), *only)

    is_presence = later.c.field.in_(PRESENCE)
    # The one before: of the same field, or of the service itself.
    previous = (
        select(before.c.id)
        .where(
            before.c.panel == later.c.panel,
            before.c.service_id == later.c.service_id,
            before.c.id < later.c.id,
            or_(before.c.field == later.c.field, and_(is_presence, before.c.field.in_(PRESENCE))),
        )
        .order_by(before.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    after = service_changes.alias("after")
    is_last = ~exists().where(
        after.c.panel == later.c.panel,
        after.c.service_id == later.c.service_id,
        after.c.id > later.c.id,
        after.c.field.in_(PRESENCE),
    )
    tells_otherwise = (later.c.field == "gone") != services.c.gone_at.is_not(None)
    comes_back = or_(
        later.c.field == earlier.c.field,
        and_(later.c.field == "appeared", earlier.c.id.is_not(None)),
        and_(later.c.field == "returned", earlier.c.field.is_distinct_from("gone")),
    )
    rules = (
        Rule(
            "service_chain",
            "P1",
            "A change of a service does not begin with the value that the one before it ended with.",
            and_(~is_presence, earlier.c.id.is_not(None), later.c.old.is_distinct_from(earlier.c.new)),
        ),
        Rule(
            "service_repeat",
            "P2",
            "A change of a service changes nothing.",
            and_(~is_presence, later.c.old.is_not_distinct_from(later.c.new)),
        ),
        Rule(
            "service_presence",
            "P2",
            "A service came without having gone, or went twice.",
            and_(is_presence, comes_back),
        ),
        Rule(
            "service_gone",
            "P3",
            "A service is gone and its last change does not say so, or the other way round.",
            and_(is_presence, services.c.service_id.is_not(None), tells_otherwise, is_last),
        ),
    )
    shown = [
        *as_kept(later, "id", "panel", "service_id", "at", "field", "old", "new"),
        *as_kept(earlier, "id", "field", "old", "new", before="earlier_"),
        *as_kept(services, "gone_at"),
    ]
    its_service = and_(services.c.panel == later.c.panel, services.c.service_id == later.c.service_id)
    source = later.outerjoin(earlier, earlier.c.id == previous).outerjoin(services, its_service)
    return [Check(later, later.c.id, chosen, source, shown, rules)]


def of_balances(narrowed: Narrowed) -> list[Check]:
    """Return the check of balances, by `balance_snapshots.id`."""
    b = balance_snapshots.c
    only = [] if narrowed.panel is None else [of_panel(b.panel, narrowed.panel)]
    only += [] if narrowed.since is None else [b.at >= narrowed.since]

    def chosen(key: ColumnElement[object]) -> Condition:
        return and_(within(key), *only)

    shown = as_kept(balance_snapshots, "id", "panel", "at", "balance", "currency")
    return [
        Check(balance_snapshots, b.id, chosen, balance_snapshots, shown, tuple(believable(b.currency, b.balance)))
    ]

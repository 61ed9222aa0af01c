"""What stands in the way of a wish: an identical one without an outcome, or a reference that bought already."""

from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from tracker.errors import Blocked
from tracker.model import Action, Intent, Wish
from tracker.store.journal.rows import COLUMNS, UNFINISHED, among, as_intent, packed
from tracker.store.schema import intents, orders
from tracker.store.types import utcnow

# As the unique index of references has it: a reference is free again once nothing can have been bought under it.
_BOUGHT: Final = or_(
    among("sending", "unknown", "confirmed"), and_(among("resolved"), intents.c.order_key.is_not(None))
)

_MAYBE: Final[dict[Action, str]] = {
    "add": "it may have been bought",
    "refill": "the panel may have taken it",
    "cancel": "the panel may have taken it",
}

_UNITS: Final = ((86400, "day"), (3600, "hour"), (60, "minute"), (0, "second"))


def of(connection: Connection, wish: Wish, *, despite_unknown: bool) -> Blocked | None:
    """Return what stands in the way of `wish`, in the turn of its panel; None where nothing does."""
    return of_reference(connection, wish) or _of_twins(connection, wish, despite_unknown=despite_unknown)


def of_reference(connection: Connection, wish: Wish) -> Blocked | None:
    """Return what was, or may have been, bought under the wish's reference; an order followed by hand counts."""
    if wish.ref is None:
        return None
    here = select(*COLUMNS, utcnow()).where(intents.c.panel == wish.panel, intents.c.ref == wish.ref, _BOUGHT)
    row = connection.execute(here.where(intents.c.ref.is_not(None))).first()
    begun = f"Panel {wish.panel}: the reference {wish.ref} is taken"
    if row is not None:
        first, age = as_intent(row[:-1]), _age(row[-1] - row.sent_at)
        return Blocked(f"{begun} by {described(first)}, {age} ago{_remedy(first)} Nothing was sent.", first.uuid)
    same = select(orders.c.order_id).where(orders.c.panel == wish.panel, orders.c.ref == wish.ref)
    order_id = connection.execute(same.order_by(orders.c.id).limit(1)).scalar_one_or_none()
    if order_id is None:
        return None
    return Blocked(f"{begun} by order {wish.panel}/{order_id}. Nothing was sent. Choose another reference.")


def _remedy(first: Intent) -> str:
    if first.state == "sending":
        return f", and has no answer yet (intent {first.uuid}). Wait until `tracker intents` tells its end."
    if first.state == "unknown":
        return (
            f", and its outcome is unknown: {_MAYBE[first.action]} (intent {first.uuid}). Find out, and tell "
            f"`tracker resolve {first.uuid}`."
        )
    return f" (intent {first.uuid}). Choose another reference for another order."


def _of_twins(connection: Connection, wish: Wish, *, despite_unknown: bool) -> Blocked | None:
    """Return the identical intent that has no outcome; one that is being sent comes first, then the newest."""
    statement = (
        select(*COLUMNS, utcnow())
        .where(intents.c.panel == wish.panel, UNFINISHED, _identical(wish))
        .order_by(intents.c.state, intents.c.sent_at.desc())
    )
    row = connection.execute(statement.limit(1)).first()
    if row is None or (despite_unknown and row.state == "unknown"):
        return None
    first, age = as_intent(row[:-1]), _age(row[-1] - row.sent_at)
    begun = f"Panel {wish.panel}: {described(first)} was sent {age} ago"
    if first.state == "sending":
        text = (
            f"{begun} by another process and has no answer yet (intent {first.uuid}). Nothing was sent now. "
            "Wait until `tracker intents` tells its end."
        )
    else:
        text = (
            f"{begun} and its outcome is unknown: {_MAYBE[first.action]} (intent {first.uuid}). Nothing was sent "
            f"now. Find out, and tell `tracker resolve {first.uuid}`; --despite-unknown sends it all the same, "
            "perhaps for the second time."
        )
    return Blocked(text, first.uuid)


def _identical(wish: Wish) -> ColumnElement[bool]:
    if wish.action != "add":
        return and_(intents.c.action == wish.action, intents.c.order_id == wish.order_id)
    same = intents.c.payload == packed(wish.payload) if wish.link is None else intents.c.link == wish.link
    return and_(intents.c.action == "add", intents.c.service_id.is_not_distinct_from(wish.service_id), same)


def described(intent: Intent) -> str:
    """Return what an intent was: "an add of service 17 for https://…", "a cancel of order 23501"."""
    if intent.action != "add":
        return f"a {intent.action} of order {intent.order_id}"
    placed = f" (order {intent.panel}/{intent.order_id})" if intent.order_id else ""
    return f"an add of service {intent.service_id}{f' for {intent.link}' if intent.link else ''}{placed}"


def _age(span: timedelta) -> str:
    seconds = int(max(span.total_seconds(), 0))
    size, unit = next(one for one in _UNITS if seconds >= one[0])
    count = seconds // (size or 1)
    return f"{count} {unit}{'' if count == 1 else 's'}"

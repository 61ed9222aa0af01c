"""What an outcome writes, in the turn of its panel: the intent, and the order or the refill that it made."""

from datetime import UTC
from typing import Any, Final, TypeGuard

from sqlalchemy import Connection, and_, select, union, update

from tracker.errors import UsageFault
from tracker.model import Intent, Outcome
from tracker.store.following.tracking import NewOrder, follow, follow_refill
from tracker.store.journal.obstacles import described
from tracker.store.journal.rows import COLUMNS, LOST, UNFINISHED, among, as_intent, key_of
from tracker.store.schema import intents, orders
from tracker.store.types import utcnow

LONGEST_ID: Final = 100
"""Characters of an id: as many as are believed in a panel's answer."""

NOT_DONE: Final = "a person said that it did not happen"
DONE: Final = "a person said that it happened"

DIED: Final = "whoever sent it did not come back with an answer before its deadline"

TOLD: Final = {
    "canceled": "the order was canceled",
    "refunded": "the order was refunded",
    "partial": "the order ended as partial: the rest was canceled",
    "completed": "the order ended as completed: nothing was canceled",
    "failed": "the order ended as failed: nothing was canceled",
    "expired": "the order ended as expired: nothing was canceled",
}
"""State of an order since a cancel of it was sent -> what became of the cancel."""

# A state that began before the cancel was sent says nothing about it.
_SETTLING: Final = (
    select(intents.c.uuid, orders.c.state, intents.c.panel)
    .join_from(intents, orders, and_(orders.c.panel == intents.c.panel, orders.c.order_id == intents.c.order_id))
    .where(
        UNFINISHED,
        among("unknown"),
        intents.c.action == "cancel",
        orders.c.state.in_(TOLD),
        orders.c.state_at >= intents.c.sent_at,
    )
)


def recoverable(connection: Connection) -> list[str]:
    """Return the panels for which `recover` has something to do, in one order everywhere."""
    lost = select(intents.c.panel).where(UNFINISHED, LOST)
    both = union(lost, select(_SETTLING.subquery().c.panel))
    return sorted(connection.execute(both).scalars())


def recover(connection: Connection, panel: str) -> list[Intent]:
    """Give up the lost intents of `panel` and settle its unknown cancels; return what changed."""
    lost = update(intents).where(intents.c.panel == panel, UNFINISHED, LOST).returning(*COLUMNS)
    rows = connection.execute(lost.values(state="unknown", error=DIED, finished_at=utcnow())).all()
    changed = {row.uuid: as_intent(row) for row in rows}
    for uuid, state, _ in connection.execute(_SETTLING.where(intents.c.panel == panel)).all():
        changed[uuid] = _write(connection, uuid, state="resolved", resolution=TOLD[state])
    return list(changed.values())


def settle(connection: Connection, intent: Intent, outcome: Outcome) -> Intent:
    """Write the outcome of an intent that is `sending` or `unknown`."""
    values: dict[str, Any] = {"state": outcome.state, "error": outcome.error}
    if outcome.balance_after is not None:
        values["balance_after"] = outcome.balance_after
    if intent.action != "add":
        values["order_key"] = key_of(intent.panel, intent.order_id)
    if outcome.state == "confirmed":
        made = {"add": outcome.order_id, "refill": outcome.refill_id, "cancel": None}[intent.action]
        doubt = _doubt(connection, intent, made)
        values |= {"state": "unknown", "error": doubt} if doubt else _made(connection, intent, made)
    return _write(connection, intent.uuid, **values)


def _made(connection: Connection, intent: Intent, made: str | None) -> dict[str, Any]:
    """Follow what an intent made, by its id, and return the columns that tell it."""
    if made is None or intent.action == "cancel":
        return {}
    if intent.action == "add":
        return {"order_id": made, "order_key": _follow(connection, intent, made)}
    follow_refill(connection, intent.panel, str(intent.order_id), made)  # a refill has its order
    return {"refill_id": made}


def complete(connection: Connection, intent: Intent, outcome: Outcome) -> Intent:
    """Add what an answer tells beyond what the journal holds already; the balance is often asked for later."""
    values: dict[str, Any] = {}
    if intent.balance_after is None and outcome.balance_after is not None:
        values["balance_after"] = outcome.balance_after
    if intent.action == "refill" and intent.refill_id is None and is_an_id(outcome.refill_id):
        values |= _made(connection, intent, outcome.refill_id)
    return _write(connection, intent.uuid, **values) if values else intent


def contradicts(intent: Intent, outcome: Outcome) -> bool:
    """Tell whether an answer says something else than an intent that has its outcome already."""
    happened = _happened(intent)
    if happened is None or outcome.state == "unknown":
        return False
    if outcome.state != "confirmed":
        return happened
    ids = ((intent.order_id, outcome.order_id), (intent.refill_id, outcome.refill_id))
    return not happened or any(kept and said and kept != said for kept, said in ids)


def _happened(intent: Intent) -> bool | None:
    """Tell whether an intent that has its outcome came true; None where only its order's state is known."""
    if intent.state != "resolved":
        return intent.state == "confirmed"
    return None if intent.resolution in TOLD.values() else intent.resolution != NOT_DONE


def resolve(connection: Connection, intent: Intent, order_id: str | None, refill_id: str | None) -> Intent:
    """Write a person's word about an unknown intent. Raises `UsageFault` where it cannot be meant."""
    begun = f"Panel {intent.panel}: intent {intent.uuid} ({described(intent)})"
    if intent.state == "sending":
        raise UsageFault(f"{begun} is being sent right now. Wait until `tracker intents` tells its end.")
    if intent.state != "unknown":
        raise UsageFault(f"{begun} is {kept(intent)} already; only an unknown one is resolved.")
    values: dict[str, Any] = {"state": "resolved", "resolution": NOT_DONE if order_id is None else DONE}
    if order_id is not None:
        made = order_id if intent.action == "add" else refill_id
        if made is not None and not is_an_id(made):
            raise UsageFault(f"{made!r} is no id: an id is one word without a comma.")
        if intent.action != "add" and order_id != intent.order_id:
            raise UsageFault(f"{begun} is not about order {order_id}.")
        owner = _owner(connection, intent, order_id) if intent.action == "add" else None
        if owner is not None:
            raise UsageFault(f"{begun} did not place order {order_id}: intent {owner} did.")
        values |= _made(connection, intent, made)
    return _write(connection, intent.uuid, **values)


def _write(connection: Connection, uuid: str, **values: Any) -> Intent:  # noqa: ANN401  # columns of the table
    """Write columns of an intent; `finished_at` is when its state was last learned."""
    if "state" in values:
        values["finished_at"] = utcnow()
    statement = update(intents).where(intents.c.uuid == uuid).values(values).returning(*COLUMNS)
    return as_intent(connection.execute(statement).one())


def _doubt(connection: Connection, intent: Intent, made: str | None) -> str | None:
    """Return why it cannot be true that an intent made what has this id; None where it can."""
    if intent.action == "cancel":
        return None
    if not is_an_id(made):
        return f"the panel confirmed it with {made!r} for an id, which is none"
    if intent.action != "add":
        return None
    owner = _owner(connection, intent, made)
    if owner is not None:
        return f"the panel answered with the id of order {made}, which intent {owner} placed"
    here = select(orders.c.tracked_at).where(orders.c.panel == intent.panel, orders.c.order_id == made)
    since = connection.execute(here.where(orders.c.tracked_at < intent.sent_at)).scalar_one_or_none()
    if since is not None:
        at = f"{since.astimezone(UTC):%F %T} UTC"
        return f"the panel answered with the id of order {made}, which was followed before ({at})"
    return None


def is_an_id(text: str | None) -> TypeGuard[str]:
    """Tell whether `text` can be an id: for the tables and their indexes, and in a list with commas."""
    return text is not None and 0 < len(text) <= LONGEST_ID and text.isprintable() and not {",", " "} & set(text)


def _owner(connection: Connection, intent: Intent, order_id: str) -> str | None:
    """Return the other intent that placed an order."""
    statement = (
        select(intents.c.uuid)
        .join_from(orders, intents, intents.c.order_key == orders.c.id)
        .where(orders.c.panel == intent.panel, orders.c.order_id == order_id)
        .where(intents.c.action == "add", intents.c.uuid != intent.uuid)
    )
    return connection.execute(statement).scalar()


def _follow(connection: Connection, intent: Intent, order_id: str) -> int:
    """Follow the order that an `add` placed, and return its key; what is known of it already stays."""
    placed = NewOrder(
        order_id,
        service_id=intent.service_id,
        link=intent.link,
        quantity=intent.quantity,
        runs=_number(intent.payload.get("runs")),
        interval=_number(intent.payload.get("interval")),
        ref=intent.ref,
        ordered_at=intent.sent_at,
    )
    [followed] = follow(connection, intent.panel, [placed])
    return followed.key


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 16 else None


def told(outcome: Outcome) -> str:
    """Return an outcome in words: "confirmed (order 23501)", "rejected (Not enough funds)"."""
    made = outcome.refill_id and f"refill {outcome.refill_id}"
    said = (outcome.order_id and f"order {outcome.order_id}") or made or outcome.error
    return f"{outcome.state}{f' ({said})' if said else ''}"


def kept(intent: Intent) -> str:
    """Return what the journal holds in words: "resolved (a person said that it did not happen)"."""
    said = intent.resolution or intent.error or (f"order {intent.order_id}" if intent.order_id else None)
    return f"{intent.state}{f' ({said})' if said else ''}"

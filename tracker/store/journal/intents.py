"""The journal of intents: what is sent to change something at a panel, and what became of it.

An intent is on the disk before its request leaves: whatever dies afterwards, what may have been bought is known.

    begin    -> sending
    finish      sending -> confirmed | rejected | unsent | unknown
    finish      unknown -> confirmed | rejected | unsent      (an answer that came late)
    recover     sending -> unknown                            (its process died; the deadline has passed)
    recover     unknown -> resolved                           (a cancel whose order tells what became of it)
    resolve     unknown -> resolved                           (the word of a person)

Nothing leaves confirmed, rejected, unsent and resolved. Needs no lease: people and shops act beside the daemon.
"""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, func, insert, literal, or_, select
from sqlalchemy.exc import IntegrityError

from tracker.errors import ActionFault, UsageFault
from tracker.model import Intent, Outcome, Wish
from tracker.store.engine import reading
from tracker.store.journal import evidence, obstacles, outcomes
from tracker.store.journal.evidence import Evidence
from tracker.store.journal.rows import COLUMNS, LOST, UNFINISHED, as_intent, key_of, load, packed, turn
from tracker.store.reading.history.rows import equal, sorting, within
from tracker.store.schema import intents
from tracker.store.types import utc_after

MARGIN: Final = 60.0
"""Seconds from a request's deadline until its intent is given up: clocks differ, and processes are slow to die."""

SHORTEST: Final = 4
"""Characters that name an intent."""

Found: TypeAlias = list[Intent]


class Unfinished(NamedTuple):
    """How many intents have no outcome."""

    sending: int
    unknown: int
    """Also those that are to be given up, though nobody has done it yet."""


class Intents:
    """The journal of one database. Every method may raise `DatabaseUnreachable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, wish: Wish, *, seconds: float, despite_unknown: bool = False) -> str:
        """Put `wish` into the journal, on the disk, before it is sent; return the uuid of its intent.

        `seconds`: how long the request may take from now at the most; it must not be written later.
        Raises `Blocked`, with nothing written, where an identical intent is `sending` or `unknown` (one that is
        `unknown` is let pass with `despite_unknown`), or where the wish's reference has bought something. After
        any error nothing may be sent; should its commit have succeeded all the same, it becomes `unknown`.
        Raises `UsageFault` for a refill or a cancel of what is no order id.
        """
        if wish.action != "add" and not outcomes.is_an_id(wish.order_id):
            raise UsageFault(f"Panel {wish.panel}: a {wish.action} of {wish.order_id!r}, which is no order id.")
        uuid = str(uuid4())
        row = wish._asdict() | {
            "uuid": uuid,
            "state": "sending",
            "payload": packed(wish.payload),
            "order_key": key_of(wish.panel, wish.order_id),
            "deadline_at": utc_after(literal(seconds + MARGIN)),
        }
        try:
            with turn(self._engine, wish.panel) as connection:
                outcomes.recover(connection, wish.panel)
                obstacle = obstacles.of(connection, wish, despite_unknown=despite_unknown)
                if obstacle is None:
                    connection.execute(insert(intents).values(row))
        except IntegrityError:  # another program wrote the same reference between the look and the insert
            with reading(self._engine) as connection:
                obstacle = obstacles.of_reference(connection, wish)
            if obstacle is None:
                raise
        if obstacle is not None:
            raise obstacle  # only now: what was recovered on the way is to be kept
        return uuid

    def finish(self, uuid: str, outcome: Outcome) -> Intent:
        """Write what became of it, and follow the order or the refill that it made, in one transaction.

        Where the answer cannot be true (the order was there before), the intent becomes `unknown` and says why.
        Saying the same twice is no error, and may add the balance afterwards. Raises `ActionFault`, with nothing
        written, where the journal holds another outcome already, a person's word usually.
        """
        said = outcomes.told(outcome)
        try:
            with self._turn_of(uuid) as (connection, intent):
                if intent.state in {"sending", "unknown"}:
                    return outcomes.settle(connection, intent, outcome)
                if not outcomes.contradicts(intent, outcome):
                    return outcomes.complete(connection, intent, outcome)
        except UsageFault as fault:  # another database than the one it was begun in
            raise ActionFault(f"{fault} The panel's answer was: {said}.", uuid) from fault
        raise ActionFault(
            f"Panel {intent.panel}: the answer to intent {uuid} came late and says {said}, but the journal holds "
            f"{outcomes.kept(intent)}. Nothing was overwritten. Find out which is true at the panel; "
            "`tracker track` follows an order that is missing.",
            uuid,
        )

    def recover(self) -> Found:
        """Give up what is still `sending` after its deadline, and settle unknown cancels; return what changed.

        By the database's clock. Each change is returned to one caller only, however many call at once.
        """
        with reading(self._engine) as connection:
            panels = outcomes.recoverable(connection)
        changed: Found = []
        for panel in panels:
            with turn(self._engine, panel) as connection:
                changed += outcomes.recover(connection, panel)
        return changed

    def resolve(self, uuid: str, order_id: str | None, *, refill_id: str | None = None) -> Intent:
        """Take a person's word about an unknown one: `order_id` says that it happened, None that it did not.

        Of an `add`, `order_id` is the order that it placed, which is followed from now on; of a refill or a cancel
        it is the intent's own order, and `refill_id` the refill to follow, where the panel shows one.
        Raises `UsageFault` where it is not unknown, or where that order cannot be meant.
        """
        with self._turn_of(uuid) as (connection, intent):
            outcomes.recover(connection, intent.panel)
            return outcomes.resolve(connection, load(connection, uuid), order_id, refill_id)

    def find(self, name: str) -> Intent:
        """Return an intent by its uuid, or by how that begins. Raises `UsageFault`, with the candidates."""
        if len(name) < SHORTEST:
            raise UsageFault(
                f"{name!r} is too short to name an intent: give at least {SHORTEST} characters of it. "
                "`tracker intents` lists them."
            )
        statement = select(*COLUMNS).where(intents.c.uuid.startswith(name.lower(), autoescape=True))
        found = self._found(statement.order_by(intents.c.uuid).limit(4))
        if not found:
            raise UsageFault(f"No intent begins with {name!r}. `tracker intents` lists them.")
        if len(found) > 1:
            raise UsageFault(
                f"{name!r} begins more than one intent: {', '.join(one.uuid for one in found)}. Give more of it."
            )
        return found[0]

    def of_order(self, key: int) -> Found:
        """Return what was sent about one order, by its `orders.id`: oldest first."""
        statement = select(*COLUMNS).where(intents.c.order_key == key)
        return self._found(statement.order_by(intents.c.sent_at, intents.c.uuid))

    def unfinished(self) -> Unfinished:
        """Return how many intents have no outcome."""
        lost = func.count().filter(or_(intents.c.state == "unknown", LOST))
        statement = select(func.count(), lost).where(UNFINISHED)
        with reading(self._engine) as connection:
            both, unknown = connection.execute(statement).one()
        return Unfinished(both - unknown, unknown)

    def evidence(self, intent: Intent) -> Evidence:
        """Return what is known around `intent` that may tell whether it happened."""
        with reading(self._engine) as connection:
            return evidence.about(connection, intent)

    def list(
        self,
        panel: str | None = None,
        states: Sequence[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        sort: str | None = None,
        limit: int | None = 50,
    ) -> Found:
        """Return intents, of one panel, in these states and sent in the span where given: newest first."""
        i = intents.c
        statement = select(*COLUMNS).where(*equal(i.panel, panel), *within(i.sent_at, since, until))
        if states:
            statement = statement.where(i.state.in_(states))
        if states and {"sending", "unknown"}.issuperset(states):
            statement = statement.where(UNFINISHED)  # so that their small index is used
        usual = (i.sent_at.desc(), i.uuid.desc())
        return self._found(statement.order_by(*sorting(statement, sort), *usual).limit(limit))

    def _found(self, statement: Select[*tuple[Any, ...]]) -> Found:
        with reading(self._engine) as connection:
            return [as_intent(row) for row in connection.execute(statement)]

    @contextlib.contextmanager
    def _turn_of(self, uuid: str) -> Iterator[tuple[Connection, Intent]]:
        """Take the turn of the panel of an intent, and read it then. Raises `UsageFault` where there is none."""
        with reading(self._engine) as connection:
            panel = load(connection, uuid).panel
        with turn(self._engine, panel) as connection:
            yield connection, load(connection, uuid)

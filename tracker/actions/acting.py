"""One panel to act at: what is wished is checked, written into the journal, sent once, and its outcome written."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.actions import forms, outcomes
from tracker.actions.forms import Given
from tracker.actions.knowledge import NOT_ASKED, Knowledge, Known
from tracker.errors import DatabaseUnfit, DatabaseUnreachable, PanelFault, TrackerError, UsageFault
from tracker.model import SETTLED, Action, Intent, Outcome, Service, Wish
from tracker.panel import PanelClient, require_sendable, uptime
from tracker.store.database import Database

SECONDS: Final = 60.0
"""From the moment before the intent is written to the last byte of the reply."""

TURN: Final = 300.0
"""Seconds to wait for the panel's next slot: longer than between two of the least allowance, one a minute."""

PATIENCE: Final = 60.0
"""Seconds for which an outcome is tried to be written into a database that has gone: the id must not be lost."""

RETRY: Final = 0.5
"""Seconds between two such tries."""

P = ParamSpec("P")
R = TypeVar("R")

log: FilteringBoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A wish that was checked and can be sent; nothing was written or sent so far."""

    wish: Wish
    """What goes into the journal: the form in `payload`, `price` and `balance_before` where they are known."""
    service: Service | None
    """As the catalog has it; None where that does not know it."""
    notes: tuple[str, ...] = ()
    """What a person should know before saying yes."""


class Actions:
    """`add`, `refill` and `cancel` at one panel, through the journal; for any thread.

    Each sends at most one POST and returns the confirmed intent. All raise, with nothing sent, `UsageFault` for a
    wish that cannot be meant, `Blocked` where an earlier intent stands in its way, `DatabaseUnreachable` and
    `DatabaseUnfit`, and NotSent (a PanelFault) once `stop` is set or where the panel wants a long pause; and, with
    the intent's uuid in `.intent`, `Rejected` (`KeyRejected` for the key), `Unsent`, and `OutcomeUnknown`
    (`Unrecorded` where the outcome is known but could not be written).
    """

    def __init__(
        self,
        panel: str,
        client: PanelClient,
        database: Database,
        *,
        balances: bool = True,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
    ) -> None:
        """`balances`: whether the account's balance is read before and after an order (two more requests)."""
        self.panel = panel
        self._client = client
        self._database = database
        self._known = Knowledge(panel, client, database)
        self._balances = balances
        self._seconds = seconds
        self._patience = patience

    def add(
        self,
        service: str | int,
        *,
        ref: str | None = None,
        despite_unknown: bool = False,
        check: bool = True,
        more: Mapping[str, str] | None = None,
        **fields: Given,
    ) -> Intent:
        """Place an order; it is followed from then on. Arguments as of `prepare` and `send`."""
        prepared = self.prepare(service, fields, ref, check=check, more=more)
        return self.send(prepared, despite_unknown=despite_unknown)

    def refill(self, order_id: str | int, *, despite_unknown: bool = False, check: bool = True) -> Intent:
        """Ask for a refill of an order; the refill is followed from then on."""
        return self.send(self.prepare_refill(order_id, check=check), despite_unknown=despite_unknown)

    def cancel(self, order_id: str | int, *, despite_unknown: bool = False, check: bool = True) -> Intent:
        """Ask for an order to be canceled: confirmed means asked, polling shows what becomes of it."""
        return self.send(self.prepare_cancel(order_id, check=check), despite_unknown=despite_unknown)

    def prepare(
        self,
        service: str | int,
        fields: Mapping[str, Given],
        ref: str | None = None,
        *,
        check: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Prepared:
        """Check an order against the catalog and look at the balance; send nothing.

        `ref` is the caller's own reference: no second order gets the same. `more` holds fields that this panel has
        invented. With `check=False` nothing is held against the catalog, and the price may be unknown.
        A catalog that was never read is read now, and not stored. Raises `UsageFault`; and PanelFault where the
        catalog was needed and did not come.
        """
        given = (service, ref, *fields.values(), *(more or {}), *(more or {}).values())
        self._told(self._client.require_keyless, [f"{one}" for one in given])
        reference = self._told(forms.reference, ref)
        known = self._known.service(f"{service}", needed=check)
        form = self._told(forms.check if check else forms.plain, known.service, fields, more or {})
        self._told(require_sendable, form)
        price = forms.price(known.service, form)
        funds = self._known.funds(price) if self._balances else NOT_ASKED
        wish = Wish(
            self.panel,
            "add",
            form,
            service_id=known.service.service_id,
            link=form.get("link") or form.get("username"),
            quantity=forms.pieces(known.service, form),
            ref=reference,
            price=price,
            currency=funds.currency,
            balance_before=funds.balance,
        )
        return Prepared(wish, known.service if known.listed else None, (*known.notes, *funds.notes))

    def _told(self, checking: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what checks without knowing the panel, and name it in what that raises."""
        try:
            return checking(*args, **kwargs)
        except UsageFault as fault:
            raise UsageFault(f"{self.panel}: {fault}") from None

    def prepare_refill(self, order_id: str | int, *, check: bool = True) -> Prepared:
        """Check whether a refill of an order can be asked for; send nothing.

        With `check=False` neither an order that is not followed nor a service without refill is refused.
        """
        known = self._known.order(f"{order_id}", needed=check)
        if check and known.service is not None and known.service.refill is False:
            raise UsageFault(f"{self.panel}: order {order_id}: its service {known.shown} has no refill.")
        return self._prepared("refill", known)

    def prepare_cancel(self, order_id: str | int, *, check: bool = True) -> Prepared:
        """As `prepare_refill`; an order that has ended is refused as well."""
        known = self._known.order(f"{order_id}", needed=check)
        if check and known.state in SETTLED:
            raise UsageFault(f"{self.panel}: order {order_id} is {known.state}: there is nothing to cancel.")
        if check and known.service is not None and known.service.cancel is False:
            raise UsageFault(f"{self.panel}: order {order_id}: its service {known.shown} has no cancel.")
        return self._prepared("cancel", known)

    def _prepared(self, action: Action, known: Known) -> Prepared:
        wish = Wish(
            self.panel,
            action,
            {"order": known.order_id},
            service_id=known.service_id,
            link=known.link,
            order_id=known.order_id,
        )
        return Prepared(wish, known.service)

    def send(self, prepared: Prepared, *, despite_unknown: bool = False) -> Intent:
        """Send what was prepared, once, and return the confirmed intent; raises as the class says.

        `despite_unknown` sends although an equal earlier intent has an unknown outcome: it may be bought twice.
        """
        wish = prepared.wish
        self._client.turn(uptime() + TURN)
        # The request's time begins before the journal's, so that it is over first, whatever happens in between.
        until = uptime() + self._seconds
        uuid = self._database.intents.begin(wish, seconds=self._seconds, despite_unknown=despite_unknown)
        # A crash from here on leaves `sending`, which anybody turns into `unknown` once its deadline has passed.
        fault: PanelFault | None = None
        try:
            outcome = outcomes.confirmed(wish, self._client.change(wish.action, wish.payload, until))
        except PanelFault as caught:
            fault, outcome = caught, outcomes.failed(wish, caught)
        except BaseException as error:
            self._finish(uuid, wish, outcomes.interrupted(error))
            raise
        intent = self._finish(uuid, wish, outcome)
        if (told := outcomes.raised(intent, wish, outcome, fault)) is not None:
            raise told
        return self._with_balance(intent, outcome) if wish.action == "add" and self._balances else intent

    def _with_balance(self, intent: Intent, outcome: Outcome) -> Intent:
        """Add to a confirmed order what the account holds after it, where that can be had; nothing hangs on it."""
        try:
            after = self._known.funds(None).balance
            return self._database.intents.finish(intent.uuid, outcome._replace(balance_after=after))
        except TrackerError:
            return intent

    def _finish(self, uuid: str, wish: Wish, outcome: Outcome) -> Intent:
        """Write an outcome, patiently. Raises `Unrecorded` where the database stays away: nobody else knows it."""
        until, told = uptime() + self._patience, False
        try:
            while True:
                try:
                    return self._database.intents.finish(uuid, outcome)
                except (DatabaseUnreachable, DatabaseUnfit) as error:
                    if uptime() >= until:
                        raise
                    if not told:
                        log.warning("intent.unwritten", panel=self.panel, intent=uuid, error=f"{error}")
                        told = True
                time.sleep(RETRY)
        except (DatabaseUnreachable, DatabaseUnfit, KeyboardInterrupt) as error:
            lost = outcomes.unrecorded(uuid, wish, outcome, error)
            log.error("intent.unrecorded", panel=self.panel, intent=uuid, order=outcome.order_id, error=f"{lost}")  # noqa: TRY400 - a sentence, no traceback
            raise lost from error

"""The actions of one panel, bulk forms included, as typed calls.

Reads may be sent a second time, and only below here; `add`, `refill` and `cancel` are one POST each, on a fresh
connection, whatever happens. What a panel understands beyond the documented page is learned from reads only.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import partial
from queue import Empty, SimpleQueue
from typing import Final, Protocol, TypeAlias, TypeVar

import httpx

from tracker.errors import PanelFault, UsageFault
from tracker.model import Action, Answer, Balance, RefillAnswer
from tracker.panel import wire
from tracker.panel.backend import uptime
from tracker.panel.budget import Budget
from tracker.panel.bulk import CANCEL, REFILL, REFILL_STATUS, STATUS, Abilities, Bulk
from tracker.panel.listing import Services, read_services
from tracker.panel.sender import CATALOG, CHANGE, READ, Account, Observer, Sender
from tracker.panel.wire import Answers, Taken
from tracker.panel.workers import Workers

QUIET: Final = 0.002
"""Seconds: replies from near by come faster, and writing a few of them together takes a third less CPU."""

Outcome: TypeAlias = Answers[Answer] | PanelFault

_CHANGES: Final[dict[Action, tuple[str, Callable[[object], str]]]] = {
    "add": ("service", wire.read_add),
    "refill": ("order", wire.read_refill),
    "cancel": ("order", wire.read_cancel),
}
"""Each changing action: the field that names what it is about, and who reads its reply."""


def require_sendable(form: Mapping[str, str]) -> None:
    """Raise `UsageFault` for a form that would replace the key or the action, or holds half a character."""
    if clash := {"key", "action"} & form.keys():
        raise UsageFault(f"an order has no field {', '.join(sorted(clash))}")
    try:
        "".join([*form, *form.values()]).encode()
    except UnicodeEncodeError:
        raise UsageFault("a field of the order holds half a character, which cannot be sent") from None


class Work(Protocol):
    """What `PanelClient.statuses` is fed with: anything that carries at most 100 ids."""

    @property
    def ids(self) -> Sequence[str]:
        """What to ask about."""


W = TypeVar("W", bound=Work)


class PanelClient:
    """One panel, for any thread; each request takes a slot of `budget` and ends soon after `stop` is set.

    All methods raise PanelFault for a request that brought no answer; what concerns one id only is a value.
    Ids are texts without comma and space; any number of them is split into requests of 100.
    """

    def __init__(
        self,
        account: Account,
        *,
        http: httpx.Client,
        budget: Budget,
        abilities: Abilities,
        stop: threading.Event,
        in_flight: int = 2,
        observe: Observer | None = None,
    ) -> None:
        self._sender = Sender(account, http, budget, stop, observe)
        self._bulk = Bulk(self._sender, abilities)
        self._in_flight = in_flight
        self._workers = Workers(in_flight, f"panel-{account.name}")

    @property
    def requests(self) -> int:
        """How many requests were sent so far, repeated and probing ones included."""
        return self._sender.requests

    def close(self) -> None:
        """End the threads of `statuses` once they are done; the http client belongs to the caller."""
        self._workers.close()

    # Reads

    def status(self, order_id: str) -> Answer:
        """Ask about one order, in the documented form."""
        return self._bulk.single(STATUS, order_id)[order_id]

    def ask_statuses(self, ids: Sequence[str]) -> Answers[Answer]:
        """Ask about orders: one request where the panel understands `orders`, else one for each id.

        Where it took several requests and one failed, the answers so far come back with `fault` set; only a
        failure before the first answer is raised.
        """
        return self._bulk.ask(STATUS, ids)

    def statuses(
        self, next_work: Callable[[], W | None], before_waiting: Callable[[], None] | None = None
    ) -> Iterator[tuple[W, Outcome]]:
        """Ask about work after work, `in_flight` together, and yield each with its outcome as it comes.

        `next_work` returns None when there is nothing right now; it is asked again after each outcome was taken,
        so that the caller may add work because of what it saw. Ends when there is no work and nothing in flight.
        `before_waiting` is called where the next outcome has not come within `QUIET` seconds: what is done better
        for several outcomes together may be put off until then.
        """
        done: SimpleQueue[tuple[W, Outcome | Exception]] = SimpleQueue()
        flying = self._launch(next_work, done, 0)
        while flying:
            work, outcome = self._next(done, before_waiting)
            flying -= 1
            if isinstance(outcome, PanelFault):
                # What the caller makes of it (stop, halve) decides whether there is more to ask.
                yield work, outcome
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                flying = self._launch(next_work, done, flying)
                yield work, outcome
            flying = self._launch(next_work, done, flying)

    def refill_statuses(self, ids: Sequence[str]) -> Answers[RefillAnswer]:
        """Ask about refills by their ids; faults as in `ask_statuses`."""
        return self._bulk.ask(REFILL_STATUS, ids)

    def services(self) -> Services:
        """Fetch the catalog."""
        return self._sender.send("services", {}, "services", read_services, CATALOG)

    def balance(self, until: float | None = None) -> Balance:
        """Fetch the balance; by `until` (of `uptime`) or not at all, where that is given."""
        return self._sender.send("balance", {}, "balance", wire.read_balance, replace(READ, until=until))

    # Changes

    def require_keyless(self, texts: Iterable[str]) -> None:
        """Raise `UsageFault` where one of the texts of an order tells the key: they are stored and shown."""
        if any(map(self._sender.holds_key, texts)):
            raise UsageFault("a field of the order holds the panel's key, which must not be stored: leave it out")

    def turn(self, until: float | None = None) -> None:
        """Wait for the panel's next slot, for one `change`. Raises NotSent where none comes by `until`."""
        self._sender.turn("waiting for its turn", until)

    def change(self, action: Action, form: Mapping[str, str], until: float) -> str:
        """Send one changing action after its `turn`, and return the panel's answer: an id, or a mere yes.

        Exactly one POST, and nothing of it is written after `until` (by `uptime`). Raises as `add` does.
        """
        name, read = _CHANGES[action]
        what = f"{action} of {name} {form.get(name, '')}"
        return self._sender.send(action, form, what, read, replace(CHANGE, until=until), in_turn=True)

    def add(self, service: str, **fields: str | int | Decimal | None) -> str:
        """Place an order and return its id. The fields depend on the service's type; one that is None is left out.

        Raises Refused with the panel's words. After any other fault with `arrived` the order may exist.
        """
        told = {name: f"{value}" for name, value in fields.items() if value is not None}
        return self._change("add", {"service": service, **told})

    def refill(self, order_id: str) -> str:
        """Ask for a refill and return its id, which some panels answer as a mere "1"; raises as `add` does."""
        return self._change("refill", {"order": order_id})

    def refills(self, ids: Sequence[str]) -> Answers[Taken]:
        """Ask for refills of many orders; after a fault, the first 100 ids without an answer may be taken."""
        return self._bulk.ask(REFILL, ids)

    def cancel(self, order_id: str) -> str:
        """Ask to cancel an order and return the panel's yes: asked, never done. Raises as `add` does."""
        return self._change("cancel", {"order": order_id})

    def cancels(self, ids: Sequence[str]) -> Answers[Taken]:
        """Ask to cancel many orders; after a fault, the first 100 ids without an answer may be taken."""
        return self._bulk.ask(CANCEL, ids)

    def _change(self, action: Action, form: Mapping[str, str]) -> str:
        require_sendable(form)
        self.turn()
        return self.change(action, form, uptime() + CHANGE.seconds)

    # Requests in flight

    def _launch(
        self,
        next_work: Callable[[], W | None],
        done: SimpleQueue[tuple[W, Outcome | Exception]],
        flying: int,
    ) -> int:
        while flying < self._in_flight and (work := next_work()) is not None:
            self._workers.submit(partial(self._run, work, done))
            flying += 1
        return flying

    @staticmethod
    def _next(
        done: SimpleQueue[tuple[W, Outcome | Exception]], before_waiting: Callable[[], None] | None
    ) -> tuple[W, Outcome | Exception]:
        if before_waiting is not None:
            try:
                return done.get(timeout=QUIET)
            except Empty:
                before_waiting()
        return done.get()

    def _run(self, work: W, done: SimpleQueue[tuple[W, Outcome | Exception]]) -> None:
        try:
            done.put((work, self._outcome(work)))
        except Exception as exc:  # noqa: BLE001 - raised again in the thread of the caller
            done.put((work, exc))

    def _outcome(self, work: Work) -> Outcome:
        try:
            return self._bulk.ask(STATUS, work.ids)
        except PanelFault as fault:
            return fault

"""Asking about many ids: together where the panel understands it, singly where it does not, and learning which.

The documented page knows `orders` for `status` only; many panels understand more, some less. What a panel
understands is learned from reads, never from a changing action.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, Literal, TypeVar

from tracker.errors import NotUnderstood, PanelFault, Refused
from tracker.model import BATCH, Answer, NotFound, Odd, RefillAnswer, RefillStatus, Status
from tracker.panel import wire
from tracker.panel.sender import CHANGE, READ, Sender
from tracker.panel.transport import Limits
from tracker.panel.wire import Answers, Taken

A = TypeVar("A")


@dataclass(slots=True)
class Abilities:
    """Whether a panel understands ids in bulk; None where that is not known yet. The caller keeps it."""

    bulk_status: bool | None = None
    bulk_refill: bool | None = None


@dataclass(frozen=True, slots=True)
class Form(Generic[A]):
    """How one action names one id and many, and how its replies are read."""

    action: str
    one: str
    many: str
    read: Callable[[object, Sequence[str]], Answers[A]]
    ability: Literal["bulk_status", "bulk_refill"] | None
    limits: Limits = READ


STATUS: Final[Form[Answer]] = Form("status", "order", "orders", wire.read_statuses, "bulk_status")
REFILL_STATUS: Final[Form[RefillAnswer]] = Form(
    "refill_status", "refill", "refills", wire.read_refill_statuses, "bulk_refill"
)
REFILL: Final[Form[Taken]] = Form("refill", "order", "orders", wire.read_refills, "bulk_refill", CHANGE)
CANCEL: Final[Form[Taken]] = Form("cancel", "order", "orders", wire.read_cancels, None, CHANGE)


class Bulk:
    """Asks one panel about ids."""

    def __init__(self, sender: Sender, abilities: Abilities) -> None:
        self.abilities = abilities
        self._sender = sender

    def ask(self, form: Form[A], ids: Sequence[str]) -> Answers[A]:
        """Ask about any number of ids; a fault after the first answers is told in their `fault`."""
        if len(ids) <= 1:
            return self.single(form, ids[0]) if ids else Answers()
        answers: Answers[A] = Answers()
        for first in range(0, len(ids), BATCH):
            batch = ids[first : first + BATCH]
            try:
                more = self._batch(form, batch)
            except PanelFault as fault:
                if not answers:
                    raise
                answers.fault = fault
            else:
                answers.update(more)
                answers.foreign += more.foreign
                answers.fault = more.fault
            if answers.fault is not None:
                break
        return answers

    def _batch(self, form: Form[A], ids: Sequence[str]) -> Answers[A]:
        known = getattr(self.abilities, form.ability) if form.ability else True
        if known is False:
            return self._singly(form, ids, Answers())
        learning = form.limits is READ and form.ability is not None
        try:
            answers = self._together(form, ids)
        except Refused as fault:
            if not learning or (known and not isinstance(fault, NotUnderstood)):
                raise
            lone = self._learn(form, ids)
            if lone is None:
                raise
            return self._singly(form, ids, lone)
        if learning and known is None:
            if any(isinstance(answer, (Status, RefillStatus, NotFound)) for answer in answers.values()):
                self._remember(form, understood=True)
            elif (lone := self._learn(form, ids)) is not None:
                return self._singly(form, ids, lone)
        return answers

    def _learn(self, form: Form[A], ids: Sequence[str]) -> Answers[A] | None:
        """Ask about one id in both forms; where only the single form works, remember it and return its answer.

        Asking for the same id in both tells a form that is not understood from an id that spoils a batch. An id
        that the panel does not know tells less, so another one is tried.
        """
        for one in (ids[0], ids[-1]):
            try:
                lone = self.single(form, one)
            except Refused:
                continue
            if isinstance(lone[one], Odd):
                continue
            answer: object = None
            try:
                answer = self._together(form, [one])[one]
            except NotUnderstood:
                self._remember(form, understood=False)
                return lone
            except Refused:
                pass  # "no such order" of a panel that did not see the id, or of one that does not know it
            if isinstance(answer, (Status, RefillStatus)):
                self._remember(form, understood=True)
                return None
            if isinstance(lone[one], (Status, RefillStatus)):
                self._remember(form, understood=False)
                return lone
        return None

    def _remember(self, form: Form[A], *, understood: bool) -> None:
        if form.ability is not None:
            setattr(self.abilities, form.ability, understood)

    def _together(self, form: Form[A], ids: Sequence[str]) -> Answers[A]:
        what = f"{form.action} of {len(ids)} {form.many}"
        read = partial(_read_for, form.read, ids)
        return self._sender.send(form.action, {form.many: ",".join(ids)}, what, read, form.limits)

    def single(self, form: Form[A], one: str) -> Answers[A]:
        """Ask about one id in the documented form; a refusal that is not "no such id" is raised."""
        what = f"{form.action} of {form.one} {one}"
        return self._sender.send(
            form.action, {form.one: one}, what, partial(_read_for, form.read, [one]), form.limits
        )

    def _singly(self, form: Form[A], ids: Sequence[str], answers: Answers[A]) -> Answers[A]:
        """Ask singly about those not in `answers` and add them; the refusal of one id is that id's answer."""
        for one in [each for each in ids if each not in answers]:
            try:
                answers.update(self.single(form, one))
            except PanelFault as fault:
                if isinstance(fault, Refused) and not isinstance(fault, NotUnderstood):
                    answers.update({one: Odd("item_error", fault.text)})  # type: ignore[dict-item]
                elif answers:
                    answers.fault = fault
                    break
                else:
                    raise
        return answers


def _read_for(
    read: Callable[[object, Sequence[str]], Answers[A]], ids: Sequence[str], value: object
) -> Answers[A]:
    return read(value, ids)

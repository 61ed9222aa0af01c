"""What may tell a person whether an unknown intent happened, in words and with all due caution."""

from decimal import Decimal
from typing import TYPE_CHECKING

from tracker.cli.quantities import money
from tracker.model import NO_CURRENCY, Intent

if TYPE_CHECKING:
    from tracker.store.journal.evidence import Evidence


def conclusion(intent: Intent, evidence: "Evidence") -> str:
    """Return what the evidence suggests: a sentence that never claims more than the figures say."""
    if intent.action == "refill":
        return "A balance tells nothing about a refill: look at the order at the panel."
    if intent.action == "cancel":
        return "The order's state will tell: once it is canceled or has ended, this is settled by itself."
    fallen = _fallen(intent, evidence)
    return (
        fallen
        if isinstance(fallen, str)
        else f"{_moved(fallen, intent.currency)}{_meaning(intent, evidence, fallen)}"
    )


def _meaning(intent: Intent, evidence: "Evidence", fallen: Decimal) -> str:
    if evidence.others:
        were = "another order was" if evidence.others == 1 else f"{evidence.others} other orders were"
        return f", but {were} sent meanwhile: look at the panel."
    if intent.price is None:
        return ", but what this would cost cannot be told beforehand: look at the panel."
    price = money(intent.price, intent.currency)
    if fallen == 0:
        return f", and the price is {price}: it was probably not placed, unless the panel charges later."
    if abs(fallen - intent.price) <= intent.price / 100:  # panels round
        return f", and the price is {price}: it was probably placed."
    return f", and the price is {price}: something else moved it, so look at the panel."


def _fallen(intent: Intent, evidence: "Evidence") -> Decimal | str:
    """Return by how much the balance fell, or the sentence that says why that is not known."""
    before, currency = intent.balance_before, intent.currency
    if before is None and evidence.before is not None:
        before, currency = evidence.before.balance, evidence.before.currency
    after = evidence.after
    if before is None:
        return "No balance from before it is known, so the balance tells nothing: look at the panel."
    if after is None:
        return (
            "No balance from after it is known: `tracker poll balance --all --panel "
            f"{intent.panel}` asks for it, then look here again."
        )
    if len({currency, after.currency} - {None, NO_CURRENCY}) > 1:
        return "The balances before and after are in two currencies, so they tell nothing: look at the panel."
    return before - after.balance


def _moved(fallen: Decimal, currency: str | None) -> str:
    if fallen == 0:
        return "The balance is the same as before"
    return f"The balance {'fell' if fallen > 0 else 'rose'} by {money(abs(fallen).normalize(), currency)}"

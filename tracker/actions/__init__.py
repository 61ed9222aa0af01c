"""Buying, refilling and canceling, so that nothing is ever sent twice unknowingly and nothing bought is forgotten.

For a shop's own code:

    from tracker import actions
    from tracker.errors import OutcomeUnknown, Rejected

    with actions.opened("tracker.toml", panel="senderin") as panel:
        try:
            placed = panel.add("412", link="https://example.com/p/1", quantity=1000, ref="shop-77")
            print(placed.order_id, placed.price, placed.currency)
        except Rejected as no:  # the panel said no, and `no` says why: nothing was bought
            print(no)
        except OutcomeUnknown as lost:  # it may have been bought: do not order again, a person looks
            print(lost, lost.intent)

A wish is written into the journal (`intents`) and committed to disk *before* its one POST, its outcome after it,
together with the new order or refill, which is followed from then on. Where the reply was lost the outcome is
unknown, and an equal wish is refused until `tracker resolve` has been told what became of it.
"""

from tracker.actions.acting import Actions, Prepared
from tracker.actions.forms import FORMS, LISTS, check, price
from tracker.actions.opening import connected, opened
from tracker.actions.outcomes import KeyRejected, Unrecorded
from tracker.actions.sentences import sentence

__all__ = [
    "FORMS",
    "LISTS",
    "Actions",
    "KeyRejected",
    "Prepared",
    "Unrecorded",
    "check",
    "connected",
    "opened",
    "price",
    "sentence",
]

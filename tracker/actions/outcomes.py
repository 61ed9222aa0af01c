"""What became of a POST: from a fault to a row of the journal, and from that to what is raised."""

from tracker.actions.sentences import broke, sentence
from tracker.errors import (
    EXIT_KEY_REFUSED,
    KeyRefused,
    OutcomeUnknown,
    PanelFault,
    Refused,
    Rejected,
    TrackerError,
    Unsent,
)
from tracker.model import Intent, Outcome, Wish


class KeyRejected(Rejected):
    """The panel does not accept the key: nothing was done, and nothing more should be asked with it."""

    exit_code = EXIT_KEY_REFUSED


class Unrecorded(OutcomeUnknown):
    """The outcome is known here, in `outcome`, but the database could not be told: the journal says `sending`."""

    def __init__(self, text: str, intent: str, outcome: Outcome) -> None:
        super().__init__(text, intent)
        self.outcome = outcome


def named(wish: Wish) -> str:
    """Return what a wish is, for a sentence about it."""
    if wish.action == "add":
        return f"{wish.panel}: add of service {wish.service_id}"
    return f"{wish.panel}: {wish.action} of order {wish.order_id}"


def confirmed(wish: Wish, told: str) -> Outcome:
    """Return the outcome of a request that the panel answered with `told`: an id, or the yes to a cancel."""
    if wish.action == "add":
        return Outcome("confirmed", order_id=told)
    return Outcome("confirmed", refill_id=told if wish.action == "refill" else None)


def failed(wish: Wish, fault: PanelFault) -> Outcome:
    """Return the outcome of a request that ended in a fault: what the panel may have done counts as unknown."""
    error = fault.text if isinstance(fault, Refused) else str(fault).removeprefix(f"{named(wish)}: ")
    if not fault.arrived:
        return Outcome("unsent", error=error)
    return Outcome("rejected" if fault.declined and not broke(error) else "unknown", error=error)


def interrupted(error: BaseException) -> Outcome:
    """Return the outcome of a request that was left by something else than its end, Ctrl-C above all."""
    return Outcome("unknown", error=f"the request was left by {type(error).__name__}")


def raised(intent: Intent, wish: Wish, outcome: Outcome, fault: PanelFault | None) -> TrackerError | None:
    """Return what tells the caller that a wish did not come true; None for one that did."""
    why = intent.error or outcome.error or "no reason was told"
    # A person may have said the same while the answer was on its way.
    state = outcome.state if intent.state == "resolved" else intent.state
    if state == "confirmed":
        return None
    if state == "unsent":
        return Unsent(f"{named(wish)}: {_ended(why)} Nothing was sent: the same may be asked again.", intent.uuid)
    if state == "rejected":
        kind = KeyRejected if isinstance(fault, KeyRefused) else Rejected
        told = _meant(wish, why) if isinstance(fault, Refused) else why
        return kind(f"{named(wish)}: {told}", intent.uuid)
    return OutcomeUnknown(
        f"{named(wish)}: {_ended(why)} The panel may have done it all the same, so it is not sent again. Look "
        f"there, then tell {remedy(intent.uuid, wish)}.",
        intent.uuid,
    )


def _ended(told: str) -> str:
    return told if told.endswith((".", "…")) else f"{told}."


def _meant(wish: Wish, words: str) -> str:
    return f'{sentence(wish.action, words) or "the panel refused it"} (the panel\'s words: "{words}")'


def remedy(uuid: str, wish: Wish, outcome: Outcome | None = None) -> str:
    """Return what to type about an unknown intent; `outcome` is what came of it, where that is known."""
    if outcome is not None and outcome.state in {"rejected", "unsent"}:
        return f"`tracker resolve {uuid} --not-placed`"
    if outcome is not None and outcome.state == "confirmed":
        done = {
            "add": f"--order-id {outcome.order_id}",
            "refill": f"--refill-id {outcome.refill_id}",
            "cancel": "--placed",
        }[wish.action]
        return f"`tracker resolve {uuid} {done}`"
    return f"`tracker resolve {uuid}`"


def unrecorded(uuid: str, wish: Wish, outcome: Outcome, why: BaseException) -> Unrecorded:
    """Return the error of an outcome that could not be written: it alone still holds what the panel said."""
    came = {
        "confirmed": f"was confirmed as order {outcome.order_id}" if wish.action == "add" else "was confirmed",
        "rejected": f'was rejected ("{outcome.error}")',
        "unsent": "was not sent",
        "unknown": "has an unknown outcome",
    }[outcome.state]
    if wish.action == "refill" and outcome.refill_id:
        came += f" as refill {outcome.refill_id}"
    return Unrecorded(
        f"{named(wish)} {came}, but the journal could not be told ({why}). Once the database is back, and two "
        f"minutes have passed, type: {remedy(uuid, wish, outcome)}",
        uuid,
        outcome,
    )

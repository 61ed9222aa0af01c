"""One tree of errors: local faults, faults of a panel, and replies that cannot be believed.

A `LocalFault` is mended by a person here (a restart does not help) and carries its exit code. A `PanelFault` is
recorded, backed off from and survived. Rounds pass panel faults as values, so that one batch's trouble never
unwinds the others.
"""

from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_PARTLY: Final = 3
EXIT_KEY_REFUSED: Final = 4
EXIT_UNREACHABLE: Final = 5
EXIT_UNKNOWN_OUTCOME: Final = 6
EXIT_DATABASE: Final = 10
EXIT_LEASE: Final = 11
EXIT_CONFIGURATION: Final = 78


class TrackerError(Exception):
    """Anything that tracker says itself; the text is a sentence for a person, with the remedy."""

    exit_code: ClassVar[int] = EXIT_FAILED


class UsageFault(TrackerError):
    """What was typed cannot be meant."""

    exit_code = EXIT_USAGE


class LocalFault(TrackerError):
    """Something here that a restart cannot mend."""


class ConfigurationFault(LocalFault):
    """The configuration cannot be used; the text lists every error in it."""

    exit_code = EXIT_CONFIGURATION


class DatabaseUnfit(LocalFault):
    """There is no database, or one that this tracker must not touch."""

    exit_code = EXIT_DATABASE


class DatabaseUnreachable(TrackerError):
    """The database does not answer right now; polling pauses and tries again."""

    exit_code = EXIT_DATABASE


class LeaseLost(TrackerError):
    """Our right to poll ended before a write: nothing was written."""

    exit_code = EXIT_LEASE


class Blocked(TrackerError):
    """A wish that was not even tried, for an earlier one stands in its way; nothing was sent."""

    def __init__(self, text: str, intent: str | None = None) -> None:
        super().__init__(text)
        self.intent = intent
        """The uuid of the earlier one, where it is in the journal."""


class ActionFault(TrackerError):
    """A wish that did not come true, or is not known to have; `intent` is its uuid in the journal."""

    def __init__(self, text: str, intent: str) -> None:
        super().__init__(text)
        self.intent = intent


class Rejected(ActionFault):
    """The panel answered that it does not do it; nothing was bought."""


class Unsent(ActionFault):
    """The request provably never reached the panel; the same wish may be sent again."""

    exit_code = EXIT_UNREACHABLE


class OutcomeUnknown(ActionFault):
    """The panel may have done it. Nothing sends it again; a person finds out and tells `tracker resolve`."""

    exit_code = EXIT_UNKNOWN_OUTCOME


class PanelFault(TrackerError):
    """A request that brought no answer we can use."""

    exit_code = EXIT_FAILED
    kind: ClassVar[str] = "fault"
    arrived: ClassVar[bool] = True
    """Whether the panel may have seen the request. Where this is False, sending it again is safe."""
    declined: ClassVar[bool] = False
    """Whether it is a whole answer that says that nothing was done."""


class Unreachable(PanelFault):
    """The request provably never reached the panel: name, connection or TLS failed."""

    exit_code = EXIT_UNREACHABLE
    kind = "unreachable"
    arrived = False


class TimedOut(PanelFault):
    """The deadline passed before the whole reply was there."""

    exit_code = EXIT_UNREACHABLE
    kind = "timeout"


class Interrupted(PanelFault):
    """The connection broke after the request was on its way."""

    exit_code = EXIT_UNREACHABLE
    kind = "interrupted"


class Stopped(PanelFault):
    """We are stopping ourselves and let the request go."""

    kind = "stopped"


class ServerFault(PanelFault):
    """The panel, or something before it, answered with an error page (5xx, a redirect, a firewall)."""

    exit_code = EXIT_UNREACHABLE
    kind = "server"


class RateLimited(PanelFault):
    """Too many requests; `retry_after` is the panel's hint in seconds, where it gave one."""

    kind = "rate_limited"
    declined = True

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class KeyRefused(PanelFault):
    """The panel does not accept the key, or has closed the account."""

    exit_code = EXIT_KEY_REFUSED
    kind = "key_refused"
    declined = True


class Unavailable(PanelFault):
    """The panel itself says that it cannot answer now."""

    exit_code = EXIT_UNREACHABLE
    kind = "unavailable"
    declined = True


class Refused(PanelFault):
    """A complete answer that refuses the request as a whole; `text` is the panel's own words."""

    kind = "refused"
    declined = True

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class NotUnderstood(Refused):
    """The panel does not know this form of the request (a bulk form, usually)."""

    kind = "not_understood"


class BadReply(PanelFault):
    """A reply that is no answer to what was asked: no JSON, too large, another shape."""

    kind = "bad_reply"

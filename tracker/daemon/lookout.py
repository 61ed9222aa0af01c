"""The daemon's eye on the journal: it sends no intent itself, but says which of them nobody knows the end of."""

from typing import Final

import structlog
from structlog.typing import FilteringBoundLogger

from tracker.model import Intent
from tracker.store.database import Database

MOST: Final = 1000
"""Unknown intents that are told about, the newest; with more than that, people know."""

log: FilteringBoundLogger = structlog.get_logger()


class Lookout:
    """Gives up intents whose process died, settles what can be, and logs each unknown one once."""

    def __init__(self, database: Database) -> None:
        self._journal = database.intents
        self._told: frozenset[str] = frozenset()

    def look(self) -> None:
        """Look once. Raises what the database raises; what was not told then is told the next time."""
        settled = [intent for intent in self._journal.recover() if intent.state == "resolved"]
        for intent in settled:
            log.info("intent.resolved", **_about(intent), resolution=intent.resolution)
        unknown = self._journal.list(states=("unknown",), limit=MOST)
        for intent in reversed(unknown):
            if intent.uuid not in self._told:
                remedy = f"the panel may have done it: find out, and tell `tracker resolve {intent.uuid}`"
                log.warning("intent.unknown", **_about(intent), error=intent.error, remedy=remedy)
        self._told = frozenset(intent.uuid for intent in unknown)


def _about(intent: Intent) -> dict[str, object]:
    about: dict[str, object] = {"panel": intent.panel, "intent": intent.uuid, "action": intent.action}
    if intent.action == "add":
        return about | {"service": intent.service_id, "link": intent.link, "ref": intent.ref}
    return about | {"order": intent.order_id}

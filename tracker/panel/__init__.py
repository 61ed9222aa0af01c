"""A client for panels that speak "API v2"; usable without the rest of tracker.

stop = threading.Event()
with make_http_client(stop) as http:
    panel = PanelClient(
        Account("senderin", "https://senderin.ru/api/v2", key),
        http=http, budget=Budget(60), abilities=Abilities(), stop=stop,
    )
    print(panel.balance(), panel.status("23501"))
"""

from tracker.panel.backend import Dropped, NotSent, uptime
from tracker.panel.budget import Budget
from tracker.panel.bulk import Abilities
from tracker.panel.client import Outcome, PanelClient, Work, require_sendable
from tracker.panel.listing import Services
from tracker.panel.redact import redact
from tracker.panel.sender import Account, Observer
from tracker.panel.transport import Limits, PanelTransport, make_http_client
from tracker.panel.wire import Answers, Taken

__all__ = [
    "Abilities",
    "Account",
    "Answers",
    "Budget",
    "Dropped",
    "Limits",
    "NotSent",
    "Observer",
    "Outcome",
    "PanelClient",
    "PanelTransport",
    "Services",
    "Taken",
    "Work",
    "make_http_client",
    "redact",
    "require_sendable",
    "uptime",
]

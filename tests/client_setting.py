"""One panel on a socket and our client for it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx
from raw_panel import Asked, RawPanel, ok

from tracker.panel import Abilities, Account, Budget, PanelClient, make_http_client

PENDING = {"status": "Pending"}


@dataclass
class Setting:
    """One panel and our client for it."""

    panel: RawPanel
    client: PanelClient
    abilities: Abilities
    stop: threading.Event
    budget: Budget

    def forms(self) -> list[dict[str, str]]:
        return [{n: v for n, v in asked.fields.items() if n != "key"} for asked in self.panel.asked]


class Noting(Budget):
    """A budget that notes its pauses instead of holding them, or a test would last minutes."""

    def __init__(self, requests_per_minute: float | None) -> None:
        super().__init__(requests_per_minute)
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@contextmanager
def setting(
    answer: Callable[[Asked], bytes | None],
    *,
    in_flight: int = 1,
    abilities: Abilities | None = None,
    budget: Budget | None = None,
    observe: Callable[[str, str, float], None] | None = None,
) -> Iterator[Setting]:
    stop = threading.Event()
    known = abilities or Abilities()
    budget = budget or Budget(None)
    with ExitStack() as stack:
        panel = stack.enter_context(RawPanel(answer))
        http: httpx.Client = stack.enter_context(make_http_client(stop))
        client = PanelClient(
            Account("acme", panel.url, "secret-key"),
            http=http, budget=budget, abilities=known, stop=stop, in_flight=in_flight, observe=observe,
        )  # fmt: skip
        stack.callback(client.close)
        stack.callback(stop.set)
        yield Setting(panel, client, known, stop, budget)


def pending(asked: Asked) -> bytes:
    """Answer every order asked about in bulk or alone."""
    if "order" in asked.fields:
        return ok(PENDING)
    return ok(dict.fromkeys(asked.fields["orders"].split(","), PENDING))


def single_only(asked: Asked) -> bytes:
    return ok(PENDING) if "order" in asked.fields else ok({"error": "Missing order parameter"})


@dataclass
class Batch:
    """A caller's own work."""

    ids: Sequence[str]


def feed(work: list[Batch]) -> Callable[[], Batch | None]:
    return lambda: work.pop(0) if work else None

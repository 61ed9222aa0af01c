"""A whole round over the wire: a panel made of bytes, our client, and a hundred orders with a history."""

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final, NamedTuple, TypeAlias

import httpx
import structlog
from books import execute, table
from client_setting import Noting
from promises import broken
from raw_panel import Asked, RawPanel, ok
from sqlalchemy import delete, func, select

from tracker.model import BATCH
from tracker.panel import Abilities, Account, PanelClient, make_http_client
from tracker.panel.backend import Address
from tracker.rounds.desk import Desk, Report
from tracker.rounds.statuses import statuses
from tracker.store.database import Database, opened
from tracker.store.engine import reading
from tracker.store.following.tracking import NewOrder
from tracker.store.leases import Lease
from tracker.store.schema import anomalies, orders, progress, rounds, transitions

PANEL: Final = "acme"
HOST: Final = "panel.example"
KEY: Final = "k3y-planted-0f1e2d3c4b5a"
IDS: Final = tuple(str(number) for number in range(23501, 23601))
WORDS: Final = ("Pending", "In progress", "Processing", "Partial", "Completed")

Answer: TypeAlias = Callable[[Asked], bytes | None]
Item: TypeAlias = dict[str, object]


class Head(NamedTuple):
    """What is known of an order."""

    panel_status: str
    charge: Decimal
    currency: str
    start_count: int
    remains: int


def item(order_id: str, turn: int) -> Item:
    """Return what a good panel says about an order, in the documented form; with each turn everything is new."""
    number = int(order_id)
    return {
        "charge": f"{turn % 90}.{number}",
        "start_count": f"{number + turn}",
        "status": WORDS[(number + turn) % len(WORDS)],
        "remains": f"{(number * 7 + turn) % 9000}",
        "currency": "USD",
    }


def head(told: Item) -> Head:
    """Return what is to be known of an order after such an item."""
    count, remains = int(f"{told['start_count']}"), int(f"{told['remains']}")
    return Head(f"{told['status']}", Decimal(f"{told['charge']}"), f"{told['currency']}", count, remains)


def items(ids: Iterable[str], turn: int) -> dict[str, Item]:
    return {one: item(one, turn) for one in ids}


def heads(turn: int) -> dict[str, Head]:
    return {one: head(told) for one, told in items(IDS, turn).items()}


def ids_of(asked: Asked) -> list[str]:
    return asked.fields.get("orders", asked.fields.get("order", "")).split(",")


class Scene:
    """Rounds about `IDS` over real sockets into a real database; the panel answers as `answer` says."""

    panel: RawPanel
    desk: Desk

    def __init__(self, database: Database) -> None:
        self.database = database
        self.answer: Answer = lambda asked: ok(self.body(asked))
        self.turn = 0
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.budget = Noting(None)
        self.seconds: float | None = None
        """In place of a request's own time."""
        self.took: list[float] = []
        """Seconds of each request so far."""
        self.resolve: Callable[[], list[Address]] = self.address

    def body(self, asked: Asked) -> bytes:
        """Return what a good panel says in this turn."""
        ids = ids_of(asked)
        return json.dumps(item(ids[0], self.turn) if "order" in asked.fields else items(ids, self.turn)).encode()

    def handle(self, asked: Asked) -> bytes | None:
        """Answer a request."""
        return self.answer(asked)

    def address(self) -> list[Address]:
        """Return where the panel is."""
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", self.panel.port))]

    def round(self, requests: int = 1000) -> Report:
        """Run one round about all orders, a second later: settled ones must not be closed before the end."""
        self.now += timedelta(seconds=1)
        return statuses(self.desk, requests, may_go_on=lambda: True, force=True)

    def next_good_round(self, headers: str = "") -> None:
        """Check that the next good reply, in which everything is new, is believed as a whole."""
        self.turn += 1
        self.good_round(headers)

    def good_round(self, headers: str = "") -> None:
        """Check that a good reply is believed as a whole: the client and its connections are alive."""
        self.answer = lambda asked: ok(self.body(asked), headers)
        self.desk.status_limit = BATCH  # smaller batches after trouble are proven in `test_rounds_faults`
        report = self.round()
        assert report.fault is None
        assert report.answered == len(IDS)
        assert self.known() == heads(self.turn)

    def known(self) -> dict[str, Head]:
        """Return what is known of each order."""
        rows = table(self.database, orders)
        return {row["order_id"]: Head(*(row[name] for name in Head._fields)) for row in rows}

    def history(self) -> tuple[object, ...]:
        """Return what a reply that was not believed must leave as it is."""
        with reading(self.database._engine) as connection:
            counts = [connection.scalar(select(func.count()).select_from(one)) for one in (transitions, progress)]
        return self.known(), counts

    def anomalies(self) -> dict[str, set[str]]:
        """Return the kinds of the anomalies since `forget`, by order; those of the panel have an empty id."""
        found: dict[str, set[str]] = {}
        for row in table(self.database, anomalies):
            found.setdefault(row["order_id"], set()).add(row["kind"])
        return found

    def forget(self) -> None:
        """Forget the anomalies and rounds so far."""
        for one in (anomalies, rounds):
            execute(self.database, delete(one))

    def forget_requests(self) -> None:
        """Forget all requests and the panel's ended connections, whose memory is not the client's."""
        panel = self.panel
        panel.asked.clear()
        self.took.clear()
        panel._open = [sock for sock in panel._open if sock.fileno() >= 0]
        panel._threads = [thread for thread in panel._threads if thread.is_alive()]

    def told(self) -> list[str]:
        """Return every text that told people what went wrong, since `forget`."""
        details = [row["detail"] for row in table(self.database, anomalies)]
        return [text for text in [*details, *(row["error"] for row in table(self.database, rounds))] if text]


@contextmanager
def scene(
    database: Database, served_tls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Scene]:
    """Give a scene whose orders have a history of one good reply."""
    lease = database.acquire(PANEL, "test", 86400)
    assert isinstance(lease, Lease)
    memory = database.memory(lease)
    made, stop, abilities = Scene(database), threading.Event(), Abilities()

    def hurry(request: httpx.Request) -> None:
        if made.seconds is not None:
            request.extensions["limits"] = replace(request.extensions["limits"], seconds=made.seconds)

    with ExitStack() as stack:
        stack.enter_context(hushed())
        made.panel = stack.enter_context(RawPanel(made.handle, served_tls))
        url = made.panel.url.replace("127.0.0.1", HOST)
        http = stack.enter_context(make_http_client(stop, tls=tls, resolve=lambda _host, _port: made.resolve()))
        http.event_hooks = {"request": [hurry]}
        client = PanelClient(
            Account(PANEL, url, KEY), http=http, budget=made.budget, abilities=abilities, stop=stop, in_flight=1,
            observe=lambda _action, _outcome, seconds: made.took.append(seconds),
        )  # fmt: skip
        stack.callback(client.close)
        stack.callback(stop.set)
        memory.ledger.open(url)
        made.desk = Desk(PANEL, client, memory, lambda: made.now, abilities, random=Random(7))
        database.track(PANEL, [NewOrder(one) for one in IDS])
        made.next_good_round()
        yield made


@contextmanager
def proven_scene(url: str) -> Iterator[Scene]:
    """Give a scene on the database at `url`, and check promises P2 and P3 over all that came of it."""
    with opened(url) as database, scene(database) as made:
        yield made
    assert broken(url) == {}


@contextmanager
def hushed() -> Iterator[None]:
    """Log nothing but what is critical: a line for each transition would take half of the time."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)

"""Promise P5 on the wire: however a connection or a process ends, nothing is bought twice or forgotten."""

import select
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

import pytest
from books import NOW
from cli_setting import KEY, settings_of, sql
from simulation import PATIENCE

from tracker import actions
from tracker.actions import Actions
from tracker.catalog import Difference
from tracker.errors import OutcomeUnknown, Unsent
from tracker.model import Intent, Service
from tracker.simulator import Simulator
from tracker.store.database import Database
from tracker.store.polling.memory import Memory

pytestmark = pytest.mark.once

RESET: Final = struct.pack("ii", 1, 0)
SHORT: Final = 0.4
"""Seconds that a request may take in these tests where nobody answers it."""


Side: TypeAlias = Literal["request", "reply"]
How: TypeAlias = Literal["fin", "rst", "stall"]


class Cut(NamedTuple):
    """Where and how a connection ends: after so many bytes of the request, or of the reply."""

    of: Side
    after: int
    how: How


Told: TypeAlias = dict[Cut, str]


class Proxy:
    """Stands between a client and the panel and ends connections as told; None passes everything on."""

    def __init__(self, panel: Simulator) -> None:
        self._panel = panel
        self.cut: Cut | None = None
        self.passed: dict[Side, int] = {"request": 0, "reply": 0}
        """Bytes of the newest connection."""
        self.over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v2"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._listener.close()

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._serve, args=(client, self.cut)))
            threads[-1].start()
        for thread in threads:
            thread.join(PATIENCE)

    def _serve(self, client: socket.socket, cut: Cut | None) -> None:
        passed: dict[Side, int] = {"request": 0, "reply": 0}
        self.passed = passed
        with client, socket.create_connection(("127.0.0.1", self._panel.port)) as panel, suppress(OSError):
            while True:
                for source in select.select([client, panel], [], [], PATIENCE)[0]:
                    side: Side
                    side, target = ("request", panel) if source is client else ("reply", client)
                    data = source.recv(65536)
                    if not data:
                        return
                    if cut is not None and cut.of == side:
                        data = data[: cut.after - passed[side]]
                    target.sendall(data)
                    passed[side] += len(data)
                    if cut is not None and passed[cut.of] >= cut.after and side == cut.of:
                        self._end(client, cut.how)
                        return

    def _end(self, client: socket.socket, how: str) -> None:
        if how == "rst":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return
        if how == "fin":
            client.shutdown(socket.SHUT_WR)
        client.settimeout(PATIENCE)
        while not self.over.is_set() and client.recv(65536):
            pass


def cheapest(panel: Simulator) -> Service:
    """Return the service of which a thousand orders cost the account the least."""
    default = [each for each in panel.world.services() if each.type == "Default"]
    return min(default, key=lambda each: (each.rate or 0) * (each.min or 1))


@contextmanager
def proxied(panel: Simulator, database: Database, seconds: float = PATIENCE) -> Iterator[tuple[Proxy, Actions]]:
    """A proxy, and actions at the panel behind it, which know the catalog already."""
    proxy = Proxy(panel)
    try:
        at = replace(settings_of(panel, "acme"), url=proxy.url, requests_per_minute=0)
        with actions.connected(at, database, balances=False, seconds=seconds) as acting:
            acting.prepare(cheapest(panel).service_id, order(panel, "warm"))
            yield proxy, acting
    finally:
        proxy.close()


def order(panel: Simulator, name: object) -> dict[str, str]:
    return {"link": f"https://example.com/p/{name}", "quantity": str(cheapest(panel).min)}


def try_to_add(acting: Actions, panel: Simulator, name: object) -> str:
    """Place one order and return the state in which the caller was told it is."""
    try:
        return acting.send(acting.prepare(cheapest(panel).service_id, order(panel, name))).state
    except OutcomeUnknown:
        return "unknown"
    except Unsent:
        return "unsent"


def prove(panel: Simulator, database: Database) -> Counter[str]:
    """Check that each order has its intent and no intent has two; return the intents by state."""
    intents = database.intents.list(limit=None)
    by_link: dict[str | None, Intent] = {each.link: each for each in intents}
    assert len(by_link) == len(intents), "each test order has a link of its own"
    bought = Counter(looked.order.link for each in panel.world.order_ids() if (looked := panel.world.look(each)))
    assert set(bought.values()) <= {1}, "bought twice"
    for order_id in panel.world.order_ids():
        looked = panel.world.look(order_id)
        assert looked is not None
        owner = by_link[looked.order.link]
        assert owner.state == "unknown" or (owner.state, owner.order_id) == ("confirmed", order_id)
    for intent in intents:
        if intent.state == "confirmed":
            assert bought[intent.link or ""] == 1
            assert database.history.find(intent.order_id or "", "acme"), "a bought order is followed"
    assert panel.counts["add"] <= len(intents), "at most one POST for each intent"
    return Counter(intent.state for intent in intents)


@pytest.fixture
def panel() -> Iterator[Simulator]:
    with Simulator(key=KEY, seed=5) as simulator:
        yield simulator


def in_turn(panel: Simulator, database: Database, cuts: Sequence[Cut], seconds: float, threads: int) -> Told:
    """Place one order for each cut, a few at once, as the terminals and shops of one account would."""
    told: Told = {}

    def work(share: Sequence[Cut]) -> None:
        with proxied(panel, database, seconds) as (proxy, acting):
            for cut in share:
                proxy.cut = cut
                told[cut] = try_to_add(acting, panel, f"{cut.of}-{cut.after:03}-{cut.how}")

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, cuts[start::threads]) for start in range(threads)]:
            done.result()
    return told


def whole(panel: Simulator, database: Database) -> dict[Side, int]:
    """Place an order that nobody cuts; return the bytes of its request and of its reply."""
    with proxied(panel, database) as (proxy, acting):
        assert try_to_add(acting, panel, "request-000-xxx") == "confirmed"
        return dict(proxy.passed)


def test_a_connection_cut_at_any_byte_leaves_every_order_with_its_one_intent(
    panel: Simulator, sqlite_database: Database
) -> None:
    length = whole(panel, sqlite_database)
    ways: tuple[How, How] = ("fin", "rst")
    cuts = [Cut(of, after, ways[after % 2]) for of in length for after in range(length[of] + 1)]
    cuts += [Cut(of, end, how) for of in length for end in (0, length[of]) for how in ways if how != ways[end % 2]]
    told = in_turn(panel, sqlite_database, cuts, seconds=PATIENCE, threads=3)
    for cut, state in told.items():
        arrived = cut.of == "reply" and cut.after == length["reply"]
        assert state == "confirmed" if arrived else state in {"unknown", "unsent"}, cut
    by_state = prove(panel, sqlite_database)
    assert by_state == Counter(told.values()) + Counter(["confirmed"])
    assert by_state["unknown"] > 400
    assert len(panel.world.order_ids()) > length["reply"]


def test_a_panel_that_falls_silent_at_any_moment_leaves_the_outcome_unknown(
    panel: Simulator, sqlite_database: Database
) -> None:
    length = whole(panel, sqlite_database)
    cuts = [Cut(of, after, "stall") for of in length for after in range(0, length[of], 7)]
    told = in_turn(panel, sqlite_database, cuts, seconds=SHORT, threads=20)
    assert set(told.values()) <= {"unknown", "unsent"}, "a busy machine may use up the time before the request"
    assert prove(panel, sqlite_database) == Counter(told.values()) + Counter(["confirmed"])
    assert len(panel.world.order_ids()) > 1


def test_a_process_killed_at_any_statement_or_socket_call_leaves_every_order_with_its_one_intent(
    panel: Simulator, database: Database, database_url: str, memory: Memory
) -> None:
    service = cheapest(panel)
    memory.services.write(Difference([service], [], []), NOW)
    script = Path(__file__).with_name("killed_add.py")
    command = [sys.executable, str(script), panel.url, database_url, service.service_id, str(service.min)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    edges = done.stdout.splitlines()
    assert edges[-1] == "end", done.stderr
    assert {"after send", "before recv", "before COMMIT", "after COMMIT"} <= set(edges)
    sql(database_url, "UPDATE intents SET deadline_at = sent_at WHERE state = 'sending'")
    recovered = database.intents.recover()
    by_state = prove(panel, database)
    assert by_state == {"confirmed": by_state["confirmed"], "unknown": len(recovered)}
    assert sum(by_state.values()) < len(edges), "who dies early has written nothing"
    assert len(panel.world.order_ids()) > by_state["confirmed"], "some died between the request and its outcome"

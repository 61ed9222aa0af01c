"""Places orders in processes that kill themselves: the n-th at its n-th statement or socket call.

Run by `test_actions_cut.py` as `killed_add.py PANEL_URL DATABASE_URL SERVICE QUANTITY`. Prints one line a process:
the edge at which it died, or `end` once one came through. One warm process forks them, for a start takes a second.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from sqlalchemy import Engine, Pool, event
from sqlalchemy.engine import Connection

from tracker import actions
from tracker.settings import PanelSettings, Secret
from tracker.store.database import Database

MOST: Final = 1000
"""Edges after which this counts as endless."""

CHUNK: Final = 100
"""Bytes that a socket takes or gives at once, so that there are edges within a request and a reply."""


class Edges:
    """Counts edges of this process and kills it at the n-th."""

    def __init__(self, last: int, told: int) -> None:
        self._left = last
        self._told = told

    def __call__(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.write(self._told, f"{name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def around(edge: Edges, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any call at all
        edge(f"before {name}")
        result = call(*args, **kwargs)
        edge(f"after {name}")
        return result

    return counted


def count_statements(edge: Edges) -> None:
    def named(moment: str) -> Callable[..., None]:
        def on_statement(_c: Connection, _k: object, statement: str, *_: object) -> None:
            edge(f"{moment} {' '.join(statement.split())[:60]}")

        return on_statement

    event.listen(Engine, "before_cursor_execute", named("before"))
    event.listen(Engine, "after_cursor_execute", named("after"))
    event.listen(Engine, "begin", lambda _: edge("begin"))
    event.listen(Engine, "commit", lambda _: edge("before COMMIT"))
    event.listen(Pool, "reset", lambda *_: edge("after COMMIT"))


def count_sockets(edge: Edges) -> None:
    class Counted(socket.socket):
        """Sends and receives in pieces."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as a socket is made
            edge("before socket")
            super().__init__(*args, **kwargs)

        def send(self, data: Any, flags: int = 0, /) -> int:  # noqa: ANN401 - any buffer
            edge("before send")
            sent = super().send(data[:CHUNK], flags)
            edge("after send")
            return sent

        def recv(self, size: int, flags: int = 0, /) -> bytes:
            edge("before recv")
            data = super().recv(min(size, CHUNK), flags)
            edge("after recv")
            return data

        def connect_ex(self, address: Any, /) -> int:  # noqa: ANN401 - as the system tells it
            edge("before connect")
            code = super().connect_ex(address)
            edge("after connect")
            return code

        def close(self) -> None:
            edge("before close")
            super().close()

    socket.socket = Counted  # type: ignore[misc]


def add(database: Database, number: int) -> None:
    """Place one order with a link of its own."""
    panel_url, _, service, quantity = sys.argv[1:]
    panel = PanelSettings("acme", panel_url, Secret("k3y-planted-0f1e2d3c4b5a"), None, 0)
    with actions.connected(panel, database) as acting:
        acting.add(service, link=f"https://example.com/p/killed-{number:04}", quantity=quantity)


def add_until(database: Database, number: int, told: int) -> None:
    """Place one order, and die at its edge with this number."""
    edge = Edges(number, told)
    count_sockets(edge)
    count_statements(edge)
    add(database, number)
    os.write(told, b"end\n")


def main() -> None:
    database = Database(sys.argv[2])
    add(database, 0)  # what is slow the first time is done before forking
    database.close()
    for number in range(1, MOST):
        heard, told = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                add_until(database, number, told)
                code = 0
            finally:
                os._exit(code)
        os.close(told)
        with os.fdopen(heard) as lines:
            edge = lines.read().strip()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{edge}\n")
        if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
            break
    sys.stdout.flush()


if __name__ == "__main__":
    main()

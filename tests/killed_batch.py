"""Polls one panel in processes that kill themselves at their n-th statement or socket call.

Run by `proof/kills.py` as `killed_batch.py PANEL_URL DATABASE_URL KIND`. Each line of stdin is the number of an
edge, and is answered with its name once a process has died there, or with `end` where it came through. One warm
process forks them all, for a start takes a second.
"""

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

from cli_setting import KEY, OFTEN
from killed_add import Edges, count_sockets, count_statements

from tracker import logs
from tracker.daemon.post import Connect, Post, connections
from tracker.model import KINDS
from tracker.settings import PanelSettings, Secret
from tracker.store.database import Database
from tracker.store.leases import Lease


class SharedEdges(Edges):
    """Counts the edges of all threads: requests are made beside the thread that writes."""

    def __init__(self, last: int, told: int) -> None:
        super().__init__(last, told)
        self._numbers, self._last = itertools.count(1), last

    def __call__(self, name: str) -> None:
        if next(self._numbers) == self._last:
            self._left = 1
            super().__call__(name)


def poll(database: Database, connect: Connect, stop: threading.Event) -> None:
    """Run one round of what is due, as the daemon does, under a lease that the next process takes over."""
    panel = PanelSettings("acme", sys.argv[1], Secret(KEY), None, 0)
    [kind] = [one for one in KINDS if one == sys.argv[3]]
    lease = database.acquire("acme", "killed", 20.0)
    assert isinstance(lease, Lease)
    post = Post(panel, OFTEN, database, lease, connect=connect, stop=stop)
    report = post.tick(kind)
    post.client.close()
    assert report is not None
    assert report.fault is None, report.fault


def fork(number: int, poll_once: Callable[[], None]) -> str:
    """Poll in a process of its own, which dies at the edge with this number; return that, or `end`."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(heard)
            edges = SharedEdges(number, told)
            count_sockets(edges)
            count_statements(edges)
            poll_once()
            os.write(told, b"end\n")
            code = 0
        finally:
            os._exit(code)
    os.close(told)
    with os.fdopen(heard) as lines:
        edge = lines.read().strip()
    _, status = os.waitpid(child, 0)
    return (
        edge if os.waitstatus_to_exitcode(status) in {0, -signal.SIGKILL} else f"failed after {edge or 'nothing'}"
    )


def main() -> None:
    """Answer each number with the edge that it stands for."""
    logs.configure(sys.stderr, secrets=(KEY,), json=True, level="error")
    database, stop = Database(sys.argv[2]), threading.Event()
    with connections(stop) as connect:
        poll(database, connect, stop)  # what is slow the first time is done before forking
    database.close()
    with connections(stop) as connect:
        for line in sys.stdin:
            sys.stdout.write(f"{fork(int(line), partial(poll, database, connect, stop))}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

"""A COMMIT cut on the wire: at its request, so that it never came to pass, or at its reply, so that it did."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import make_url

from proof.matrix import WORKS, Account, Work, account
from proof.steps import Steps
from proof.table import Figure, Profile
from tracker.store.database import opened

COMMIT: Final = b"COMMIT"
ENOUGH: Final = 3
"""Tries in a row without a COMMIT that was never cut before; then all were."""


class Cutter:
    """Stands between us and a PostgreSQL that listens on a Unix socket; cuts connections where `steps` says so."""

    def __init__(self, url: str, steps: Steps) -> None:
        server = make_url(url)
        self._address = f"{server.query['host']}/.s.PGSQL.{server.port or 5432}"
        self._steps = steps
        self._listener = socket.create_server(("127.0.0.1", 0))
        here = server.set(host="127.0.0.1", port=self._listener.getsockname()[1], query={})
        self.url = here.render_as_string(hide_password=False)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections, and wait for those that there are to end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        threads = []
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                break
            threads.append(threading.Thread(target=self._serve, args=(client,)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._address)
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    committing = source is client and COMMIT in data
                    if not data or (committing and self._steps.breaks("before COMMIT")):
                        return
                    (server if source is client else client).sendall(data)
                    if committing:
                        done = server.recv(65536)  # short, so it comes whole: that it was done
                        if self._steps.breaks("after COMMIT"):
                            return
                        client.sendall(done)


def run(url: str, seed: int = 1, kinds: Sequence[Work] = WORKS) -> Account:
    """Cut each COMMIT of these kinds of round on the Postgres at `url`, both ways; return the account, checked."""
    steps = Steps()
    with contextlib.closing(Cutter(url, steps)) as cutter, opened(cutter.url) as database:
        try:
            with account(url, database, steps, seed) as one:
                for kind in kinds:
                    one.break_all(kind, ENOUGH)
                one.check_small()
        finally:
            database.close()  # or the cutter would wait for its connections
    return one


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Cut each COMMIT of each kind of round, in many lives; Postgres alone."""
    broken = [edge for seed in range(profile.often(1, 20)) for edge in run(url, profile.seed + seed).steps.broken]
    cut = sum(" COMMIT" in edge for edge in broken)
    yield Figure(
        "P1 P2 P3", "COMMIT cut on the wire, at its request or at its reply", cut, "nothing lost or twice"
    )

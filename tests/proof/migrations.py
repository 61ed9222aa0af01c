"""An upgrade of the schema, killed at every statement, leaves the old schema or the new one; the next succeeds."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, TypeAlias

from alembic import command
from cli_setting import plain
from killed_add import Edges, count_statements
from simulation import PATIENCE
from sqlalchemy import inspect, make_url, text
from troubled_postgres import connected

from proof.ground import kind_of
from proof.table import Figure, Profile
from tracker.store import migrate
from tracker.store.database import opened
from tracker.store.engine import open_engine, writing

STARTS: Final = ("empty", "0001", "0002", "0003")
"""What is upgraded: a database without a table, and those of earlier versions."""

ORDERS: Final = 50
"""Rows that an earlier version has already."""

_CONTEXT: Final = multiprocessing.get_context("forkserver")

Shape: TypeAlias = dict[str, Any]
"""What a database holds: its tables with their columns and indexes, its views, version, and number of orders."""


def shape(url: str) -> Shape:
    """Return what there is in a database, as it tells itself."""
    with plain(url) as connection:
        known = inspect(connection)
        found: Shape = {
            table: (
                [column["name"] for column in known.get_columns(table)],
                sorted(str(index["name"]) for index in known.get_indexes(table)),
            )
            for table in known.get_table_names()
        }
        for name, table in (("version", "alembic_version"), ("rows", "orders")):
            if table in found:
                rows = connection.execute(text(f"SELECT * FROM {table}")).all()
                found[name] = len(rows) if name == "rows" else rows
        return found | {"views": sorted(known.get_view_names())}


def make(url: str, start: str) -> None:
    """Bring an empty database to where the upgrade is to start."""
    if start == "empty":
        return
    engine = open_engine(url, create=True)
    with writing(engine) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, start)
        for view in inspect(connection).get_view_names():  # those are of the newest version whatever is asked for
            connection.execute(text(f"DROP VIEW {view}"))
        rows = [{"id": str(number)} for number in range(ORDERS)]
        connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', :id)"), rows)
    engine.dispose()


def killed(url: str, number: int) -> str:
    """Upgrade in a process that dies at the edge with this number; return that, or `end` where it came through."""
    heard, told = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_be_killed, args=(url, number, told))
    process.start()
    told.close()
    process.join(PATIENCE)
    with heard, os.fdopen(os.dup(heard.fileno())) as lines:
        edge = lines.read().strip()
    assert process.exitcode == (0 if edge == "end" else -signal.SIGKILL), (edge, process.exitcode)
    return edge


def _be_killed(url: str, number: int, told: Connection) -> None:
    with opened(url, create=True) as database:
        count_statements(Edges(number, told.fileno()))
        database.upgrade()
        os.write(told.fileno(), b"end\n")


def run(url: str, start: str, stride: int = 1) -> list[str]:
    """Kill the upgrade of an empty database at every `stride`-th edge, then let it be; return the edges."""
    make(url, start)
    before, edges = shape(url), []
    for number in itertools.count(stride, stride):
        edges.append(killed(url, number))
        if edges[-1] == "end":
            break
        with opened(url) as database:
            whole = database.schema().fits
        assert whole or shape(url) == before, f"half an upgrade is left after a kill {edges[-1]}"
        assert not whole or "after COMMIT" in edges, f"it is whole before its COMMIT: {edges[-1]}"
    with opened(url) as database:
        database.require()
    after = shape(url)
    assert after["rows"] == before.get("rows", 0)
    assert after["views"]
    return edges


@contextmanager
def beside(url: str, name: str) -> Iterator[str]:
    """Give an empty database of the same kind as that of `url`."""
    parsed = make_url(url)
    other = parsed.set(database=f"{parsed.database}_{name}").render_as_string(hide_password=False)
    if url.startswith("sqlite"):
        yield other
        return
    with connected(url) as server:
        server.execute(f"CREATE DATABASE {make_url(other).database}".encode())
        try:
            yield other
        finally:
            server.execute(f"DROP DATABASE {make_url(other).database} WITH (FORCE)".encode())


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Kill the upgrade from nothing and from every earlier version, at every edge."""
    newest = shape(url)
    for start in STARTS:
        with beside(url, f"from_{start}") as other:
            edges = run(other, start, profile.often(40, 1))
            upgraded = shape(other)
        assert upgraded | {"rows": 0} == newest | {"rows": 0}, f"an upgrade from {start} differs from a new schema"
        profile.say(f"{start}: {len(edges)} edges")
        what = f"upgrade from {start} killed before or after a statement, {kind_of(url)}"
        yield Figure("P1 P3", what, len(edges) - 1, "the old schema or the new one, whole; the next try succeeds")

"""A PostgreSQL that crashes, loses its backends, or stands behind a pooler, and whether a daemon minds."""

import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg
from cli_setting import Running, plain
from promises import broken, remembered, without_repeats
from simulation import until
from sqlalchemy import make_url, text

from tracker.daemon.post import utc_now
from tracker.simulator import Served, Simulator
from tracker.store.database import Database, opened

POOLER: Final = """\
[databases]
* = host={host} port=5432 user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
logfile = {folder}/pgbouncer.log
"""


def connected(url: str) -> psycopg.Connection[Any]:
    """Connect to the server's own database, past any pooler."""
    host = make_url(url).query["host"]
    return psycopg.connect(f"postgresql://postgres:@/postgres?host={host}", autocommit=True)


def crash(url: str) -> None:
    """Restart the server as after a crash; return when it takes connections again."""
    with connected(url) as connection:
        ((data,),) = connection.execute("SHOW data_directory").fetchall()
    binary = Path(shlex.split(Path(data, "postmaster.opts").read_text())[0])
    command = [binary.with_name("pg_ctl"), "restart", "-w", "-m", "immediate", "-D", data, "-l", f"{data}/log"]
    owner = Path(data).stat()
    as_owner: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    subprocess.run(command, cwd=data, check=True, stdout=subprocess.DEVNULL, **as_owner)


def kill_backends(url: str) -> int:
    """End every session of the database of `url`; return how many."""
    statement = b"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
    with connected(url) as connection:
        ((count,),) = connection.execute(statement, [make_url(url).database]).fetchall()
    return int(count)


def seconds_until_a_round(running: Running) -> float:
    """Wait for the end of a round that began from now on; return how long that took."""
    before, began = len(running.lines("round.finished", outcome="ok")), time.monotonic()
    running.until("round.finished", before + 1, outcome="ok")
    return time.monotonic() - began


def follow(panel: Simulator, url: str, count: int) -> None:
    """Have new orders followed by plain SQL."""
    rows = [{"order_id": one.order_id} for one in panel.world.spawn(count, oldest=3600.0)]
    with plain(url) as connection:
        connection.execute(text("INSERT INTO orders (panel, order_id) VALUES ('acme', :order_id)"), rows)


def ask_about_everything(database: Database) -> None:
    """Return once every order was answered twice: one reply may have been under way."""
    for _ in range(2):
        moment = utc_now()

        def all_answered(moment: object = moment) -> bool:
            database.make_due("acme")
            time.sleep(0.2)  # making them due again and again costs time that the daemon needs
            rows = database.history.orders(limit=None)
            return all(row["checked_at"] is not None and row["checked_at"] > moment for row in rows)

        until(all_answered, "every order to be answered")


def lies(panel: Simulator, url: str) -> list[str]:
    """Return which promises are broken: what is remembered was served, in that order, up to the last."""
    found = [f"{promise}: {rows}" for promise, rows in broken(url).items()]
    with opened(url) as database:
        for (_, order_id), history in remembered(database, url).items():
            served = without_repeats(panel.served(order_id))
            if not _within(history, served) or history[-1:] != served[-1:]:
                found.append(f"P1: {order_id}: {history} of {served}")
    return found


def _within(some: list[Served], many: list[Served]) -> bool:
    rest = iter(many)
    return all(one in rest for one in some)


def why_no_pooler() -> str | None:
    """Return why there is no PgBouncer here, if there is none."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return None if found else "There is no pgbouncer here: apt-get install pgbouncer"


@contextmanager
def pooler(url: str, folder: Path) -> Iterator[str]:
    """Run PgBouncer in transaction mode before the server of `url`; yield the URL through it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None
    host = str(make_url(url).query["host"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "pgbouncer.ini"
    config.write_text(POOLER.format(host=host, port=port, folder=folder))
    owner = Path(host).stat()
    as_owner: dict[str, Any] = {}
    if os.geteuid() == 0:  # it refuses to run as root
        as_owner = {"user": owner.st_uid, "group": owner.st_gid}
        for path in (folder, config):
            os.chown(path, owner.st_uid, owner.st_gid)
    with subprocess.Popen([program, "-q", str(config)], stderr=subprocess.DEVNULL, **as_owner) as process:
        try:
            until(lambda: _listens(port), "pgbouncer to listen")
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/{make_url(url).database}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0

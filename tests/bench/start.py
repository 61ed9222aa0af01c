"""How soon `tracker run` is ready, and asks its first question, where many orders are open.

    cd tests && python -m bench.start [--quick | --full] [--orders 100000] [--database sqlite] > start.json

From the start of the process, imports and schema check included, to READY for systemd, and to the first status
request at the panel. Before that, all orders are due, as after a long pause. `--full` takes a million.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

import httpx
from bench.common import KEY, TESTS, Figures, databases, fill, panel

from tracker.store.database import opened

TIMES: Final = 3
PATIENCE: Final = 60.0
"""Seconds until a daemon that asks nothing has failed."""


def measure(url: str, database: str) -> Figures:
    """Return the seconds that it takes, the median of some starts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        config = configured(Path(folder), url, database)
        runs = [once(url, config, database) for _ in range(TIMES)]
    ready, first = ([round(one, 3) for one in column] for column in zip(*runs, strict=True))
    return {"start_to_ready_s": median(ready), "start_to_first_request_s": median(first), "all_s": [ready, first]}


def configured(folder: Path, url: str, database: str) -> Path:
    """Write a configuration; return its path."""
    (folder / "key").write_text(KEY)
    (folder / "key").chmod(0o600)
    lines = [f'database_url = "{database}"', "[panels.bench]", f'url = "{url}"', 'key_file = "key"']
    lines.append("requests_per_minute = 6000")
    path = folder / "tracker.toml"
    path.write_text("\n".join(lines))
    return path


def once(url: str, config: Path, database: str) -> tuple[float, float]:
    """Start the daemon; return the seconds until READY and until the panel was asked, by the processes' clock."""
    with opened(database) as one:
        one.make_due("bench")  # the last run may have asked about some before it ended
    httpx.post(f"{url}/forget", trust_env=False)
    command = [sys.executable, "-m", "tracker", "run", "--config", str(config)]
    path = str(config.parent / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE)
        began = time.monotonic()
        environ = {**os.environ, "NOTIFY_SOCKET": path}
        with subprocess.Popen(command, cwd=TESTS, stderr=subprocess.DEVNULL, env=environ) as process:
            try:
                while manager.recv(65536) != b"READY=1":
                    pass
                ready = time.monotonic() - began
                while time.monotonic() - began < PATIENCE:
                    first: float | None = httpx.post(f"{url}/first", trust_env=False).json()
                    if first is not None:
                        return ready, first - began
                    time.sleep(0.05)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait()
                Path(path).unlink()
    raise TimeoutError(f"the panel was not asked for {PATIENCE:.0f} s")


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--orders", type=int, nargs="+", default=[1_000, 100_000])
    size.add_argument("--quick", dest="orders", action="store_const", const=[1_000])
    size.add_argument("--full", dest="orders", action="store_const", const=[1_000, 100_000, 1_000_000])
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    rows: list[Figures] = []
    with panel() as url, databases(options.database) as make:
        for kind in options.database:
            for count in options.orders:
                database = make(kind)
                fill(database, count)
                found = measure(url, database)
                rows.append({"bench": "start", "database": kind, "orders": count, **found})
                told = f"READY after {found['start_to_ready_s']:.2f} s, "
                told += f"first request after {found['start_to_first_request_s']:.2f} s"
                print(f"{kind:8} {count:9,} orders: {told}", file=sys.stderr, flush=True)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

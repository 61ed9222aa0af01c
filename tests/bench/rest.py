"""What `tracker run` costs while nothing happens: CPU and memory with ten panels and no open order.

    cd tests && python -m bench.rest [--seconds 60] [--panels 10] [--database sqlite] > rest.json

With the default intervals, after the first rounds of each panel.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.common import KEY, TESTS, Figures, databases, panel

SETTLING: Final = 10.0
"""Seconds after the start that are not counted: imports, the schema, first rounds and catalogs."""


def measure(url: str, database: str, panels: int, seconds: float) -> Figures:
    """Return what a daemon at rest takes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        (key := Path(folder) / "key").write_text(KEY)
        key.chmod(0o600)
        lines = [f'database_url = "{database}"']
        for number in range(panels):
            lines += [f"[panels.p{number}]", f'url = "{url}"', 'key_file = "key"']
        (config := Path(folder) / "tracker.toml").write_text("\n".join(lines))
        command = [sys.executable, "-m", "tracker", "run", "--config", str(config)]
        with subprocess.Popen(command, cwd=TESTS, stderr=subprocess.DEVNULL) as process:
            time.sleep(SETTLING)
            before = cpu(process.pid)
            time.sleep(seconds)
            used, memory = cpu(process.pid) - before, resident_mib(process.pid)
            process.send_signal(signal.SIGTERM)
    return {"cpu_percent": round(100 * used / seconds, 2), "rss_mib": round(memory, 1)}


def cpu(pid: int) -> float:
    """Return the seconds of CPU that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return the memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def main() -> None:
    """Print the figures as JSON, and a line for people on stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--panels", type=int, default=10)
    parser.add_argument("--database", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    options = parser.parse_args()
    rows: list[Figures] = []
    with panel() as url, databases(options.database) as make:
        for kind in options.database:
            found = measure(url, make(kind), options.panels, options.seconds)
            rows.append({"bench": "rest", "database": kind, "panels": options.panels, **found})
            print(f"{kind:8} {found['cpu_percent']} % of a core, {found['rss_mib']} MiB", file=sys.stderr)
    print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

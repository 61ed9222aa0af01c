"""Runs inside of the machine: the simulated panel, with a key that stands in no command line.

python panel.py PORT LATENCY KEY_FILE: prints the ids of its orders, and counts its requests into /run/panel-PORT.
"""

import sys
from pathlib import Path
from threading import Event

from tracker.simulator import Simulator


def main(port: int, latency: float, key_file: str) -> None:
    """Serve until killed."""
    key = Path(key_file).read_text().strip()
    with Simulator(port=port, latency=latency, key=key, speed=600.0, dialect="documented", seed=5) as panel:
        ids = [placed.order_id for placed in panel.world.spawn(150)]
        Path(f"/run/panel-{port}").write_text(" ".join(ids))
        Event().wait()


main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])

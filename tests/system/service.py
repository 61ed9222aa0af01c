"""The installed service: its configuration, its history, and orders for it to follow."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing

from system.machine import Machine, Unit

STATE = "/var/lib/tracker"
CONFIG = "/etc/tracker/tracker.toml"
KEY_FILE = "/etc/tracker/senderin.key"
PORT = 8018
SLOW_PORT = 8019

GOOD = f"""\
database_url = "sqlite:///{STATE}/tracker.db"

[panels.senderin]
url = "http://127.0.0.1:{PORT}/api/v2"
requests_per_minute = 600

[every]
statuses = "1s"
"""

SLOW_PANEL = f"""
[panels.slow]
url = "http://127.0.0.1:{SLOW_PORT}/api/v2"
key_file = "/etc/tracker/slow.key"
"""
"""A second panel, which thinks for half a minute about each request; its key is read by the program itself."""


class Service(Unit):
    """`tracker.service` in a machine where two simulated panels listen."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, "tracker")
        self._unfollowed: list[str] = []

    def start_panels(self, key: str) -> None:
        """Start the two panels, which know `key`, as units of their own."""
        self.machine.write("/run/panel.key", key)
        self.machine.run("install -m 640 -g tracker /run/panel.key /etc/tracker/slow.key")
        for port, latency in ((PORT, 0.0), (SLOW_PORT, 30.0)):
            program = f"/opt/tracker/current/bin/python /root/release/panel.py {port} {latency} /run/panel.key"
            self.machine.run(f"systemd-run --quiet --unit=panel-{port} {program}")
        self.machine.until(lambda: "0" in self._orders(), "the simulated panel")
        self._unfollowed = self._orders().split()

    def _orders(self) -> str:
        return self.machine.run(f"cat /run/panel-{PORT} 2>/dev/null || true")

    def mend(self) -> None:
        """Bring it back to the good configuration and to work, whatever a test did to it."""
        as_is = self.machine.run(f"cat {CONFIG}; ls /run/systemd/system/tracker.service.d 2>/dev/null || true")
        if as_is == GOOD and self.shown("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}:
            return
        self.configure(GOOD)
        self.machine.run(
            "rm -rf /run/systemd/system/tracker.service.d; systemctl daemon-reload; "
            "systemctl reset-failed tracker 2>/dev/null || true; systemctl restart tracker"
        )

    def configure(self, text: str) -> None:
        """Write the configuration."""
        self.machine.write(CONFIG, text)

    def fails(self) -> dict[str, str]:
        """Restart it, which must not succeed; return what systemd says: `failed` if it leaves it at that."""
        self.machine.run("! systemctl restart tracker")
        return self.shown("ActiveState", "ExecMainStatus", "NRestarts")

    def restarted(self, pid: str) -> bool:
        """Return whether it is active as another process than `pid`."""
        shown = self.shown("ActiveState", "MainPID")
        return shown["ActiveState"] == "active" and shown["MainPID"] not in {pid, "0"}

    def sql(self, statement: str, *arguments: Sequence[object]) -> list[tuple[object, ...]]:
        """Run a statement in the live history: SQLite's locks hold across the container's walls."""
        with closing(sqlite3.connect(f"{self.machine.root}{STATE}/tracker.db", timeout=10)) as history, history:
            many = history.executemany if arguments else None
            return list(many(statement, arguments) if many else history.execute(statement))

    def wait_out_lease(self) -> None:
        """End the lease of a process that was killed, as 20 seconds do."""
        self.sql("UPDATE leases SET expires_at = datetime('now')")

    def works(self) -> float:
        """Have three more orders followed; return the seconds until all have been answered and recorded."""
        ids, self._unfollowed = self._unfollowed[:3], self._unfollowed[3:]
        self.sql("INSERT INTO orders (panel, order_id) VALUES ('senderin', ?)", *([one] for one in ids))
        told = (
            "SELECT count(*) FROM orders o JOIN transitions t ON t.order_key = o.id AND t.seq = o.seq "
            f"WHERE o.order_id IN ({', '.join(ids)})"
        )
        return self.machine.until(lambda: self.sql(told) == [(3,)], "three new orders to be answered")

    def has_open(self, file: str) -> bool:
        """Return whether its process has a file of this name open."""
        pid = self["MainPID"]
        return file in self.machine.run(f"readlink /proc/{pid}/fd/* 2>/dev/null || true")

    def connected(self, port: int) -> bool:
        """Return whether somebody has a connection to `port` of the machine."""
        table = self.machine.run("cat /proc/net/tcp")
        return any(f":{port:04X} 01" in line for line in table.splitlines())

"""What systemd is told: datagrams to `$NOTIFY_SOCKET`, as sd_notify(3) has them; without one, silence."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

PATIENCE: Final = 1.0
"""Seconds for one datagram: a service manager that does not read must not hold up what is told about."""

MORE_TIME: Final = 30.0
"""Seconds by which waiting for a database puts off the end of the start."""


class Notifier:
    """Tells the service manager how the process is; never raises, for polling matters more than its voice."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = environ or {}
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self.watchdog_seconds = _watchdog(environ)
        """How often `alive` is expected at the latest; None where nobody expects it."""

    def ready(self) -> None:
        """Say that the start, or a reload, is over."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `ready` ends it."""
        # One datagram, or systemd takes the READY of a reload for an older one.
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the process is about to end."""
        self._tell("STOPPING=1")

    def status(self, text: str) -> None:
        """Give the line that `systemctl status` shows."""
        self._tell(f"STATUS={text}")

    def waiting(self, text: str) -> None:
        """Say why the start takes longer, and ask for more time."""
        self._tell(f"STATUS={text}", f"EXTEND_TIMEOUT_USEC={MORE_TIME * 1e6:.0f}")

    def alive(self) -> None:
        """Keep the watchdog from biting."""
        self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        said = "\n".join(" ".join(line.split()) for line in lines).encode("utf-8", "replace")
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE)
            sender.sendto(said, self._address)


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Return the watchdog's time, where there is one and it is meant for this process."""
    try:
        seconds = int(environ["WATCHDOG_USEC"]) / 1e6
        meant = int(environ.get("WATCHDOG_PID") or os.getpid()) == os.getpid()
    except (KeyError, ValueError):
        return None
    return seconds if meant and seconds > 0 else None

"""A Debian of our own with systemd as its first process: made from apt's mirror, booted by systemd-nspawn."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""Debian's releases that are tried, and the Python of each."""

PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,procps"
CAPABILITIES = "CAP_SYS_TIME,CAP_SYSLOG,CAP_SYS_MODULE"
"""What a container has not, so that only the unit's directives can be what forbids it."""
ENVIRON = {
    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",  # systemd from 256 on boots on nothing else
    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",  # /proc/sys/net, as on a real machine
}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 60
"""Seconds until something is given up; only a failing test takes them."""


def missing() -> str | None:
    """Return why no machine can be made here, or None."""
    if os.geteuid() != 0:
        return "making a container takes root"
    absent = [name for name in ("systemd-nspawn", "debootstrap", "nsenter", "apt-get") if not shutil.which(name)]
    return f"not installed: {', '.join(absent)}" if absent else None


def mirror() -> str | None:
    """Return the mirror that apt uses for Debian itself, if it knows one."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Component: main"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return next((uri for uri in told if "security" not in uri), None)


def make_debian(suite: str, mirror: str, root: Path) -> None:
    """Make the folder `root`, a minimal Debian. Raises CalledProcessError."""
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(root), mirror]
    subprocess.run(command, check=True, capture_output=True, text=True)


class Machine:
    """The Debian in `root`, booted, without a network but loopback; runs commands of root in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root.with_suffix(".log")
        self._name = f"tracker-test-{os.getpid()}"
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                [
                    *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network"),
                    f"--capability={CAPABILITIES}",
                    *("--link-journal=no", f"--machine={self._name}", f"--directory={root}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | ENVIRON,
                start_new_session=True,
            )
        self._init = 0
        try:
            self.until(self._booted, "the boot")
        except BaseException:
            self.close()
            raise

    def _booted(self) -> bool:
        self._init = self._first_process()
        # Degraded: a unit of Debian's own that a container cannot run, such as the loading of modules.
        asked = "systemctl is-system-running || true"
        return self._init != 0 and self.run(asked, check=False).strip() in {"running", "degraded"}

    def _first_process(self) -> int:
        """Return the container's first process; 0 while nspawn has only helpers, which live among ours."""
        ours = Path("/proc/self/ns/pid").readlink()
        for child in psutil.Process(self._nspawn.pid).children():
            with suppress(FileNotFoundError):  # a helper that has just ended
                if Path(f"/proc/{child.pid}/ns/pid").readlink() != ours:
                    pid: int = child.pid
                    return pid
        return 0

    def close(self) -> None:
        """End it, whatever it is doing."""
        # The first process takes the container along, and nspawn then ends. Killing nspawn leaves it all running.
        with suppress(psutil.NoSuchProcess):
            for first in psutil.Process(self._nspawn.pid).children():
                first.kill()
                first.wait(10)
        try:
            self._nspawn.wait(10)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()
        for folder in Path("/run/systemd/nspawn").glob(f"*/{self._name}"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def boot_log(self) -> str:
        """Return what the console showed."""
        return self._log.read_text(errors="replace")

    def run(self, script: str, given: str = "", *, check: bool = True, **environ: str) -> str:
        """Run a script of the shell, with `given` on its stdin; return its output, stderr included."""
        done = subprocess.run(
            [
                *("nsenter", f"--target={self._init}", "--all", "env", "-i", f"PATH={PATH}", "HOME=/root"),
                *(f"{name}={value}" for name, value in environ.items()),
                *("bash", "-euo", "pipefail", "-c", f"cd /root/release 2>/dev/null || cd /\n{script}"),
            ],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def write(self, path: str, text: str) -> None:
        """Write a file, keeping owner and mode of one that is there."""
        self.run(f"mkdir -p $(dirname {path}); cat > {path}", text)

    def until(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> float:
        """Wait until `condition`; return the seconds that it took."""
        began = time.monotonic()
        while not condition():
            assert self._nspawn.poll() is None, f"the container ended while waiting for {what}:\n{self.boot_log}"
            assert time.monotonic() - began < seconds, f"waited {seconds} s for: {what}\n{self.boot_log[-2000:]}"
            time.sleep(0.05)
        return time.monotonic() - began


class Unit:
    """A service in a machine, and what systemd and the journal know of it."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name

    def __getitem__(self, name: str) -> str:
        """Return a property as `systemctl show` tells it."""
        return self.shown(name)[name]

    def shown(self, *names: str) -> dict[str, str]:
        """Return properties of one moment."""
        told = self.machine.run(f"systemctl show --property={','.join(names)} {self.name}").splitlines()
        return dict(line.split("=", maxsplit=1) for line in told)

    def drop_in(self, name: str, text: str) -> None:
        """Add lines to its [Service]."""
        self.machine.write(f"/run/systemd/system/{self.name}.service.d/{name}.conf", f"[Service]\n{text}\n")
        self.machine.run("systemctl daemon-reload")

    def lines(self, since: str, *, worst: int = 7) -> list[dict[str, Any]]:
        """Return its journal after a cursor as records, those of priority `worst` (3: an error) or more urgent."""
        # Filtered here: with --after-cursor, --priority leaves out the first line that it should show.
        asked = f"journalctl --sync; journalctl -u {self.name} -o json --all --after-cursor='{since}'"
        told = [json.loads(line) for line in self.machine.run(asked).splitlines() if line.startswith("{")]
        return [line for line in told if int(line["PRIORITY"]) <= worst]

    def events(self, since: str) -> Iterator[Mapping[str, Any]]:
        """Yield what the program logged since the cursor."""
        for line in self.lines(since):
            if str(line.get("MESSAGE", "")).startswith("{"):
                yield json.loads(line["MESSAGE"])

    def has(self, event: str, since: str) -> bool:
        """Return whether it logged `event` since the cursor."""
        return any(told["event"] == event for told in self.events(since))

    def cursor(self) -> str:
        """Return the present end of the journal."""
        shown = self.machine.run("journalctl --sync; journalctl -n 0 --show-cursor")
        return shown.rpartition("cursor: ")[2].strip()

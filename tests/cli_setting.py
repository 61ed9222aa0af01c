"""What the tests of the daemon and of the command line share: a folder to work in, and processes to watch."""

import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from simulation import PATIENCE, until
from sqlalchemy import Connection, create_engine, text
from warm import Warm

from tracker.cli.main import run
from tracker.daemon.service import Daemon
from tracker.errors import TrackerError
from tracker.settings import Every, PanelSettings, Secret
from tracker.simulator import Simulator
from tracker.store.database import Database

KEY = "k3y-planted-0f1e2d3c4b5a"
OFTEN = Every(statuses=1.0, refills=1.0, balance=1.0, catalog=1.0)
TRACKER = (sys.executable, "-m", "tracker")
"""What a shell starts; see `warm` for what starts sooner."""


def configure(
    folder: Path, panels: Mapping[str, str], database_url: str, every: str = "1s", more: str = ""
) -> Path:
    """Write a configuration of panels by name and URL, and the key beside it; return its path."""
    key_file = folder / "panel.key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    lines = [f'database_url = "{database_url}"', more]
    for name, url in panels.items():
        lines += [f"[panels.{name}]", f'url = "{url}"', 'key_file = "panel.key"', "requests_per_minute = 6000"]
    lines += ["[every]", *(f'{kind} = "{every}"' for kind in ("statuses", "refills", "balance", "catalog"))]
    path = folder / "tracker.toml"
    path.write_text("\n".join(lines))
    return path


def settings_of(panel: Simulator, name: str, key: str = KEY) -> PanelSettings:
    """Return the settings of a simulated panel."""
    return PanelSettings(name, panel.url, Secret(key), None, 6000.0)


@contextmanager
def plain(database_url: str) -> Iterator[Connection]:
    """Connect for plain SQL, as any other program would; committed at the end of the block."""
    engine = create_engine(database_url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def sql(database_url: str, statement: str, **values: object) -> Sequence[Any]:
    """Run one statement of plain SQL; return its rows."""
    with plain(database_url) as connection:
        result = connection.execute(text(statement), values)
        return result.all() if result.returns_rows else ()


def typed(*arguments: str, config: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `tracker` as a process of its own until it ends."""
    named = () if config is None else ("--config", str(config))
    with Warm([*arguments, *named], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(PATIENCE)
    return subprocess.CompletedProcess(arguments, process.wait(), out, err)


def typed_here(*arguments: str) -> int:
    """Run `tracker` in this process, which is faster, and return its exit code.

    `poll` takes the signals for itself; they are given back.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return run(list(arguments))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


Typed = tuple[int, str, str]
"""Exit code, stdout, stderr."""

Type = Callable[[str], Typed]


def typist(capsys: pytest.CaptureFixture[str]) -> Type:
    """Return what types a line, as a shell would split it, in this process."""
    capsys.readouterr()

    def type_one(line: str) -> Typed:
        code = typed_here(*shlex.split(line))
        return code, *capsys.readouterr()

    return type_one


class Running:
    """`tracker run` as a process of its own, its log lines kept as they come; killed at the end of the block."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.process = Warm(["run", "--config", str(config), *arguments], stderr=subprocess.PIPE)
        self.raw: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.raw.append(line)

    def lines(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Return the log lines of `event` with these fields, so far."""
        told = [json.loads(line) for line in list(self.raw)]
        return [line for line in told if line["event"] == event and fields.items() <= line.items()]

    def until(self, event: str, count: int = 1, **fields: object) -> dict[str, Any]:
        """Wait for so many log lines of `event`; return the last."""
        until(lambda: len(self.lines(event, **fields)) >= count or self.process.poll() is not None, event)
        told = self.lines(event, **fields)
        assert len(told) >= count, "".join(self.raw)
        return told[-1]

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for the end and return the exit code; below 0: the signal that killed it."""
        code = self.process.wait(seconds)
        self._reader.join()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()


class Ended:
    """How a daemon in a thread ended."""

    error: TrackerError | None = None


@contextmanager
def daemon_in_a_thread(
    database: Database,
    panels: Sequence[PanelSettings],
    every: Every = OFTEN,
    lease_seconds: float = 20.0,
    **options: Any,  # noqa: ANN401  # more arguments of the daemon
) -> Iterator[tuple[Daemon, Ended]]:
    """Run the daemon in a thread for the time of the block."""
    daemon, ended = Daemon(database, panels, every, lease_seconds=lease_seconds, **options), Ended()

    def run() -> None:
        try:
            daemon.run()
        except TrackerError as error:
            ended.error = error

    thread = threading.Thread(target=run, name="daemon")
    thread.start()
    try:
        yield daemon, ended
    finally:
        daemon.stopping.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()

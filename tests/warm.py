"""`tracker` as a process of its own that starts in a moment: forked from one that has imported everything.

A cold start takes a second of CPU, and the tests start hundreds. What belongs to a cold start is tested where
`TRACKER` of `cli_setting` is run, and from the wheel.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *(f"tracker.cli.{name}" for name in ("main", "options", "acting.add", "acting.ask", "acting.intents")),
        *(f"tracker.cli.asking.{name}" for name in ("balance", "export", "orders", "rounds", "services", "show")),
        *(f"tracker.cli.following.{name}" for name in ("import_", "track")),
        *(f"tracker.cli.keeping.{name}" for name in ("admin", "check", "db", "health")),
        *(f"tracker.cli.working.{name}" for name in ("demo", "poll", "run", "simulate", "watch", "screen.app")),
    ]
)

STREAMS: Final = (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))
"""By their numbers: name, mode, buffering."""

# Pyte prints a part of the sequences of kitty's keyboards, which real terminals leave alone. Textual looks here
# while it is imported.
os.environ["TEXTUAL_DISABLE_KITTY_KEY"] = "1"


class Warm:
    """Runs `tracker` with `arguments`; for the rest like `subprocess.Popen`. Pipes give text."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: int | IO[str] = subprocess.DEVNULL,
        stdout: int | IO[str] = subprocess.DEVNULL,
        stderr: int | IO[str] = subprocess.DEVNULL,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ) -> None:
        _, child_stdin = _ends(stdin)
        self.stdout, child_stdout = _ends(stdout)
        self.stderr, child_stderr = _ends(stderr)
        ends = (child_stdin, child_stdout, child_stderr)
        where = (str(cwd or Path.cwd()), dict(os.environ if env is None else env))
        target = _lead_a_session if start_new_session else _be_tracker
        self._process = CONTEXT.Process(target=target, args=(list(arguments), ends, *where))
        self._process.start()
        for end in ends:
            end.close()

    @property
    def pid(self) -> int:
        """Its id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return `returncode`."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("tracker", timeout or 0.0)
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Read its pipes to their ends and wait for its own."""
        with ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(one.read) for one in (self.stdout, self.stderr) if one is not None]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()  # or the readers would never end
                raise
            texts = [one.result() for one in reading]
        out = texts.pop(0) if self.stdout is not None else ""
        return out, texts.pop() if texts else ""

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()


def _ends(given: int | IO[str]) -> tuple[IO[str] | None, Connection]:
    """Return our end of a pipe, where one is wanted, and the child's, in the form in which it can be passed on."""
    if given == subprocess.PIPE:
        near, far = os.pipe()
        return os.fdopen(near, encoding="utf-8", errors="replace"), Connection(far)
    if given == subprocess.DEVNULL:
        return None, Connection(os.open(os.devnull, os.O_RDWR))
    return None, Connection(os.dup(given if isinstance(given, int) else given.fileno()))


def _lead_a_session(arguments: list[str], ends: Sequence[Connection], cwd: str, env: Mapping[str, str]) -> None:
    os.setsid()
    _be_tracker(arguments, ends, cwd, env)


def _be_tracker(arguments: list[str], ends: Sequence[Connection], cwd: str, env: Mapping[str, str]) -> None:
    """Become what a shell would have started."""
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for number, (name, mode, buffering) in enumerate(STREAMS):
        stream = os.fdopen(number, mode, buffering, encoding="utf-8", closefd=False)
        vars(sys).update({name: stream, f"__{name}__": stream})
    sys.argv = ["tracker", *arguments]
    from tracker.cli.main import main

    main()

"""A terminal in memory: what a person sees who types a command."""

import copy
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyte
from simulation import PATIENCE
from warm import Warm


class Paper(pyte.HistoryScreen):
    """A screen with a second page, as every terminal has one: what full-screen programs draw on, and tear off."""

    PAGE = 1049

    def set_mode(self, *modes: int, **how: bool) -> None:
        if self.PAGE in modes and how.get("private"):
            self._page = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)
        super().set_mode(*modes, **how)

    def reset_mode(self, *modes: int, **how: bool) -> None:
        if self.PAGE in modes and how.get("private"):
            self.buffer, self.cursor = self._page
        super().reset_mode(*modes, **how)


def _inherited() -> dict[str, str]:
    """Return the environment without the size of the terminal of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}


class Terminal:
    """`tracker` (or another command) on a real pseudo terminal of a given size; killed at the end of the block."""

    def __init__(
        self,
        arguments: Sequence[str],
        columns: int = 80,
        lines: int = 24,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self._ours, theirs = os.openpty()
        self._size(columns, lines)
        self.before = termios.tcgetattr(theirs)
        self._screen = Paper(columns, lines, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self._columns = columns
        self._closed = False
        self.raw = b""
        how: dict[str, Any] = {
            "stdin": theirs,
            "stdout": theirs,
            "stderr": theirs,
            "cwd": cwd,
            "env": {**_inherited(), "TERM": "xterm-256color", **(env or {})},
            "start_new_session": True,
        }
        self.process: Warm | subprocess.Popen[bytes] = (
            subprocess.Popen([*command, *arguments], **how) if command else Warm(arguments, **how)
        )
        os.close(theirs)

    def _size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        """Make the window larger or smaller, as a person does with the mouse."""
        self._screen.resize(lines, columns)
        self._columns = columns
        self._size(columns, lines)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Press keys, as the terminal sends them."""
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        """Close the window, without the signal that a shell would pass on."""
        os.close(self._ours)
        self._closed = True

    def settings(self) -> object:
        """Return how the terminal treats keys, to be compared with `before`."""
        return termios.tcgetattr(self._ours)

    def read(self, seconds: float = 0.1) -> bool:
        """Show what comes within so many seconds; False at the end."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # how Linux says that nobody writes any more
            return False
        self.raw += piece
        self._stream.feed(piece)
        return bool(piece)

    def until(self, *texts: str, seconds: float = PATIENCE) -> list[str]:
        """Return the screen as soon as it shows all of `texts`."""
        end = time.monotonic() + seconds
        while missing := [text for text in texts if text not in "\n".join(self.screen())]:
            assert self.read(), f"ended without {missing}: {self.everything()}"
            assert time.monotonic() < end, f"no {missing} in {seconds} s: {self.screen()}"
        return self.screen()

    def ended(self, seconds: float = PATIENCE) -> int:
        """Read to the end and return the exit code."""
        end = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < end, f"still running after {seconds} s: {self.screen()}"
        return self.process.wait(seconds)

    def screen(self) -> list[str]:
        """Return the lines that are to be seen now."""
        return [line.rstrip() for line in self._screen.display]

    def everything(self) -> list[str]:
        """Return what has scrolled away as well."""
        gone = ["".join(line[x].data for x in range(self._columns)).rstrip() for line in self._screen.history.top]
        return gone + self.screen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if not self._closed:
            os.close(self._ours)

"""A terminal in memory: what a person sees who types a command."""

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyte
from cli_setting import TRACKER


class Terminal:
    """`tracker` on a real pseudo terminal of a given size; killed at the end of the block."""

    def __init__(
        self, arguments: Sequence[str], columns: int = 80, lines: int = 24, cwd: Path | None = None
    ) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen = pyte.HistoryScreen(columns, lines, history=5000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)
        self._columns = columns
        self.raw = b""
        self.process = subprocess.Popen(
            [*TRACKER, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(theirs)

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

    def until(self, *texts: str, seconds: float = 10) -> list[str]:
        """Return the screen as soon as it shows all of `texts`."""
        end = time.monotonic() + seconds
        while missing := [text for text in texts if text not in "\n".join(self.screen())]:
            assert self.read(), f"ended without {missing}: {self.everything()}"
            assert time.monotonic() < end, f"no {missing} in {seconds} s: {self.screen()}"
        return self.screen()

    def ended(self, seconds: float = 20) -> int:
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
        os.close(self._ours)

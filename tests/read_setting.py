"""What the tests of the commands that ask share: the history of `filled.py`, and somebody who types questions."""

import fcntl
import os
import shlex
import struct
import termios
import threading
from contextlib import redirect_stderr, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pyte
import pytest
from cli_setting import Type, typed_here, typist
from filled import fill, whole_second

from tracker.store.database import opened


def filled_file(folder: Path, now: datetime | None = None) -> str:
    """Return the URL of a SQLite file in `folder` with a small history in it, which ends now or at that moment."""
    url = f"sqlite:///{folder}/tracker.db"
    with opened(url, create=True) as database:
        database.upgrade()
        fill(database, now or whole_second())
    return url


def reader(
    database_url: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Type:
    """Return what types commands that read this database, in a folder without a configuration."""
    monkeypatch.setenv("TRACKER_DATABASE_URL", database_url)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("TRACKER_CONFIG", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return typist(capsys)


class Shown(NamedTuple):
    """What a terminal shows of one command, and the text that was sent to it."""

    lines: list[str]
    raw: str


def on_terminal(line: str, columns: int, encoding: str = "utf-8") -> Shown:
    """Type a command in this process with a real pseudo terminal as stdout and stderr."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    pieces: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # how Linux says that nobody writes any more
            while piece := os.read(ours, 65536):
                pieces.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    terminal = os.fdopen(theirs, "w", encoding=encoding)
    with terminal, redirect_stdout(terminal), redirect_stderr(terminal):
        code = typed_here(*shlex.split(line))
    reader.join()
    os.close(ours)
    raw = b"".join(pieces).decode()
    assert code == 0, raw
    screen = pyte.Screen(columns, 400)
    pyte.Stream(screen).feed(raw)
    return Shown([shown.rstrip() for shown in screen.display if shown.strip()], raw)

"""What to do when the reader of a pipe has gone away. Imports nothing heavy: every command needs it."""

import os
import sys
from typing import TextIO


def say(text: str) -> None:
    """Write a line to stderr. Where nobody takes it, the exit code has to say enough."""
    try:
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # as its name says
    except OSError:
        silence(sys.stderr)


def silence(stream: TextIO) -> None:
    """Point a broken pipe at nothing, or the interpreter would complain when it flushes at its end."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)

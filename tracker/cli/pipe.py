"""What to do when the reader of a pipe has gone away. Imports nothing heavy: every command needs it."""

import os
from typing import TextIO


def silence(stream: TextIO) -> None:
    """Point a broken pipe at nothing, or the interpreter would complain when it flushes at its end."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)

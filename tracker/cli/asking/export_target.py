"""Where `tracker export` writes to: never half a row, and the file's own name only for all of them."""

import io
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Self

from tracker.errors import TrackerError, UsageFault

_BLOCK: Final = 1 << 16
"""Bytes that are searched at a time for the last end of a line."""


class Target:
    """Where an export goes: stdout, or a file that has its own name only when it is complete.

    Until then it is `FILE.part`. With `append`, rows are added to the `FILE.part` that a stopped export left, or
    else to `FILE` itself. With `held`, stdout gets everything at the end: whoever reads it slowly must not keep a
    query of the database open.

    A block with it closes it, and unless it was finished cuts it after what was to be kept.
    """

    def __init__(self, name: str, *, append: bool, held: bool) -> None:
        self.first = b""
        """The first line of what is there already."""
        self.kept: Path | None = None
        """Where whole rows are, when a block has ended without the end of the export."""
        self.path: Path | None = None
        """What is being written; None for stdout."""
        self._final = Path(name)
        self._made = not append
        self._whole = 0
        if name == "-":
            self.stream: BinaryIO = tempfile.TemporaryFile() if held else sys.stdout.buffer  # noqa: SIM115  # see `__exit__`
            return
        if self._final.is_dir():
            raise TrackerError(f"{self._final} is a folder: name a file in it.")
        if self._final.exists() and not self._final.is_file():
            # The complete file takes the place of what has its name: of a device, too.
            raise TrackerError(f"{name} is no file that can be replaced: write `-`, and redirect that to it.")
        part = Path(f"{name}.part")
        self.path = self._final if append and not part.exists() else part
        try:
            self.stream = self.path.open("r+b" if append else "wb")
            if append:
                self.first = self.stream.readline()
                self._whole = self.stream.seek(0, io.SEEK_END)
        except OSError as error:
            if append and isinstance(error, FileNotFoundError):
                raise UsageFault(f"There is neither {part} nor {name} to add to: leave --append out.") from None
            raise TrackerError(f"Cannot write {self.path}: {error.strerror}. Choose another place.") from None

    def cut_half_line(self) -> None:
        """Cut off what a crash has left after the last end of a line; to be called before anything is written."""
        end = self._whole
        while end > 0:
            start = max(0, end - _BLOCK)
            self.stream.seek(start)
            newline = self.stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        self.stream.truncate(end)
        self._whole = self.stream.seek(end)

    def keep(self) -> None:
        """Hold on to what was written so far, whatever breaks the next rows."""
        self.stream.flush()
        if self.path is not None:
            self._whole = self.stream.tell()

    def finish(self) -> None:
        """Give the complete file its name."""
        self.keep()
        if self.path is not None:
            self.stream.close()
            self.path.replace(self._final)
        elif self.stream is not sys.stdout.buffer:
            self.stream.seek(0)
            shutil.copyfileobj(self.stream, sys.stdout.buffer)
            sys.stdout.buffer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self.stream is sys.stdout.buffer or self.stream.closed:
            return
        with suppress(OSError):  # of a full disk: what the stream holds back is cut off anyway
            self.stream.close()
        if self.path is None:
            return
        if self._whole or not self._made:
            os.truncate(self.path, self._whole)
            self.kept = self.path
        else:
            self.path.unlink()

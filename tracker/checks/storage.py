"""Where a SQLite file lies: what kind of disk, how much room, how long its log."""

import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from tracker.checks.finding import Finding, failed, ok, sized, warning
from tracker.errors import EXIT_DATABASE

MIB: Final = 1 << 20
TRIAL: Final = MIB
"""Bytes written to try the disk out: more than a sweep of 1,000 orders puts into the log."""
LITTLE: Final = 100 * MIB
"""Less free room than this is a failure: the log alone may take 64 MiB and more before it is folded in."""
SCARCE: Final = 1024 * MIB
"""Less than this is a warning: a busy database grows by some hundred MiB a month."""
LONG_LOG: Final = 256 * MIB
"""Four times what the log is cut to: something has been reading since it was shorter."""

NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "davfs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.s3fs", "fuse.davfs2", "fuse.smbnetfs"}
)
"""Kinds of file systems, as the kernel calls them, on which other machines work as well."""

FLEETING: Final = {"tmpfs": "after a reboot", "ramfs": "after a reboot", "overlay": "with its container"}
"""Kinds whose content is gone some day -> when."""

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_MOUNTS: Final = Path("/proc/self/mounts")


def file_of(database_url: str) -> Path | None:
    """Return the file of a SQLite database; None for one that is no file."""
    scheme, _, path = database_url.partition(":///")
    return Path(unquote(path)) if scheme == "sqlite" else None


def storage(path: Path, mounts: Path = _MOUNTS) -> Iterator[Finding]:
    """Look at the disk on which the database `path` lies, or will."""
    try:
        yield from _stored(path, mounts)
    except OSError as error:
        remedy = f"sudo ls -ld {shlex.quote(str(path.parent))} {shlex.quote(str(path))}"
        yield failed("file_system", f"{path} cannot be looked at: {error.strerror}", remedy, EXIT_DATABASE)


def _stored(path: Path, mounts: Path) -> Iterator[Finding]:
    folder = next(each for each in path.parents if each.is_dir())
    yield _file_system(path, folder, mounts)
    yield _room(folder)
    if path.exists():
        yield _log(path)


def _file_system(path: Path, folder: Path, mounts: Path) -> Finding:
    check = "file_system"
    try:
        kind = kind_of(folder.resolve(), mounts.read_text(errors="replace"))
    except OSError:
        kind = "not known here"
    if kind in NETWORK:
        said = f"{path} lies on {kind}, a network file system: SQLite's log does not work there, and may lose data"
        remedy = 'Move it to a local disk and write: database_url = "sqlite:////var/lib/tracker/tracker.db"'
        return failed(check, said, remedy, EXIT_DATABASE)
    if kind in FLEETING:
        said = f"{path} lies on {kind}: the history is gone {FLEETING[kind]}"
        remedy = 'Move it to a disk that stays and write: database_url = "sqlite:////var/lib/tracker/tracker.db"'
        return warning(check, said, remedy)
    return ok(check, f"{kind}, a local one")


def kind_of(folder: Path, mounts: str) -> str:
    """Return what `folder` (absolute, without links) lies on, by the text of /proc/self/mounts."""
    deepest, found = 0, "not known here"
    for line in mounts.splitlines():
        _, mount, kind, *_ = line.split(" ")
        point = Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), mount))
        if len(point.parts) >= deepest and folder.is_relative_to(point):  # a later one lies above an earlier one
            deepest, found = len(point.parts), kind
    return found


def _room(folder: Path) -> Finding:
    """Look at the free room, and write a nameless file: a quota or a read-only mount shows only then."""
    check, shown = "disk", shlex.quote(str(folder))
    try:
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(os.urandom(TRIAL))
            trial.flush()
            os.fsync(trial.fileno())
    except OSError as error:
        said = f"cannot write into {folder}: {error.strerror}"
        full = error.errno in {ENOSPC, EDQUOT}
        return failed(check, said, f"df -h {shown}" if full else f"ls -ld {shown}", EXIT_DATABASE)
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    said = f"{sized(free)} free in {folder}"
    if free < LITTLE:
        return failed(check, said, f"Make room: df -h {shown}; du -xh {shown} | sort -h | tail", EXIT_DATABASE)
    if free < SCARCE:
        return warning(check, said, f"Make room soon: df -h {shown}")
    return ok(check, said)


def _log(path: Path) -> Finding:
    """Look at the write-ahead log, which can only be folded in while nobody reads what is older."""
    check, log = "log", path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > LONG_LOG:
        said = f"{log} has {sized(size)}: something has been reading for long, and the log grows until it ends"
        return warning(check, said, f"End it: fuser -v {shlex.quote(str(path))} shows who has the file open")
    return ok(check, f"{sized(size)} of write-ahead log")

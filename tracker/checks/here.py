"""This machine's side: the configuration, who runs it, and the files that hold the keys."""

import os
import pwd
import shlex
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tracker.checks.finding import Finding, failed, not_run, ok, warning
from tracker.errors import EXIT_CONFIGURATION, ConfigurationFault
from tracker.settings import PanelSettings, Settings, load
from tracker.settings.records import UNREAD


def configuration(path: Path | None, environ: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """Load the configuration, without its keys where only those are at fault: the rest can be checked then."""
    try:
        found = load(path, environ)
    except ConfigurationFault as fault:
        remedy = "Mend each line as it says, then: tracker check"
        return _without_keys(path, environ), [failed("configuration", str(fault), remedy, EXIT_CONFIGURATION)]
    names = ", ".join(f"{panel.name} (paused)" if panel.paused else panel.name for panel in found.panels)
    others = (each for each in found.warnings if ".key_file: " not in each)  # of those, `key_file` tells more
    told = [warning("configuration", each, "Mend it as it says.") for each in others]
    return found, [ok("configuration", f"{found.source}: {names}"), *told]


def _without_keys(path: Path | None, environ: Mapping[str, str]) -> Settings | None:
    try:
        return load(path, environ, need_panels=False)
    except ConfigurationFault:
        return None


def user(database_file: Path | None) -> Finding:
    """Tell who runs this: what root may do says nothing about the user of the daemon."""
    own = os.geteuid()
    owner = own
    if database_file is not None:
        with suppress(OSError):  # what there is to say about the file, its own checks say
            owner = database_file.stat().st_uid
    if own == owner or own != 0:
        return ok("user", _name(own))
    return warning(
        "user",
        f"run by root, but the database belongs to {_name(owner)}: what that user may do is not shown",
        f"sudo -u {shlex.quote(_name(owner))} tracker check",
    )


def key_file(panel: PanelSettings) -> Finding:
    """Look at the mode and the owner of the file in which a panel's key was read."""
    check, path = "key_file", panel.key_file
    if panel.key == UNREAD or path is None:
        return not_run(check, "the configuration failed")
    try:
        status = path.stat()
    except OSError as error:
        remedy = f"ls -l {shlex.quote(str(path))}"
        return failed(check, f"{path}: {error.strerror}", remedy, EXIT_CONFIGURATION)
    mode = stat.S_IMODE(status.st_mode)
    chmod = f"chmod {'640' if mode & stat.S_IRGRP and not mode & stat.S_IROTH else '600'} {shlex.quote(str(path))}"
    if mode & stat.S_IROTH:
        return warning(check, f"{path} has mode {mode:o}: every user of this machine can read the key", chmod)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        return warning(check, f"{path} has mode {mode:o}: others than its owner can replace the key", chmod)
    if os.geteuid() not in {0, status.st_uid} and status.st_uid != 0:
        said = f"{path} belongs to {_name(status.st_uid)}, who can replace the key"
        return warning(check, said, f"sudo chown {_name(os.geteuid())} {shlex.quote(str(path))}")
    return ok(check, f"{path}, mode {mode:o}, of {_name(status.st_uid)}")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)

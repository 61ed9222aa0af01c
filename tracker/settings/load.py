"""Find the file, read it whole, and say everything that is wrong with it at once."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tracker.errors import ConfigurationFault
from tracker.model import Keep
from tracker.settings import values
from tracker.settings.records import UNREAD, Every, PanelSettings, Secret, Settings
from tracker.settings.tables import FileTable, Folder, Problem, raw_panels, read, spelled_path

FILE_NAME: Final = "tracker.toml"
DATABASE_VARIABLE: Final = "TRACKER_DATABASE_URL"
MAX_FILE_BYTES: Final = 1 << 20
"""A thousand panels take 200 KiB; the cap keeps a wrong path from being read whole."""

_MINIMAL: Final = """\
  [panels.senderin]
  url = "https://senderin.ru/api/v2"
  key_file = "/etc/tracker/senderin.key"
"""


def load(path: Path | None, environ: Mapping[str, str], *, need_panels: bool = True) -> Settings:
    """Return the configuration; raises ConfigurationFault with every error in it.

    The file is `path`, else the first of $TRACKER_CONFIG, $CONFIGURATION_DIRECTORY/tracker.toml and
    ./tracker.toml; one that is named but absent is an error. $TRACKER_DATABASE_URL stands above the file's
    `database_url`. With `need_panels=False`, for commands that only read the database, that variable alone is
    enough and no key file is opened: people who may read the database need not be able to read the keys.
    """
    source, looked = _find(path, environ)
    if source is None and (need_panels or not environ.get(DATABASE_VARIABLE)):
        raise ConfigurationFault(_nothing_found(looked))
    data = {} if source is None else _parsed(source)
    folder = Folder(Path.cwd() if source is None else source.parent, environ.get("HOME"))

    tables, found = read(data, folder)
    keys, key_problems, warnings = _keys(data, folder, environ) if need_panels else ({}, [], [])
    found += key_problems
    if need_panels and not data.get("panels"):
        found.append(Problem("panels", f"there is none to poll; write:\n{_MINIMAL}"))
    problems = [f"{source}: {problem.where}: {problem.what}" for problem in found]
    database_url = _database(tables, environ, folder, problems)
    if tables is None or problems:
        raise ConfigurationFault(_all_wrong(problems))

    every = Every(**tables.every.model_dump())
    keep = Keep(**tables.keep.model_dump())
    panels = tuple(_panel(name, tables, folder, keys.get(name)) for name in tables.panels)
    listen = None if tables.listen is None else values.address(tables.listen)
    if listen is not None and (warning := values.listen_warning(listen)) is not None:
        warnings.append(warning)
    return Settings(database_url, panels, every, source, tuple(warnings), keep=keep, listen=listen)


def _find(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, list[str]]:
    """Return the file to read, if any, and where it was looked for."""
    if path is not None:
        return path.absolute(), []
    if named := environ.get("TRACKER_CONFIG"):
        return Path(named).absolute(), []
    # systemd gives several directories as one list.
    folders = [folder for folder in environ.get("CONFIGURATION_DIRECTORY", "").split(":") if folder]
    places = [Path(folder, FILE_NAME).absolute() for folder in (*folders, ".")]
    looked = ["--config: not given", "$TRACKER_CONFIG: not set"]
    looked += [] if folders else ["$CONFIGURATION_DIRECTORY: not set"]
    looked += [f"{place}: no such file" for place in places]
    return next((place for place in places if place.is_file()), None), looked


def _nothing_found(looked: list[str]) -> str:
    places = "".join(f"  {place}\n" for place in looked)
    return (
        f"There is no configuration file. Looked for it here:\n{places}Write one with at least:\n\n{_MINIMAL}\n"
        "and the key alone in that key file (mode 600). `tracker demo` needs no configuration."
    )


def _all_wrong(problems: list[str]) -> str:
    count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
    return "\n".join([f"The configuration cannot be used ({count}):", *(f"  {each}" for each in problems)])


def _parsed(source: Path) -> dict[str, Any]:
    try:
        with source.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigurationFault(f"{source}: is larger than {MAX_FILE_BYTES} bytes; is it the right file?")
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        fault = f"cannot be read ({error.strerror}); name an existing file by --config or $TRACKER_CONFIG"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        fault = f"is not UTF-8 text (line {line}); save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        fault = f"is not TOML: {error}; texts stand in double quotes, tables in [brackets]"
    except (ValueError, RecursionError):
        fault = "is not TOML that can be read: a number is too long or tables are nested too deeply"
    raise ConfigurationFault(f"The configuration cannot be used (1 error):\n  {source}: {fault}")


def _keys(
    data: Mapping[str, Any], folder: Folder, environ: Mapping[str, str]
) -> tuple[dict[str, tuple[Path, Secret]], list[Problem], list[str]]:
    """Return each panel's key with the file it was read from, what is wrong with the others, and warnings."""
    keys: dict[str, tuple[Path, Secret]] = {}
    problems: list[Problem] = []
    warnings: list[str] = []
    for name, table in raw_panels(data):
        where = spelled_path(("panels", name, "key_file"))
        written = table.get("key_file")
        path = _credential(name, environ) if written is None else values.located(written, *folder)
        if path is None:
            problems.append(Problem(where, f'is missing; write: key_file = "/etc/tracker/{name}.key"'))
            continue
        try:
            key, warning = values.read_key(path, written or "")
        except ValueError as error:
            problems.append(Problem(where, str(error)))
            continue
        keys[name] = (path, Secret(key))
        warnings += [f"{where}: {warning}"] if warning else []
    return keys, problems, warnings


def _credential(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the file of systemd's credential `NAME.key` (LoadCredential=), where there is one."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, f"{name}.key") if folder else None
    return path if path is not None and os.access(path, os.F_OK) else None


def _database(tables: FileTable | None, environ: Mapping[str, str], folder: Folder, problems: list[str]) -> str:
    """Return the database's URL from the environment, the file or the state directory; notes what is wrong."""
    if written := environ.get(DATABASE_VARIABLE):
        try:
            return values.database_url(written, Path.cwd(), folder.home)
        except ValueError as error:
            problems.append(f"${DATABASE_VARIABLE}: {error}")
    elif tables is not None and tables.database_url is not None:
        return tables.database_url
    elif systemd := environ.get("STATE_DIRECTORY", "").split(":")[0]:
        return values.sqlite_at(Path(systemd, "tracker.db").absolute())
    elif state := environ.get("XDG_STATE_HOME") or (folder.home and f"{folder.home}/.local/state"):
        return values.sqlite_at(Path(state, "tracker", "tracker.db").absolute())
    else:
        problems.append('database_url: is missing, and so is $HOME; write: database_url = "sqlite:///tracker.db"')
    return ""


def _panel(name: str, tables: FileTable, folder: Folder, key: tuple[Path, Secret] | None) -> PanelSettings:
    table = tables.panels[name]
    if key is None:
        key_file = None if table.key_file is None else values.located(table.key_file, *folder)
        secret = UNREAD
    else:
        key_file, secret = key
    return PanelSettings(
        name=name,
        url=table.url,
        key=secret,
        key_file=key_file,
        requests_per_minute=table.requests_per_minute,
        in_flight=table.in_flight,
        paused=table.paused,
        allow_http=table.allow_http,
    )
